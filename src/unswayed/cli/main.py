"""The `unswayed` command: which commands there are, and how they end.

A command's module is imported when the command is used, so `unswayed --help` answers at once and loads no torch.
Results go to stdout, everything else to stderr. The exit codes are listed in `unswayed.core.errors`.
"""

from __future__ import annotations

import importlib
import logging
import os
import sys
import traceback
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperCommand, TyperGroup

from unswayed._version import __version__
from unswayed.core.errors import Interrupted, OutOfMemoryError, UnswayedError
from unswayed.core.files import refused
from unswayed.core.launcher import refuse_several
from unswayed.core.log import SAFE_STDERR, show_logs
from unswayed.core.plugins import import_plugin
from unswayed.core.printable import printable, without_passwords
from unswayed.training.distributed import should_report

# Name and one line of help, in the order `--help` shows them. `unswayed.cli.NAME` holds the function NAME, or the
# typer app `app` of a group of commands.
COMMANDS = {
    "demo": "Show the whole idea on a small real model, on a CPU, in minutes.",
    "train": "Train a recipe; --resume goes on after an interruption.",
    "label": "Let a model write the targets that sft trains on; run the same command again to continue.",
    "show": "Show what a recipe trains on: both prompts, the boundary and the loss mask, token by token.",
    "eval": "Measure a model on suites; run the same command again to continue.",
    "suites": "List the suites: what each asks, its data, and whether a judge scores it.",
    "compare": "Compare two evaluations: paired effects with intervals and verdicts.",
    "preflight": "Predict what a training will do to a behaviour, sealed before it and scored after.",
    "audit": "Audit what changed between two models: verdicts, and a bundle that anyone can recompute.",
    "attack": "Attack a model within a stated budget; run the same command again to continue.",
    "score": "Score completions from a file by a named rule, without any model.",
    "rules": "List the scoring rules, their versions and their measured error.",
    "sweep": "Plan, run and read a matrix of organisms, methods and seeds.",
    "judge": "Check a judge, and draw replies for people to label.",
    "inspect": "Write evaluations as logs that Inspect's viewer opens.",
    "organism": "Make, check and adopt model organisms: models with a known fault.",
    "data": "Build, check and look at pairs.",
    "models": "List and fetch models.",
    "runs": "List, verify and prune run folders.",
    "doctor": "Check this machine: versions, accelerator, disk, which keys are set.",
}
DEBUG = "UNSWAYED_DEBUG"
ADVICE = "free space, fix its permissions or name another path, then run the command again"
BROKEN_PIPE = 1
INTERRUPTED = 128 + 2


class LazyGroup(TyperGroup):
    """Knows every command by name and help line, and imports one only when it is used."""

    def __init__(self, **attrs: Any) -> None:
        super().__init__(
            **{**attrs, "commands": {name: TyperCommand(name, help=line) for name, line in COMMANDS.items()}}
        )

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Return the real command for the words of a command line."""
        name, known, rest = super().resolve_command(ctx, args)
        return name, load(name) if name is not None and known is not None else known, rest


def load(name: str) -> Any:
    """Import a command and return it as typer runs it."""
    module = importlib.import_module(f"unswayed.cli.{name}")
    app = getattr(module, "app", None)
    if app is None:
        single = typer.Typer(add_completion=False)
        single.command(name)(getattr(module, name))
        command: Any = typer.main.get_command(single)
    else:
        command = typer.main.get_group(app)
    command.name = name
    command.help = command.help or COMMANDS[name]
    _take_plugins(command)
    return command


def _take_plugins(command: Any) -> None:
    """Give a command, and those below it, the option `--import MODULE`."""
    for below in getattr(command, "commands", {}).values():
        _take_plugins(below)
    if not hasattr(command, "commands"):
        single = typer.Typer(add_completion=False)
        single.command()(_import)
        (option,) = (param for param in typer.main.get_command(single).params if "--import" in param.opts)
        option.expose_value = False
        command.params.append(option)


def _import(
    modules: Annotated[
        list[str] | None,
        typer.Option(
            "--import",
            help="Import a module that adds methods, suites, perturbations, rules, judges or labellers. Repeatable.",
            metavar="MODULE",
            is_eager=True,
            callback=lambda modules: [import_plugin(module) for module in modules or ()],
        ),
    ] = None,
) -> None:
    """Hold the option that every command takes."""


cli = typer.Typer(
    cls=LazyGroup,
    no_args_is_help=True,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},  # commands inherit it
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"unswayed {__version__}")
        raise typer.Exit


@cli.callback()
def _root(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", callback=_version, is_eager=True)
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help=f"Show tracebacks; {DEBUG}=1 does the same.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show warnings and errors only, no progress.")] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Also show each checkpoint and cached file.")
    ] = False,
) -> None:
    """Consistency training of language models: train, measure, and prove what the training did."""
    if context.invoked_subcommand not in {"train", None}:
        refuse_several(f"unswayed {context.invoked_subcommand}")
    if debug:
        os.environ[DEBUG] = "1"  # the environment, so that worker processes see it too
    show_logs(logging.WARNING if quiet else logging.DEBUG if verbose else logging.INFO)


def main() -> NoReturn:
    """Run the command line and exit with one of the documented codes."""
    _settle()
    code = _run()
    for stream, failed in ((sys.stdout, BROKEN_PIPE), (sys.stderr, 0)):
        try:
            stream.flush()
        except OSError as error:
            # Whoever read our output has left, e.g. `| head`, which is no fault. Python flushes once more at exit, into
            # nothing then.
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
            if failed and not isinstance(error, BrokenPipeError):
                print(f"error: stdout cannot be written ({error.strerror})", file=SAFE_STDERR)
            code = code or failed
    sys.exit(code)


def _settle() -> None:
    """Give closed standard streams somewhere to go, and take away a width of the terminal that is none."""
    if not (os.environ.get("COLUMNS", "80").isdecimal() and int(os.environ.get("COLUMNS", "80")) > 0):
        del os.environ["COLUMNS"]
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:  # closed: the next file would get its number, and whatever C code prints there
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115


def _run() -> int:
    try:
        typer.main.get_command(cli).main(prog_name="unswayed")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        return BROKEN_PIPE
    except Exception as error:
        return _report(error)
    return 0


def _report(error: Exception) -> int:
    """Print what went wrong, and return the exit code."""
    if os.environ.get(DEBUG, "0") not in {"", "0"}:
        print(printable("".join(traceback.format_exception(error))), file=SAFE_STDERR)
    if isinstance(error, OSError) and error.errno is not None and not isinstance(error, ConnectionError):
        error = refused(error, str(error.filename or "a file, or the output"), ADVICE, "read or written")
    if isinstance(error, UnswayedError):
        if not should_report(error):
            return error.exit_code
        said = printable(without_passwords(str(error)))
        print(said if isinstance(error, Interrupted) else f"error: {said}", file=SAFE_STDERR)
        return error.exit_code
    print(f"error: {printable(without_passwords(_describe(error)))}", file=SAFE_STDERR)
    # torch's own out-of-memory error is recognised by name: importing torch to ask would be slower than the answer.
    out_of_memory = isinstance(error, MemoryError) or type(error).__name__ == OutOfMemoryError.__name__
    return OutOfMemoryError.exit_code if out_of_memory else UnswayedError.exit_code


def _describe(error: Exception) -> str:
    """Describe an error that nobody raised on purpose: what, where in our code, and how to see more."""
    ours = Path(__file__).resolve().parent.parent
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if Path(frame.filename).is_relative_to(ours)]
    where = f" in {Path(frames[-1].filename).relative_to(ours.parent)}:{frames[-1].lineno}" if frames else ""
    return (
        f"{type(error).__name__}{where}: {error}\n"
        f"This was not expected. Set {DEBUG}=1 and run it again for the traceback."
    )
