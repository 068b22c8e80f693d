"""What OPCT from the shipped recipes does on each safety axis: build, train, ask before and after, compare.

From the root of a checkout. Every step is a command that a user would give, printed as it is run; what is done already
is not done again. Writes axis_NAME.json and axis_NAME.svg, without a word of any prompt or reply. Public sets are read
from UNSWAYED_DATA, the cache or their homes.
"""

from __future__ import annotations

import functools
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.command import finish, parser
from bench.drawing import VERDICT_STYLE, file
from unswayed.config.recipe import Recipe
from unswayed.core.errors import UnswayedError
from unswayed.core.files import read_jsonl
from unswayed.core.types import Effect, Estimate
from unswayed.report.charts import differences
from unswayed.report.model import Arm, Cell, Report, Row
from unswayed.report.numbers import change, level, span

ROOT = Path(__file__).parents[1]
MODEL = "smollm2-135m"
HEALTH = ("parse_rate", "truncation_rate")
VERDICTS = {"regressed": "worse", "inconclusive": "not known"}
"""Names in results that were recorded before they were changed."""


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


def measure(name: str, work: Path, *, replicate: bool = False) -> dict[str, Any]:
    """Build, train, ask and compare for one axis, as far as that is not done yet; return what is committed of it."""
    axis, recipe = AXES[name], Recipe.load(ROOT / AXES[name].recipe)
    work.mkdir(parents=True, exist_ok=True)
    if not (work / axis.pairs).exists():
        run(work, "data", "build", axis.spec, "-o", axis.pairs)
    adapter = recipe.run_dir / "adapter"
    if not (work / adapter).exists():
        run(work, "train", axis.recipe, *(["--resume"] if (work / recipe.run_dir).exists() else []))
    for arm, extra in (("base", []), (name, ["--adapter", str(adapter)])):
        for ask in (*axis.asks, *COST):
            run(work, "eval", MODEL, *ask.arguments(), "-o", f"evals/{arm}", *extra)
    twice = f"evals/{name}-again"
    if replicate:
        run(work, "eval", MODEL, *axis.asks[0].arguments(), "-o", twice, "--batch-size", "5")
    again = ["--replicate", twice] if (work / twice).exists() else []
    run(work, "compare", "evals/base", f"evals/{name}", "--train-pairs", axis.pairs, *again)
    found = json.loads((work / "evals" / name / "compare" / "compare.json").read_text(encoding="utf-8"))
    return {
        "bench": "axes",
        "axis": name,
        "recipe": recipe.to_dict(),
        "asked": [ask.arguments() for ask in (*axis.asks, *COST)],
        "training": training(work / recipe.run_dir),
        "comparison": without_ids(found),
    }


def training(folder: Path) -> list[dict[str, Any]]:
    """Return step, divergence, tokens, completions and how many of them were cut, and seconds of every step."""
    return [
        {
            "step": row["step"],
            "kl": row["kl/exact"],
            "tokens": row["tokens"],
            "completions": row["rows"],
            "truncated": row["truncated"],
            "seconds": row["seconds"]["step"],
        }
        for row in read_jsonl(folder / "metrics.jsonl")
    ]


def without_ids(found: dict[str, Any]) -> dict[str, Any]:
    """Return a comparison without names of single samples and groups: some are words of the public sets."""
    suites = []
    for one in found["suites"]:
        overlap = {key: value for key, value in one["contamination"].items() if not isinstance(value, list)}
        suites.append({**{k: v for k, v in one.items() if k != "transcripts"}, "contamination": overlap})
    return {**found, "suites": suites}


def effects(one: Mapping[str, Any]) -> Iterator[tuple[Effect, bool]]:
    """Yield every effect of a suite and whether it is a primary one; without those on the replies' health."""
    for row in one["effects"]:
        if row["metric"] in HEALTH:
            continue
        values = {key: value for key, value in row.items() if key not in ("primary", "better")}
        values |= {side: Estimate(**row[side]) for side in ("before", "after")}
        values |= {key: tuple(row[key]) for key in ("flags", "by_seed")}
        values["verdict"] = VERDICTS.get(row["verdict"], row["verdict"])
        yield Effect(**values), row["primary"]


def table(result: Mapping[str, Any]) -> list[str]:
    """Return the lines of every difference as Markdown, and below them the health of the replies."""
    lines = [
        "| suite | metric | base | trained | difference (95%) | pairs (clusters) | unscored | verdict |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for one in result["comparison"]["suites"]:
        better = {row["metric"]: "↑" if row["better"] == "higher" else "↓" for row in one["effects"]}
        recorded = {row["metric"]: row["verdict"] for row in one["effects"]}
        for effect, primary in effects(one):
            name = f"**{effect.metric}**" if primary else effect.metric
            unscored = f"{effect.before.unscored} / {effect.after.unscored}"
            difference = f"{change(effect.difference)} ({span(effect.low, effect.high, signed=True)})"
            lines.append(
                f"| {one['suite']} | {name} {better[effect.metric]} | {level(effect.before.value)} | "
                f"{level(effect.after.value)} | {difference} | {effect.n} ({effect.clusters}) | {unscored} | "
                f"{recorded[effect.metric]}{'*' if effect.flags else ''} |"
            )
    lines += ["", "| suite | replies | read | cut off | tokens a reply | degenerate |", "|---|---|---|---|---|---|"]
    for one in result["comparison"]["suites"]:
        sides = (one["arms"]["before"], one["arms"]["after"][0])
        read, cut = (" / ".join(level(side[key]) for side in sides) for key in ("read", "cut"))
        tokens = " / ".join(f"{side['mean_tokens']:.0f}" for side in sides)
        bad = " / ".join(", ".join(side["degenerate"]) or "no" for side in sides)
        lines.append(f"| {one['suite']} | {sides[0]['completions']} | {read} | {cut} | {tokens} | {bad} |")
    return lines


def draw(result: Mapping[str, Any]) -> str:
    """Return one SVG file: every difference with its interval and margin."""
    rows = []
    for number, one in enumerate(result["comparison"]["suites"]):
        better = {row["metric"]: row["better"] for row in one["effects"]}
        for effect, primary in effects(one):
            cells = {"base": Cell(effect.before), "trained": Cell(effect.after, effect)}
            name, role = effect.metric, "primary" if primary else "counter"
            rows.append(Row(f"{number}-{name}", name, better[name], cells, section=one["suite"], role=role))
    report = Report(result["axis"], (Arm("base", "base"), Arm("trained", "trained")), "base", tuple(rows))
    svg = differences(report, name=f"axis-{result['axis']}")
    if svg is None:
        raise UnswayedError(f"{result['axis']}: no reply was scored on both sides, so there is nothing to draw")
    return file(svg, VERDICT_STYLE)


def main(argv: Sequence[str] | None = None) -> int:
    """Measure the axes that are named, all by default; return the exit code."""
    made = parser("axes", __doc__)
    made.add_argument("axes", nargs="*", metavar="AXIS", help=f"{', '.join(AXES)}; all by default")
    made.add_argument("--work", type=Path, default=Path("runs/bench-axes"), metavar="DIR", help="runs (%(default)s)")
    made.add_argument("--replicate", action="store_true", help="ask the base once more, as the noise floor")
    options = made.parse_args(argv)
    if unknown := sorted(set(options.axes) - set(AXES)):
        made.error(f"no axis {', '.join(unknown)}; there are {', '.join(AXES)}")
    for name in options.axes or AXES:
        one = functools.partial(measure, name, options.work.absolute(), replicate=options.replicate)
        if code := finish(f"axis_{name}", options, one, table, draw):
            return code
    return 0


if __name__ == "__main__":
    sys.exit(main())
