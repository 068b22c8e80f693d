"""The built-in suites: importing this package imports each of its modules, which registers the suites in it."""

from importlib import import_module
from pkgutil import iter_modules

for _name in sorted(module.name for module in iter_modules(__path__)):
    import_module(f"{__name__}.{_name}")
