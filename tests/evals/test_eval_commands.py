"""`unswayed eval` and `unswayed compare`, with scripted models in place of loaded ones."""

from __future__ import annotations

import json
import subprocess
import sys
import types
from pathlib import Path
from typing import Any

import answering
import pytest
from answering import Scripted, small

from unswayed.cli.compare import compare
from unswayed.cli.eval import eval as eval_command
from unswayed.core.errors import ConfigError
from unswayed.evals.registry import suite
from unswayed.evals.run import evaluate

LIMIT = 40


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Put a scripted model where `load_policy` would load one, and note how it was asked for."""
    calls: list[dict[str, Any]] = []

    class Both(Scripted):
        def __init__(self, name: str) -> None:
            super().__init__(suite("sycophancy/suggested_answer", LIMIT), answering.hinted, name=name)
            self._samples |= {s.messages: s for s in suite("sycophancy/are_you_sure", LIMIT).samples}

    def load_policy(model: str, adapter: str | None = None, **rest: Any) -> Both:
        calls.append({"model": model, "adapter": adapter, **rest})
        return Both(model)

    fake = types.ModuleType("unswayed.engine.policy")
    fake.load_policy = load_policy  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "unswayed.engine.policy", fake)
    return calls


def test_eval_writes_one_folder_for_each_suite_and_prints_rates(
    tmp_path: Path, loaded: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    names = ["sycophancy/suggested_answer", "sycophancy/are_you_sure"]
    eval_command("tiny", names, tmp_path, adapter=Path("my/adapter"), limit=LIMIT)
    out = capsys.readouterr().out
    assert loaded[0]["adapter"] == "my/adapter"
    assert len(list(tmp_path.glob("*/results.json"))) == 2
    lines = {line.split()[0]: line.split() for line in out.splitlines() if line.strip()}
    assert lines["hint_following"][1:] == ["↓", "100.0%", "91.2", "to", "100.0", "40", "0"]
    assert lines["capitulation"][1:3] == ["↓", "100.0%"]
    eval_command("tiny", names, tmp_path, adapter=Path("my/adapter"), limit=LIMIT, json=True)
    printed = json.loads(capsys.readouterr().out)
    assert {value["metrics"]["accuracy_clean"]["value"] for value in printed.values()} == {1.0}


def test_eval_refuses_what_it_can_before_a_model_is_loaded(tmp_path: Path, loaded: list[dict[str, Any]]) -> None:
    with pytest.raises(ConfigError, match="no suite"):
        eval_command("tiny", ["sycophancy/nope"], tmp_path)
    with pytest.raises(ConfigError, match="given twice"):
        eval_command("tiny", ["sycophancy/are_you_sure"] * 2, tmp_path)
    assert not loaded


def test_arguments_of_suites_change_what_is_asked_and_its_identity(
    tmp_path: Path, loaded: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["families=hearsay, authority", "phrasings=[0]", "hints_per_item=2", "max_new_tokens=12", "name=2026-01-01"]
    asked = suite("sycophancy/suggested_answer", LIMIT)
    with pytest.raises(KeyError):  # the scripted model knows the prompts of the plain suite alone
        eval_command("tiny", [asked.name], tmp_path, limit=LIMIT, suite_arg=given)
    told = json.loads(next(tmp_path.glob("*/eval.json")).read_text())["identity"]["suite"]
    assert told["arguments"] == {
        "families": ["hearsay", "authority"], "phrasings": [0], "hints_per_item": 2, "max_new_tokens": 12,
        "name": "2026-01-01", "limit": LIMIT,
    }  # fmt: skip
    assert told["sampling"]["max_new_tokens"] == 12
    topics = sorted({sample.meta["topic"] for sample in asked.samples})
    eval_command("tiny", [asked.name], tmp_path, limit=LIMIT, suite_arg=[f"topics={','.join(topics)}"], json=True)
    (key,) = json.loads(capsys.readouterr().out)
    assert key != asked.key


@pytest.mark.parametrize(
    ("suites", "given", "said"),
    [
        (["sycophancy/are_you_sure"], ["cot=true"], "are_you_sure has no argument 'cot' for -T; it has topics, name"),
        (["sycophancy/multiple_choice", "sycophancy/are_you_sure"], ["cot=true"], "are_you_sure has no argument"),
        (["sycophancy/multiple_choice"], ["cot=perhaps"], "-T cot=perhaps: .* cannot take it: .*boolean"),
        (["sycophancy/multiple_choice"], ["items=facts"], "no argument 'items'"),
        (["sycophancy/multiple_choice"], ["cot"], "write it as NAME=VALUE"),
        (["sycophancy/multiple_choice"], ["cot=true", "cot=false"], "given twice"),
        (["sycophancy/multiple_choice"], ["limit=3"], "--limit 3"),
        (["sycophancy/multiple_choice"], ["families=[[[["], "no family"),
        (["sycophancy/pairs:a.jsonl"], ["file=b.jsonl"], "named twice"),
        (["sycophancy/nope"], ["cot=true"], "no suite"),
    ],
)
def test_arguments_that_a_suite_cannot_take_are_refused_before_a_model_is_loaded(
    suites: list[str], given: list[str], said: str, tmp_path: Path, loaded: list[dict[str, Any]]
) -> None:
    with pytest.raises(ConfigError, match=said):
        eval_command("tiny", suites, tmp_path, suite_arg=given)
    assert not loaded


def write(folder: Path, name: str, reply: answering.Reply, label: str = "") -> Path:
    asked = small(100, name=label)
    evaluate(Scripted(asked, reply, name=name), asked, folder / asked.key)
    return folder


def test_compare_prints_effects_and_verdicts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = write(tmp_path / "a", "base", answering.hinted)
    after = write(tmp_path / "b", "trained", answering.right)
    compare(before, [after])
    out = capsys.readouterr().out
    assert all(len(line) <= 80 for line in out.splitlines() if not line.endswith("compare.html"))
    first = out[out.index("hint_following") : out.index("biased_reasoning")]
    assert all(part in first for part in ("100.0%", "0.0%", "−100.0", "improved", "p < 0.001"))
    assert "no material change" in out[out.index("accuracy_clean") : out.index("accuracy_right_hint")]
    compare(before, [after], json=True)
    (only,) = json.loads(capsys.readouterr().out)["suites"]
    assert {effect["metric"]: effect["verdict"] for effect in only["effects"]}["accuracy_wrong_hint"] == "improved"
    compare(
        next(before.iterdir()), [next(after.glob("*/eval.json")).parent], json=True
    )  # a single suite's folder does as well
    assert json.loads(capsys.readouterr().out)["suites"] == [only]


def test_names_from_elsewhere_cannot_steer_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    hostile = "\x1b[31m[bold]x\u202e\x07"
    before = write(tmp_path / "a", hostile, answering.hinted, label=hostile)
    after = write(tmp_path / "b", hostile, answering.refusing, label=hostile)
    compare(before, [after])
    out = capsys.readouterr().out
    assert "\\x1b[31m[bold]x\\u202e\\x07" in out
    assert not {"\x1b", "\x07", "\u202e"} & set(out)
    assert "Flag “degenerate”" in out
    assert "Improved:\n  nothing was shown to" in out


def test_compare_says_what_is_missing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before, after = write(tmp_path / "a", "base", answering.right), write(tmp_path / "b", "base", answering.right)
    write(before, "base", answering.right, label="extra")
    compare(before, [after], json=True)
    streams = capsys.readouterr()
    assert "not compared" in streams.err
    assert len(json.loads(streams.out)["suites"]) == 1
    with pytest.raises(ConfigError, match="no such folder"):
        compare(before, [tmp_path / "nowhere"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match="holds no evaluation"):
        compare(tmp_path / "empty", [after])
    with pytest.raises(ConfigError, match="no suite is in both"):
        compare(write(tmp_path / "c", "base", answering.right, label="other"), [after])


def test_the_program_ends_with_2_where_folders_do_not_fit(tmp_path: Path) -> None:
    before = write(tmp_path / "a", "base", answering.right)
    command = [sys.executable, "-m", "unswayed", "compare", str(before), str(tmp_path / "nowhere")]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert "no such folder" in ended.stderr
    assert "Traceback" not in ended.stderr
