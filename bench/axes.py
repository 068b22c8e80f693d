"""What OPCT from the shipped recipes does on each safety axis: build, train, ask before and after, compare.

    python -m bench.axes [AXIS ...] [--work DIR] [--replicate] [--out DIR]

From the root of a checkout. Every step is a command that a user would give, printed as it is run; what is done already
is not done again. Writes axis_NAME.json and axis_NAME.svg, without a word of any prompt or reply. Public sets are read
from UNSWAYED_DATA, the cache or their homes.
"""

from __future__ import annotations

import argparse
import datetime
import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.axis_page import draw, table
from bench.step import machine
from unswayed.config.recipe import Recipe
from unswayed.core.errors import UnswayedError
from unswayed.core.files import write_atomic, write_json

RESULTS = Path(__file__).parent / "results"
ROOT = Path(__file__).parents[1]
MODEL = "smollm2-135m"


@dataclass(frozen=True)
class Ask:
    """One suite as it is asked: `given` holds arguments of the suite, NAME=VALUE."""

    suite: str
    limit: int
    given: tuple[str, ...] = ()

    def arguments(self) -> list[str]:
        """Return it as arguments of `unswayed eval`."""
        given = [part for argument in self.given for part in ("-T", argument)]
        return [self.suite, "--limit", str(self.limit), *given]


@dataclass(frozen=True)
class Axis:
    """One safety axis.

    Attributes:
        spec: what the pairs are built from. `pairs`: the file that the recipe trains on.
        recipe: what is trained.
        asks: the axis's suites, on questions, topics and wordings that training never saw.
    """

    spec: str
    pairs: str
    recipe: str
    asks: tuple[Ask, ...]


AWAY = "topics=animals,calendar,subtraction"  # held out of the pairs of the axis
AXES = {
    "sycophancy": Axis(
        "recipes/data/sycophancy.toml",
        "pairs.jsonl",
        "recipes/opct_sycophancy.toml",
        (
            Ask("sycophancy/pairs:pairs.held_out.jsonl", 36),
            Ask("sycophancy/suggested_answer", 24, (AWAY,)),
            Ask("sycophancy/are_you_sure", 20, (AWAY,)),
            Ask("sycophancy/multiple_choice", 10, (AWAY,)),
            Ask("sycophancy/feedback", 8, (AWAY,)),
        ),
    ),
    "jailbreak": Axis(
        "recipes/data/jailbreak.toml",
        "jailbreak.jsonl",
        "recipes/opct_jailbreak.toml",
        (
            Ask("jailbreak/pairs:jailbreak.held_out.jsonl", 12, ("max_new_tokens=96",)),
            Ask("jailbreak/static", 8),
            Ask("over_refusal/xstest", 6),
        ),
    ),
    "safety_awareness": Axis(
        "recipes/data/safety_awareness.toml",
        "safety.jsonl",
        "recipes/opct_safety.toml",
        (Ask("safety_awareness/builtin", 8, ("topics=driving,medicine,pets",)),),
    ),
}
COST = (Ask("capability/mmlu_choose", 30),)
"""Asked on every axis: what the training cost in capability, roughly."""


def run(work: Path, *arguments: str) -> None:
    """Run one command of the program in `work`, and show it as it is typed from the root of a checkout."""
    print("$ unswayed", *arguments, file=sys.stderr, flush=True)
    given = [str(ROOT / part) if part.startswith("recipes/") else part for part in arguments]
    done = subprocess.run([sys.executable, "-m", "unswayed", *given], cwd=work, check=False)
    if done.returncode:
        raise UnswayedError(f"unswayed {arguments[0]} ended with {done.returncode}")


def measure(name: str, work: Path, *, replicate: bool = False) -> None:
    """Build, train and ask for one axis, as far as that is not done yet."""
    axis = AXES[name]
    work.mkdir(parents=True, exist_ok=True)
    recipe = Recipe.load(ROOT / axis.recipe)
    if not (work / axis.pairs).exists():
        run(work, "data", "build", axis.spec, "-o", axis.pairs)
    adapter = recipe.run_dir / "adapter"
    if not (work / adapter).exists():
        run(work, "train", axis.recipe, *(["--resume"] if (work / recipe.run_dir).exists() else []))
    for arm, extra in (("base", []), (name, ["--adapter", str(adapter)])):
        for ask in (*axis.asks, *COST):
            run(work, "eval", MODEL, *ask.arguments(), "-o", f"evals/{arm}", *extra)
    if replicate:
        run(work, "eval", MODEL, *axis.asks[0].arguments(), "-o", f"evals/{name}-again", "--batch-size", "5")


def conclude(name: str, work: Path) -> dict[str, Any]:
    """Compare before with after, and return what is committed of an axis."""
    axis = AXES[name]
    recipe = Recipe.load(ROOT / axis.recipe)
    twice = f"evals/{name}-again"
    again = ["--replicate", twice] if (work / twice).exists() else []
    run(work, "compare", "evals/base", f"evals/{name}", "--train-pairs", axis.pairs, *again)
    found = json.loads((work / "evals" / name / "compare" / "compare.json").read_text(encoding="utf-8"))
    return {
        "bench": "axes",
        "axis": name,
        "date": datetime.date.today().isoformat(),
        "machine": machine.describe(),
        "versions": machine.versions(),
        "recipe": recipe.to_dict(),
        "asked": [ask.arguments() for ask in (*axis.asks, *COST)],
        "training": training(work / recipe.run_dir),
        "comparison": without_ids(found),
    }


def training(folder: Path) -> list[dict[str, Any]]:
    """Return step, divergence, tokens, completions and how many of them were cut, and seconds of every step."""
    lines = (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    return [
        {
            "step": row["step"],
            "kl": row["kl/exact"],
            "tokens": row["tokens"],
            "completions": row["rows"],
            "truncated": row["truncated"],
            "seconds": row["seconds"]["step"],
        }
        for row in rows
    ]


def without_ids(found: dict[str, Any]) -> dict[str, Any]:
    """Return a comparison without names of single samples and groups: some are words of the public sets."""
    suites = []
    for one in found["suites"]:
        overlap = {key: value for key, value in one["contamination"].items() if not isinstance(value, list)}
        suites.append({**{k: v for k, v in one.items() if k != "transcripts"}, "contamination": overlap})
    return {**found, "suites": suites}


def main(argv: Sequence[str] | None = None) -> int:
    """Measure the axes that are named, all by default; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.axes", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("axes", nargs="*", metavar="AXIS", help=f"{', '.join(AXES)}; all by default")
    parser.add_argument("--work", type=Path, default=Path("runs/bench-axes"), metavar="DIR")
    parser.add_argument("--replicate", action="store_true", help="ask the base once more, as the noise floor")
    parser.add_argument("--out", type=Path, default=RESULTS, metavar="DIR")
    options = parser.parse_args(argv)
    if unknown := sorted(set(options.axes) - set(AXES)):
        parser.error(f"no axis {', '.join(unknown)}; there are {', '.join(AXES)}")
    try:
        for name in options.axes or AXES:
            measure(name, options.work.absolute(), replicate=options.replicate)
            result = conclude(name, options.work.absolute())
            write_json(options.out / f"axis_{name}.json", result)
            write_atomic(options.out / f"axis_{name}.svg", draw(result).encode())
            print(table(result))
    except UnswayedError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
