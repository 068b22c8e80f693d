"""Where a reply names answers, and the clauses around them; `parsing` decides what they count for."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from typing import NamedTuple

from unswayed.readers import grammar

IN_PASSING = 1
"""The lowest rank of a mention."""
WIDE = 200
"""How far around a mention the rest of its clause is looked at, in characters."""


class Mention(NamedTuple):
    """An answer at a place in the reply. `exact`: not a plural of it. `computed`: an equation ends in it."""

    start: int
    end: int
    answer: str
    exact: bool = True
    computed: bool = False
    rank: int = IN_PASSING


class Clause(NamedTuple):
    """A stretch of the reply between two boundaries, and the answers it mentions."""

    start: int
    end: int
    mentions: tuple[Mention, ...]


def clauses_of(reply: str, mentions: list[Mention]) -> list[Clause]:
    """Return the clauses of the reply. A boundary in a mention ("D.C.") or a bracket around one ("(B)") is none."""

    firsts, ends_at = [mention.start for mention in mentions], {mention.end for mention in mentions}
    starts_at = set(firsts)

    def splits(match: re.Match[str]) -> bool:
        place = bisect_right(firsts, match.start()) - 1
        if place >= 0 and match.start() < mentions[place].end:
            return False
        around = (match[0] in "([" and match.end() in starts_at) or (match[0] in ")]" and match.start() in ends_at)
        return not around

    cuts = [match for match in grammar.BOUNDARY.finditer(reply) if splits(match)]
    starts = [0, *(match.end() for match in cuts)]
    ends = [*(match.start() for match in cuts), len(reply)]
    return [
        Clause(start, end, tuple(mentions[bisect_left(firsts, start) : bisect_left(firsts, end)]))
        for start, end in zip(starts, ends, strict=True)
    ]


def around(reply: str, clause: Clause, mention: Mention) -> tuple[str, str]:
    """Return what the clause says before and after a mention, other mentions left out."""
    window = window_of(clause, mention)
    before, after, place = "", "", window.start
    for other in clause.mentions:
        if window.start <= other.start < mention.start:
            before += reply[place : other.start]
            place = other.end
    before += reply[place : mention.start]
    place = mention.end
    for other in clause.mentions:
        if mention.end <= other.start < window.end:
            after += reply[place : other.start]
            place = other.end
    return before, after + reply[place : window.end]


def window_of(clause: Clause, mention: Mention) -> Clause:
    """Return the part of a clause that is looked at around a mention."""
    return Clause(max(clause.start, mention.start - WIDE), min(clause.end, mention.end + WIDE), clause.mentions)
