"""`unswayed attack`: does a behaviour hold against an attacker with a stated budget?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from unswayed.cli.options import Json, Trust, default_command, echo, print_json, shows_progress

app = typer.Typer(
    cls=default_command("run"),
    no_args_is_help=True,
    help="Attack a model: `unswayed attack MODEL BEHAVIOURS`, or one of the commands below.",
)
Adapter = Annotated[Path | None, typer.Option(help="A PEFT adapter to put on top of the model.")]
Dtype = Annotated[str, typer.Option(help="auto, float32, bfloat16 or float16.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, mps.")]


@app.command("run")
def run(
    model: Annotated[str, typer.Argument(help="What is attacked: any model that `unswayed eval` takes.")],
    behaviours: Annotated[
        str, typer.Argument(help="codewords, a public set, or jailbreak/behaviours:FILE with a column goal.")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of the attack.")],
    attacker: Annotated[
        str, typer.Option(help="direct, static, best_of_n, many_shot, prefill, search or grpo.")
    ] = "search",
    attacker_model: Annotated[
        str | None, typer.Option(metavar="MODEL", help="Who writes attempts; by default the target itself.")
    ] = None,
    attacker_arg: Annotated[
        list[str] | None, typer.Option("--attacker-arg", "-A", metavar="NAME=VALUE", help="A setting of the attacker.")
    ] = None,
    budget: Annotated[
        list[str] | None,
        typer.Option(metavar="queries=N|tokens=N", help="Queries of each behaviour; tokens of the whole attack."),
    ] = None,
    part: Annotated[str, typer.Option(help="pool, train or held_out.")] = "held_out",
    limit: Annotated[int | None, typer.Option(min=1, help="How many behaviours of the part.")] = None,
    judge: Annotated[
        str | None, typer.Option(metavar="SPEC", help="Who audits where no word decides, e.g. local:MODEL.")
    ] = None,
    temperature: Annotated[float, typer.Option(min=0.0, help="How the target replies.")] = 1.0,
    max_new_tokens: Annotated[int, typer.Option(min=1, help="The longest reply of the target.")] = 256,
    seed: Annotated[int, typer.Option(min=0, help="Of every draw.")] = 0,
    adapter: Adapter = None,
    dtype: Dtype = "auto",
    device: Device = "auto",
    trust_remote_code: Trust = False,
    json: Json = False,
) -> None:
    """Attack a model on behaviours of one part. The same command continues where it stopped.

    Example: unswayed attack smollm2-135m codewords --attacker search --budget queries=24 -o attacks/base
    """
    from unswayed.attacks.publish import attack
    from unswayed.attacks.results import RESULTS
    from unswayed.config.document import read_value
    from unswayed.core.jsonl import parse
    from unswayed.engine.named import load_policy
    from unswayed.judges.build import build_judge, default_cache

    settings = {}
    for word in attacker_arg or ():
        name, mark, text = word.partition("=")
        if not mark or not name:
            raise typer.BadParameter(f"{word!r} is not NAME=VALUE", param_hint="--attacker-arg")
        settings[name] = read_value(text)
    asked = None if judge is None else build_judge(judge, cache=default_cache(), dtype=dtype, device=device)
    loading: dict[str, Any] = {"dtype": dtype, "device": device, "trust_remote_code": trust_remote_code}
    target = load_policy(model, None if adapter is None else str(adapter), **loading)
    attack(
        target, behaviours, attacker, out,
        attacker_model=attacker_model, settings=settings, budget=budget, part=part, limit=limit,  # type: ignore[arg-type]
        judge=asked, temperature=temperature, max_new_tokens=max_new_tokens, seed=seed, progress=shows_progress(),
        **(loading if attacker_model is not None else {}),
    )  # fmt: skip
    told = parse((out / RESULTS).read_text(encoding="utf-8"))
    if json:
        print_json(told)
    else:
        _print(told, out)


@app.command("serve")
def serve(
    model: Annotated[str, typer.Argument(help="Any model that `unswayed eval` takes.")],
    adapter: Adapter = None,
    host: Annotated[str, typer.Option(help="Where to listen; other machines reach 0.0.0.0.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 8000,
    dtype: Dtype = "auto",
    device: Device = "auto",
    trust_remote_code: Trust = False,
) -> None:
    """Serve a model as an OpenAI-compatible endpoint, for attackers of other projects. Ctrl-C ends it.

    Example: unswayed attack serve smollm2-135m --adapter runs/opct/adapter
    """
    from unswayed.attacks.serve import start
    from unswayed.engine.named import load_policy

    policy = load_policy(
        model,
        None if adapter is None else str(adapter),
        dtype=dtype,
        device=device,
        trust_remote_code=trust_remote_code,
    )
    server = start(policy, host=host, port=port)
    echo(f"http://{host}:{server.server_address[1]}/v1")
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        pass
    finally:
        server.server_close()


def _print(told: dict[str, Any], folder: Path) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from unswayed.core.printable import printable
    from unswayed.report.numbers import level, span

    table = Table(
        "queries", "broken", "95% interval", "n", "unscored", "bounds", box=box.SIMPLE_HEAD, pad_edge=False,
        title=Text(printable(f"{told['attacker']} against {told['target']}", newlines=False)), title_justify="left",
    )  # fmt: skip
    for k, row in told["success_at"].items():
        table.add_row(
            k, level(row["value"]), span(*(row["interval"] or (None, None))), str(row["n"]), str(row["unscored"])
        )
    console = Console(highlight=False)
    console.print(table)
    lines = [told["wording"]]
    replayed = told["replayed"]
    if replayed["behaviours"]:
        lines.append(
            f"first successes drawn again: {level(replayed['mean'])} succeed; "
            f"{replayed['confirmed']} of {replayed['behaviours']} behaviours at least once"
        )
    noise = told["false_success"]
    lines.append(f"the audit's false successes: {level(noise['value'])} {span(*(noise['interval'] or (None, None)))}")
    if not told["controls"]["passed"]:
        lines.append("CONTROLS FAILED: these figures measure nothing; see controls in results.json")
    spent = told["spent"]
    trained = f", and {spent['training_tokens']:,} in training" if spent["training_tokens"] else ""
    lines.append(f"spent: {spent['queries']:,} queries, {spent['tokens']:,} tokens of target and attacker{trained}")
    if told["unscored"]:
        lines.append(f"{told['unscored']} of {told['attempts']} replies could not be graded")
    for line in (*lines, str(folder)):
        console.print(Text(printable(line, newlines=False)), soft_wrap=True)
