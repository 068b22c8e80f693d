"""Inspect, the evaluation framework of the UK AI Security Institute, as another way in and out.

Needs the extra: `pip install "unswayed[inspect]"`.

provider   our models and live policies, sampled by our own sampler, behind Inspect's `get_model("unswayed/...")`
tasks      our suites as Inspect tasks: `inspect eval unswayed/sycophancy_suggested_answer`
export     our evaluations as `.eval` logs that Inspect's viewer and data frames read

Inspect finds the first two by itself, through the package's entry point; nothing here is needed to use the library.
"""

from unswayed.core.errors import ConfigError

try:
    import inspect_ai as _inspect_ai
except ImportError as _error:
    raise ConfigError('Inspect is not installed; install it with: pip install "unswayed[inspect]"') from _error

del _inspect_ai
