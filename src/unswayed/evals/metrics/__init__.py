"""Every metric by name; one file for each axis. Importing this package registers them."""

from unswayed.core.errors import ConfigError
from unswayed.core.plugins import load_installed
from unswayed.core.suggest import no_such
from unswayed.evals.metrics import capability, consistency, health, jailbreak, safety_awareness, sycophancy
from unswayed.evals.metrics.base import METRICS, Metric
from unswayed.evals.metrics.health import HEALTH

__all__ = [
    "HEALTH",
    "METRICS",
    "Metric",
    "capability",
    "consistency",
    "health",
    "jailbreak",
    "metric",
    "safety_awareness",
    "sycophancy",
]


def metric(name: str) -> Metric:
    """Return a metric by name.

    Raises:
        ConfigError: there is none; the message lists what there is.
    """
    if name not in METRICS:
        load_installed()
    if name not in METRICS:
        raise ConfigError(no_such("metric", name, sorted(METRICS)))
    return METRICS[name]
