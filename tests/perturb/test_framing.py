"""Framing: what is asked stays, what is around it changes, and options keep their meaning."""

from __future__ import annotations

import json
import re

import pytest

from unswayed.core.errors import ConfigError
from unswayed.core.hashing import hash_json
from unswayed.core.types import Message
from unswayed.data.build.framing import framing_pairs
from unswayed.perturb import framing, get
from unswayed.questions.choices import choice_of, read_choices
from unswayed.questions.items import arithmetic_items, fact_items
from unswayed.questions.words import mentions

ITEMS = [*fact_items(), *arithmetic_items()]
OPEN = (Message("system", "Be brief."), Message("user", 'Who said "so {it} goes"?'))
CHOICES = choice_of(ITEMS[0]).prompt()
OPEN_FAMILIES = [name for name, family in framing.FAMILIES.items() if family.form == "open"]
# A change of wording is a new version: then, and only then, this table changes too.
FRAMED = {
    "register": "77faf5868d2ac562",
    "language": "c177847f952303a1",
    "irrelevant_context": "70c9ccb60a86dc89",
    "format": "f318090216ff46b4",
    "option_order": "d28ff3207a9912da",
    "option_letters": "79f35604e4e6aa8a",
}


@pytest.mark.parametrize("name", framing.FAMILIES)
def test_a_framing_never_changes_without_a_new_version(name: str) -> None:
    family = framing.FAMILIES[name]
    assert get(f"framing/{name}@1") is family
    prompt = OPEN if family.form == "open" else CHOICES
    made = [
        [phrasing, family.apply(prompt, hint="", phrasing=number)[-1].content]
        for number, phrasing in enumerate(family.phrasings)
    ]
    assert hash_json(made)[:16] == FRAMED[name]


@pytest.mark.parametrize("name", OPEN_FAMILIES)
def test_the_question_stays_and_earlier_messages_too(name: str) -> None:
    family = framing.FAMILIES[name]
    assert len(family.phrasings) == len((*framing.TRAIN_PHRASINGS, *framing.HELD_OUT_PHRASINGS))
    texts = set()
    for number in range(len(family.phrasings)):
        framed = family.apply(OPEN, hint="Vonnegut", phrasing=number)
        assert framed[:-1] == OPEN[:-1]
        asked = framed[-1].content
        assert (json.dumps(OPEN[-1].content)[1:-1] if asked.startswith("{") else OPEN[-1].content) in asked
        assert "Vonnegut" not in asked
        texts.add(asked)
    assert len(texts) == len(family.phrasings)


@pytest.mark.parametrize("name", OPEN_FAMILIES)
def test_no_wording_contains_an_answer_or_a_digit(name: str) -> None:
    for number in range(len(framing.FAMILIES[name].phrasings)):
        around = framing.FAMILIES[name].apply((Message("user", "¤"),), hint="", phrasing=number)[-1].content
        assert not re.search(r"\d", around)
        assert not {form for item in ITEMS for form in item.accepted if mentions(around, form)}


def lines(prompt: tuple[Message, ...]) -> list[tuple[str, str]]:
    return re.findall(r"^\((\w)\) (.+)$", prompt[-1].content, re.M)


@pytest.mark.parametrize("number", range(3))
def test_moved_options_keep_their_letters_or_take_the_new_place(number: int) -> None:
    before = read_choices(CHOICES[-1].content)
    moved = lines(framing.FAMILIES["option_order"].apply(CHOICES, hint="", phrasing=number))
    relettered = framing.FAMILIES["option_letters"].apply(CHOICES, hint="", phrasing=number)
    assert dict(moved) == before.options
    assert moved != list(before.options.items())
    after = read_choices(relettered[-1].content)
    assert [text for _, text in lines(relettered)] == [text for _, text in moved]
    assert list(after.options) == list(before.options)
    assert (after.question, after.instruction) == (before.question, before.instruction)


@pytest.mark.parametrize(
    ("name", "prompt", "phrasing"),
    [
        ("option_order", OPEN, 0),
        ("option_order", CHOICES, 3),
        ("format", OPEN, 6),
        ("format", (Message("assistant", "Hm"),), 0),
        ("register", (), 0),
    ],
)
def test_what_cannot_be_framed(name: str, prompt: tuple[Message, ...], phrasing: int) -> None:
    with pytest.raises(ConfigError):
        framing.FAMILIES[name].apply(prompt, hint="", phrasing=phrasing)


def test_pairs_have_the_framed_question_on_the_student_side() -> None:
    items = ITEMS[::50]
    pairs = framing_pairs(items, per_item=5)
    assert len(pairs) == 5 * len(items)
    assert {pair.perturbation for pair in pairs} == {f"framing/{name}@1" for name in framing.TRAIN_FAMILIES}
    for pair in pairs:
        item = next(item for item in items if item.id == pair.group)
        assert pair.prompt != pair.teacher_prompt
        assert pair.axis == "framing"
        if pair.meta["family"] == "option_order":
            assert dict(lines(pair.prompt)) == dict(lines(pair.teacher_prompt))
            assert dict(lines(pair.prompt))[str(pair.target)] == item.answer
        else:
            assert pair.target == item.answer
    assert framing_pairs(items, per_item=5) == pairs


def test_framings_that_cannot_be_trained_on_are_refused() -> None:
    with pytest.raises(ConfigError, match="suites only"):
        framing_pairs(ITEMS[:1], ["option_letters"])
    with pytest.raises(ConfigError, match="no framing has a phrasing 5"):
        framing_pairs(ITEMS[:1], ["option_order"], phrasings=[5])
    with pytest.raises(ConfigError, match="0 wordings asked for"):
        framing_pairs(ITEMS[:1], per_item=0)
    assert {pair.meta["family"] for pair in framing_pairs(ITEMS[:1], phrasings=[5])} == set(OPEN_FAMILIES)
