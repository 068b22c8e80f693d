"""Attackers by name: one file each."""

from __future__ import annotations

import difflib
import inspect
from typing import Any

from unswayed.attacks.attackers import best_of_n, direct, grpo, many_shot, prefill, search, static
from unswayed.attacks.attackers.base import ATTACKERS, Attacker
from unswayed.core.errors import ConfigError

__all__ = ["ATTACKERS", "best_of_n", "build_attacker", "direct", "grpo", "many_shot", "prefill", "search", "static"]


def build_attacker(name: str, *, seed: int, **settings: Any) -> Attacker:
    """Return the attacker of this name.

    Raises:
        ConfigError: no such attacker, or a setting that it does not take.
    """
    build = ATTACKERS.get(name)
    if build is None:
        near = difflib.get_close_matches(name, ATTACKERS, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ConfigError(f"attacker {name!r} is none of {', '.join(sorted(ATTACKERS))}{hint}")
    known = [word for word in inspect.signature(build).parameters if word != "seed"]
    unknown = sorted(set(settings) - set(known))
    if unknown:
        takes = f"takes {', '.join(known)}" if known else "takes no settings"
        raise ConfigError(f"attacker {name!r} {takes}; not {', '.join(unknown)}")
    return build(seed=seed, **settings)
