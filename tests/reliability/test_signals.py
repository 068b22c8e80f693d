"""Real signals and broken terminals: what was asked to stop saves and ends with 75, and nothing else ends the work."""

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import harness
import pytest

import runs
from unswayed.core import progress
from unswayed.core.signals import stop_signals
from unswayed.core.types import Completion, Message, SamplingParams
from unswayed.engine.policy import Policy
from unswayed.training import checkpoint, loop
from unswayed.training.loop import Run, train

SUITES = ("sycophancy/suggested_answer", "sycophancy/are_you_sure")


@pytest.fixture(autouse=True)
def _nothing_is_asked() -> Iterator[None]:
    yield
    stop_signals.asked = False


def _stopped_in_a_suite(times: int = 1, number: int = signal.SIGTERM) -> None:
    """Send this process a signal whenever it answers the prompts of a suite, so often at most."""
    real, left = Policy.complete, [number] * times

    def complete(self: Policy, prompts: Sequence[tuple[Message, ...]], params: SamplingParams) -> list[Completion]:
        if left:
            os.kill(os.getpid(), left.pop())
        return real(self, prompts, params)

    Policy.complete = complete  # type: ignore[method-assign]


def _after_step(step: int, act: Callable[[], Any]) -> None:
    real = loop.take_step

    def take_step(number: int, *args: Any) -> dict[str, Any]:
        row = real(number, *args)
        if number + 1 == step:
            act()
        return row

    loop.take_step = take_step  # type: ignore[assignment]


def _steps(run: Path) -> list[int]:
    return [checkpoint.step_of(path) for path in checkpoint.list_checkpoints(run)]


def _adapter(run: Path) -> bytes:
    return (run / "adapter" / "adapter_model.safetensors").read_bytes()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, tiny_model_dir: Path) -> Run:
    return train(runs.recipe(tmp_path_factory.mktemp("whole"), tiny_model_dir))


def test_eval_stops_after_the_suite_whose_last_batch_a_signal_interrupted(tmp_path: Path, tiny_model_dir: Path) -> None:
    program = """
        import sys
        import test_signals
        import unswayed.cli.main as cli
        if sys.argv.pop(1) == "stop":
            test_signals._stopped_in_a_suite()
        cli.main()
    """
    arguments = [tiny_model_dir, *SUITES, "--limit", "1", "--batch-size", "64", "--device", "cpu", "-o", tmp_path]
    arguments += ["-T", "max_new_tokens=2"]
    paths = [str(Path(__file__).parent), str(Path(runs.__file__).parent), os.environ.get("PYTHONPATH", "")]

    def call(mode: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", textwrap.dedent(program), mode, "eval", *map(str, arguments)],
            capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        )  # fmt: skip

    stopped = call("stop")
    assert stopped.returncode == 75, stopped.stderr
    assert stopped.stderr.count("stopping once what is under way is done") == 1
    assert "stopped after 0 of" in stopped.stderr
    assert len(list(tmp_path.rglob("results.json"))) == 1
    again = call("go on")
    assert again.returncode == 0, again.stderr
    assert len(list(tmp_path.rglob("results.json"))) == 2


def test_a_signal_in_the_last_batch_of_a_probe_saves_and_stops(tmp_path: Path, tiny_model_dir: Path) -> None:
    recipe = runs.recipe(tmp_path, tiny_model_dir, eval=[{"suite": SUITES[0], "limit": 1}], save={"every_steps": 20})

    def program() -> None:
        _stopped_in_a_suite()
        train(recipe)

    assert harness.child(program) == 75
    assert _steps(recipe.run_dir) == []  # it looked before its first step
    assert [row["step"] for row in runs_probes(recipe.run_dir)] == [0]
    recipe = runs.recipe(
        tmp_path, tiny_model_dir, name="later", save={"every_steps": 20},
        eval=[{"suite": SUITES[0], "limit": 1, "every_steps": 2}],
    )  # fmt: skip

    def later() -> None:
        _after_step(2, _stopped_in_a_suite)
        train(recipe)

    assert harness.child(later) == 75
    assert _steps(recipe.run_dir) == [2]
    assert [row["step"] for row in runs_probes(recipe.run_dir)] == [0, 2]


def runs_probes(path: Path) -> list[dict[str, Any]]:
    from unswayed.core.files import read_jsonl

    return read_jsonl(path / "probes.jsonl")


@pytest.mark.parametrize("times", [1, 2])
def test_a_terminal_that_closes_asks_to_stop(tmp_path: Path, tiny_model_dir: Path, whole: Run, times: int) -> None:
    recipe = runs.recipe(tmp_path, tiny_model_dir, save={"every_steps": 20})

    def program() -> None:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
        _after_step(2, lambda: [os.kill(os.getpid(), signal.SIGHUP) for _ in range(times)])
        train(recipe)

    assert harness.child(program) == 75
    assert _steps(recipe.run_dir) == [2]
    assert _adapter(train(recipe, resume=True).path) == _adapter(whole.path)


@pytest.mark.parametrize("kind", ["closed terminal", "full disk", "broken pipe", "closed file"])
def test_a_bar_that_cannot_be_drawn_ends_nothing(tmp_path: Path, tiny_model_dir: Path, whole: Run, kind: str) -> None:
    recipe = runs.recipe(tmp_path, tiny_model_dir)

    def program() -> None:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as under nohup
        progress.EVERY = 0.0  # a line after every step
        if kind == "closed terminal":
            reader, writer = os.openpty()
        elif kind == "full disk":
            reader, writer = os.dup(0), os.open("/dev/full", os.O_WRONLY)
        else:
            reader, writer = os.pipe()
        sys.stderr = open(writer, "w", buffering=1)  # noqa: SIM115
        _after_step(2, sys.stderr.close if kind == "closed file" else lambda: os.close(reader))
        train(recipe, progress=True)
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN

    assert harness.child(program) == 0
    assert _adapter(recipe.run_dir) == _adapter(whole.path)


def test_the_command_ends_with_its_own_code_where_stderr_is_full(tmp_path: Path) -> None:
    with open("/dev/full", "w") as full:
        command = [sys.executable, "-m", "unswayed", "runs"]
        fine = subprocess.run([*command, "list", str(tmp_path)], stderr=full, check=False)
        wrong = subprocess.run([*command, "verify", str(tmp_path)], stderr=full, check=False)
    assert (fine.returncode, wrong.returncode) == (0, 2)


# ---- the owner alone


def test_a_signal_in_an_inner_scope_is_seen_in_the_outer_one_and_after_it() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
    with stop_signals:
        with stop_signals:
            signal.raise_signal(signal.SIGTERM)
        assert stop_signals.asked
        assert signal.getsignal(signal.SIGTERM) == stop_signals._on_signal
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)] == before
    assert stop_signals.asked, "nobody has stopped for it yet"
    with pytest.raises(KeyError), stop_signals:
        raise KeyError
    assert not stop_signals.asked
