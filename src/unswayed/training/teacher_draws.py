"""Keep the teacher's completions of a run: a frozen teacher's answer depends on its pair alone, so it is drawn once.

Every process holds all of them, 12 bytes for each token, since a pair may fall to another process in a later epoch.
They are part of a checkpoint, so that a resumed run goes on with the same ids, whatever became of `rollouts/`: drawn
anew, beside other pairs, they would be the same up to rounding only.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from unswayed.core.files import read_jsonl, write_jsonl
from unswayed.core.types import Finish, PolicyRef, Rollout, TokenizedPair

DRAWS_FILE = "draws.jsonl"


class _Draw(NamedTuple):
    ids: array[int]
    logprobs: array[float]
    finish: Finish
    seed: int


class Draws:
    """The teacher's completions so far in this run.

    Args:
        n: completions of each pair.
        teacher: who drew them.
    """

    def __init__(self, n: int, teacher: PolicyRef) -> None:
        self.n, self.teacher = n, teacher
        self._held: dict[str, list[_Draw]] = {}

    def __contains__(self, pair_id: str) -> bool:
        return pair_id in self._held

    def add(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Keep rows of a step's file of rollouts, in its order; of a pair that comes again, the first `n` count."""
        for row in rows:
            held = self._held.setdefault(row["pair_id"], [])
            if len(held) < self.n:
                ids, logprobs = array("i", row["completion_ids"]), array("d", row["logprobs"])
                held.append(_Draw(ids, logprobs, row["finish"], row["seed"]))

    def of(self, pairs: Iterable[TokenizedPair]) -> dict[str, list[Rollout]]:
        """Return the completions of those pairs that have some, by the pair's id."""
        return {pair.pair.id: self._rollouts(pair) for pair in pairs if pair.pair.id in self}

    def save(self, folder: Path) -> None:
        """Write `draws.jsonl` into a checkpoint, where there is anything to keep."""
        if self._held:
            rows = (_row(pair_id, draw) for pair_id, held in self._held.items() for draw in held)
            write_jsonl(folder / DRAWS_FILE, rows)

    def load(self, folder: Path) -> None:
        """Take what `save` wrote; a checkpoint without it knows no draws yet."""
        self._held.clear()
        self.add(read_jsonl(folder / DRAWS_FILE))

    def _rollouts(self, pair: TokenizedPair) -> list[Rollout]:
        return [
            Rollout(pair.pair.id, pair.teacher_prompt_ids, tuple(ids), tuple(logprobs), finish, self.teacher, seed)
            for ids, logprobs, finish, seed in self._held[pair.pair.id]
        ]


def _row(pair_id: str, draw: _Draw) -> dict[str, Any]:
    return {
        "pair_id": pair_id,
        "completion_ids": draw.ids.tolist(),
        "logprobs": draw.logprobs.tolist(),
        "finish": draw.finish,
        "seed": draw.seed,
    }
