"""Suites that are looked at during training: they move nothing, and an interruption changes nothing they say."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import harness
import pytest

import runs
from unswayed.config.recipe import Recipe
from unswayed.core.errors import ConfigError, Interrupted, OutOfMemoryError
from unswayed.core.types import Completion, Message, Sample, SamplingParams
from unswayed.engine.policy import EnginePolicy
from unswayed.evals import suite as base
from unswayed.evals.probe import is_probe, probe_suite
from unswayed.evals.suite import Suite
from unswayed.training import checkpoint
from unswayed.training import probes as monitor
from unswayed.training.loop import train
from unswayed.training.probes import Monitor, Probe, probes_of, summary_lines
from unswayed.training.trackers import Trackers

GROUPS = [f"g{i}" for i in range(40)]


def toy(*, limit: int | None = None, seed: int = 0) -> Suite:
    """Questions a tiny model answers with noise; drawn at temperature 1, so that a shared state would show."""
    samples = tuple(
        Sample(group, (Message("user", f"what is {group}?"),), group, "clean", ("it",)) for group in GROUPS[:limit]
    )
    params = SamplingParams(max_new_tokens=4, n=2, seed=seed)
    return Suite("toy/words", 1, samples, ("accuracy_clean",), params=params)


@pytest.fixture(autouse=True)
def toy_suite(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(base.REGISTRY, "toy/words", toy)


def recipe(tmp_path: Path, folder: Path, name: str = "run", **changes: Any) -> Recipe:
    probes = [{"suite": "toy/words", "limit": 3, "every_steps": 2}]
    return runs.recipe(tmp_path, folder, name=name, **{"eval": probes, **changes})


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (path / "probes.jsonl").read_text().splitlines()]


def remains(path: Path, *without: str) -> dict[str, str]:
    """What a run left, but for its own name."""
    found = harness.remains(path)
    return {
        name: digest for name, digest in found.items() if name not in {"recipe.json", "adapter/README.md", *without}
    }


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory, tiny_model_dir: Path) -> Iterator[Path]:
    """A run that looked before its first step, after its second and after its last, and was never interrupted."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(base.REGISTRY, "toy/words", toy)
        yield train(recipe(tmp_path_factory.mktemp("watched"), tiny_model_dir, "whole")).path


def test_each_look_is_a_line_that_says_what_it_is(watched: Path) -> None:
    seen = rows(watched)
    assert [row["step"] for row in seen] == [0, 2, 3]
    for row in seen:
        assert row["suite"] == "toy/words"
        assert (row["part"], row["purpose"]) == ("probe", "monitoring, not evidence")
        entry = row["metrics"]["accuracy_clean"]
        assert entry["n"] + entry["unscored"] == 6
        assert entry["clusters"] <= 3
    asked = probe_suite("toy/words", 3, seed=0)
    assert all(is_probe(sample.group) for sample in asked.samples)
    assert {row["key"] for row in seen} == {asked.key}


def test_looking_moves_nothing_in_training(tmp_path: Path, tiny_model_dir: Path, watched: Path) -> None:
    blind = train(recipe(tmp_path, tiny_model_dir, "whole", eval=[]))
    assert not (blind.path / "probes.jsonl").exists()
    assert blind.probes() == []
    assert remains(blind.path) == remains(watched, "probes.jsonl")


def test_a_signal_during_a_look_saves_the_step_and_resumes_to_the_same_bytes(
    tmp_path: Path, tiny_model_dir: Path, watched: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = EnginePolicy.complete
    for step in (0, 2, 3):
        mine = recipe(tmp_path / str(step), tiny_model_dir, "whole")

        def complete(
            self: EnginePolicy, prompts: Sequence[tuple[Message, ...]], params: SamplingParams, at: int = step
        ) -> list[Completion]:
            if self.sampler.policy.version == at:
                os.kill(os.getpid(), signal.SIGTERM)
            return real(self, prompts, params)

        with monkeypatch.context() as patch:
            patch.setattr(EnginePolicy, "complete", complete)
            patch.setattr(monitor, "BATCH", 2)  # three questions: the signal is seen before the second batch
            with pytest.raises(Interrupted):
                train(mine)
        assert [checkpoint.step_of(path) for path in checkpoint.list_checkpoints(mine.run_dir)][-1:] == [step][
            : step > 0
        ]
        assert step not in {row["step"] for row in (rows(mine.run_dir) if step else [])}
        train(mine, resume=True)
        assert remains(mine.run_dir) == remains(watched)


def test_a_kill_between_a_look_and_its_checkpoint_repeats_the_look(
    tmp_path: Path, tiny_model_dir: Path, watched: Path
) -> None:
    mine = recipe(tmp_path, tiny_model_dir, "whole", save={"every_steps": 20})
    real = checkpoint.save

    def program() -> None:
        def save(*args: Any) -> None:
            os.kill(os.getpid(), signal.SIGKILL)

        checkpoint.save = save  # type: ignore[assignment]
        train(mine)

    try:
        assert harness.child(program) == -signal.SIGKILL
    finally:
        checkpoint.save = real
    assert [row["step"] for row in rows(mine.run_dir)] == [0, 2, 3]
    with open(mine.run_dir / "probes.jsonl", "a") as file:
        file.write('{"step": 4, "torn')
    train(mine, resume=True)
    assert (mine.run_dir / "probes.jsonl").read_bytes() == (watched / "probes.jsonl").read_bytes()


def test_what_cannot_be_asked_is_refused_before_weights_are_loaded(
    tmp_path: Path, tiny_model_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("unswayed.training.loop.load_engine", lambda *_: pytest.fail("weights were loaded"))
    with pytest.raises(ConfigError, match="no suite 'toy/absent'"):
        train(recipe(tmp_path, tiny_model_dir, eval=[{"suite": "toy/absent"}]))


def test_trackers_hear_the_values_under_a_name_of_their_own(
    tmp_path: Path, tiny_model_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[dict[str, Any]] = []
    monkeypatch.setattr(Trackers, "log", lambda self, row: heard.append(dict(row)))
    run = train(recipe(tmp_path, tiny_model_dir, eval=[{"suite": "toy/words", "limit": 2}], train={"steps": 1}))
    looks = [row for row in heard if any(key.startswith("probe/") for key in row)]
    assert [row["step"] for row in looks] == [0, 1]
    assert set(looks[0]) - {"step", "seconds"} <= {f"probe/toy/words/{name}" for name in run.probes()[0]["metrics"]}


# The monitor alone


class Asked:
    """Answers rightly; memory holds so many prompts at once."""

    name = identity = "asked"

    def __init__(self, room: int) -> None:
        self.room = room
        self.sizes: list[int] = []

    def complete(self, prompts: Sequence[tuple[Message, ...]], params: SamplingParams) -> list[Completion]:
        self.sizes.append(len(prompts))
        if len(prompts) > self.room:
            raise OutOfMemoryError("no room")
        return [Completion("it", "stop", 2, 3) for _ in prompts for _ in range(params.n)]


def watch(tmp_path: Path, policy: Asked, steps: int = 5, every: int | None = 2) -> Monitor:
    probe = Probe(probe_suite("toy/words"), every)
    return Monitor([probe], policy, tmp_path, steps, lambda _: None)


def test_a_look_takes_fewer_prompts_at_once_where_memory_runs_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    policy = Asked(room=2)
    look = watch(tmp_path, policy)
    look.look(2)
    assert policy.sizes[:3] == [min(16, len(probe_suite("toy/words").samples)), *policy.sizes[1:3]]
    assert max(policy.sizes[-2:]) <= 2
    assert rows(tmp_path)[0]["metrics"]["accuracy_clean"]["value"] == 1.0
    assert not caplog.messages
    look.look(2)
    assert len(rows(tmp_path)) == 1, "a look that was taken is not taken again"


def test_a_look_that_memory_does_not_allow_is_left_out_and_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    look = watch(tmp_path, Asked(room=0))
    look.look(0)
    assert [row["skipped"] for row in rows(tmp_path)] == ["out of memory"]
    assert "memory ran out with one prompt" in caplog.messages[0]
    assert look.missing(0) == []
    assert summary_lines(rows(tmp_path)) == []


def test_when_a_look_is_due() -> None:
    probe = Probe(toy(), 2)
    assert [step for step in range(6) if probe.due(step, 5)] == [0, 2, 4, 5]
    assert [step for step in range(6) if Probe(toy(), None).due(step, 5)] == [0, 5]


def test_the_summary_says_that_it_is_no_evidence(tmp_path: Path) -> None:
    policy = Asked(room=99)
    look = watch(tmp_path, policy)
    for step in range(6):
        look.look(step)
    head, line = summary_lines(rows(tmp_path))
    assert "monitoring, not evidence" in head
    n = 2 * len(probe_suite("toy/words").samples)
    assert line == (
        f"  toy/words accuracy_clean (higher is better): 100.0% at step 0, 100.0% at step 5; n {n}, unscored 0"
    )


def test_no_probes_ask_nothing(tmp_path: Path, tiny_model_dir: Path) -> None:
    assert probes_of(recipe(tmp_path, tiny_model_dir, eval=[])) == ()


def test_a_recipe_gives_arguments_to_the_suite_and_every_line_says_so(tmp_path: Path, tiny_model_dir: Path) -> None:
    entry = {"suite": "sycophancy/suggested_answer", "args": {"topics": "food"}, "limit": 2}
    (probe,) = probes_of(recipe(tmp_path, tiny_model_dir, eval=[entry]))
    assert {sample.meta["topic"] for sample in probe.suite.samples} == {"food"}
    heard: list[Any] = []
    look = Monitor([probe], Asked(room=99), tmp_path, 1, heard.append)
    look.look(0)
    (row,) = rows(tmp_path)
    assert row["args"] == {"topics": "food"}
    assert any(key.startswith("probe/sycophancy/suggested_answer topics=food/") for key in heard[0])
    assert any("sycophancy/suggested_answer topics=food hint_following" in line for line in summary_lines([row]))
    wrong = recipe(tmp_path, tiny_model_dir, eval=[{**entry, "args": {"colour": "red"}}])
    with pytest.raises(ConfigError, match="has no argument 'colour'"):
        probes_of(wrong)
