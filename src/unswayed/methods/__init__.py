"""One file a method. `build` turns a recipe's method table into one."""

from __future__ import annotations

import pkgutil
from importlib import import_module

from unswayed.config.methods import MethodConfig
from unswayed.core.errors import ConfigError
from unswayed.methods.base import METHODS, Collected, Method, Step, Tokens, method

__all__ = ["Collected", "Method", "Step", "Tokens", "build", "method"]


def build(config: MethodConfig) -> Method:
    """Return the method that a recipe's `[method]` table describes.

    Raises:
        ConfigError: no method is declared for tables of this class.
    """
    for module in pkgutil.iter_modules(__path__, f"{__name__}."):
        import_module(module.name)
    if (declared := METHODS.get(type(config))) is None:
        known = ", ".join(sorted(known.__name__ for known in METHODS))
        raise ConfigError(
            f"no method is declared with @method({type(config).__name__}), the table of {config.name!r}; there are "
            f"methods for {known}"
        )
    return declared(config)
