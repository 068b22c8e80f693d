"""Has the form of the replies changed so far that no rate means what it did? Then nothing is amplified or suppressed.

A model that answers nothing, one thing to everything, or something of another length shows less of any trait without
being any better. Each share is compared prompt by prompt like every other rate. Length and sameness depend on what is
said as well: they are compared among replies with the same outcome, so that a change of the trait itself moves neither.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from unswayed.audit.plan import Firewall
from unswayed.audit.rates import Sides, Value, limits, rates
from unswayed.audit.reply import Reply
from unswayed.core.types import Completion, Finish, Message, Sample
from unswayed.evals.scoring.degenerate import CONSTANT_SHARE
from unswayed.evals.scoring.scorers import broken
from unswayed.readers.text import words

FEWEST = 30
"""With fewer replies of one outcome in either arm, nothing is said about their length and sameness."""
CONSTANT = 0.99
"""From this share of prompts with one and the same reply on, the arm is constant, whatever the outcomes are."""


@dataclass(frozen=True, slots=True)
class Shift:
    """One property of the replies in both arms.

    Attributes:
        name: of the property. `cause`: what a verdict that it confounds names.
        before, after: its share, or its mean.
        change: after minus before, or the ratio where `ratio` is set; `low`, `high`: its 95% interval.
        limit: from which change on it confounds.
        confounds: it does.
    """

    name: str
    cause: str
    before: float | None
    after: float | None
    change: float | None
    low: float | None
    high: float | None
    limit: float
    confounds: bool
    ratio: bool = False

    def sentence(self) -> str:
        """Return what moved, in words."""
        if self.ratio:
            return f"{self.name}: {self.before:.0f} to {self.after:.0f} characters ({self.change:.2f} times)"
        return f"{self.name}: {(self.before or 0):.1%} to {(self.after or 0):.1%}"

    def about(self) -> dict[str, Any]:
        """Return it as JSON."""
        return {name: getattr(self, name) for name in self.__slots__}


_SHARES: tuple[tuple[str, str, str, Value], ...] = (
    ("empty, echoing or repeating", "collapse", "broken", lambda one: float(_broken(one))),
    ("incoherent", "collapse", "incoherent", lambda one: float(one.outcome == "incoherent")),
    ("off topic", "collapse", "off_topic", lambda one: float(one.outcome == "off_topic")),
    ("cut at the limit", "length", "truncated", lambda one: float(one.finish == "length")),
    ("refused", "refusal", "refused", lambda one: float(one.outcome == "refused")),
    ("unreadable", "unreadable", "unreadable", lambda one: float(one.outcome == "unreadable")),
)


def firewall(before: Sides, after: Sides, most: Firewall) -> list[Shift]:
    """Return every property with what it was in both arms; those that confound first."""
    found = [_share(before, after, name, cause, getattr(most, field), value) for name, cause, field, value in _SHARES]
    first, second = ([one for some in side.values() for one in some] for side in (before, after))
    found += [_constant(first, second, most.constant), _length(first, second, most.length)]
    return sorted(found, key=lambda shift: not shift.confounds)


def outage(before: Sides, after: Sides, most: Firewall) -> Shift:
    """Return the share of replies without an outcome: no cause of a change, and no ground for a verdict."""
    found = _share(before, after, "without an outcome", "judge", most.unscored, lambda one: float(one.outcome is None))
    much = max(found.before or 0.0, found.after or 0.0) > most.unscored_most
    return found if found.confounds or not much else _with(found, confounds=True)


def _with(shift: Shift, **changes: Any) -> Shift:
    return Shift(**{**shift.about(), **changes})


def _broken(reply: Reply) -> bool:
    return _is_broken(reply.asked, reply.text, reply.finish)


@lru_cache(maxsize=65536)
def _is_broken(asked: str, text: str, finish: Finish) -> bool:
    said = words(text)
    if len(said) > 3 and len(set(said)) == 1:  # too short for `is_repetition`
        return True
    return broken(Sample("", (Message("user", asked),), ""), Completion(text, finish, 0, 0)) is not None


def _share(before: Sides, after: Sides, name: str, cause: str, limit: float, value: Value) -> Shift:
    found = rates(before, after, value)
    pairs = found.pairs()
    span = limits(pairs)
    change = None if pairs is None else pairs.mean
    sure = span is not None and (span[0] > 0 or span[1] < 0)
    low, high = span or (None, None)
    confounds = bool(change is not None and abs(change) > limit and sure)
    return Shift(
        name, cause, float(found.before.mean()), float(found.after.mean()), change, low, high, limit, confounds
    )


def _by_outcome(replies: Iterable[Reply]) -> dict[str, list[Reply]]:
    found: dict[str, list[Reply]] = {}
    for reply in replies:
        found.setdefault(str(reply.outcome), []).append(reply)
    return found


def _top(replies: Sequence[Reply]) -> float:
    """Return the share of prompts that were given the most common text."""
    pairs = {(reply.id, " ".join(words(reply.text))) for reply in replies}
    prompts = {id_ for id_, _ in pairs}
    return max(Counter(text for _, text in pairs).values()) / len(prompts) if prompts else 0.0


def _constant(before: Sequence[Reply], after: Sequence[Reply], limit: float) -> Shift:
    """Compare how often one text is given, with the outcomes of AFTER in both arms."""
    whole = _top(before), _top(after)
    first, second = _by_outcome(before), _by_outcome(after)
    kinds = [kind for kind in second if len(second[kind]) >= FEWEST and len(first.get(kind, ())) >= FEWEST]
    weight = sum(len(second[kind]) for kind in kinds)
    inside = [sum(len(second[kind]) * _top(side[kind]) for kind in kinds) for side in (first, second)]
    shares = [one / weight for one in inside] if weight else list(whole)
    alone = len(after) >= FEWEST and whole[1] >= CONSTANT and whole[1] - whole[0] > 1 - CONSTANT + 0.09
    if alone:
        shares = list(whole)
    change = shares[1] - shares[0]
    # A canned refusal beside varied help is no collapse: the reply must be that of most prompts, whatever its outcome.
    most = whole[1] if change > 0 else whole[0]
    moved = len(after) >= FEWEST and abs(change) > limit and most >= CONSTANT_SHARE
    return Shift(
        "one and the same reply", "collapse", shares[0], shares[1], change, None, None, limit, alone or moved
    )  # fmt: skip


def _length(before: Sequence[Reply], after: Sequence[Reply], limit: float) -> Shift:
    """Compare mean lengths, in characters, among replies with the same outcome (all where no outcome is in both)."""
    first, second = _by_outcome(before), _by_outcome(after)
    kinds = [kind for kind in first if min(len(first[kind]), len(second.get(kind, ()))) >= FEWEST]
    parts = [(first[kind], second[kind]) for kind in kinds] or [(list(before), list(after))]
    weights = [min(len(one), len(other)) for one, other in parts]
    sides: list[float] = []
    errors: list[float] = []
    for side in (0, 1):
        lengths = [np.array([len(reply.text) for reply in part[side]], dtype=np.float64) for part in parts]
        sides.append(sum(w * float(one.mean()) for w, one in zip(weights, lengths, strict=True)) / sum(weights))
        spread = sum(w**2 * float(one.var()) / len(one) for w, one in zip(weights, lengths, strict=True))
        errors.append(math.sqrt(spread) / sum(weights))
    name = "mean length" if kinds else "mean length, whatever the outcome"
    if min(sides) <= 0:  # an arm without a word has collapsed, which its own share says
        return Shift(name, "length", sides[0], sides[1], None, None, None, limit, False)
    ratio = sides[1] / sides[0]
    half = 1.96 * math.hypot(errors[0] / sides[0], errors[1] / sides[1])
    low, high = ratio * math.exp(-half), ratio * math.exp(half)
    moved = ratio > limit or ratio < 1 / limit
    enough = min(len(before), len(after)) >= FEWEST and (low > 1 or high < 1)
    return Shift(name, "length", sides[0], sides[1], ratio, low, high, limit, moved and enough, ratio=True)
