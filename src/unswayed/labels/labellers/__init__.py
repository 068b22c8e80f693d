"""One file a labeller: a function of pairs, its table of the recipe, and a context; see `unswayed.labels.base`."""

from __future__ import annotations

import pkgutil
from importlib import import_module

from unswayed.labels.base import LABELLERS

__all__ = ["LABELLERS"]

for _module in pkgutil.iter_modules(__path__, f"{__name__}."):
    import_module(_module.name)
