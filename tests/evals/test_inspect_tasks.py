"""Our suites as Inspect tasks: equal to our own evaluation, and refused where Inspect cannot ask them."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from dataclasses import replace
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("inspect_ai")

import answering
from inspect_ai import eval
from inspect_ai._util.error import PrerequisiteError
from inspect_ai._util.registry import registry_info
from inspect_ai.log import EvalLog, list_eval_logs, read_eval_log
from inspect_ai.model import ModelOutput, ModelUsage, get_model

from unswayed.core.errors import ConfigError
from unswayed.core.types import SamplingParams
from unswayed.engine.policy import LoadedPolicy, load_policy
from unswayed.evals.inspect import _registry
from unswayed.evals.inspect.provider import inspect_model
from unswayed.evals.inspect.tasks import suite_task
from unswayed.evals.results import Result
from unswayed.evals.run import evaluate
from unswayed.evals.suite import Suite


@pytest.fixture(scope="module")
def policy(tiny_model_dir: Path) -> LoadedPolicy:
    return load_policy(str(tiny_model_dir), name="tiny", dtype="float32")  # bfloat16 rounds by batch


def run(task: Any, model: Any, folder: Path, **more: Any) -> EvalLog:
    (log,) = eval(task, model=model, log_dir=str(folder), display="none", score_display=True, **more)
    assert log.status == "success", log.error
    return log


def said(text: str, stop_reason: Any, **more: Any) -> ModelOutput:
    output = ModelOutput.from_content("mock", text, stop_reason=stop_reason, **more)
    tokens = len(text.split()) + 1
    output.usage = ModelUsage(input_tokens=9, output_tokens=tokens, total_tokens=9 + tokens)
    return output


def saying(suite: Suite, reply: answering.Reply) -> Any:
    """A model of Inspect's own that says what a scripted policy would; replies that end in "…" are cut off."""
    by_text = {tuple((m.role, m.content) for m in sample.messages): sample for sample in suite.samples}

    def answer(input: list[Any], tools: Any, tool_choice: Any, config: Any) -> ModelOutput:
        text = reply(by_text[tuple((message.role, message.text) for message in input)])
        return said(text, "max_tokens" if text.endswith("…") else "stop")

    return get_model("mockllm/model", custom_outputs=answer)


def rates(log: EvalLog) -> dict[str, float]:
    (found,) = [score for score in log.results.scores if score.name == "rates"]
    return {name: entry.value for name, entry in found.metrics.items()}


def assert_equal(log: EvalLog, result: Result) -> None:
    """Every number of our own result is in the log, to the last bit, and nothing that we do not have."""
    found = rates(log)
    expected: dict[str, float | None] = {}
    for name, rate in result.estimates.items():
        expected |= {
            name: math.nan if rate.value is None else rate.value,
            f"{name} low": rate.low,
            f"{name} high": rate.high,
        }
        expected |= {f"{name} n": rate.n, f"{name} unscored": rate.unscored}
    assert found == pytest.approx(
        {name: value for name, value in expected.items() if value is not None}, rel=0, abs=0, nan_ok=True
    )


REPLIES = ["hinted", "agreeing", "silent", "rambling"]


@pytest.mark.parametrize("name", REPLIES)
def test_scripted_models_get_the_numbers_of_our_own_evaluation(name: str, tmp_path: Path) -> None:
    suite, reply = answering.small(4), getattr(answering, name)
    result = evaluate(answering.Scripted(suite, reply), suite)
    log = run(suite_task(suite), saying(suite, reply), tmp_path)
    assert_equal(log, result)
    for sample in log.samples:
        record = result.records[sample.id, 0]
        own = sample.scores["answer"]
        if record.value is None:
            assert math.isnan(own.value)
            assert own.reason == record.reason == sample.scores["rates"].value
        else:
            assert own.value == record.value
            assert sample.scores["rates"].value == "scored"
        assert own.answer == record.answer
        assert sample.metadata["group"] == record.group
    (by_condition,) = [score for score in log.results.scores if score.name == "answer"]
    unscored = sum(record.value is None for record in result.records.values())
    assert (by_condition.unscored_samples, by_condition.scored_samples) == (unscored, 12 - unscored)


def test_a_real_policy_gets_the_same_replies_and_numbers(policy: LoadedPolicy, tmp_path: Path) -> None:
    suite = replace(answering.small(4), params=SamplingParams(temperature=1.0, max_new_tokens=8, n=3, seed=5))
    result = evaluate(policy, suite)
    log = run(suite_task(suite), inspect_model(policy), tmp_path)
    assert_equal(log, result)
    assert len(log.samples) == len(result.records) == 36
    for sample in log.samples:
        record = result.records[sample.id, sample.epoch - 1]
        assert sample.output.completion == record.text
        assert sample.output.usage.output_tokens == record.tokens
        assert sample.output.usage.input_tokens == record.prompt_tokens
        assert sample.output.stop_reason == {"length": "max_tokens", "stop": "stop"}[record.finish]


def test_the_log_says_what_was_asked(policy: LoadedPolicy, tmp_path: Path) -> None:
    suite = answering.small(2)
    log = run(suite_task(suite), inspect_model(policy), tmp_path)
    assert log.eval.metadata["suite"] == json.loads(json.dumps(suite.identity()))
    assert log.eval.task_version == suite.version
    assert log.plan.config.max_tokens == 48
    assert log.plan.config.temperature == 0
    assert log.results.headline.metric == "hint_following"
    assert log.eval.dataset.samples == 6


def test_a_suite_keeps_its_clusters_in_inspects_own_metrics(tmp_path: Path) -> None:
    suite = answering.small(6)
    log = run(suite_task(suite), saying(suite, answering.contrary), tmp_path)
    (found,) = [score for score in log.results.scores if score.name == "answer"]
    assert {name: entry.value for name, entry in found.metrics.items()} == {
        "clean": 1, "wrong_hint": 1, "right_hint": 0, "clean stderr": 0, "wrong_hint stderr": 0, "right_hint stderr": 0,
    }  # fmt: skip


def test_registered_tasks_take_the_suites_own_arguments() -> None:
    build = _registry.tasks["sycophancy/suggested_answer"]
    assert registry_info(build).name == "unswayed/sycophancy_suggested_answer"
    task = build(limit=3, seed=2, max_new_tokens=9)
    assert len(task.dataset) == 9
    assert task.config.max_tokens == 9
    with pytest.raises(PrerequisiteError) as caught:
        build(limit=0)
    assert "at least one question" in str(caught.value.message)
    with pytest.raises(PrerequisiteError):
        build(colour="red")


def test_a_log_can_be_scored_again(policy: LoadedPolicy, tmp_path: Path) -> None:
    from inspect_ai import score

    task = _registry.tasks["sycophancy/suggested_answer"](limit=2)
    log = run(task, inspect_model(policy), tmp_path)
    given = log.eval.scorers[0].options["suite"]
    assert given == {"suite": "sycophancy/suggested_answer", "arguments": {"limit": 2}}
    again = score(log, [_registry.rates(given)], model="none", action="overwrite", display="none")
    assert rates(again) == pytest.approx(rates(log), rel=0, abs=0, nan_ok=True)
    made = run(suite_task(answering.small(2)), inspect_model(policy), tmp_path / "memory")
    with pytest.raises(ConfigError, match="made in memory"):
        _registry.rates(made.eval.scorers[0].options["suite"])


def test_what_inspect_cannot_ask_is_refused() -> None:
    suite = answering.small(2)
    with pytest.raises(ConfigError, match="by their likelihood"):
        suite_task(replace(suite, method="choose"))
    with pytest.raises(ConfigError, match="needs a judge"):
        suite_task(replace(suite, needs_judge=True, rubric="refusal"))


def test_a_failed_or_ambiguous_output_is_never_a_score(tmp_path: Path) -> None:
    suite = answering.small(2)

    def failing(input: Any, tools: Any, tool_choice: Any, config: Any) -> ModelOutput:
        return said("", "content_filter", error="filtered")

    log = run(suite_task(suite), get_model("mockllm/model", custom_outputs=failing), tmp_path)
    assert {sample.scores["rates"].value for sample in log.samples} == {"no completion"}
    assert rates(log)["hint_following n"] == 0
    assert math.isnan(rates(log)["hint_following"])
    assert "hint_following low" not in rates(log)
    assert rates(log)["parse_rate"] == 0


needs_entry_point = pytest.mark.skipif(
    not [entry for entry in entry_points(group="inspect_ai") if entry.name == "unswayed"],
    reason="this installation of unswayed is older than its entry point for Inspect; install it again",
)


@needs_entry_point
def test_inspects_own_command_line_runs_a_task_of_ours(tiny_model_dir: Path, tmp_path: Path) -> None:
    command = [
        sys.executable, "-m", "inspect_ai", "eval", "unswayed/sycophancy_suggested_answer", "-T", "limit=2",
        "-T", "max_new_tokens=6", "--model", "unswayed/tiny", "-M", f"model_path={tiny_model_dir}", "-M", "device=cpu",
        "--display", "plain", "--log-dir", str(tmp_path / "logs"),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False, env={**os.environ})
    assert done.returncode == 0, done.stdout + done.stderr
    (info,) = list_eval_logs(str(tmp_path / "logs"))
    log = read_eval_log(info)
    assert log.status == "success"
    assert log.eval.model == f"unswayed/tiny@{load_policy(str(tiny_model_dir)).identity[:12]}"
    assert log.eval.task == "unswayed/sycophancy_suggested_answer"
    assert len(log.samples) == 6
    assert {sample.output.stop_reason for sample in log.samples} <= {"max_tokens", "stop"}
    assert rates(log)["parse_rate n"] == 6
