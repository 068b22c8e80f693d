"""The command as a user meets it: a process, its two streams and its exit code."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from unswayed import __version__
from unswayed.cli.main import COMMANDS, load
from unswayed.core import errors

HEAVY = (
    "torch",
    "transformers",
    "peft",
    "accelerate",
    "datasets",
    "matplotlib",
    "scipy",
    "statsmodels",
    "pandas",
    "gguf",
)


def run(*arguments: str, stdin: int = subprocess.DEVNULL, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run `python -m unswayed` with the environment this test wants."""
    return subprocess.run(
        [sys.executable, "-m", "unswayed", *arguments],
        capture_output=True,
        text=True,
        stdin=stdin,
        timeout=120,
        check=False,
        env={**os.environ, "COLUMNS": "120", "NO_COLOR": "1", **environment},
    )


def run_with(body: str, *flags: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command line with one command whose body is `body`, in a process of its own."""
    program = textwrap.dedent(
        """
        import sys, types
        import unswayed.cli.main as cli
        module = types.ModuleType("unswayed.cli.doctor")
        exec(sys.argv.pop(1), module.__dict__)
        sys.modules["unswayed.cli.doctor"] = module
        sys.argv = ["unswayed", *sys.argv[1:], "doctor"]
        cli.main()
        """
    )
    function = "def doctor():\n    '''Look around.'''\n" + textwrap.indent(textwrap.dedent(body), "    ")
    return subprocess.run(
        [sys.executable, "-c", program, function, *flags],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**{k: v for k, v in os.environ.items() if k != "UNSWAYED_DEBUG"}, **environment},
    )


def loaded_by(statement: str) -> set[str]:
    """Return the top-level modules a fresh interpreter holds after a statement."""
    program = (
        f"import sys, json\n{statement}\nprint(json.dumps(sorted({{name.split('.')[0] for name in sys.modules}})))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_importing_the_package_loads_nothing_heavy() -> None:
    modules = loaded_by("import unswayed; unswayed.__all__; unswayed.PromptPair; unswayed.Recipe; unswayed.ConfigError")
    assert not modules & {*HEAVY, "rich"}
    assert "unswayed" in modules


def test_help_loads_nothing_heavy_and_names_every_command() -> None:
    statement = (
        "import unswayed.cli.main as cli\n"
        "sys.argv = ['unswayed', '--help']\n"
        "try: cli.main()\n"
        "except SystemExit as end: assert end.code == 0\n"
        "assert not [name for name in sys.modules if name.startswith('unswayed.cli.') and name != 'unswayed.cli.main']"
    )
    assert not loaded_by(statement) & {*HEAVY}
    shown = run("--help").stdout
    for name, line in COMMANDS.items():
        assert name in shown
        assert line.split(",")[0].split(":")[0][:40] in shown


def test_help_is_quick() -> None:
    # Alone it takes a fifth of a second; the bound leaves room for a busy machine and still fails if torch is loaded.
    times = []
    for _ in range(3):
        start = time.perf_counter()
        assert run("--help").returncode == 0
        times.append(time.perf_counter() - start)
    assert min(times) < 1.5


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_the_help_of_a_command_loads_nothing_heavy(name: str) -> None:
    program = (
        "import unswayed.cli.main as cli\n"
        f"sys.argv = ['unswayed', '{name}', '--help']\n"
        "try: cli.main()\n"
        "except SystemExit as end: assert end.code == 0, end.code"
    )
    assert not loaded_by(program) & {"torch", "transformers", "matplotlib", "scipy"}


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_is_what_main_promises(name: str) -> None:
    command = load(name)
    assert command.name == name
    assert command.help
    is_group = hasattr(command, "commands")
    assert is_group == (
        name in {"attack", "audit", "data", "inspect", "judge", "models", "organism", "preflight", "runs", "sweep"}
    )


def test_version() -> None:
    done = run("--version")
    assert (done.returncode, done.stdout) == (0, f"unswayed {__version__}\n")


def test_no_words_shows_the_help_and_is_a_usage_error() -> None:
    done = run()
    assert done.returncode == 2
    assert "demo" in done.stdout + done.stderr


def test_a_typo_is_a_usage_error_with_a_suggestion() -> None:
    done = run("trian")
    assert done.returncode == 2
    assert "Did you mean 'train'" in done.stderr
    assert not done.stdout


def test_an_unknown_option_is_a_usage_error() -> None:
    done = run("runs", "list", "--colour")
    assert done.returncode == 2
    assert "--colour" in done.stderr


@pytest.mark.parametrize(
    "error", [value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, Exception)]
)
def test_our_errors_print_their_message_and_end_with_their_code(error: type[errors.UnswayedError]) -> None:
    done = run_with(f"from unswayed.core import errors\nraise errors.{error.__name__}('what, where, what to do')")
    assert done.returncode == error.exit_code
    prefix = "" if error is errors.Interrupted else "error: "  # a clean stop that was asked for is none
    assert done.stderr == f"{prefix}what, where, what to do\n"
    assert not done.stdout


def test_data_errors_show_their_rows() -> None:
    done = run_with("from unswayed.core.errors import DataError\nraise DataError('2 bad rows', ['a:1: x', 'a:2: y'])")
    assert done.returncode == 3
    assert done.stderr == "error: 2 bad rows\n  a:1: x\n  a:2: y\n"


def test_hostile_text_in_an_error_cannot_reach_the_terminal() -> None:
    done = run_with("from unswayed.core.errors import DataError\nraise DataError('row \\x1b]0;owned\\x07 \\u202e!')")
    assert done.returncode == 3
    assert "\x1b" not in done.stderr
    assert "\u202e" not in done.stderr
    assert r"\x1b]0;owned\x07 \u202e!" in done.stderr


def test_an_unexpected_error_says_where_and_how_to_see_more() -> None:
    done = run_with("from unswayed.core.seeding import seed_at\nseed_at(0, 'x', 'not a number')")
    assert done.returncode == 1
    assert done.stderr.startswith("error: ValueError in unswayed/core/seeding.py:")
    assert "not a number" in done.stderr
    assert "UNSWAYED_DEBUG=1" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(("flags", "environment"), [(["--debug"], {}), ([], {"UNSWAYED_DEBUG": "1"})])
def test_debug_shows_the_traceback_and_keeps_the_code(flags: list[str], environment: dict[str, str]) -> None:
    body = "from unswayed.core.errors import ConfigError\nraise ConfigError('no')"
    done = run_with(body, *flags, **environment)
    assert done.returncode == 2
    assert "Traceback (most recent call last)" in done.stderr
    assert done.stderr.endswith("error: no\n")


@pytest.mark.parametrize(
    ("flags", "lines"), [([], "i\nwarning: w\n"), (["-q"], "warning: w\n"), (["-v"], "d\ni\nwarning: w\n")]
)
def test_quiet_and_verbose_choose_the_messages(flags: list[str], lines: str) -> None:
    body = "import logging\nlog = logging.getLogger('unswayed.x')\nlog.debug('d')\nlog.info('i')\nlog.warning('w')"
    assert run_with(body, *flags).stderr == lines


def test_debug_zero_is_off() -> None:
    assert "Traceback" not in run_with("raise KeyError('x')", UNSWAYED_DEBUG="0").stderr


@pytest.mark.parametrize("name", ["MemoryError", "OutOfMemoryError"])
def test_foreign_out_of_memory_errors_end_with_five(name: str) -> None:
    define = "class OutOfMemoryError(RuntimeError): pass\n"  # as torch's: a RuntimeError that is not ours
    assert run_with(f"{define}raise {name}('2 GiB')").returncode == 5


def test_an_exit_code_of_a_command_is_kept() -> None:
    done = run_with("import typer\nprint('verdict')\nraise typer.Exit(11)")
    assert (done.returncode, done.stdout) == (11, "verdict\n")


def test_interrupt_is_130_without_a_traceback() -> None:
    # A shell starts background jobs with SIGINT ignored, and children inherit that: this one must hear it.
    listen = "signal.signal(signal.SIGINT, signal.default_int_handler)"
    done = run_with(f"import os, signal, time\n{listen}\nos.kill(os.getpid(), signal.SIGINT)\ntime.sleep(30)")
    assert done.returncode == 130
    assert "Traceback" not in done.stderr


def test_a_reader_that_leaves_is_no_error_message() -> None:
    program = "import sys, unswayed.cli.main as cli; sys.argv = ['unswayed', '--version']; cli.main()"
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = subprocess.run(
            [sys.executable, "-c", program],
            stdout=writer,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
            check=False,
        )
    finally:
        os.close(writer)
    assert done.stderr == ""
    assert done.returncode == 1


def test_the_script_and_the_module_are_one_command() -> None:
    script = Path(sys.executable).parent / "unswayed"
    done = subprocess.run([script, "--version"], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == run("--version").stdout
