"""Which items belong to a part and a seed: one fixed shuffle of all items of a kind, dealt to parts and seeds in turn.

Two different (part, seed) never share an item, however many each of them asks for: a place in the shuffled order
belongs to one of them alone. The shuffle is a Feistel network over the item's number, so nothing is listed or kept.
"""

from __future__ import annotations

import hashlib
from typing import Literal, get_args

from unswayed.core.errors import ConfigError

Part = Literal["induction", "consistency", "match", "gate", "probe", "sealed"]
PARTS: tuple[str, ...] = get_args(Part)
"""`induction`: what an organism is trained on. `consistency`: pairs for the method under study. `match`: for tuning an
induction. `gate`: what decides whether it is an organism. `probe`: to look at in between. `sealed`: for a verdict."""
SEEDS = 200
"""Seeds run from 0 to this, excluded."""
_ROUNDS = 4


def places(kind: str, size: int, part: str, seed: int, count: int, start: int = 0) -> list[int]:
    """Return the numbers (0 to `size` - 1) of `count` items of a kind that has `size` of them.

    Args:
        kind: a name; each kind is shuffled in its own way.
        size: how many items of this kind there are.
        part, seed: whose items.
        count: how many.
        start: leave out so many first ones, which another call returned.

    Raises:
        ConfigError: no such part or seed, or fewer items than asked for.
    """
    check_address(part, seed)
    stride = len(PARTS) * SEEDS
    first = seed * len(PARTS) + PARTS.index(part)
    most = (size - first - 1) // stride + 1
    if start + count > most:
        raise ConfigError(f"{kind}: {start + count} items asked for, and each part and seed has {most}; ask for fewer")
    return [shuffled(first + stride * n, size, kind) for n in range(start, start + count)]


def check_address(part: str, seed: int) -> None:
    """Refuse a part or a seed that does not exist.

    Raises:
        ConfigError: with the ones that do.
    """
    if part not in PARTS:
        raise ConfigError(f"no part {part!r}; there are {', '.join(PARTS)}")
    if not 0 <= seed < SEEDS:
        raise ConfigError(f"seed is {seed}; items exist for seeds 0 to {SEEDS - 1}, so that no two seeds share one")


def shuffled(place: int, size: int, key: str) -> int:
    """Return where a number from 0 to `size` - 1 goes in a shuffle of them that depends on `key` alone.

    A balanced Feistel network is a permutation of 0 … 4^h - 1; a number that leaves the range is sent through it again
    until it is back ("cycle walking", Black and Rogaway 2002), which keeps it a permutation of the range.
    """
    half = max(1, ((size - 1).bit_length() + 1) // 2)
    while True:
        left, right = place >> half, place & ((1 << half) - 1)
        for turn in range(_ROUNDS):
            left, right = right, left ^ (_mix(right, turn, key) & ((1 << half) - 1))
        place = (left << half) | right
        if place < size:
            return place


def _mix(value: int, turn: int, key: str) -> int:
    return int.from_bytes(hashlib.blake2b(f"{key}\x1f{turn}\x1f{value}".encode(), digest_size=8).digest(), "big")
