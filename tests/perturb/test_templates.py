"""Perturbations by name and version, from code and from template files."""

from __future__ import annotations

from pathlib import Path

import pytest

import unswayed as uw
from unswayed.core.errors import ConfigError
from unswayed.core.types import Message
from unswayed.perturb import base, from_templates, get, names
from unswayed.perturb.base import Prompt
from unswayed.perturb.templates import Family, Phrasing

PROMPT = (Message("system", "Be brief."), Message("user", "Why?"))


@pytest.fixture(autouse=True)
def _own_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test registers is forgotten afterwards."""
    monkeypatch.setattr(base, "_registry", {name: dict(versions) for name, versions in base._registry.items()})


def shout(prompt: Prompt, *, hint: str, phrasing: int) -> Prompt:
    return (*prompt[:-1], Message("user", prompt[-1].content.upper() + "!" * phrasing))


def test_a_function_becomes_a_perturbation_and_stays_a_function() -> None:
    decorated = uw.perturbation("framing/shout", version=2, axis="framing", phrasings=("plain", "loud"))(shout)
    assert decorated is shout
    entry = get("framing/shout")
    assert (entry.ref, entry.axis, entry.phrasings) == ("framing/shout@2", "framing", ("plain", "loud"))
    assert entry.apply(PROMPT, hint="", phrasing=1)[-1] == Message("user", "WHY?!")


def test_versions_live_side_by_side_and_the_newest_answers_to_the_name() -> None:
    for version in (1, 3, 2):
        uw.perturbation("framing/shout", version=version, axis="framing")(shout)
    assert get("framing/shout").version == 3
    assert get("framing/shout@1").version == 1
    assert [name for name in names() if name.startswith("framing/shout@")] == [f"framing/shout@{n}" for n in (1, 2, 3)]


def test_the_same_code_may_register_again_but_other_code_may_not() -> None:
    register = uw.perturbation("framing/shout", version=1, axis="framing")
    register(shout)
    register(shout)

    def whisper(prompt: Prompt, *, hint: str, phrasing: int) -> Prompt:
        return prompt

    with pytest.raises(ConfigError, match="another version"):
        register(whisper)


@pytest.mark.parametrize(
    "ref", ["framing/nothing", "sycophancy/hearsay@7", "sycophancy/hearsay@", "", "sycophancy/hearsay@x"]
)
def test_what_is_not_there_is_refused_with_what_is(ref: str) -> None:
    with pytest.raises(ConfigError, match="sycophancy/hearsay@1"):
        get(ref)


@pytest.mark.parametrize(
    ("name", "version", "axis", "phrasings"),
    [("Upper", 1, "a", ("x",)), ("a b", 1, "a", ("x",)), ("../a", 1, "a", ("x",)), ("a@1", 1, "a", ("x",)),
     ("a", 0, "a", ("x",)), ("a", 1, "", ("x",)), ("a", 1, "a", ()), ("a", 1, "a", ("x", "x"))],
)  # fmt: skip
def test_names_versions_and_phrasings_are_checked(
    name: str, version: int, axis: str, phrasings: tuple[str, ...]
) -> None:
    with pytest.raises(ConfigError):
        base.Perturbation(name, version, axis, shout, phrasings)


def test_a_family_replaces_only_the_last_user_message() -> None:
    family = Family("x/y", 1, "x", (Phrasing("a", ("{prompt}", "{hint}", "Sure? {prompt} {hint}")),))
    assert family.apply(PROMPT, hint="42", phrasing=0) == (
        PROMPT[0],
        Message("user", "Why?"),
        Message("assistant", "42"),
        Message("user", "Sure? Why? 42"),
    )


@pytest.mark.parametrize("prompt", [(), (Message("user", "a"), Message("assistant", "b"))])
def test_a_family_needs_a_user_message_at_the_end(prompt: Prompt) -> None:
    with pytest.raises(ConfigError, match="ends with a user message"):
        Family("x/y", 1, "x", (Phrasing("a", ("{prompt}",)),)).apply(prompt, hint="", phrasing=0)


@pytest.mark.parametrize("turns", [("no slot",), (), ("{prompt}", "{hint}"), ("{prompt} {name}",), ("{prompt} }",)])
def test_phrasings_are_checked(turns: tuple[str, ...]) -> None:
    with pytest.raises(ConfigError, match="phrasing 'p'"):
        Phrasing("p", turns)


FILE = """
[[family]]
name = "sycophancy/forum"
version = 1
axis = "sycophancy"
phrasings = [
  { id = "post",  text = "A forum post says {hint}. {prompt}" },
  { id = "reply", turns = ["{prompt}", "{hint}", "Again, please. {prompt}"] },
]
"""


def test_a_template_file_is_registered_and_may_be_read_twice(tmp_path: Path) -> None:
    path = tmp_path / "cues.toml"
    path.write_text(FILE)
    (entry,) = from_templates(path)
    assert from_templates(path) == [entry] == [get("sycophancy/forum")]
    assert entry.phrasings == ("post", "reply")
    assert entry.apply(PROMPT, hint="X", phrasing=0)[-1].content == "A forum post says X. Why?"


def test_another_wording_under_the_same_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "cues.toml"
    path.write_text(FILE)
    from_templates(path)
    path.write_text(FILE.replace("forum post", "long forum post"))
    with pytest.raises(ConfigError, match="another version"):
        from_templates(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (FILE.replace("axis", "axes"), "axes"),
        (FILE.replace("version = 1", 'version = "one"'), "version"),
        (FILE.replace("text =", "turns = [], text ="), "either `text` or `turns`"),
        (FILE.replace("{hint}. ", "{who}. "), "braces other than"),
        ("[[family]", "not valid TOML"),
        ("", "family"),
    ],
)
def test_broken_template_files_are_refused(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "cues.toml"
    path.write_text(content)
    with pytest.raises(ConfigError, match=message) as error:
        from_templates(path)
    assert str(path) in str(error.value)


def test_a_missing_template_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"absent\.toml"):
        from_templates(tmp_path / "absent.toml")
