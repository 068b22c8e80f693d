"""Training and held-out rows that share nothing: no item, no topic, no family of hints and no wording.

Two things can be held out. *Items*: a share of the groups, chosen by a hash of each group's name so that adding items
never moves others, whole topics, and whole sources. *Wordings*: whole families, and single phrasings of the others. A
row whose item is held out but whose wording is trained on (or the other way round) belongs to neither side; it is kept
apart under a name of its own.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from unswayed.core.errors import ConfigError, DataError
from unswayed.core.seeding import seed_at
from unswayed.core.types import PromptPair

PARTS = ("train", "new_items", "new_wordings", "held_out")


@dataclass(frozen=True, slots=True)
class HoldOut:
    """What the training set must not see.

    Attributes:
        fraction: share of the groups, from 0 to 1, in expectation.
        seed: decides which groups those are.
        topics: whole topics (`meta["topic"]`).
        families: whole families of perturbations, with or without their axis: `hearsay` or `sycophancy/hearsay`.
        phrasings: numbers of phrasings (`meta["phrasing"]`), held out in every family.
        sources: whole sources (`meta["source"]`).
    """

    fraction: float = 0.2
    seed: int = 0
    topics: frozenset[str] = field(default_factory=frozenset)
    families: frozenset[str] = field(default_factory=frozenset)
    phrasings: frozenset[int] = field(default_factory=frozenset)
    sources: frozenset[str] = field(default_factory=frozenset)

    def __post_init__(self) -> None:
        if not 0 <= self.fraction <= 1:
            raise ConfigError(f"a share of {self.fraction} of the items cannot be held out; it lies from 0 to 1")

    def item(self, group: str, topic: str = "", source: str = "") -> bool:
        """Whether an item is held out."""
        if topic in self.topics or source in self.sources:
            return True
        return seed_at(self.seed, f"split/{group}") < self.fraction * 2**63

    def wording(self, family: str, phrasing: int | None = None) -> bool:
        """Whether a wording is held out."""
        return not self.families.isdisjoint({family, family.rpartition("/")[2]}) or phrasing in self.phrasings

    @property
    def items(self) -> bool:
        """Whether any item can be held out."""
        return bool(self.fraction or self.topics or self.sources)

    @property
    def wordings(self) -> bool:
        """Whether any wording can be held out."""
        return bool(self.families or self.phrasings)

    def part(self, *, item: bool, wording: bool) -> str:
        """Return which of `PARTS` a row belongs to, given which of its two sides is held out.

        Where only items, or only wordings, can be held out, that alone makes a row `held_out`.
        """
        if item and (wording or not self.wordings):
            return "held_out"
        if wording and not self.items:
            return "held_out"
        return "new_items" if item else "new_wordings" if wording else "train"


@dataclass(frozen=True, slots=True)
class Split:
    """The rows of each part, in file order.

    Attributes:
        train: trained items in trained wordings.
        new_items: held-out items in trained wordings.
        new_wordings: trained items in held-out wordings.
        held_out: held out in both respects.
    """

    train: tuple[PromptPair, ...]
    new_items: tuple[PromptPair, ...]
    new_wordings: tuple[PromptPair, ...]
    held_out: tuple[PromptPair, ...]


def split_pairs(pairs: Iterable[PromptPair], hold_out: HoldOut) -> Split:
    """Sort pairs into the four parts.

    Raises:
        DataError: a group that lies on both sides, because its rows name different topics or sources.
    """
    parts: dict[str, list[PromptPair]] = {name: [] for name in PARTS}
    for pair in pairs:
        item = hold_out.item(pair.group, topic_of(pair), source_of(pair))
        wording = hold_out.wording(family_of(pair), phrasing_of(pair))
        parts[hold_out.part(item=item, wording=wording)].append(pair)
    split = Split(**{name: tuple(rows) for name, rows in parts.items()})
    if hold_out.items:
        check_split((*split.train, *split.new_wordings), (*split.held_out, *split.new_items), by=("group",))
    return split


def check_split(
    train: Iterable[PromptPair], held_out: Iterable[PromptPair], by: Collection[str] = ("group", "family")
) -> None:
    """Check that two sets of pairs share none of the named things: `group`, `topic`, `source`, `family`, `wording`.

    Raises:
        DataError: naming what lies on both sides.
        ConfigError: `by` names something else.
    """
    if unknown := sorted(set(by) - KEYS.keys()):
        raise ConfigError(f"a split cannot be checked by {', '.join(unknown)}; there are {', '.join(KEYS)}")
    train, held_out = tuple(train), tuple(held_out)
    problems = []
    for name in by:
        key = KEYS[name]
        both = {key(pair) for pair in train} & {key(pair) for pair in held_out} - {""}
        problems += [f"{name} {value!r} lies on both sides" for value in sorted(both)]
    if problems:
        raise DataError("training and held-out rows are not apart:", problems)


def topic_of(pair: PromptPair) -> str:
    """Return the pair's topic, or the empty string."""
    topic = pair.meta.get("topic")
    return topic if isinstance(topic, str) else ""


def source_of(pair: PromptPair) -> str:
    """Return where the pair's item came from, or the empty string."""
    source = pair.meta.get("source")
    return source if isinstance(source, str) else ""


def family_of(pair: PromptPair) -> str:
    """Return the pair's perturbation without its version, or the empty string."""
    return pair.perturbation.partition("@")[0]


def phrasing_of(pair: PromptPair) -> int | None:
    """Return the number of the pair's phrasing, if it has one."""
    phrasing = pair.meta.get("phrasing")
    return phrasing if isinstance(phrasing, int) and not isinstance(phrasing, bool) else None


def _wording(pair: PromptPair) -> str:
    phrasing = phrasing_of(pair)
    return "" if phrasing is None else f"{family_of(pair)}-{phrasing}"


KEYS = {
    "group": lambda pair: pair.group,
    "topic": topic_of,
    "source": source_of,
    "family": family_of,
    "wording": _wording,
}
