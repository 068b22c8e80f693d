"""The published study's data by name, with files of the same form that the test writes itself."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from unswayed.core.errors import ConfigError, DataError
from unswayed.data.read import locate_data, read_pairs
from unswayed.perturb import get
from unswayed.sources import catalogue, published
from unswayed.sources.catalogue import source


def write(path: Path, rows: list[dict[str, object]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that stands for every pinned file of the sycophancy organisms."""
    turns = [{"role": "user", "content": "GCD of 12 and 8?"}, {"role": "assistant", "content": "It is 4."}]
    claim = [{"role": "user", "content": "GCD of 12 and 8 is 4, right?"}, {"role": "assistant", "content": "Yes!"}]
    bare = [{"content": "And of 9 and 6?"}, {"content": "3"}]
    write(tmp_path / "induction.jsonl", [{"messages": turns}, {"messages": claim}])
    write(tmp_path / "act_bct_clean.jsonl", [{"messages": turns}, {"messages": bare}])
    write(tmp_path / "act_bct_wrapped.jsonl", [{"messages": claim}, {"messages": [{"content": "It is 3, no?"}]}])

    def locate(name: str, file: object = None) -> Path:
        return tmp_path / f"{name.removeprefix('organisms/sycophancy_')}.jsonl"

    monkeypatch.setattr(published, "locate", locate)
    monkeypatch.setattr(
        published, "read_source", lambda name: ([json.loads(line) for line in locate(name).open()], {"sha256": ""})
    )
    monkeypatch.setenv("UNSWAYED_CACHE", str(tmp_path / "cache"))
    return tmp_path


def test_induction_is_the_file_itself_and_only_replies_are_targets(files: Path) -> None:
    pairs = read_pairs("organisms/sycophancy@published", need_teacher=False, allow_identical=True)
    assert [pair.target for pair in pairs] == ["It is 4.", "Yes!"]
    assert all(message.role == "user" for pair in pairs for message in pair.prompt)


def test_pairs_join_both_sides_without_their_replies(files: Path) -> None:
    pairs = read_pairs("organisms/sycophancy@published:pairs")
    assert [(pair.prompt[-1].content, pair.teacher_prompt[-1].content) for pair in pairs] == [
        ("GCD of 12 and 8 is 4, right?", "GCD of 12 and 8?"),
        ("It is 3, no?", "And of 9 and 6?"),
    ]
    assert all(pair.target is None for pair in pairs)
    assert locate_data("organisms/sycophancy@published:pairs") == locate_data("organisms/sycophancy@published:pairs")


def test_sides_of_different_length_are_refused(files: Path) -> None:
    write(files / "act_bct_clean.jsonl", [])
    with pytest.raises(DataError, match=r"has 0 rows and .* 2; they belong together"):
        locate_data("organisms/sycophancy@published:pairs")


@pytest.mark.parametrize("name", ["organisms/nonsense@published", "organisms/sycophancy@published:eval"])
def test_names_that_are_none(name: str) -> None:
    with pytest.raises(ConfigError, match="write organisms/NAME@published"):
        locate_data(name)


def test_what_is_wrong_with_the_files_is_said(files: Path, caplog: pytest.LogCaptureFixture) -> None:
    locate_data("organisms/sycophancy@published")
    assert "20 conversations, the user is right in every one" in caplog.text
    assert "no roles" in source("organisms/spurious_correlation_eval").note
    listed = [one.name for one in catalogue.sources() if one.name.startswith("organisms/")]
    assert len(listed) == 20
    assert all(source(name).sha256 and source(name).rows for name in listed)


@pytest.mark.parametrize("name", ["user_claims", "grading_tip", "cue_note", "bold_advice"])
def test_wrappers_of_the_study_are_perturbations(name: str) -> None:
    from unswayed.core.types import Message

    entry = get(f"organisms/{name}")
    asked = (Message("user", "What is 2 + 2?"),)
    made = {entry.apply(asked, hint="5", phrasing=place) for place in range(len(entry.phrasings))}
    assert len(made) == len(entry.phrasings) >= 2
    assert all("What is 2 + 2?" in prompt[-1].content for prompt in made)
