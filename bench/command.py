"""What all commands share: options, the head of a result, and how a result is printed, written and drawn."""

from __future__ import annotations

import argparse
import datetime
import json
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from bench import machine
from unswayed.core.errors import UnswayedError
from unswayed.core.files import write_atomic, write_json

RESULTS = Path(__file__).parent / "results"


def positive(text: str) -> int:
    """Read a count."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number} is not 1 or more")
    return number


def parser(name: str, about: str | None, *, model: bool = False) -> argparse.ArgumentParser:
    """Return a parser with the options of every command; `model` adds those of a command that loads weights."""
    made = argparse.ArgumentParser(
        prog=f"python -m bench.{name}", description=about, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    if model:
        made.add_argument("--model", default="smollm2-135m", help="alias, folder, GGUF file or hub id (%(default)s)")
        made.add_argument(
            "--dtype", default="auto", choices=("auto", "float32", "bfloat16"), help="of the weights (%(default)s)"
        )
    made.add_argument("--out", type=Path, metavar="DIR", help="folder of the result (bench/results)")
    made.add_argument("--redraw", action="store_true", help="measure nothing: print and draw the result in --out again")
    return made


def add_threads(made: argparse.ArgumentParser) -> None:
    """Add the option for the threads of every process."""
    made.add_argument(
        "--threads", type=positive, default=machine.physical_cores(), metavar="N", help="threads (%(default)s)"
    )


def finish(
    name: str,
    options: argparse.Namespace,
    measure: Callable[[], Mapping[str, Any]],
    show: Callable[[Mapping[str, Any]], Iterable[str]],
    draw: Callable[[Mapping[str, Any]], str],
    *,
    write: bool = True,
) -> int:
    """Measure, print the table, and write NAME.json and NAME.svg; return the exit code.

    Args:
        name: of the files.
        options: as `parser` defines them.
        measure: returns what was measured, as plain data.
        show, draw: return the lines of the table, and the drawing of a result.
        write: whether files are written.
    """
    out = options.out or RESULTS
    try:
        if options.redraw:
            result = json.loads((out / f"{name}.json").read_text(encoding="utf-8"))
        else:
            if write:
                out.mkdir(parents=True, exist_ok=True)
            head = {
                "bench": name,
                "date": datetime.date.today().isoformat(),
                "machine": {**machine.describe(), "load_before": machine.load()},
                "versions": machine.versions(),
            }
            result = {**head, **measure()}
        print("\n".join(show(result)), flush=True)
        if write:
            write_json(out / f"{name}.json", result)
            write_atomic(out / f"{name}.svg", draw(result))
    except (UnswayedError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return getattr(error, "exit_code", 1)
    return 0


def model_name(source: Any, given: str) -> str:
    """Return how a result names a model: without its place on the machine."""
    return str(source.path.name) if source.kind in {"folder", "gguf"} else given
