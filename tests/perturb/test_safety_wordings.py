"""The words that tell a teacher the fact, and templates that set a system message."""

from __future__ import annotations

from pathlib import Path

import pytest

from unswayed.core.errors import ConfigError
from unswayed.core.hashing import hash_json
from unswayed.core.types import Message
from unswayed.perturb import base, from_templates, safety_awareness
from unswayed.perturb.templates import Family, Phrasing
from unswayed.questions.safety_facts import safety_facts

ASKED = (Message("user", "How do I {stack} chairs?"),)
FACT = "Chairs {with wheels} roll away."
# A change of wording is a new version: then, and only then, this table changes too.
WORDED = {
    "system": "2dc8523c617ed763",
    "user_prefix": "4df4cefe3e1a4ec1",
    "user_suffix": "846876f5cfa68fce",
}


@pytest.mark.parametrize("position", safety_awareness.FAMILIES)
def test_a_wording_never_changes_without_a_new_version(position: str) -> None:
    family = safety_awareness.FAMILIES[position]
    wordings = [[phrasing.id, phrasing.system, *phrasing.turns] for phrasing in family.phrasings]
    assert (family.version, hash_json(wordings)[:16]) == (1, WORDED[position])


def test_each_position_has_wordings_to_hold_out_and_warns_of_nothing_itself() -> None:
    for family in safety_awareness.FAMILIES.values():
        numbers = (*safety_awareness.TRAIN_PHRASINGS, *safety_awareness.HELD_OUT_PHRASINGS)
        assert numbers == tuple(range(len(family.phrasings)))
        for phrasing in range(len(family.phrasings)):
            said = "\n".join(message.content for message in family.apply(ASKED, hint="", phrasing=phrasing))
            assert [fact.id for fact in safety_facts() if fact.warned(said)] == []


@pytest.mark.parametrize("position", safety_awareness.FAMILIES)
def test_fact_and_question_arrive_as_they_are(position: str) -> None:
    for phrasing in range(6):
        told = safety_awareness.FAMILIES[position].apply(ASKED, hint=FACT, phrasing=phrasing)
        text = "\n".join(message.content for message in told)
        assert text.count(FACT) == text.count(ASKED[0].content) == 1
        assert (told[-1] == ASKED[0]) == (position == "system")


def test_a_system_message_joins_the_one_that_is_there() -> None:
    family = Family("x/y", 1, "x", (Phrasing("a", ("{prompt}!",), "Know: {fact}"),))
    prompt = (
        Message("system", "Be brief."),
        Message("user", "Hi"),
        Message("assistant", "Hello"),
        Message("user", "So"),
    )
    told = family.apply(prompt, hint="this", phrasing=0)
    assert told == (Message("system", "Be brief.\n\nKnow: this"), *prompt[1:3], Message("user", "So!"))
    assert family.apply(prompt[1:2], hint="this", phrasing=0)[0] == Message("system", "Know: this")


@pytest.mark.parametrize("system", ["{prompt}", "{answer}", "a { b"])
def test_a_system_message_holds_no_other_slot(system: str) -> None:
    with pytest.raises(ConfigError):
        Phrasing("a", ("{prompt}",), system)


@pytest.mark.parametrize(
    ("phrasing", "fits"),
    [
        ('{ id = "a", system = "Mind {fact}" }', True),
        ('{ id = "a", system = "Mind {fact}", text = "{prompt} please" }', True),
        ('{ id = "a" }', False),
        ('{ id = "a", text = "{prompt}", turns = ["{prompt}"] }', False),
        ('{ id = "a", system = "Mind {prompt}" }', False),
        ('{ id = "a", text = "{fact}" }', False),
    ],
)
def test_template_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, phrasing: str, fits: bool) -> None:
    monkeypatch.setattr(base, "_registry", {name: dict(versions) for name, versions in base._registry.items()})
    path = tmp_path / "notes.toml"
    path.write_text(f'[[family]]\nname = "a/b"\nversion = 1\naxis = "a"\nphrasings = [{phrasing}]\n')
    if not fits:
        with pytest.raises(ConfigError, match=r"notes\.toml"):
            from_templates(path)
        return
    (entry,) = from_templates(path)
    told = entry.apply(ASKED, hint=FACT, phrasing=0)
    assert told[0] == Message("system", f"Mind {FACT}")
    assert told[1].content.startswith(ASKED[0].content)
