"""Model organisms: models with a known fault, made on purpose, measured before they count, and shared.

import unswayed as uw

made = uw.organisms.make("sycophancy", "organisms/syc-0", model="smollm2-135m", seed=0)
made.gate.passed, made.gate.reasons
uw.organisms.check("organisms/syc-0")
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from unswayed.organisms.adoption import adopt, check
    from unswayed.organisms.family import Family, find_family
    from unswayed.organisms.folder import Organism
    from unswayed.organisms.gate import Gate, measure
    from unswayed.organisms.making import Made, make
    from unswayed.organisms.registry import read_list, write_list
    from unswayed.organisms.trajectories import trajectory
    from unswayed.organisms.upload import push

__all__ = [
    "Family", "Gate", "Made", "Organism", "adopt", "check", "find_family", "make", "measure", "push", "read_list",
    "trajectory", "write_list",
]  # fmt: skip
# No name here may be that of a module, which would take its place once it is imported.
_HOMES = {
    "adoption": ("adopt", "check"),
    "family": ("Family", "find_family"),
    "folder": ("Organism",),
    "gate": ("Gate", "measure"),
    "making": ("Made", "make"),
    "registry": ("read_list", "write_list"),
    "trajectories": ("trajectory",),
    "upload": ("push",),
}
_HOME = {name: module for module, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'unswayed.organisms' has no attribute {name!r}")
    return getattr(importlib.import_module(f"unswayed.organisms.{_HOME[name]}"), name)
