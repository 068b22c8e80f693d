"""What changed between two models, and what will: verdicts that a reviewer can recompute.

    import unswayed as uw

    found = uw.audit("before.jsonl", "after.jsonl", rule="agrees", out="audits/two-files")
    found.verdicts[0]["verdict"]          # "AMPLIFIED"

The package can be called: it is `unswayed.audit.run.audit`.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any


class _Callable(ModuleType):
    """A module that is also the function which gives it its name."""

    def __call__(self, *args: Any, **options: Any) -> Any:
        from unswayed.audit.run import audit

        return audit(*args, **options)


sys.modules[__name__].__class__ = _Callable
