"""`unswayed eval`: measure a model on suites."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from unswayed.cli.options import Json, Trust, print_json, shows_progress
from unswayed.core.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from unswayed.evals.results import Result
    from unswayed.evals.suite import Suite

log = logging.getLogger(__name__)
ARROWS = {"higher": "↑", "lower": "↓"}


def eval(
    model: Annotated[
        str,
        typer.Argument(
            help="An alias, hub id, model folder, .gguf file, PEFT folder, finished run, or endpoint:URL#MODEL."
        ),
    ],
    suites: Annotated[
        list[str], typer.Argument(help="Suites, e.g. sycophancy/suggested_answer or sycophancy/pairs:FILE.jsonl.")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of the results; one subfolder for each suite.")],
    adapter: Annotated[Path | None, typer.Option(help="A PEFT adapter to put on top of the model.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Questions of each suite, drawn by --seed.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Decides which questions and wordings are drawn.")] = 0,
    suite_arg: Annotated[
        list[str] | None,
        typer.Option("--suite-arg", "-T", metavar="NAME=VALUE", help="An argument of every suite named; repeatable."),
    ] = None,
    trained: Annotated[
        str | None,
        typer.Option("--leave-out", metavar="PAIRS", help="Ask no question that these training pairs hold too."),
    ] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Prompts at once; change it if memory runs out.")] = 16,
    plan: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="TOML with a \\[plan] of margins; by default that of the adapter's recipe."),
    ] = None,
    judge: Annotated[
        str | None,
        typer.Option(metavar="SPEC", help="Who scores where no rule can: rule, local:MODEL or openai:MODEL@URL."),
    ] = None,
    judge_params: Annotated[
        str | None,
        typer.Option(metavar="JSON", help="What an endpoint is sent, in place of temperature and max_tokens."),
    ] = None,
    allow_self_judge: Annotated[
        bool, typer.Option("--allow-self-judge", help="Let the evaluated model judge itself; recorded.")
    ] = False,
    endpoint_params: Annotated[
        str | None, typer.Option(metavar="JSON", help="What else an endpoint is sent with each request.")
    ] = None,
    revision: Annotated[str | None, typer.Option(help="Commit, tag or branch of a hub id.")] = None,
    dtype: Annotated[str, typer.Option(help="auto, float32, bfloat16 or float16.")] = "auto",
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, mps.")] = "auto",
    allow_special_tokens: Annotated[
        bool, typer.Option("--allow-special-tokens", help="Accept prompts that contain the tokenizer's special tokens.")
    ] = False,
    trust_remote_code: Trust = False,
    json: Json = False,
) -> None:
    """Measure a model on suites. The same command continues where it stopped; other settings need another folder.

    Example: unswayed eval smollm2-135m sycophancy/suggested_answer --limit 100 -o evals/base
    `unswayed suites` lists the suites, `unswayed suites SUITE` the arguments that -T can give it.
    """
    from unswayed.core.signals import stop_signals
    from unswayed.data.read import read_pairs
    from unswayed.engine.named import base_of, load_policy
    from unswayed.evals.arguments import read_arguments
    from unswayed.evals.compare.contamination import leave_out
    from unswayed.evals.judged import check_given, check_judge
    from unswayed.evals.plan import plan_of_run, read_plan
    from unswayed.evals.registry import suite
    from unswayed.evals.run import evaluate
    from unswayed.judges.build import build_judge, default_cache, parse_params
    from unswayed.report.evaluation import write_results_page

    named = base_of(model)[1] or adapter
    declared = read_plan(plan) if plan else plan_of_run(Path(named)) if named else None
    given = read_arguments(suites, suite_arg or ())
    built = [suite(name, limit, seed=seed, **given) for name in suites]
    if trained is not None:
        pairs = read_pairs(trained, allow_identical=True, need_teacher=False)
        left = [leave_out(each, pairs) for each in built]
        built = [each for each, _ in left]
        for each, found in left:
            log.info("%s: %s%s", each.name, found.sentence(each.unit), "; left out" if found.shared else "")
    _check_keys(built)
    for each in built:
        check_given(each, judge is not None)
    params = parse_params(judge_params)
    if judge is not None and judge.partition(":")[2] == model and adapter is None and not allow_self_judge:
        raise ConfigError(f"{model} would judge itself; take another judge, or allow it with --allow-self-judge")
    asked = None
    if judge is not None and any(each.rubric for each in built):
        asked = build_judge(judge, cache=default_cache(), params=params, dtype=dtype, device=device)
        for each in built:
            check_judge(each, asked)

    policy = load_policy(
        model,
        None if adapter is None else str(adapter),
        endpoint_params=parse_params(endpoint_params),
        revision=revision,
        dtype=dtype,
        device=device,
        allow_special_tokens=allow_special_tokens,
        trust_remote_code=trust_remote_code,
    )
    summaries = {}
    with stop_signals:
        for each in built:
            folder = out / each.key
            result = evaluate(
                policy,
                each,
                folder,
                batch_size=batch_size,
                progress=shows_progress(),
                plan=declared,
                judge=asked,
                allow_self_judge=allow_self_judge,
            )
            write_results_page(folder, result)
            summaries[each.key] = result.summary()
            if not json:
                _print(result, folder)
    if json:
        print_json(summaries)


def _check_keys(built: Sequence[Suite]) -> None:
    keys = [each.key for each in built]
    twice = sorted({key for key in keys if keys.count(key) > 1})
    if twice:
        raise ConfigError(f"the same suite is given twice: {', '.join(twice)}")


def _print(result: Result, folder: Path) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Column, Table
    from rich.text import Text

    from unswayed.core.printable import printable
    from unswayed.evals.compare.cautions import TRUNCATED_SHARE
    from unswayed.evals.compare.comparison import arm_counts
    from unswayed.report.comparison import arm_line
    from unswayed.report.numbers import level, span

    rows = result.summary()["metrics"]
    counted = ["if unscored\ncounted"] if any(row["unscored"] and row["bounds"] for row in rows.values()) else []
    table = Table(
        Column("metric", overflow="fold"), "rate", "95% interval", "n", "unscored", *counted,
        box=box.SIMPLE_HEAD, pad_edge=False,
        title=Text(printable(f"{result.title}: {result.policy}", newlines=False)), title_justify="left",
        caption=" ".join(f"{arrow} {better} is better" for better, arrow in ARROWS.items()), caption_justify="left",
    )  # fmt: skip
    for name, row in rows.items():
        bounds = [span(*row["bounds"]) if row["bounds"] else ""] if counted else []
        shown = span(*(row["interval"] or (None, None)))
        table.add_row(
            f"{name} {ARROWS.get(row['better'], '')}", level(row["value"]), shown, str(row["n"]), str(row["unscored"]),
            *bounds,
        )  # fmt: skip
    console = Console(highlight=False)
    console.print(table)
    if told := result.summary().get("judge"):
        states = ", ".join(f"{count} {status}" for status, count in told["status"].items())
        line = "; ".join([f"judge {told['name']}, {told['rubric']}: {states}", *told["notes"]])
        console.print(Text(printable(line, newlines=False)), soft_wrap=True)
    counts = arm_counts(result)
    console.print(Text(arm_line(counts), style="red" if result.degenerate else ""), soft_wrap=True)
    if (counts["cut"] or 0.0) > TRUNCATED_SHARE:
        asked = result.suite["sampling"]["max_new_tokens"]
        console.print(
            f"replies may have {asked} tokens; -T max_new_tokens=N and another folder give them more", soft_wrap=True
        )
    console.print(Text(printable(str(folder), newlines=False)), soft_wrap=True)
