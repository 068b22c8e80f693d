"""Pairs for framing: the student sees the question in another dress, the teacher sees it plain.

kind = "framing"
items = ["facts", "arithmetic"]       # as in kind "hints"
families = ["register", "format"]     # leave out for every family that can be trained on
per_item = 2
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import ClassVar

from unswayed.core.errors import ConfigError
from unswayed.core.types import Message, PromptPair
from unswayed.data.build.hints import ItemSpec
from unswayed.data.build.parts import Wording, in_turns, resolve_family, split_parts, wordings_of
from unswayed.data.build.spec import Built
from unswayed.perturb import framing
from unswayed.perturb.base import Form, Perturbation
from unswayed.perturb.sycophancy import clean_prompt
from unswayed.questions.choices import choice_of
from unswayed.questions.items import Item


def plain_prompt(item: Item, form: Form, seed: int = 0) -> tuple[Message, ...]:
    """Return the question without framing: open, or for `choices` with its options in the seed's order."""
    return choice_of(item, seed).prompt() if form == "choices" else clean_prompt(item)


def framing_pairs(
    items: Iterable[Item],
    families: Iterable[str | Perturbation] = framing.TRAIN_FAMILIES,
    *,
    seed: int = 0,
    phrasings: Iterable[int] | None = None,
    per_item: int | None = None,
) -> list[PromptPair]:
    """Return pairs in which the student's question is framed.

    Args:
        items: each is one `group`.
        families: by short name (`register`), registered name or as perturbations.
        seed: of the order of options, and of the draw where `per_item` limits it.
        phrasings: which wordings; a family without such a number goes without it. None takes all.
        per_item: wordings drawn for an item, families in turn; None takes every one.

    Returns:
        Pairs in the order of the items. `target` is the right answer, a letter where options are listed; `meta` holds
        topic, family and phrasing.

    Raises:
        ConfigError: an unknown family, no wordings, or a family under which a letter changes its meaning: the student's
            answer would be scored as another one.
    """
    entries = [resolve_family(family, framing.AXIS) for family in families]
    return pairs_from(items, framings_of(entries, phrasings), seed=seed, per_item=per_item)


def framings_of(entries: Iterable[Perturbation], phrasings: Iterable[int] | None) -> list[Wording]:
    """Return the wordings of the perturbations, of those numbered `phrasings` the ones that each has.

    Raises:
        ConfigError: none is left.
    """
    wanted = None if phrasings is None else set(phrasings)
    wordings = [wording for wording in wordings_of(entries) if wanted is None or wording[1] in wanted]
    if not wordings:
        raise ConfigError(f"no framing has a phrasing {', '.join(map(str, sorted(wanted or ()))) or 'at all'}")
    return wordings


def pairs_from(
    items: Iterable[Item], wordings: Sequence[Wording], *, seed: int, per_item: int | None
) -> list[PromptPair]:
    """The same for any set of wordings; see `framing_pairs`."""
    barred = {f"{framing.AXIS}/{name}" for name in framing.EVAL_ONLY}
    if bad := sorted({entry.name for entry, _ in wordings} & barred):
        raise ConfigError(
            f"{bad[0]} gives options other letters, so the two sides' answers differ; it is for suites only"
        )
    return [
        _pair(item, entry, phrasing, seed)
        for item in items
        for entry, phrasing in in_turns(item.id, wordings, seed, per_item)
    ]


def _pair(item: Item, entry: Perturbation, phrasing: int, seed: int) -> PromptPair:
    clean = plain_prompt(item, entry.form, seed)
    family = entry.name.rpartition("/")[2]
    return PromptPair(
        id=f"{item.id}/{family}-{phrasing}",
        prompt=entry.apply(clean, hint="", phrasing=phrasing),
        teacher_prompt=clean,
        group=item.id,
        axis=entry.axis,
        perturbation=entry.ref,
        target=choice_of(item, seed).answer if entry.form == "choices" else item.answer,
        meta={"topic": item.topic, "family": family, "phrasing": phrasing},
    )


class FramingSpec(ItemSpec):
    """Pairs from items and framings; without `families`, every one that can be trained on."""

    axis: ClassVar[str] = framing.AXIS

    def build(self, folder: Path = Path()) -> Built:
        """See `Spec.build`."""
        items, sources, inputs = self.read(folder)
        parts = split_parts(
            items,
            framings_of(self.entries(framing.TRAIN_FAMILIES), self.phrasings),
            self.hold_out(),
            lambda some, wordings: pairs_from(some, wordings, seed=self.seed, per_item=self.per_item),
            sources=sources,
        )
        return Built(parts, inputs)
