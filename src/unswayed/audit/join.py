"""Pair both arms by id and prompt, never by order; what does not pair is counted, and too much of it is refused."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from unswayed.audit.reply import Reply
from unswayed.core.errors import DataError
from unswayed.core.hashing import hash_json

Key = tuple[str, str, str]
"""Behaviour, id, and hash of the prompt."""


@dataclass(frozen=True, slots=True)
class Joined:
    """Prompts that both arms answered.

    Attributes:
        before, after: the replies of each, by key, in the order of BEFORE.
        only_before, only_after: prompts of one arm alone. `changed`: of these, ids that both arms have, with other
            words.
    """

    before: dict[Key, list[Reply]]
    after: dict[Key, list[Reply]]
    only_before: tuple[Key, ...]
    only_after: tuple[Key, ...]
    changed: int

    @property
    def prompts_sha256(self) -> str:
        """The hash of the prompts, whatever was answered."""
        return hash_json(sorted(list(key) for key in self.before))

    def arm(self, name: str, behaviour: str | None = None) -> list[Reply]:
        """Return the replies of an arm that were paired, of one behaviour or of all."""
        side = self.before if name == "before" else self.after
        return [one for key, some in side.items() if behaviour in {None, key[0]} for one in some]

    @property
    def behaviours(self) -> list[str]:
        """Every behaviour, in order of appearance."""
        return list(dict.fromkeys(key[0] for key in self.before))

    def about(self) -> dict[str, Any]:
        """Return the counts, as JSON."""
        return {
            "prompts": len(self.before),
            "replies": {arm: len(self.arm(arm)) for arm in ("before", "after")},
            "only_before": len(self.only_before),
            "only_after": len(self.only_after),
            "other_words": self.changed,
            "prompts_sha256": self.prompts_sha256,
        }


def join(before: Sequence[Reply], after: Sequence[Reply], most: float) -> Joined:
    """Return the prompts that both arms answered.

    Args:
        before, after: the replies of each arm.
        most: share of either arm's prompts that need not pair.

    Raises:
        DataError: more than that does not pair.
    """
    first, second = _by_key(before), _by_key(after)
    both = [key for key in first if key in second]
    lost = tuple(key for key in first if key not in second), tuple(key for key in second if key not in first)
    ids = [{(behaviour, id_) for behaviour, id_, _ in some} for some in lost]
    changed = len(ids[0] & ids[1])
    for name, some, every in (("before", lost[0], first), ("after", lost[1], second)):
        if not both or len(some) > most * len(every):
            raise DataError(_refusal(name, some, len(every), changed, most))
    return Joined({key: first[key] for key in both}, {key: second[key] for key in both}, *lost, changed)


def _by_key(replies: Sequence[Reply]) -> dict[Key, list[Reply]]:
    found: dict[Key, list[Reply]] = {}
    for reply in replies:
        found.setdefault((reply.behaviour, reply.id, reply.prompt_sha256), []).append(reply)
    return found


def _refusal(name: str, lost: Sequence[Key], every: int, changed: int, most: float) -> str:
    some = ", ".join(repr(key[1]) for key in lost[:3])
    same = f"; {changed} ids are in both arms with another prompt" if changed else ""
    return (
        f"{len(lost)} of {every} prompts of {name} have no counterpart with the same id and prompt ({some}){same}. "
        f"At most {most:.0%} may be missing: give both arms the same prompts, or raise max_unjoined in the plan"
    )
