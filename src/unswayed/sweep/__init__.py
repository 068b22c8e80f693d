"""Sweeps: organism, label, train and eval as cells of a matrix, from one laptop to a cluster.

    from unswayed import sweep

    plan = sweep.plan("recipes/sweeps/small.toml")
    status = sweep.run("recipes/sweeps/small.toml", slots=2)
    rows = sweep.table(plan.folder)
    page = sweep.report(plan.folder)

Each of these is the command of the same name (`unswayed sweep plan`, …), and is imported when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from unswayed.sweep.page import report
    from unswayed.sweep.planning import plan
    from unswayed.sweep.rows import table
    from unswayed.sweep.running import run
    from unswayed.sweep.states import status, why

__all__ = ["plan", "report", "run", "status", "table", "why"]

_HOMES = {"plan": "planning", "report": "page", "table": "rows", "run": "running", "status": "states", "why": "states"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'unswayed.sweep' has no attribute {name!r}")
    value = globals()[name] = getattr(importlib.import_module(f"unswayed.sweep.{_HOMES[name]}"), name)
    return value
