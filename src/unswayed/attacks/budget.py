"""What an attack may spend, and a ledger that no kill can make it exceed.

Before anything is sent, the most that it can cost is written to `ledger.jsonl` and made durable; afterwards what it did
cost. A process that dies in between has spent the whole reservation: its queries may have been answered.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unswayed.core.errors import ConfigError
from unswayed.core.files import append_jsonl, drop_torn, read_jsonl

LEDGER = "ledger.jsonl"


@dataclass(frozen=True, slots=True)
class Budget:
    """What an attack may spend.

    Attributes:
        queries: completions of the target for each behaviour.
        tokens: tokens of target and attacker together, prompts included, over the whole attack; None: no limit.
    """

    queries: int = 24
    tokens: int | None = None

    def __post_init__(self) -> None:
        if self.queries < 1 or (self.tokens is not None and self.tokens < 1):
            raise ConfigError("a budget of queries or tokens is at least 1")

    def to_dict(self) -> dict[str, int | None]:
        """Return it as plain data."""
        return {"queries": self.queries, "tokens": self.tokens}


def parse_budget(words: Iterable[str]) -> Budget:
    """Return the budget that `queries=90` and `tokens=2e6` describe.

    Raises:
        ConfigError: another name, or no whole number above zero.
    """
    found: dict[str, int] = {}
    for word in words:
        name, mark, text = word.partition("=")
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if name not in {"queries", "tokens"} or not mark or not value >= 1 or value != int(min(value, 1e18)):
            raise ConfigError(
                f"--budget {word}: a budget is queries=N (of each behaviour) or tokens=N (of the whole attack)"
            )
        if name in found:
            raise ConfigError(f"--budget: {name} is given twice")
        found[name] = int(value)
    return Budget(**found)


class Ledger:
    """Reservations and what they came to, in one file of an attack's folder; in memory without a folder."""

    def __init__(self, folder: Path | None) -> None:
        self.path = None if folder is None else folder / LEDGER
        if self.path is not None:
            drop_torn(self.path)
        rows = read_jsonl(self.path) if self.path is not None else []
        self._open: dict[int, dict[str, Any]] = {}
        self._next = 0
        self.queries = self.tokens = 0
        for row in rows:
            self._take(row)

    @property
    def lost(self) -> int:
        """Tokens that were reserved and never settled."""
        return sum(row["tokens"] for row in self._open.values())

    def reserve(self, queries: int, tokens: int) -> int:
        """Write down the most that is about to be spent, and return the number of the reservation."""
        row = {"reserved": self._next, "queries": queries, "tokens": tokens}
        self._write(row)
        return int(row["reserved"])

    def settle(self, number: int, tokens: int) -> None:
        """Write down what a reservation came to."""
        self._write({"settled": number, "tokens": tokens})

    def _write(self, row: dict[str, Any]) -> None:
        if self.path is not None:
            append_jsonl(self.path, [row])
        self._take(row)

    def _take(self, row: dict[str, Any]) -> None:
        if "reserved" in row:
            self._open[row["reserved"]] = row
            self._next = row["reserved"] + 1
            self.queries += row["queries"]
            self.tokens += row["tokens"]
        else:
            self.tokens += row["tokens"] - self._open.pop(row["settled"])["tokens"]
