"""`unswayed judge` and `unswayed eval --judge`: sheets, labels, exit codes."""

from __future__ import annotations

import csv
import json
import sys
import types
from pathlib import Path
from typing import Any

import pytest
import typer
from answering import Scripted
from fake_judges import FakeJudge, ReadingPolicy
from test_judged_run import NO, YES, attacks, complies, policy
from test_judges import truth_of

from unswayed.cli.eval import eval as eval_command
from unswayed.cli.judge import check, sheet
from unswayed.core.errors import ConfigError, DataError
from unswayed.core.files import read_jsonl, write_jsonl
from unswayed.evals import suite as base
from unswayed.evals.label_sheet import _even, key_of, read_labels
from unswayed.evals.results import Result
from unswayed.evals.run import evaluate
from unswayed.evals.suite import Suite
from unswayed.judges import build
from unswayed.judges.base import Item
from unswayed.judges.rubrics import rubric


@pytest.fixture(autouse=True)
def own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("UNSWAYED_CACHE", str(tmp_path / "cache"))


def use(monkeypatch: pytest.MonkeyPatch, judge: Any) -> None:
    """Put a judge where `build_judge` would build one."""
    monkeypatch.setattr(build, "build_judge", lambda spec, **given: judge)


def truth(item: Item) -> bool:
    """Of canaries and of the attacks of the other tests."""
    return complies(item) if "codeword of locker" in item.request else truth_of(item.reply)


def run(*args: Any, **given: Any) -> int:
    try:
        check(*args, **{"rubric": None, "labels": None, "evaluation": None, "seed": 0, "json": True, **given})
    except typer.Exit as end:
        return end.exit_code
    return 0


def arms(tmp_path: Path, judge: Any) -> tuple[Path, Path]:
    suite = attacks()
    for name, share in (("base", 30), ("trained", 4)):
        evaluate(policy(suite, share, name=name), suite, tmp_path / name / "one", judge=judge)
    return tmp_path / "base", tmp_path / "trained"


def filled(path: Path, human: Any) -> Path:
    with open(path, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows({**row, "human": human(row)} for row in rows)
    return path


# ---- check --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("judge", "code", "state"),
    [
        (FakeJudge(truth), 0, "fit"),
        (FakeJudge(lambda item: True), 10, "unfit"),
        (FakeJudge(truth, fails=lambda item: "error"), 11, "inconclusive"),
        (FakeJudge(lambda item: truth(item) != ("VERDICT" in item.reply)), 10, "unfit"),
    ],
)
def test_the_exit_code_says_what_the_judge_is(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], judge: Any, code: int, state: str
) -> None:
    use(monkeypatch, judge)
    assert run("fake:x") == code
    report = json.loads(capsys.readouterr().out)
    assert report["state"] == state
    assert report["injections"] == 264


def test_what_is_printed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    judge = FakeJudge(lambda item: truth(item) != ("threat" in item.reply), identity="evil\x1b[31m")
    use(monkeypatch, judge)
    assert run("fake:x", json=False, rubric=["refusal"]) == 0
    out = capsys.readouterr().out
    assert "injections: 0 of 44 changed the verdict (flip rate 0.0%)" in out
    assert "the judge is fit" in out
    assert "\x1b" not in out


def test_rules_are_checked_on_what_they_know(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("rule", rubric=["refusal"]) == 0
    assert set(json.loads(capsys.readouterr().out)["canaries"]) == {"refusal"}
    with pytest.raises(ConfigError, match="no rule can judge"):
        run("rule", rubric=["sage"])
    with pytest.raises(ConfigError, match="--labels"):
        run("rule", evaluation=[Path("x")])


# ---- sheets and labels --------------------------------------------------------------------------------------------


def test_a_sheet_tells_nothing_and_its_labels_correct_each_arm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    judge = FakeJudge(truth, sensitivity=0.85, specificity=0.95)
    base_arm, trained = arms(tmp_path, judge)
    out = tmp_path / "sheet.csv"
    sheet([base_arm, trained], out, n=120)
    text = out.read_text()
    assert not any(word in text for word in ("base", "trained", "fake", "refused="))
    key = read_jsonl(key_of(out))
    assert [row["item"] for row in key] == [line.split(",")[0] for line in text.splitlines()[1:]]
    assert {row["arm"] for row in key} == {str(base_arm), str(trained)}
    assert sum(row["weight"] for row in key) == pytest.approx(160)
    filled(out, lambda row: "yes" if "all of it" in row["reply"] else "no")
    perfect = FakeJudge(truth, identity="perfect")
    use(monkeypatch, perfect)
    assert run("fake:x", labels=out) == 0
    found = json.loads(capsys.readouterr().out)["labels"]["strongreject"]
    assert {row["sensitivity"]["value"] for row in found.values()} == {1.0}
    use(monkeypatch, judge)
    run("fake:x", labels=out, evaluation=[base_arm])
    report = json.loads(capsys.readouterr().out)
    row = report["labels"]["strongreject"][str(base_arm)]
    result = Result.load(base_arm / "one")
    wrapped = [record for record in result.records.values() if record.condition == "wrapped"]
    hits = sum(record.text == YES and record.value == 1 for record in wrapped)
    assert row["sensitivity"]["value"] == pytest.approx(hits / 30, abs=0.1)
    corrected = row["corrected"]["test/attacks, wrapped"]
    assert corrected["observed"] == result.estimates["attack_success"].value
    assert corrected["low"] <= 0.75 <= corrected["high"]
    assert abs(corrected["value"] - 0.75) <= abs(corrected["observed"] - 0.75) + 1e-9


def test_sheets_are_even_and_never_overwritten(tmp_path: Path) -> None:
    assert _even([100, 3, 50], 30) == [14, 3, 13]
    assert _even([2, 2], 30) == [2, 2]
    base_arm, _ = arms(tmp_path, FakeJudge(truth))
    out = tmp_path / "s.csv"
    sheet([base_arm], out, n=20)
    key = read_jsonl(key_of(out))
    assert [sum(row["verdict"] is side for row in key) for side in (True, False)] == [10, 10]
    again = tmp_path / "again.csv"
    sheet([base_arm], again, n=20)
    assert again.read_bytes() == out.read_bytes()
    sheet([base_arm], tmp_path / "other.csv", n=20, seed=1)
    assert (tmp_path / "other.csv").read_bytes() != out.read_bytes()
    with pytest.raises(ConfigError, match="may hold labels"):
        sheet([base_arm], out)
    with pytest.raises(ConfigError, match=r"end its name in \.csv"):
        sheet([base_arm], tmp_path / "sheet.xlsx")
    with pytest.raises(ConfigError, match="holds no evaluation"):
        sheet([tmp_path], tmp_path / "none.csv")


def test_formulas_in_replies_do_not_run(tmp_path: Path) -> None:
    suite = attacks(3)
    model = Scripted(suite, lambda s: "=cmd()\x1b[0m")
    evaluate(model, suite, tmp_path / "e", judge=FakeJudge(lambda item: False))
    sheet([tmp_path / "e"], tmp_path / "s.csv", n=10)
    with open(tmp_path / "s.csv", newline="") as file:
        assert {row["reply"] for row in csv.DictReader(file)} == {"'=cmd()\\x1b[0m"}
    rows, skipped = read_labels(filled(tmp_path / "s.csv", lambda row: "no"))
    assert (rows[0].item.reply, skipped) == ("=cmd()\x1b[0m", 0)


def test_tables_of_ones_own_are_read(tmp_path: Path) -> None:
    path = tmp_path / "own.jsonl"
    write_jsonl(
        path,
        [
            {"request": "q", "reply": NO, "human": "Yes", "arm": "base", "rubric": "refusal"},
            {"request": "q", "reply": YES, "human": 0, "weight": 2},
            {"request": "q", "reply": YES, "human": ""},
            {"request": "q", "reply": YES, "human": "unsure"},
        ],
    )
    rows, skipped = read_labels(path, "refusal")
    assert skipped == 2
    assert [(row.arm, row.human, row.weight) for row in rows] == [("base", True, 1.0), ("", False, 2.0)]


def test_rows_that_cannot_be_used_are_all_named(tmp_path: Path) -> None:
    path = tmp_path / "own.jsonl"
    bad = [
        {"request": "q", "reply": "r", "human": "maybe"},
        {"request": "q", "reply": "", "human": "yes", "rubric": "refusal"},
        {"request": "q", "reply": "r", "human": "yes"},
        {"request": "q", "reply": "r", "human": "yes", "rubric": "sage"},
        {"request": "q", "reply": "r", "human": "yes", "rubric": "refusal", "weight": -1},
    ]
    write_jsonl(path, bad)
    with pytest.raises(DataError) as raised:
        read_labels(path)
    for number, said in enumerate(("'maybe'", "no reply", "no rubric ''", "no safety_fact", "weight is -1"), start=1):
        assert any(problem.startswith(f"row {number}: ") and said in problem for problem in raised.value.problems)
    write_jsonl(path, [{"request": "q", "reply": "r", "human": ""}])
    with pytest.raises(DataError, match="no row has a label"):
        read_labels(path)


# ---- eval ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def named_suite(monkeypatch: pytest.MonkeyPatch) -> Suite:
    suite = attacks(8)
    monkeypatch.setitem(base.REGISTRY, "test/attacks", lambda **given: suite)
    return suite


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch, named_suite: Suite) -> list[str]:
    """Scripted policies where models would be loaded: `judge` reads, everything else answers the suite."""
    asked: list[str] = []

    def load_policy(model: str, *args: Any, **given: Any) -> Any:
        asked.append(model)
        return (
            ReadingPolicy(lambda reply: "all of it" in reply)
            if model == "judge"
            else policy(named_suite, 3, name=model)
        )

    fake = types.ModuleType("unswayed.engine.policy")
    fake.load_policy = load_policy  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "unswayed.engine.policy", fake)
    return asked


def test_eval_with_a_local_judge(tmp_path: Path, loads: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    eval_command("tiny", ["test/attacks"], tmp_path / "out", judge="local:judge")
    printed = capsys.readouterr().out
    assert "judge local:reader, strongreject@1: 16 ok" in printed
    assert loads == ["judge", "tiny"]
    (folder,) = (tmp_path / "out").iterdir()
    assert Result.load(folder).estimates["attack_success"].value == 3 / 8
    assert list((tmp_path / "cache" / "judge").glob("verdicts-*.jsonl"))


def test_eval_refuses_before_anything_is_loaded(tmp_path: Path, loads: list[str]) -> None:
    for given, said in (
        ({}, "--judge local:MODEL"),
        ({"judge": "nonsense"}, "is none of: rule"),
        ({"judge": "local:tiny"}, "would judge itself"),
        ({"judge": "openai:m@ftp://x"}, "http"),
        ({"judge": "rule", "judge_params": "{}"}, "for endpoints"),
    ):
        with pytest.raises(ConfigError, match=said):
            eval_command("tiny", ["test/attacks"], tmp_path / "out", **given)  # type: ignore[arg-type]
    assert loads == []
    assert not (tmp_path / "out").exists()


def test_every_rubric_has_a_question_for_people() -> None:
    from unswayed.evals.label_sheet import QUESTIONS
    from unswayed.judges.rubrics import RUBRICS

    assert set(QUESTIONS) == set(RUBRICS)
    assert rubric("refusal").positive == 0.5
