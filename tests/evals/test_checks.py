"""The process that checks answers survives everything that is thrown at it, and says what it could not check."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest

from unswayed.core.errors import ConfigError, UnswayedError
from unswayed.evals.scoring.checks.client import LONGEST, Worker, require


@pytest.fixture(scope="module")
def worker() -> Iterator[Worker]:
    made = Worker(seconds=1.0)
    yield made
    made.close()


def equal(worker: Worker, right: str, given: str) -> object:
    return worker.ask("mathematics", {"right": right, "given": given})


def test_hostile_answers_end_and_the_next_one_is_checked(worker: Worker) -> None:
    for given in ("9^{9^{9^9}}", "(" * 3000 + "5" + ")" * 3000):
        assert equal(worker, "5", given) in (
            {"equal": False},
            {"reason": "checking took too long"},
        ) or "cannot be" in str(equal(worker, "5", given))
        assert equal(worker, r"\frac{1}{2}", "0.5") == {"equal": True}


def test_why_a_check_gave_no_answer_is_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in worker that ends in one way or another as soon as it is asked."""
    real = subprocess.Popen
    for ending, reason in (
        ("os.kill(os.getpid(), signal.SIGKILL)", "memory"),
        ("os.kill(os.getpid(), signal.SIGPROF)", "too long"),
        ("sys.exit(3)", "ended without an answer"),
    ):
        code = f"import os, signal, sys; print('ready', flush=True); sys.stdin.readline(); {ending}"
        with monkeypatch.context() as patch:
            patch.setattr(subprocess, "Popen", lambda argv, code=code, **rest: real([argv[0], "-c", code], **rest))
            made = Worker(seconds=10.0)
            assert reason in str(equal(made, "1", "1.0"))
            made.close()


def test_it_works_off_the_main_thread_and_threads_take_turns(worker: Worker) -> None:
    found: dict[int, object] = {}

    def ask(number: int) -> None:
        found[number] = equal(worker, str(number), f"{2 * number}/2")

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {number: {"equal": True} for number in range(6)}


def test_a_worker_that_was_killed_is_replaced(worker: Worker) -> None:
    assert equal(worker, "1", "1.0") == {"equal": True}
    first = worker._process
    assert first is not None
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    assert equal(worker, "1", "1.0") == {"equal": True}
    assert worker._process is not first


def test_an_interrupt_for_the_run_does_not_reach_it(worker: Worker) -> None:
    assert equal(worker, "1", "1.0") == {"equal": True}
    assert worker._process is not None
    assert os.getpgid(worker._process.pid) != os.getpgid(0)


def test_it_ends_with_its_input() -> None:
    worker = Worker()
    equal(worker, "1", "1.0")
    process = worker._process
    assert process is not None
    assert process.stdin is not None
    process.stdin.close()
    assert process.wait(timeout=20) == 0
    worker._process = None


def test_too_much_text_is_not_sent(worker: Worker) -> None:
    assert equal(worker, "1", "1" * LONGEST) == {"reason": "too long to check"}


def test_a_right_answer_that_is_none_is_said(worker: Worker) -> None:
    assert equal(worker, "", "5") == {"reason": "the right answer cannot be parsed"}


def test_a_check_that_fails_says_so(worker: Worker) -> None:
    assert worker.ask("mathematics", {"right": "1"}) == {"reason": "cannot be checked (KeyError)"}


def test_a_worker_that_cannot_start_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(UnswayedError, match="does not start"):
        Worker().ask("mathematics", {})


def test_a_missing_package_names_the_extra() -> None:
    with pytest.raises(ConfigError, match=r"needs absent-package: pip install 'unswayed\[capability\]'"):
        require("capability/x", {"json": "json", "no_such_module": "absent-package"})
    assert require("capability/x", {"math_verify": "math-verify"})["math-verify"]


def test_processor_time_is_what_counts(worker: Worker) -> None:
    """A worker that waits uses none, however long the run takes between two questions."""
    assert equal(worker, "1", "1.0") == {"equal": True}
    first = worker._process
    time.sleep(1.2)
    assert equal(worker, "1", "1.0") == {"equal": True}
    assert worker._process is first
