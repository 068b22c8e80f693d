"""Log messages and progress on stderr: plain lines, terminals, processes, levels."""

import logging
import os
import subprocess
import sys
from typing import Any

import pytest

from unswayed.core import progress
from unswayed.core.log import LOGGER, show_logs
from unswayed.core.progress import Progress, working

HOSTILE = "[bold]x[/bold] \x1b[31m\u202e " + "/long/path" * 30
SHOWN = r"[bold]x[/bold] \x1b[31m\u202e " + "/long/path" * 30


@pytest.fixture
def shown(capsys: pytest.CaptureFixture[str]) -> Any:
    """Messages of this package are printed; returns what reads them."""
    yield lambda: capsys.readouterr().err
    LOGGER.handlers.clear()
    LOGGER.propagate = True
    LOGGER.setLevel(logging.NOTSET)


def test_messages_are_plain_lines_without_a_terminal(shown: Any) -> None:
    show_logs()
    show_logs()  # the same handler, not a second one
    log = logging.getLogger("unswayed.anything")
    log.debug("unseen")
    log.info(HOSTILE)
    log.warning("odd: %s", 100)
    assert shown() == f"{SHOWN}\nwarning: odd: 100\n"


@pytest.mark.parametrize(("level", "lines"), [(logging.WARNING, "warning: b\n"), (logging.DEBUG, "d\ni\nwarning: b\n")])
def test_levels(shown: Any, level: int, lines: str) -> None:
    show_logs(level)
    log = logging.getLogger("unswayed.anything")
    log.debug("d")
    log.info("i")
    log.warning("b")
    assert shown() == lines


def test_a_process_that_is_not_the_main_one_says_which_it_is(shown: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    show_logs()
    monkeypatch.setenv("WORLD_SIZE", "4")
    for rank in ("0", "3"):
        monkeypatch.setenv("RANK", rank)
        logging.getLogger("unswayed.anything").info("here")
    assert shown() == "here\nprocess 3: here\n"


def _on_a_terminal(program: str) -> str:
    """Run a program whose stderr is a terminal; return what it wrote there."""
    master, terminal = os.openpty()
    child = subprocess.Popen([sys.executable, "-c", program], stderr=terminal, env={**os.environ, "TERM": "xterm"})
    os.close(terminal)
    written = b""
    while True:
        try:
            part = os.read(master, 1 << 16)
        except OSError:  # the other end was closed
            break
        if not part:
            break
        written += part
    os.close(master)
    assert child.wait() == 0
    return written.decode()


def test_a_terminal_gets_colour_and_no_markup_or_escapes_of_others() -> None:
    program = "import logging, unswayed.core.log as log; log.show_logs()\n"
    program += f"logging.getLogger('unswayed.x').warning({HOSTILE!r})"
    assert _on_a_terminal(program) == f"\x1b[33mwarning: {SHOWN}\x1b[0m\r\n"


def test_a_bar_on_a_terminal_leaves_messages_whole() -> None:
    written = _on_a_terminal(
        "import logging, unswayed.core.log as log\n"
        "from unswayed.core.progress import Progress\n"
        "log.show_logs()\n"
        "with Progress('work [b]', 3) as bar:\n"
        "    bar.update(2, 'loss 0.500')\n"
        "    logging.getLogger('unswayed.x').info('between')\n"
        "    print('a result')\n"
    )
    assert "between\r\n" in written
    assert "work [b]" in written
    assert "2 of 3, loss 0.500" in written
    assert "a result" not in written  # stdout stays stdout


def test_python_decides_itself_what_it_shows() -> None:
    program = (
        "import sys, logging, unswayed; unswayed.Recipe; log = logging.getLogger('unswayed.x'); log.info('i'); "
        "log.warning('w'); assert not logging.getLogger('unswayed').handlers; assert 'rich' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "w\n")


# ---- progress


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(progress.time, "monotonic", made)
    return made


def test_a_line_every_half_minute_without_a_terminal(capsys: pytest.CaptureFixture[str], clock: Clock) -> None:
    with Progress("run", 1000, 100) as bar:
        for step in range(101, 131):
            clock.now += 4
            bar.update(step, "loss 0.250")
    assert capsys.readouterr().err.splitlines() == [
        "run: 101 of 1000, loss 0.250, 4.0 s each, 0:59:56 left",
        "run: 109 of 1000, loss 0.250, 4.0 s each, 0:59:24 left",
        "run: 117 of 1000, loss 0.250, 4.0 s each, 0:58:52 left",
        "run: 125 of 1000, loss 0.250, 4.0 s each, 0:58:20 left",
    ]


def test_bytes_and_quick_work(capsys: pytest.CaptureFixture[str], clock: Clock) -> None:
    with Progress("file\x1b", 93_000_000, in_bytes=True) as bar:
        bar.update(0)
        clock.now += 30
        bar.update(60_000_000)
        clock.now += 30
        bar.update(120_000_000)  # more than was announced
    with Progress("suite", 54) as bar:
        clock.now += 2
        bar.update(16)
    with Progress("silent", 2, shown=False) as bar:
        bar.update(1)
    assert capsys.readouterr().err.splitlines() == [
        r"file\x1b: 0 B of 93 MB",
        r"file\x1b: 60 MB of 93 MB, 2.0 MB/s, 0:00:16 left",
        r"file\x1b: 93 MB of 93 MB, 1.6 MB/s, 0:00:00 left",
        "suite: 16 of 54, 8.0/s, 0:00:05 left",
    ]


def test_work_of_unknown_length_is_a_message_without_a_terminal(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "unswayed")
    with working("converting"):
        assert caplog.messages == ["converting"]
