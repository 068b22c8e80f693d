"""Pairs for safety awareness: the student sees the naive question, the teacher the same question and the safety fact.

    kind = "safety_awareness"
    facts = ["builtin", "my_facts.jsonl"]
    families = ["system"]                 # where the teacher's fact stands; leave out for every position
    look_alikes = "fact"

Look-alike questions hold over-warning in check. With `look_alikes = "fact"` their teacher is told the fact as well, in
the same words, which ask to leave it out where it does not matter; a teacher too weak for that teaches over-warning.
`"anchor"` gives both sides the bare question, which holds the answers where they are (train with
`data.allow_identical = true`). The published training has no look-alikes at all (`"none"`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field

from unswayed.core.errors import ConfigError
from unswayed.core.types import Message, PromptPair
from unswayed.data.build.parts import Wording, in_turns, resolve_family, split_parts, wordings_of
from unswayed.data.build.spec import Built, Spec
from unswayed.perturb import safety_awareness
from unswayed.perturb.base import Perturbation
from unswayed.questions.safety_facts import SafetyFact, read_safety_facts, safety_facts

PACKAGED = "builtin"
INSTRUCTION = "Answer in at most three sentences."
"""Added to every question: short answers are cheap to sample and are seldom cut off before their warning."""

LookAlikes = Literal["fact", "anchor", "none"]


def safety_prompt(question: str, instruction: str = INSTRUCTION) -> tuple[Message, ...]:
    """Return the question as it is asked without the fact."""
    return (Message("user", f"{question} {instruction}".strip()),)


def safety_pairs(
    facts: Iterable[SafetyFact],
    families: Iterable[str | Perturbation] = tuple(safety_awareness.FAMILIES),
    *,
    seed: int = 0,
    phrasings: Iterable[int] | None = safety_awareness.TRAIN_PHRASINGS,
    per_question: int | None = 1,
    look_alikes: LookAlikes = "fact",
    instruction: str = INSTRUCTION,
) -> list[PromptPair]:
    """Return pairs in which the safety fact is added for the teacher.

    Args:
        facts: each is one `group`.
        families: positions of the fact, by short name (`system`), registered name or as perturbations.
        seed: decides which wordings are drawn where `per_question` limits them.
        phrasings: which wordings of each family; None takes all.
        per_question: wordings drawn for a question, families in turn; None takes every one.
        look_alikes: `fact`, `anchor` or `none`; see above.
        instruction: added to every question.

    Returns:
        Pairs in the order of the facts. `meta` holds topic, family, phrasing, fact, and hazard: whether the question
        walks into the danger. Anchors have neither family nor phrasing.

    Raises:
        ConfigError: an unknown family, phrasing or option.
    """
    entries = [resolve_family(family, safety_awareness.AXIS) for family in families]
    return pairs_from(
        facts,
        wordings_of(entries, phrasings),
        seed=seed,
        per_question=per_question,
        look_alikes=look_alikes,
        instruction=instruction,
    )


def pairs_from(
    facts: Iterable[SafetyFact],
    wordings: Sequence[Wording],
    *,
    seed: int,
    per_question: int | None,
    look_alikes: LookAlikes,
    instruction: str,
) -> list[PromptPair]:
    """The same for any set of wordings; see `safety_pairs`."""
    if look_alikes not in ("fact", "anchor", "none"):
        raise ConfigError(f"look_alikes is {look_alikes!r}; there are fact, anchor and none")
    pairs = []
    for fact in facts:
        asked = [("naive", number, text) for number, text in enumerate(fact.naive)]
        if look_alikes != "none":
            asked += [("safe", number, text) for number, text in enumerate(fact.safe)]
        for kind, number, text in asked:
            key = f"{fact.id}/{kind}-{number}"
            prompt = safety_prompt(text, instruction)
            if kind == "safe" and look_alikes == "anchor":
                pairs += [_anchor(fact, key, prompt)] if wordings else []
            else:
                chosen = in_turns(key, wordings, seed, per_question)
                pairs += [_pair(fact, key, prompt, entry, phrasing) for entry, phrasing in chosen]
    return pairs


def _pair(fact: SafetyFact, key: str, prompt: tuple[Message, ...], entry: Perturbation, phrasing: int) -> PromptPair:
    family = entry.name.rpartition("/")[2]
    return PromptPair(
        id=f"{key}/{family}-{phrasing}",
        prompt=prompt,
        teacher_prompt=entry.apply(prompt, hint=fact.fact, phrasing=phrasing),
        group=fact.id,
        axis=entry.axis,
        perturbation=entry.ref,
        meta={**_facts(fact, hazard="/naive-" in key), "family": family, "phrasing": phrasing},
    )


def _anchor(fact: SafetyFact, key: str, prompt: tuple[Message, ...]) -> PromptPair:
    meta = _facts(fact, hazard=False)
    return PromptPair(f"{key}/anchor", prompt, prompt, fact.id, safety_awareness.AXIS, meta=meta)


def _facts(fact: SafetyFact, *, hazard: bool) -> dict[str, object]:
    return {"topic": fact.topic, "fact": fact.fact, "hazard": hazard}


class SafetySpec(Spec):
    """Specs of kind `safety_awareness`.

    Attributes:
        facts: `builtin`, or paths of fact files.
        families: positions of the fact by name; None takes every one.
        per_question: wordings drawn for a question in each part; None takes every one.
        look_alikes: `fact`, `anchor` or `none`.
        instruction: added to every question.
    """

    axis: ClassVar[str] = safety_awareness.AXIS
    facts: list[str] = Field([PACKAGED])
    per_question: int | None = Field(1, ge=1)
    look_alikes: LookAlikes = "fact"
    instruction: str = INSTRUCTION

    def build(self, folder: Path = Path()) -> Built:
        """See `Spec.build`."""
        found = {
            name: safety_facts() if name == PACKAGED else read_safety_facts(folder / name, self.columns)
            for name in dict.fromkeys(self.facts)
        }
        parts = split_parts(
            self.choose([fact for facts in found.values() for fact in facts], folder),
            wordings_of(self.entries(safety_awareness.FAMILIES), self.phrasings),
            self.hold_out(),
            lambda facts, wordings: pairs_from(
                facts,
                wordings,
                seed=self.seed,
                per_question=self.per_question,
                look_alikes=self.look_alikes,
                instruction=self.instruction,
            ),
            sources={fact.id: name for name, facts in found.items() for fact in facts},
        )
        return Built(parts, self.hashes(folder, (name for name in found if name != PACKAGED)))
