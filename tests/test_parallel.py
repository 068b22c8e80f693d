"""How rows are shared out and put together again, and what the environment of a launcher may say."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unswayed.core.errors import ConfigError, NotFiniteError, UnswayedError
from unswayed.core.launcher import is_main, refuse_several, world_size
from unswayed.core.signals import StopSignals
from unswayed.training.distributed import LostProcess, Processes, World, join, share, should_report, together

LAUNCHED = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")


@pytest.fixture
def launcher(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """An environment without a launcher, and processes that have not been connected."""
    for name in LAUNCHED:
        monkeypatch.delenv(name, raising=False)
    join.cache_clear()
    yield monkeypatch
    join.cache_clear()


@settings(deadline=None)
@given(st.lists(st.integers(1, 99), max_size=40), st.integers(1, 7))
def test_every_row_goes_to_one_process_and_shares_are_alike(lengths: list[int], size: int) -> None:
    shares = share(lengths, size)
    assert sorted(place for hand in shares for place in hand) == list(range(len(lengths)))
    assert all(hand == sorted(hand) for hand in shares)
    counts = [len(hand) for hand in shares]
    assert max(counts) - min(counts) <= 1
    loads = [sum(lengths[place] for place in hand) for hand in shares]
    assert max(loads) - min(loads) <= 2 * max(lengths, default=0)


def test_the_longest_rows_are_dealt_forth_and_back() -> None:
    assert share([10, 20, 30, 40, 50], 2) == [[0, 1, 4], [2, 3]]
    assert share([7, 7, 7], 1) == [[0, 1, 2]]
    assert share([7], 3) == [[0], [], []]


@settings(deadline=None)
@given(st.lists(st.integers(1, 99), max_size=20), st.integers(1, 5), st.integers(1, 3))
def test_what_is_shared_comes_together_in_its_order(lengths: list[int], size: int, each: int) -> None:
    shares = share(lengths, size)
    parts = [[(place, k) for place in hand for k in range(each)] for hand in shares]
    assert together(shares, parts) == [(place, k) for place in range(len(lengths)) for k in range(each)]
    assert together(shares, [[] for _ in shares]) == []


def test_without_a_launcher_there_is_one_process(launcher: pytest.MonkeyPatch) -> None:
    launcher.setenv("RANK", "3")  # means nothing alone
    world = join()
    assert type(world) is World
    assert (world.rank, world.size, world.is_main) == (0, 1, True)
    assert is_main()
    refuse_several("unswayed eval")
    calls: list[int] = []
    assert world.gather(lambda: 1) == [1]
    assert [world.sync(lambda: 2), world.on_main(lambda: 3), world.main_first(lambda: 4)] == [2, 3, 4]
    assert world.any(True) is True
    assert world.device("cuda:1") == "cuda:1"
    world.same("anything", lambda: pytest.fail("nobody to compare with"))
    world.add_gradients(calls.append(1) or () for _ in range(3))  # type: ignore[func-returns-value,misc]
    assert calls == [], "one process does not even look at its gradients"
    with pytest.raises(NotFiniteError):
        world.sync(_not_finite)


def _not_finite() -> None:
    raise NotFiniteError("nan")


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"WORLD_SIZE": "2"}, "RANK, MASTER_ADDR, MASTER_PORT is not set"),
        ({"WORLD_SIZE": "2", "RANK": "2", "MASTER_ADDR": "x", "MASTER_PORT": "1"}, "RANK is 2"),
        ({"WORLD_SIZE": "two"}, "WORLD_SIZE is 'two', not a number"),
    ],
)
def test_an_environment_that_makes_no_sense_is_refused(
    launcher: pytest.MonkeyPatch, environment: dict[str, str], message: str
) -> None:
    for name, value in environment.items():
        launcher.setenv(name, value)
    with pytest.raises(ConfigError, match=message):
        join()


def test_one_process_reports_an_error_of_all(launcher: pytest.MonkeyPatch) -> None:
    def reports(rank: int, local: int, error: UnswayedError) -> bool:
        launcher.setenv("WORLD_SIZE", "4")
        launcher.setenv("RANK", str(rank))
        launcher.setenv("LOCAL_RANK", str(local))
        return should_report(error)

    error, lost = ConfigError("x"), LostProcess("y")
    assert [reports(rank, rank % 2, error) for rank in range(4)] == [
        True,
        False,
        True,
        False,
    ]  # not connected: each machine
    assert [reports(rank, rank % 2, lost) for rank in range(4)] == [True] * 4
    launcher.delenv("WORLD_SIZE")
    join()
    assert [reports(rank, rank % 2, error) for rank in range(4)] == [True, False, False, False]
    assert issubclass(LostProcess, UnswayedError)
    assert LostProcess.exit_code == 1


class Received(Processes):
    """Process 1 of 3, whose others send what the test says."""

    def __init__(self, *others: object) -> None:
        super().__init__(1, 3, 1, None)
        self.others = others

    def _exchange(self, sent: object) -> list[object]:
        return [self.others[0], sent, self.others[1]]


def test_a_failure_elsewhere_is_the_same_failure_here() -> None:
    fine, failed = {"value": 7}, {"error": "NotFiniteError", "message": "step 2"}
    assert Received(fine, fine).gather(lambda: 5) == [7, 5, 7]
    assert Received(fine, fine).on_main(lambda: pytest.fail("process 0 does it")) == 7
    with pytest.raises(NotFiniteError, match="process 2: step 2"):
        Received(fine, failed).sync(lambda: 5)
    with pytest.raises(ZeroDivisionError):
        Received(fine, failed).gather(lambda: 1 // 0)
    with pytest.raises(NotFiniteError, match="process 0"):
        Received(failed, fine).gather(lambda: 1 // 0)
    for name in ("KeyError", "annotations", "Sequence"):
        with pytest.raises(UnswayedError, match=f"process 0: {name}: no") as caught:
            Received({"error": name, "message": "no"}, fine).gather(lambda: 5)
        assert type(caught.value) is UnswayedError
    with pytest.raises(ConfigError, match="the pairs of process 1 is not that of process 0"):
        Received({"value": "a"}, {"value": "a"}).same("the pairs", lambda: "b")


def test_each_process_takes_a_gpu_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch")
    taken: list[int] = []

    def machine(gpus: int) -> None:
        monkeypatch.setattr(torch.cuda, "is_available", lambda: gpus > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
        monkeypatch.setattr(torch.cuda, "set_device", taken.append)
        monkeypatch.setattr(torch.cuda, "get_device_properties", lambda index: SimpleNamespace(uuid=f"gpu {index}"))

    def others(*places: str) -> Received:
        return Received(*({"value": ("cuda:0", place)} for place in places))

    machine(3)
    assert [others("a", "b").device(name) for name in ("auto", "cuda", "cpu")] == ["cuda:1", "cuda:1", "cpu"]
    assert taken == [1, 1]
    with pytest.raises(ConfigError, match="one GPU for 3 processes"):
        others("a", "b").device("cuda:1")
    machine(1)  # the launcher shows each process its own GPU
    assert others("a", "b").device("auto") == "cuda:0"
    with pytest.raises(ConfigError, match="would compute on the same GPU"):
        others(f"{socket.gethostname()} gpu 0", "b").device("auto")
    machine(2)
    late = others("a", "b")
    late.local_rank = 2
    with pytest.raises(ConfigError, match="number 2 on its machine, which has 2 GPUs"):
        late.device("cuda")
    machine(0)
    assert others("process 0", "process 2").device("auto") == "auto"


def test_of_several_a_signal_that_comes_again_at_once_is_the_same(launcher: pytest.MonkeyPatch) -> None:
    gone: list[int] = []
    launcher.setattr("os._exit", gone.append)
    for size, expected in (("1", [75]), ("2", [])):
        launcher.setenv("WORLD_SIZE", size)
        gone.clear()
        with StopSignals() as stop:
            signal.raise_signal(signal.SIGTERM)
            assert stop.asked
            signal.raise_signal(signal.SIGINT)
        assert gone == expected
    with StopSignals() as stop:
        signal.raise_signal(signal.SIGTERM)
        assert stop._first is not None
        stop._first -= 6
        signal.raise_signal(signal.SIGTERM)
    assert gone == [75]


@pytest.mark.parametrize("command", ["label", "eval", "demo"])
def test_other_commands_refuse_to_be_one_of_several(launcher: pytest.MonkeyPatch, command: str) -> None:
    launcher.setenv("WORLD_SIZE", "2")
    done = subprocess.run([sys.executable, "-m", "unswayed", command], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert f"unswayed {command} works in one process, and WORLD_SIZE says that 2 were started" in done.stderr
    assert world_size() == 2
