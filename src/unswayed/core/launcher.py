"""Read from the environment which of a launcher's processes (torchrun, accelerate, srun) this one is."""

from __future__ import annotations

import os

from unswayed.core.errors import ConfigError


def world_size() -> int:
    """Return how many processes the launcher started, 1 without one."""
    return environment_number("WORLD_SIZE", 1)


def is_main() -> bool:
    """Return whether this process is the only one, or the first."""
    return world_size() == 1 or environment_number("RANK", 0) == 0


def refuse_several(what: str) -> None:
    """Refuse what works in one process only.

    Raises:
        ConfigError: a launcher started several.
    """
    if world_size() > 1:
        raise ConfigError(
            f"{what} works in one process, and WORLD_SIZE says that {world_size()} were started; start it without "
            "torchrun or accelerate launch"
        )


def environment_number(name: str, default: int) -> int:
    """Return an environment variable as a number.

    Raises:
        ConfigError: it is set to something else.
    """
    text = os.environ.get(name, "")
    try:
        return int(text) if text else default
    except ValueError as error:
        raise ConfigError(f"the environment variable {name} is {text!r}, not a number") from error
