"""Behaviours that an attacker tries to get: read by name, and split by hash into parts that share none.

A behaviour's part depends on its id alone, so files that overlap never put one behaviour into two parts:

pool       its attacks may be shown to an attacker as examples
train      an attacker may learn on it
held_out   attacked once, for the figures
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, get_args

from unswayed.core.errors import ConfigError, DataError
from unswayed.core.seeding import seed_at
from unswayed.questions.requests import Request, load_requests

Part = Literal["pool", "train", "held_out"]
PARTS: tuple[Part, ...] = get_args(Part)
PREFIX = "jailbreak/behaviours:"
SHARES = (0.1, 0.3)
"""Shares of behaviours in `pool` and `train`; the rest is held out."""


def part_of(behaviour: str) -> Part:
    """Return the part that a behaviour's id puts it into."""
    place = seed_at(0, f"attack/part/{behaviour}") / 2**63
    return "pool" if place < SHARES[0] else "train" if place < sum(SHARES) else "held_out"


def load_behaviours(
    name: str, part: Part = "held_out", *, limit: int | None = None, seed: int = 0, folder: Path = Path()
) -> tuple[list[Request], dict[str, Any]]:
    """Return the behaviours of one part, and the identity of the set they are from.

    Args:
        name: `codewords`, a public set or a file, as `load_requests` reads them; `jailbreak/behaviours:` may stand
            before it.
        part: see the module.
        limit: how many of the part; drawn by `seed`.
        folder: where a relative file starts.

    Raises:
        ConfigError: no such part, or a public set that is not on this machine.
        DataError: rows that cannot be used, or none in the part.
    """
    if part not in PARTS:
        raise ConfigError(f"part {part!r} is none of {', '.join(PARTS)}")
    found, identity = load_requests(name.removeprefix(PREFIX), folder)
    own = [request for request in found if part_of(request.id) == part]
    if not own:
        raise DataError(f"{name}: none of its {len(found)} behaviours is in the part {part!r}; take a larger set")
    chosen = _drawn(own, limit, seed)
    return chosen, {**identity, "part": part, "behaviours": [request.id for request in chosen]}


def _drawn(requests: Sequence[Request], limit: int | None, seed: int) -> list[Request]:
    """Return `limit` of the requests, chosen by a hash of seed and id, in file order."""
    if limit is None or limit >= len(requests):
        return list(requests)
    order = sorted(requests, key=lambda request: seed_at(seed, f"attack/draw/{request.id}"))
    kept = {request.id for request in order[:limit]}
    return [request for request in requests if request.id in kept]
