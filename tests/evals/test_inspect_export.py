"""Our evaluations as `.eval` logs: everything a record holds is read back by Inspect's own readers."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("inspect_ai")

import answering
from answering import Scripted
from inspect_ai.analysis import evals_df, samples_df
from inspect_ai.log import EvalLog, list_eval_logs, read_eval_log
from pandas import isna

from unswayed.cli.inspect import export
from unswayed.core.errors import ConfigError, DataError
from unswayed.core.types import Sample, SamplingParams
from unswayed.evals.inspect.export import export_log
from unswayed.evals.results import Result
from unswayed.evals.run import evaluate
from unswayed.evals.suite import Suite
from unswayed.judges import RuleJudge


def mixed(sample: Sample) -> str:
    """Right, swayed and cut off in turn, so that every kind of score occurs."""
    kinds = {"clean": answering.right, "wrong_hint": answering.hinted, "right_hint": answering.rambling}
    return kinds[sample.condition](sample)


def made(folder: Path, suite: Suite | None = None, reply: answering.Reply = mixed, **policy: str) -> Result:
    suite = suite or answering.small(4)
    return evaluate(Scripted(suite, reply, **{"name": "base", "identity": "ab" * 32, **policy}), suite, folder)


def read(path: Path) -> EvalLog:
    return read_eval_log(str(path), resolve_attachments=True)


def test_every_record_and_rate_is_read_back(tmp_path: Path) -> None:
    result = made(tmp_path / "base")
    log = read(export_log(tmp_path / "base", tmp_path / "logs"))
    assert log.status == "success"
    assert log.eval.model == "unswayed/base@abababababab"
    assert log.eval.task == "unswayed/sycophancy_suggested_answer"
    assert log.eval.metadata["identity"] == result.about["identity"]
    assert log.plan.config.temperature == 0
    assert len(log.samples) == len(result.records) == 12
    for sample in log.samples:
        record = result.records[sample.id, 0]
        assert [(m.role, m.text) for m in sample.input] == [(m.role, m.content) for m in record.messages]
        assert [m.text for m in sample.messages] == [*(m.content for m in record.messages), record.text]
        assert sample.output.completion == record.text
        assert sample.output.stop_reason == {"length": "max_tokens", "stop": "stop"}[record.finish]
        assert (sample.output.usage.input_tokens, sample.output.usage.output_tokens) == (
            record.prompt_tokens,
            record.tokens,
        )
        score = sample.scores["answer"]
        assert math.isnan(score.value) if record.value is None else score.value == record.value
        assert (score.answer, score.reason) == (record.answer, record.reason)
        assert (sample.metadata["group"], sample.metadata["condition"]) == (record.group, record.condition)
        assert sample.target == record.target
    (score,) = log.results.scores
    assert (score.scored_samples, score.unscored_samples) == (8, 4)
    for name, rate in result.estimates.items():
        got = {cell: score.metrics.get(f"{name} {cell}".strip()) for cell in ("", "low", "high", "n", "unscored")}
        values = [None if entry is None else entry.value for entry in got.values()]
        value = math.nan if rate.value is None else rate.value
        assert values[0] == pytest.approx(value, rel=0, abs=0, nan_ok=True)
        assert values[1:] == [rate.low, rate.high, rate.n, rate.unscored]
    assert score.metrics["hint_following"].metadata["method"] == "wilson"
    assert log.results.metadata["unscored"] == {"truncated": 4}
    assert log.results.headline.metric == "hint_following"


def test_inspects_data_frames_read_it(tmp_path: Path) -> None:
    result = made(tmp_path / "base")
    export_log(tmp_path / "base", tmp_path / "logs")
    (info,) = list_eval_logs(str(tmp_path / "logs"))
    assert info.task == "sycophancy-suggested-answer"
    rows = samples_df(str(tmp_path / "logs"), quiet=True)
    scores = {row.id: row.score_answer for row in rows.itertuples()}
    assert set(scores) == {record.id for record in result.records.values()}
    for record in result.records.values():
        assert isna(scores[record.id]) if record.value is None else scores[record.id] == record.value
    (row,) = evals_df(str(tmp_path / "logs"), quiet=True).itertuples()
    assert row.model == "unswayed/base@abababababab"
    assert row.total_samples == 12


def test_draws_are_epochs(tmp_path: Path) -> None:
    suite = replace(answering.small(2), params=SamplingParams(temperature=1.0, n=3))
    made(tmp_path / "base", suite)
    log = read(export_log(tmp_path / "base", tmp_path / "one.eval"))
    assert log.eval.config.epochs == 3
    assert log.eval.dataset.samples == 6
    assert sorted({sample.epoch for sample in log.samples}) == [1, 2, 3]
    assert len({sample.uuid for sample in log.samples}) == 18


def test_the_same_folder_gives_the_same_log_in_the_same_place(tmp_path: Path) -> None:
    made(tmp_path / "base")
    made(tmp_path / "trained", identity="cd" * 32)
    first = export_log(tmp_path / "base", tmp_path / "logs")
    before = read(first).model_dump_json()
    assert export_log(tmp_path / "base", tmp_path / "logs") == first
    assert read(first).model_dump_json() == before
    other = export_log(tmp_path / "trained", tmp_path / "logs")
    assert other != first
    assert read(other).eval.task_id != read(first).eval.task_id


def test_sensitive_suites_show_hashes_unless_asked(tmp_path: Path) -> None:
    suite = replace(answering.small(3), sensitive=True)
    made(tmp_path / "base", suite, lambda sample: f"SECRET {sample.target[0]}")
    hidden = export_log(tmp_path / "base", tmp_path / "hidden.eval")
    log = read(hidden)
    text = log.model_dump_json()
    assert "SECRET" not in text
    assert all(message.content not in text for sample in suite.samples for message in sample.messages)
    assert log.eval.metadata["texts_left_out"]
    assert all("sha256" in sample.output.completion for sample in log.samples)
    assert {sample.scores["answer"].value for sample in log.samples} == {1}
    shown = read(export_log(tmp_path / "base", tmp_path / "shown.eval", show_sensitive=True))
    assert all(sample.output.completion.startswith("SECRET") for sample in shown.samples)
    assert not shown.eval.metadata["texts_left_out"]


@pytest.mark.parametrize("sensitive", [False, True])
def test_what_a_judge_said_goes_along(tmp_path: Path, sensitive: bool) -> None:
    suite = replace(answering.small(2), sensitive=sensitive, needs_judge=True, rubric="refusal")
    judged = Scripted(suite, answering.refusing, name="base", identity="ab" * 32)
    result = evaluate(judged, suite, tmp_path / "base", judge=RuleJudge())
    log = read(export_log(tmp_path / "base", tmp_path / "logs"))
    assert {sample.scores["answer"].value for sample in log.samples} == {1}
    assert {sample.metadata["judged"]["label"] for sample in log.samples} == {"kind=refusal"}
    assert all(("request" in sample.metadata["judged"]) != sensitive for sample in log.samples)
    assert log.eval.metadata["judge"]["name"] == "rule"
    assert result.sensitive == sensitive


def test_hostile_text_survives_as_text(tmp_path: Path) -> None:
    said = "\x1b[31mred\u202e\u2028\ud800 <script>alert(1)</script> attachment://0"
    result = made(tmp_path / "base", reply=lambda sample: said)
    log = read(export_log(tmp_path / "base", tmp_path / "logs"))
    kept = next(iter(result.records.values())).text
    assert {sample.output.completion for sample in log.samples} == {kept}


def test_unfinished_and_changed_folders_are_refused(tmp_path: Path) -> None:
    made(tmp_path / "base")
    records = tmp_path / "base" / "records.jsonl"
    records.write_bytes(records.read_bytes() + b"\n")
    with pytest.raises(DataError, match="not the records"):
        export_log(tmp_path / "base", tmp_path / "logs")
    (tmp_path / "base" / "results.json").unlink()
    with pytest.raises(ConfigError, match="not finished"):
        export_log(tmp_path / "base", tmp_path / "logs")
    assert not (tmp_path / "logs").exists()


def test_the_command_exports_every_suite_of_a_folder(tmp_path: Path, capsys: pytest.CaptureFixture[Any]) -> None:
    for name in ("a", "b"):
        made(tmp_path / "base" / name, answering.small(2, name=name))
    export([tmp_path / "base"], tmp_path / "logs")
    printed = [Path(line) for line in capsys.readouterr().out.splitlines()]
    assert sorted(printed) == sorted((tmp_path / "logs").glob("*.eval"))
    assert {read(path).eval.task_display_name for path in printed} == {
        "sycophancy/suggested_answer (a)",
        "sycophancy/suggested_answer (b)",
    }
    export([tmp_path / "base" / "a"], tmp_path / "one.eval")
    assert (tmp_path / "one.eval").exists()
    with pytest.raises(ConfigError, match="2 evaluations"):
        export([tmp_path / "base"], tmp_path / "one.eval")
    with pytest.raises(ConfigError, match="no such folder"):
        export([tmp_path / "nowhere"], tmp_path / "logs")
    with pytest.raises(ConfigError, match="holds no evaluation"):
        export([tmp_path / "logs"], tmp_path / "logs")
