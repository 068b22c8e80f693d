"""What a launcher (torchrun, accelerate, srun) says of this process through the environment."""

from __future__ import annotations

import os

from unswayed.core.errors import ConfigError


def several() -> int:
    """Return how many processes the launcher says there are, 1 without one."""
    return number("WORLD_SIZE", 1)


def leads() -> bool:
    """Return whether this process is the only one, or the first."""
    return several() == 1 or number("RANK", 0) == 0


def refuse_several(what: str) -> None:
    """Refuse what works in one process only.

    Raises:
        ConfigError: a launcher started several.
    """
    if several() > 1:
        raise ConfigError(
            f"{what} works in one process, and WORLD_SIZE says that {several()} were started; start it without "
            "torchrun or accelerate launch"
        )


def number(name: str, default: int) -> int:
    text = os.environ.get(name, "")
    try:
        return int(text) if text else default
    except ValueError as error:
        raise ConfigError(f"the environment variable {name} is {text!r}, not a number") from error
