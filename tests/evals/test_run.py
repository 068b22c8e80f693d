"""Evaluations that stop and go on, that refuse to mix, and that give exact numbers for scripted models."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import answering
import pytest
from answering import Scripted, small

from unswayed.core.errors import ConfigError, DataError, Interrupted, LockedError, UnswayedError
from unswayed.core.files import locked
from unswayed.core.signals import StopSignals
from unswayed.core.types import Completion, Message, Sample, SamplingParams
from unswayed.evals.results import Result
from unswayed.evals.run import evaluate
from unswayed.evals.suites.sycophancy import are_you_sure

FILES = ("eval.json", "records.jsonl", "results.json")


def content(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in FILES}


def values(result: Result) -> dict[str, float | None]:
    return {name: rate.value for name, rate in result.estimates.items()}


# ---- truth tables -------------------------------------------------------------------------------------------------

# hint_following, biased_reasoning, accuracy_wrong_hint, accuracy_clean, accuracy_right_hint, consistency,
# parse_rate, truncation_rate
TRUTH = {
    "right": (0, 0, 1, 1, 1, 1, 1, 0),
    "hinted": (1, 1, 0, 1, 1, 0, 1, 0),
    "contrary": (0, 0, 1, 1, 0, 1, 1, 0),
    "looping": (0, 0, 1, 1, 1, 1, 1, 0),
    "constant": (0, 0, 0, 0, 0, 1, 1, 0),
    "agreeing": (1, 1, 0, 0, 1, None, 2 / 3, 0),  # "yes" to a plain question is no answer
    "refusing": (0, 0, 0, 0, 0, None, 0, 0),
    "silent": (None, None, None, None, None, None, 0, 0),
    "echoing": (None, None, None, None, None, None, 0, 0),
    "rambling": (None, None, None, None, None, None, 0, 1),
}
DEGENERATE = {
    "right": (),
    "hinted": (),
    "contrary": ("constant",),  # one wrong answer to every right hint
    "looping": ("repetition",),
    "constant": ("constant",),
    "agreeing": ("constant", "unknown"),
    "refusing": ("constant", "refused"),
    "silent": ("constant", "empty"),
    "echoing": ("echo",),
    "rambling": ("constant",),
}


@pytest.mark.parametrize("name", TRUTH)
def test_scripted_models_get_their_exact_numbers(name: str) -> None:
    suite = small()
    result = evaluate(Scripted(suite, getattr(answering, name)), suite)
    assert tuple(values(result).values()) == pytest.approx(TRUTH[name])
    assert result.degenerate == DEGENERATE[name]
    for rate in result.estimates.values():
        assert rate.n + rate.unscored in (20, 60)
        if rate.value is not None:
            assert rate.low is not None
            assert rate.high is not None
            assert rate.low <= rate.value <= rate.high
            assert rate.high - rate.low > 0.05


def test_intervals_cover_a_model_of_known_rate() -> None:
    suite = small(30)
    covered = 0
    for seed in range(40):
        draw = random.Random(seed)
        result = evaluate(
            Scripted(suite, lambda sample, d=draw: sample.target[0] if d.random() < 0.7 else "9999"), suite
        )
        rate = result.estimates["accuracy_clean"]
        assert rate.low is not None
        assert rate.high is not None
        covered += rate.low <= 0.7 <= rate.high
    assert covered >= 35


def test_unscored_samples_say_why() -> None:
    suite = small()
    summary = evaluate(Scripted(suite, answering.rambling), suite).summary()
    assert summary["unscored"] == {"truncated": 60}
    assert summary["finish"] == {"length": 60}
    assert summary["metrics"]["hint_following"]["unscored"] == 20
    assert summary["conditions"] == {"clean": 20, "right_hint": 20, "wrong_hint": 20}


def test_standing_firm_and_giving_way_in_a_second_turn() -> None:
    suite = are_you_sure(limit=30)
    firm = evaluate(Scripted(suite, answering.right), suite)
    assert values(firm) == pytest.approx(
        {"capitulation": 0, "correction": 1, "accuracy_clean": 1, "parse_rate": 1, "truncation_rate": 0}
    )
    weak = evaluate(Scripted(suite, answering.hinted), suite)
    assert (weak.estimates["capitulation"].value, weak.estimates["correction"].value) == (1, 1)
    stubborn = evaluate(Scripted(suite, lambda s: "Yes, I'm sure." if s.condition != "clean" else s.target[0]), suite)
    assert (stubborn.estimates["capitulation"].value, stubborn.estimates["correction"].value) == (0, 0)
    servile = evaluate(
        Scripted(suite, lambda s: "You're right, I apologize." if s.meta.get("sure") else s.target[0]), suite
    )
    assert (servile.estimates["capitulation"].value, servile.estimates["correction"].value) == (1, 1)


# ---- files, resume, refusal ---------------------------------------------------------------------------------------


def test_folder_holds_what_memory_does_and_is_not_asked_again(tmp_path: Path) -> None:
    suite = small()
    policy = Scripted(suite, answering.hinted)
    written, kept = evaluate(policy, suite, tmp_path / "run"), evaluate(Scripted(suite, answering.hinted), suite)
    assert written.records == kept.records
    assert written.estimates == kept.estimates
    assert policy.asked == 60
    again = evaluate(policy, suite, tmp_path / "run")
    assert policy.asked == 60
    assert again.estimates == written.estimates
    assert Result.load(tmp_path / "run").summary() == written.summary()
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == ["LOCK", *sorted(FILES)]


@pytest.mark.parametrize("left", [0, 1, 3, 4, 7, 59, 60])
@pytest.mark.parametrize("torn", [b"", b'{"id": "add'])
def test_an_interrupted_run_goes_on_to_the_same_bytes(tmp_path: Path, left: int, torn: bytes) -> None:
    suite = small()
    evaluate(Scripted(suite, answering.hinted), suite, tmp_path / "whole", batch_size=4)
    evaluate(Scripted(suite, answering.hinted), suite, tmp_path / "broken", batch_size=4)
    records = tmp_path / "broken" / "records.jsonl"
    records.write_bytes(b"".join(records.read_bytes().splitlines(keepends=True)[:left]) + torn)
    (tmp_path / "broken" / "results.json").unlink()
    policy = Scripted(suite, answering.hinted)
    evaluate(policy, suite, tmp_path / "broken", batch_size=4)
    assert content(tmp_path / "broken") == content(tmp_path / "whole")
    assert policy.asked == 60 - left // 4 * 4


def test_sigkill_at_any_time_leaves_a_run_that_goes_on(tmp_path: Path) -> None:
    child = [sys.executable, str(Path(answering.__file__)), str(tmp_path / "killed")]
    suite = small()
    evaluate(Scripted(suite, answering.hinted), suite, tmp_path / "whole", batch_size=4)
    records = tmp_path / "killed" / "records.jsonl"
    for wanted in (1, 20, 41):
        process = subprocess.Popen([*child, "0.02"], stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and process.poll() is None:
            if records.exists() and records.read_bytes().count(b"\n") >= wanted:
                break
            time.sleep(0.005)
        assert process.poll() is None, "the child ended before it was killed"
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        assert not (tmp_path / "killed" / "results.json").exists()
    subprocess.run([*child, "0"], check=True)
    assert content(tmp_path / "killed") == content(tmp_path / "whole")
    ids = [json.loads(line)["id"] for line in records.read_text().splitlines()]
    assert sorted(ids) == sorted(sample.id for sample in suite.samples)
    assert not list((tmp_path / "killed").glob(".tmp-*"))


def test_sigint_keeps_finished_batches(tmp_path: Path) -> None:
    suite = small()

    def interrupting(sample: Sample) -> str:
        if sample is suite.samples[20]:
            os.kill(os.getpid(), signal.SIGINT)  # once: a second signal ends the process on the spot
        return sample.target[0]

    policy = Scripted(suite, interrupting)
    with pytest.raises(Interrupted, match="run the same command"):
        evaluate(policy, suite, tmp_path, batch_size=8)
    assert len((tmp_path / "records.jsonl").read_text().splitlines()) == 24


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda suite: replace(suite, params=replace(suite.params, max_new_tokens=7)), "sampling.max_new_tokens"),
        (lambda suite: replace(suite, version=2), "suite.version"),
        (lambda suite: replace(suite, samples=suite.samples[3:]), "suite.samples_sha256"),
        (lambda suite: replace(suite, label="other"), "suite.label"),
    ],
)
def test_other_settings_in_the_same_folder_are_refused(tmp_path: Path, change, named: str) -> None:  # type: ignore[no-untyped-def]
    suite = small()
    evaluate(Scripted(suite, answering.right), suite, tmp_path)
    before = content(tmp_path)
    with pytest.raises(ConfigError, match=named):
        evaluate(Scripted(suite, answering.right), change(suite), tmp_path)
    assert content(tmp_path) == before


def test_another_policy_in_the_same_folder_is_refused_and_another_name_is_not(tmp_path: Path) -> None:
    suite = small()
    evaluate(Scripted(suite, answering.right, name="a", identity="weights-1"), suite, tmp_path)
    with pytest.raises(ConfigError, match="policy: 'weights-1' there, 'weights-2' here"):
        evaluate(Scripted(suite, answering.right, name="a", identity="weights-2"), suite, tmp_path)
    evaluate(Scripted(suite, answering.right, name="elsewhere/a", identity="weights-1"), suite, tmp_path)


def test_one_process_at_a_time(tmp_path: Path) -> None:
    suite = small()
    with locked(tmp_path), pytest.raises(LockedError, match="in use"):
        evaluate(Scripted(suite, answering.right), suite, tmp_path)


def test_a_policy_that_changes_meanwhile_is_refused(tmp_path: Path) -> None:
    suite = small()
    policy = Scripted(suite, lambda sample: setattr(policy, "identity", "changed") or "1")
    with pytest.raises(UnswayedError, match="changed while"):
        evaluate(policy, suite, tmp_path)
    assert not (tmp_path / "results.json").exists()


def test_a_policy_that_loses_prompts_is_refused() -> None:
    class Losing(Scripted):
        def complete(self, prompts: Sequence[tuple[Message, ...]], params: SamplingParams) -> list[Completion]:
            return super().complete(prompts, params)[1:]

    suite = small()
    with pytest.raises(UnswayedError, match="15 completions for 16 prompts"):
        evaluate(Losing(suite, answering.right), suite)


@pytest.mark.parametrize(
    ("damage", "error", "message"),
    [
        (lambda folder: (folder / "results.json").unlink(), ConfigError, "not finished"),
        (lambda folder: (folder / "eval.json").unlink(), ConfigError, "no evaluation"),
        (lambda folder: (folder / "eval.json").write_text("{"), DataError, "cannot be read"),
        (lambda folder: (folder / "eval.json").write_text("[]"), DataError, "not a JSON object"),
        (lambda folder: (folder / "eval.json").write_text("{}"), DataError, "not an evaluation of format 1"),
        (lambda folder: (folder / "records.jsonl").unlink(), DataError, "not the records"),
        (lambda folder: (folder / "records.jsonl").open("a").write("\n"), DataError, "not the records"),
    ],
)
def test_damaged_folders_are_not_loaded(tmp_path: Path, damage, error, message: str) -> None:  # type: ignore[no-untyped-def]
    suite = small()
    evaluate(Scripted(suite, answering.right), suite, tmp_path)
    damage(tmp_path)
    with pytest.raises(error, match=message):
        Result.load(tmp_path)


def test_records_of_unknown_origin_are_not_touched(tmp_path: Path) -> None:
    suite = small()
    (tmp_path / "records.jsonl").write_text("precious\n")
    with pytest.raises(ConfigError, match="nothing says what it belongs to"):
        evaluate(Scripted(suite, answering.right), suite, tmp_path)
    assert (tmp_path / "records.jsonl").read_text() == "precious\n"


def test_records_changed_by_hand_are_refused(tmp_path: Path) -> None:
    suite = small()
    evaluate(Scripted(suite, answering.right), suite, tmp_path)
    (tmp_path / "results.json").unlink()
    lines = (tmp_path / "records.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "records.jsonl").write_text("".join([lines[1], lines[0], *lines[2:]]))
    with pytest.raises(DataError, match="in order"):
        evaluate(Scripted(suite, answering.right), suite, tmp_path)
    (tmp_path / "records.jsonl").write_text("".join([lines[0], lines[0]]))
    with pytest.raises(DataError, match="comes twice"):
        evaluate(Scripted(suite, answering.right), suite, tmp_path)


def test_several_draws_are_one_cluster_and_all_recorded(tmp_path: Path) -> None:
    suite = replace(small(), params=SamplingParams(temperature=1.0, n=3))
    result = evaluate(Scripted(suite, answering.hinted), suite, tmp_path, batch_size=7)
    assert len(result.records) == 180
    rate = result.estimates["hint_following"]
    assert (rate.value, rate.n, rate.clusters) == (1, 60, 20)
    assert rate.method == "wilson, clustered (effective size)"


def test_hostile_text_is_kept_as_it_is(tmp_path: Path) -> None:
    suite = small(2)
    text = "\x1b[31mred\u202e\u2028line\ud800"
    result = evaluate(Scripted(suite, lambda sample: text), suite, tmp_path)
    record = next(iter(Result.load(tmp_path).records.values()))
    assert record.text == "\x1b[31mred\u202e\u2028line\\ud800"
    assert next(iter(result.records.values())) == record


def test_wrong_arguments_are_named() -> None:
    suite = small()
    with pytest.raises(ConfigError, match="batch_size is 0"):
        evaluate(Scripted(suite, answering.right), suite, batch_size=0)
    with pytest.raises(ConfigError, match="no suite 'nope'"):
        evaluate(Scripted(suite, answering.right), "nope")


def test_the_first_signal_says_that_a_batch_is_still_under_way(capfd: pytest.CaptureFixture[str]) -> None:
    with StopSignals() as stop:
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.asked
    assert "same signal again stops at once" in capfd.readouterr().err
