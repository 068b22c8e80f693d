"""Consistency of answers under framings of a question: twins of our own, or any pairs with a known answer.

Conditions: `clean`, the question as it is, and `framed`, the same question put in another way; a framed sample's twin
is its clean one. Answers are compared by rule (`twin_consistency`), beside how often they are right and how often the
model gives its most common answer: one that says the same to everything is perfectly consistent.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from operator import attrgetter
from pathlib import Path
from typing import Any

from unswayed.core.errors import ConfigError, DataError
from unswayed.core.hashing import hash_file
from unswayed.core.types import Completion, Message, PromptPair, Sample, Score
from unswayed.data.build.framing import framings_of, plain_prompt
from unswayed.data.build.parts import in_turns, resolve_family
from unswayed.data.read import read_pairs
from unswayed.evals.metrics.consistency import CLEAN, FRAMED
from unswayed.evals.scoring.scorers import rule, score_answer
from unswayed.evals.suite import GREEDY, Suite, given, register
from unswayed.evals.suites.draw import check_each, distinct, draw_groups, draw_items, prompt_key
from unswayed.perturb import framing
from unswayed.perturb.base import Form
from unswayed.questions.choices import choice_of, listed_options
from unswayed.questions.items import Item
from unswayed.questions.words import spellings

PRIMARY = ("twin_consistency",)
COUNTER = ("accuracy_clean", "constant_answer", "accuracy_framed", "framing_effect", "length_match")


@rule("twins", version=3)
def score_twin(sample: Sample, completion: Completion) -> Score:
    """Return the score of `score_answer`, its answer in the letters of the clean prompt.

    `sample.meta["letters"]` says which letter there has the text of each letter here, where options were moved. So two
    answers are equal if they choose the same text, and a model that always says (A) is seen to.
    """
    score = score_answer(sample, completion)
    letters = sample.meta.get("letters", {})
    return replace(score, answer=letters[score.answer]) if score.answer in letters else score


@register("consistency/twins")
def twins(
    *,
    file: str | Path | None = None,
    items: Sequence[Item] | None = None,
    topics: Sequence[str] | None = None,
    families: Sequence[str] | None = None,
    phrasings: Sequence[int] | None = None,
    framings_per_item: int = 1,
    limit: int | None = None,
    seed: int = 0,
    name: str = "",
    max_new_tokens: int = GREEDY.max_new_tokens,
) -> Suite:
    """Build the same question plainly and in another framing: register, language, layout, order of options, context.

    The cluster unit is the question, or the group of a file's pairs.

    Args:
        file: pairs whose `teacher_prompt` is the clean and whose `prompt` the framed side, each with a `target`;
            `consistency/twins:FILE` gives it. Without a file the questions below are framed.
        families: families of framing, by short or registered name; by default all.
        framings_per_item: wordings tried on each question, families in turn.
        max_new_tokens: length limit of completions; raise it where the prompts ask for reasoning.
    """
    unframed = {"items": None, "topics": None, "families": None, "phrasings": None, "framings_per_item": 1}
    asked = (items, topics, families, phrasings, framings_per_item)
    if file is not None and (beside := given(dict(zip(unframed, asked, strict=True)), unframed)):
        raise ConfigError(f"consistency/twins takes a file or {', '.join(beside)}, not both")
    samples = _framed(*asked, limit, seed) if file is None else _paired(Path(file), limit, seed)
    return Suite(
        name="consistency/twins",
        version=1,
        samples=distinct(samples),
        primary=PRIMARY,
        counter=COUNTER,
        score=score_twin,
        params=replace(GREEDY, max_new_tokens=max_new_tokens),
        unit="question" if file is None else "group",
        arguments={} if file is None else {"file_sha256": hash_file(Path(file))},
        label=name or (Path(file).name if file is not None else ""),
    )


def _framed(
    items: Sequence[Item] | None,
    topics: Sequence[str] | None,
    families: Sequence[str] | None,
    phrasings: Sequence[int] | None,
    framings_per_item: int,
    limit: int | None,
    seed: int,
) -> list[Sample]:
    names = list(framing.FAMILIES) if families is None else families
    wordings = framings_of([resolve_family(family, framing.AXIS) for family in names], phrasings)
    check_each("framings_per_item", framings_per_item, len(wordings))
    samples: list[Sample] = []
    for item in draw_items(items, topics, limit, seed, "clusters"):
        for entry, phrasing in in_turns(item.id, wordings, seed)[:framings_per_item]:
            clean = _question(item, entry.form, seed)
            framed = entry.apply(clean.messages, hint="", phrasing=phrasing)
            family = entry.name.rpartition("/")[2]
            key = f"{item.id}/framed/{family}-{phrasing}"
            samples += [clean, _twin(clean, key, framed, family=family, phrasing=phrasing)]
    return samples


def _question(item: Item, form: Form, seed: int) -> Sample:
    """Return the clean sample of an item: open, or with options."""
    prompt = plain_prompt(item, form, seed)
    if form == "choices":
        choice = choice_of(item, seed)
        meta = {"question": item.question, "wrong": [[letter] for letter in choice.wrong], "options": choice.lettered}
        return Sample(
            f"{item.id}/clean/choices", prompt, item.id, CLEAN, (choice.answer,), {**meta, "slice": item.topic}
        )
    meta = {"question": item.question, "wrong": [list(spellings(wrong)) for wrong in item.wrong]}
    return Sample(f"{item.id}/clean", prompt, item.id, CLEAN, item.accepted, {**meta, "slice": item.topic})


def _twin(clean: Sample, key: str, prompt: tuple[Message, ...], **about: Any) -> Sample:
    """Return the framed sample. Where the options have other letters than in the clean prompt, so has its answer.

    Raises:
        DataError: the two sides do not list the same options.
    """
    meta = {**clean.meta, **about, "twin": clean.id}
    before, after = clean.meta.get("options", {}), listed_options(prompt[-1].content)
    if not before or not after or after == before:
        return Sample(key, prompt, clean.group, FRAMED, clean.target, meta)
    letter_of = {text: letter for letter, text in after.items()}
    if len(letter_of) != len(after) or set(letter_of) != set(before.values()):
        raise DataError(f"{key}: the two prompts do not list the same options")
    here = {letter: letter_of[text] for letter, text in before.items()}
    meta |= {
        "options": after,
        "wrong": [[here.get(spelling, spelling) for spelling in wrong] for wrong in clean.meta["wrong"]],
        "letters": {there: letter for letter, there in here.items()},
    }
    return Sample(key, prompt, clean.group, FRAMED, tuple(here.get(text, text) for text in clean.target), meta)


def _paired(path: Path, limit: int | None, seed: int) -> list[Sample]:
    rows = read_pairs(path, allow_identical=True)
    samples: list[Sample] = []
    problems = []
    for pair in draw_groups(rows, attrgetter("group"), limit, seed, "clusters"):
        if not (pair.target or "").strip():
            problems.append(f"{pair.id}: no target, so no rule can tell which answer is given")
            continue
        clean = _clean_side(pair)
        try:
            samples += [clean, _twin(clean, pair.id, pair.prompt)]
        except DataError as error:
            problems.append(str(error))
    if problems:
        raise DataError(f"{path}: rows whose answers cannot be compared", problems)
    return samples


def _clean_side(pair: PromptPair) -> Sample:
    prompt = pair.teacher_prompt
    target = str(pair.target).strip()
    accepted = pair.meta.get("accepted")
    right = (
        tuple(map(str, accepted)) if isinstance(accepted, list | tuple) and target in accepted else spellings(target)
    )
    options = listed_options(prompt[-1].content) if len(target) == 1 else {}
    options = options if target in options else {}
    hinted = pair.meta.get("hinted")
    wrong = [[letter] for letter in options if letter != target]
    if not options and isinstance(hinted, str) and hinted not in right:
        wrong = [list(spellings(hinted))]
    meta = {"question": prompt[-1].content, "wrong": wrong, "options": options}
    return Sample(f"{pair.group}/clean/{prompt_key(prompt)}", prompt, pair.group, CLEAN, right, meta)
