"""Every suite that needs no gated data, on real rows with a limit: counts, seconds, and the same after SIGKILLs.

    python -m bench.suites [--model smollm2-135m] [--limit 2] [--tokens N] [--kills 3] [--work DIR] [--out DIR]
        [--name suites]

From the root of a checkout; `UNSWAYED_DATA` may name the folder with the public sets. One `unswayed eval` asks all
suites (two with --tokens: one for those that would write more). Another, with the same settings and another folder, is
killed by SIGKILL at moments spread over it and started anew each time; then every file of both must be equal, byte for
byte (`--kills 0` leaves this out). Writes NAME.json and NAME.md: rates, counts and seconds, and no text of any row or
reply. Started again, the first evaluation goes on where it stopped.
"""

from __future__ import annotations

import argparse
import datetime
import json
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.step import machine
from unswayed.core.errors import UnswayedError
from unswayed.core.files import read_jsonl, write_atomic, write_json
from unswayed.evals.registry import needs, suite, suites
from unswayed.evals.results import EVAL, RECORDS, RESULTS, Result
from unswayed.evals.suite import Suite
from unswayed.sources.catalogue import source

RESULTS_FOLDER = Path(__file__).parent / "results"
BATCH = 8
"""Prompts at once: small, so that a kill falls between batches of a suite and not only between suites."""
OWN_FILE = ("jailbreak/pairs", "sycophancy/pairs")
"""Suites of the user's own pairs; there is nothing public to ask."""
MORE = ("jailbreak/static:jbb_pair_prompts", "sycophancy/bct:are_you_sure", "sycophancy/bct:post_hoc")
"""Further sets of suites that know several."""
POLL = 0.05
"""Seconds between two looks at how far a command is."""


def open_suites() -> list[str]:
    """Return what to ask: every suite but those of gated or unstated terms, and those that need a file or a judge."""
    names = []
    for name in suites():
        about = needs(name)
        flags = {flag for each in about.sources for flag in source(each).flags}
        if name not in OWN_FILE and about.judge != "required" and not flags & {"gated", "evaluation only"}:
            names.append(name)
    return sorted([*names, *MORE])


def build(names: Sequence[str], limit: int, tokens: int | None) -> dict[str, Suite]:
    """Return the suites by name; those that would write more than `tokens` get this limit."""
    made = {name: suite(name, limit) for name in names}
    writes = {name: each.params.max_new_tokens for name, each in made.items() if each.method == "generate"}
    long = [name for name, most in writes.items() if tokens is not None and most > tokens]
    return made | {name: suite(name, limit, max_new_tokens=tokens) for name in long}


def commands(model: str, made: Mapping[str, Suite], limit: int, folder: Path) -> list[list[str]]:
    """Return what asks all suites: one command, and another one where a length limit is given."""
    how = [sys.executable, "-m", "unswayed", "eval", model]
    more = ["--limit", str(limit), "--batch-size", str(BATCH), "-o", str(folder)]
    given: dict[int | None, list[str]] = {}
    for name, each in made.items():
        given.setdefault(each.arguments.get("max_new_tokens"), []).append(name)
    return [
        [*how, *names, *more, *([] if tokens is None else ["-T", f"max_new_tokens={tokens}"])]
        for tokens, names in given.items()
    ]


def written(folder: Path) -> int:
    """Return how many lines the records of all suites hold by now."""
    return sum(path.read_bytes().count(b"\n") for path in folder.glob(f"*/{RECORDS}"))


def run(asked: Sequence[Sequence[str]], folder: Path, until: float = float("inf")) -> bool:
    """Run the commands; kill the one at work half a second after there are `until` records, and return whether it was.

    Raises:
        CalledProcessError: a command failed.
    """
    for one in asked:
        process = subprocess.Popen(one, stdout=subprocess.DEVNULL)
        while process.poll() is None:
            time.sleep(POLL)
            if written(folder) >= until:
                time.sleep(0.5)  # so that the next batch is under way
                process.kill()
        if process.wait() == -signal.SIGKILL:
            return True
        if process.returncode:
            raise subprocess.CalledProcessError(process.returncode, list(one))
    return False


def run_killed(asked: Sequence[Sequence[str]], folder: Path, total: int, kills: int) -> list[dict[str, int]]:
    """Run the commands to their end in a new folder, killing them as often; return what there was at each kill."""
    shutil.rmtree(folder, ignore_errors=True)
    killed = []
    for number in range(1, kills + 1):
        if run(asked, folder, until=number * total // (kills + 1)):
            killed.append({"records": written(folder), "finished_suites": len(list(folder.glob(f"*/{RESULTS}")))})
    run(asked, folder)
    return killed


def differing(first: Path, second: Path) -> list[str]:
    """Return the files that are not in both folders, or not with the same bytes."""
    names = {
        str(path.relative_to(folder))
        for folder in (first, second)
        for path in folder.glob("*/*")
        if path.name in (EVAL, RECORDS, RESULTS)
    }
    return sorted(name for name in names if _bytes(first / name) != _bytes(second / name))


def _bytes(path: Path) -> bytes | None:
    return path.read_bytes() if path.exists() else None


def asked_once(folder: Path, made: Suite) -> bool:
    """Whether the records of a suite hold every sample, and each of them once."""
    found = Counter((row["id"], row["draw"]) for row in read_jsonl(folder / made.key / RECORDS))
    return found == Counter((sample.id, draw) for sample in made.samples for draw in range(made.params.n))


def row(name: str, made: Suite, folder: Path) -> dict[str, Any]:
    """Return what the result says of one suite; no text of a prompt or reply is in it."""
    own = folder / made.key
    summary = Result.load(own).summary()
    started, ended = (own / EVAL).stat().st_mtime, (own / RESULTS).stat().st_mtime
    return {
        "suite": name,
        "sources": _sources(made.arguments),
        "unit": made.unit,
        "clusters": summary["clusters"],
        "completions": summary["completions"],
        "conditions": summary["conditions"],
        "scored_by": "log-likelihood" if made.method == "choose" else "rule",
        "max_new_tokens": None if made.method == "choose" else made.params.max_new_tokens,
        "unscored": summary["unscored"],
        "cut_off": summary["finish"].get("length", 0),
        "no_known_answer": sum(summary["no_answer"].values()),
        "broken": summary["broken"],
        "degenerate": summary["degenerate"],
        "tokens": summary["tokens"],
        "seconds": round(ended - started, 1),
        "metrics": {
            key: {part: each[part] for part in ("value", "interval", "n", "unscored", "role")}
            for key, each in summary["metrics"].items()
        },
    }


def _sources(arguments: Mapping[str, Any]) -> list[dict[str, Any]]:
    found = arguments.get("sources") or ([arguments] if "source" in arguments else [])
    return [{part: each.get(part) for part in ("source", "revision", "licence")} for each in found]


def markdown(result: Mapping[str, Any]) -> str:
    """Return the table of all suites."""
    lines = [
        "| suite | rows of | clusters | completions | scored | unscored | cut off | tokens | s |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for each in result["suites"]:
        public = ", ".join(one["source"] for one in each["sources"]) or "ours"
        lost = sum(each["unscored"].values())
        reasons = ", ".join(f"{count} {reason}" for reason, count in each["unscored"].items())
        lines.append(
            f"| `{each['suite']}` | {public} | {each['clusters']} | {each['completions']} | "
            f"{each['completions'] - lost} | {reasons or 0} | {each['cut_off']} | {each['tokens']:,} | "
            f"{each['seconds']:.0f} |"
        )
    return "\n".join(lines) + "\n"


def measure(model: str, limit: int, tokens: int | None, kills: int, work: Path) -> dict[str, Any]:
    """Ask everything twice, once in one go and once killed, and return the result.

    Raises:
        UnswayedError: a sample that is not there once, or files that differ.
        CalledProcessError: a command failed.
    """
    names = open_suites()
    made = build(names, limit, tokens)
    total = sum(len(each.samples) * each.params.n for each in made.values())
    whole, broken = work / "whole", work / "killed"
    load = machine.load()
    started = time.monotonic()
    run(commands(model, made, limit, whole), whole)
    seconds = time.monotonic() - started
    folders = [whole]
    sigkill: dict[str, Any] | None = None
    if kills:
        killed = run_killed(commands(model, made, limit, broken), broken, total, kills)
        folders.append(broken)
        sigkill = {"kills": killed, "files_equal": True}
    wrong = [name for name in names if not all(asked_once(folder, made[name]) for folder in folders)]
    unequal = differing(*folders) if kills else []
    if wrong or unequal:
        raise UnswayedError(f"samples not asked once: {wrong}; files that differ after the kills: {unequal}")
    return {
        "model": model,
        "limit": limit,
        "longest_reply": tokens,
        "batch_size": BATCH,
        "load_before": load,
        "seconds": round(seconds, 1),
        "completions": total,
        "every_sample_once": True,
        "sigkill": sigkill,
        "suites": [row(name, made[name], whole) for name in names],
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print, write; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.suites", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--limit", type=int, default=2, metavar="N", help="questions of each suite")
    parser.add_argument("--tokens", type=int, metavar="N", help="longest reply, for suites that would write more")
    parser.add_argument("--kills", type=int, default=3, metavar="N", help="how often the second run is killed")
    parser.add_argument("--work", type=Path, default=Path("runs/bench-suites"), metavar="DIR")
    parser.add_argument("--out", type=Path, default=RESULTS_FOLDER, metavar="DIR")
    parser.add_argument("--name", default="suites", help="of the two files")
    options = parser.parse_args(argv)
    try:
        measured = measure(options.model, options.limit, options.tokens, options.kills, options.work.absolute())
    except UnswayedError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    except subprocess.CalledProcessError as error:
        return error.returncode
    result = {
        "bench": "suites",
        "date": datetime.date.today().isoformat(),
        "machine": machine.describe(),
        "versions": machine.versions(),
        **measured,
    }
    write_json(options.out / f"{options.name}.json", json.loads(json.dumps(result)))
    write_atomic(options.out / f"{options.name}.md", markdown(result).encode())
    print(markdown(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
