"""From units and wordings to the parts of a split: what every kind of pairs shares.

A unit is what a pair is about (a question, a request, a safety fact); a wording is one phrasing of a perturbation.
Units and wordings are divided first and combined afterwards, so no part is ever filtered out of another.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol, TypeVar

from unswayed.core.errors import ConfigError, DataError
from unswayed.core.seeding import rng, seed_at
from unswayed.core.types import PromptPair
from unswayed.data.split import PARTS, HoldOut, check_split
from unswayed.perturb import get, names
from unswayed.perturb.base import Perturbation

Wording = tuple[Perturbation, int]
"""A perturbation and the number of one of its phrasings."""


class Unit(Protocol):
    """What a pair is about: `id` is its group, `topic` its subject or category."""

    @property
    def id(self) -> str: ...
    @property
    def topic(self) -> str: ...


U = TypeVar("U", bound=Unit)
C = TypeVar("C", bound=tuple[Perturbation, *tuple[int, ...]])


def resolve_family(family: str | Perturbation, axis: str = "sycophancy") -> Perturbation:
    """Return a perturbation by its short name within `axis`, by registered name, or itself.

    Raises:
        ConfigError: there is none.
    """
    if isinstance(family, Perturbation):
        return family
    short = family.partition("@")[0]
    known = {ref.partition("@")[0] for ref in names()}
    return get(f"{axis}/{family}" if f"{axis}/{short}" in known else family)


def wordings_of(entries: Iterable[Perturbation], phrasings: Iterable[int] | None = None) -> list[Wording]:
    """Return every wording of the perturbations, or those numbered `phrasings` of each.

    Raises:
        ConfigError: a perturbation that has no such phrasing.
    """
    wanted = None if phrasings is None else sorted(set(phrasings))
    wordings: list[Wording] = []
    for entry in dict.fromkeys(entries):
        numbers = range(len(entry.phrasings)) if wanted is None else wanted
        if bad := [number for number in numbers if not 0 <= number < len(entry.phrasings)]:
            raise ConfigError(f"phrasings: {entry.ref} has 0 to {len(entry.phrasings) - 1}, not {bad[0]}")
        wordings += [(entry, number) for number in numbers]
    return wordings


def in_turns(unit: str, choices: Iterable[C], seed: int, count: int | None = None) -> list[C]:
    """Return what could be done to one unit in an order of its own: shuffled, perturbations in turn.

    Each draw depends on the unit's id and the perturbation alone, so other units never move it.

    Args:
        unit: its id.
        choices: wordings, each possibly with further numbers, such as which wrong answer is hinted at.
        seed: of the draw.
        count: how many; None takes all of them.

    Raises:
        ConfigError: a count below one.
    """
    if count is not None and count < 1:
        raise ConfigError(
            f"{count} wordings asked for each; the number counts from 1, or is left out to take every one"
        )
    queues: dict[str, list[C]] = {}
    for choice in choices:
        queues.setdefault(choice[0].ref, []).append(choice)
    refs = list(queues)
    order = [refs[index] for index in rng(seed, f"families/{unit}").permutation(len(refs))]
    shuffled = []
    for ref in order:
        queue = queues[ref]
        shuffled.append([queue[index] for index in rng(seed, f"wordings/{unit}/{ref}").permutation(len(queue))])
    longest = max(map(len, shuffled), default=0)
    return [queue[turn] for turn in range(longest) for queue in shuffled if turn < len(queue)][:count]


def choose_units(units: Sequence[U], topics: Sequence[str] | None, n: int | None, seed: int) -> list[U]:
    """Return `n` units of the topics, taken from the topics in turn.

    Within a topic the order comes from a hash of each id, so more units in the source never reorder others.

    Raises:
        ConfigError: a topic that is not there, or more units asked for than there are.
    """
    known = list(dict.fromkeys(unit.topic for unit in units))
    if unknown := sorted(set(topics or ()) - set(known)):
        raise ConfigError(f"topics: there is no {', '.join(unknown)}; there are {', '.join(known)}")
    kept = [unit for unit in units if topics is None or unit.topic in topics]
    if n is None:
        return kept
    if n > len(kept):
        raise ConfigError(f"n: {n} items asked for, but there are {len(kept)}")
    ranked: list[tuple[int, int, U]] = []
    for index, topic in enumerate(known):
        column = [unit for unit in kept if unit.topic == topic]
        column.sort(key=lambda unit: seed_at(seed, f"item/{unit.id}"))
        ranked += [(turn, index, unit) for turn, unit in enumerate(column)]
    return [unit for _, _, unit in sorted(ranked, key=lambda entry: entry[:2])[:n]]


def check_unique(units: Sequence[Unit]) -> None:
    """Raise `DataError` where two units share an id."""
    counts: dict[str, int] = {}
    for unit in units:
        counts[unit.id] = counts.get(unit.id, 0) + 1
    if twice := [name for name, count in counts.items() if count > 1]:
        raise DataError(f"items: {len(twice)} ids occur twice, e.g. {twice[0]!r}; every item needs an id of its own")


def split_parts(
    units: Sequence[U],
    wordings: Sequence[Wording],
    hold_out: HoldOut,
    make: Callable[[list[U], list[Wording]], list[PromptPair]],
    *,
    sources: Mapping[str, str] | None = None,
) -> dict[str, list[PromptPair]]:
    """Return the pairs of each part that is not empty; where nothing is held out there is one part, `train`.

    Args:
        units: what pairs are made of.
        wordings: what they are put into.
        hold_out: what training must not see; a name in it that matches nothing is refused, as it holds nothing out.
        make: units and wordings to pairs; called for each combination of trained and held-out.
        sources: unit id to the source it came from, where sources can be held out.

    Raises:
        ConfigError: something held out is not among what is built.
        DataError: no rows are left to train on, or two parts share what they must not.
    """
    _check_names(units, wordings, hold_out, sources or {})
    origin = sources or {}
    parts = {}
    for part in PARTS:
        pairs: list[PromptPair] = []
        for new in (False, True):
            chosen = [
                unit
                for unit in units
                if hold_out.part(item=hold_out.item(unit.id, unit.topic, origin.get(unit.id, "")), wording=new) == part
            ]
            some = [wording for wording in wordings if hold_out.wording(wording[0].name, wording[1]) == new]
            pairs += make(chosen, some)
        if pairs:
            parts[part] = pairs
    if "train" not in parts:
        raise DataError("no rows are left to train on; hold less out, or ask for more items or families")
    by = ["group"] if hold_out.items else []
    by += ["wording"] if hold_out.wordings else []
    check_split(parts["train"], parts.get("held_out", []), by)
    return parts


def _check_names(
    units: Sequence[Unit], wordings: Sequence[Wording], hold_out: HoldOut, sources: Mapping[str, str]
) -> None:
    there: dict[str, set[str] | set[int]] = {
        "topics": {unit.topic for unit in units},
        "sources": {sources[unit.id] for unit in units if unit.id in sources},
        "families": {entry.name for entry, _ in wordings},
        "phrasings": {number for _, number in wordings},
    }
    for name, present in there.items():
        if missing := sorted(str(value) for value in getattr(hold_out, name) if value not in present):
            raise ConfigError(f"split.{name}: {', '.join(missing)} is held out, but is not among what is built")
