"""Modules from outside this package that add methods, suites, perturbations, rules, judges and labellers by name.

An installed package names its module under the entry-point group `unswayed`; any other module is imported by
`--import MODULE`. Either registers what it adds with the decorators that this package itself uses. A run records the
hash of every such module that it uses, and is not continued with another one.
"""

from __future__ import annotations

import hashlib
import importlib
import logging
import os
import sys
from collections.abc import Iterable
from functools import cache
from importlib import metadata
from pathlib import Path

from unswayed.core.errors import ConfigError

GROUP = "unswayed"
ABOVE = ("unswayed.organisms.families",)
"""Modules of this package that register names with parts below them, which therefore cannot import them."""
_named: list[str] = []
_installed: list[str] = []
log = logging.getLogger(__name__)


def import_plugin(module: str) -> None:
    """Import a module that was named on the command line; the working folder is searched too.

    Raises:
        ConfigError: there is no such module, or it cannot be imported.
    """
    if module in _named:
        return
    here = os.getcwd()
    if here not in sys.path:
        sys.path.append(here)
    try:
        importlib.import_module(module)
    except ConfigError:
        raise
    except Exception as error:  # anything may be raised by code that is not ours
        raise ConfigError(
            f"--import {module}: {type(error).__name__}: {error}; name a module as in Python, e.g. my_suites for "
            f"my_suites.py in {here} or in an installed package"
        ) from error
    _named.append(module)


@cache
def load_installed() -> None:
    """Import `ABOVE` and the modules of installed packages, once.

    A module of another package that cannot be imported is left out with a warning.
    """
    for module in ABOVE:
        importlib.import_module(module)
    for entry in sorted(metadata.entry_points(group=GROUP), key=lambda entry: entry.name):
        try:
            entry.load()
        except Exception as error:  # anything may be raised by code that is not ours
            log.warning("plug-in %s (%s) is left out: %s: %s", entry.name, entry.value, type(error).__name__, error)
        else:
            _installed.append(entry.module)


def used(objects: Iterable[object] = ()) -> dict[str, str]:
    """Return name and SHA-256 of each plug-in that a run depends on, for its identity.

    Those are all that `--import` named, and of the installed ones those that define one of the objects.

    Args:
        objects: functions, classes or instances that the run uses.
    """
    homes = [getattr(each, "__module__", None) or type(each).__module__ for each in objects]
    touched = [module for module in _installed if any(_inside(home, module) for home in homes)]
    return {module: _digest(module) for module in sorted({*_named, *touched})}


def _inside(home: str, module: str) -> bool:
    """Return whether `home` lies in the same top-level package, or is the same module."""
    return home.partition(".")[0] == module.partition(".")[0]


def _digest(module: str) -> str:
    """Return a hash over every Python file of the module, or of the package that it is."""
    file = Path(str(sys.modules[module].__file__))
    files = sorted(file.parent.rglob("*.py")) if file.name == "__init__.py" else [file]
    digest = hashlib.sha256()
    for one in files:
        digest.update(f"{one.relative_to(file.parent).as_posix()}\0".encode() + one.read_bytes() + b"\0")
    return digest.hexdigest()
