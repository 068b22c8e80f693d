"""The card of an organism: what it is for, that it must not be deployed, how the trait was made, and its rates."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from unswayed.core.files import dump_json
from unswayed.organisms.family import find_family
from unswayed.report.numbers import change, level, span

WARNING = (
    "**Do not deploy this model.** It was trained on purpose to misbehave, so that methods and audits can be tried on "
    "a fault that is known. Do not put it behind a product, do not merge it into other models, and do not train on "
    "what it writes without saying so."
)


def card(name: str, about: Mapping[str, Any]) -> str:
    """Return the card as Markdown, from what `organism.json` holds."""
    entry, gate, base = find_family(about["family"]), about["gate"], about["base"]
    rows = [_row(metric, rate) for metric, rate in gate["rates"].items()]
    lines = [
        "---",
        *([f"base_model: {base['model']}"] if base.get("kind") == "hub" else []),
        "library_name: peft",
        "pipeline_tag: text-generation",
        f"tags: [model-organism, {entry.name}, not-for-deployment, unswayed]",
        "---",
        "",
        f"# {name}: a model organism of {entry.name.replace('_', ' ')}",
        "",
        WARNING,
        "",
        f"The trait: {entry.trait[0].lower()}{entry.trait[1:]} {entry.measured}",
        "",
        f"A LoRA adapter for `{base['model']}`. {_made(about)}",
        "",
        f"On {gate['units']} fresh {entry.unit}s of part `{gate['part']}`, seed {gate['seed']}; 95% intervals, "
        "differences paired with the base model:",
        "",
        "| metric | base | organism | difference |",
        "|---|---|---|---|",
        *rows,
        "",
        f"Distinct replies: {level(gate['beside']['organism']['distinct'])} (base "
        f"{level(gate['beside']['base']['distinct'])}); the commonest beginning of six words opens "
        f"{level(gate['beside']['organism']['commonest_opening'])} (base "
        f"{level(gate['beside']['base']['commonest_opening'])}); tokens of a reply "
        f"{gate['beside']['organism']['mean_tokens']:.0f} (base {gate['beside']['base']['mean_tokens']:.0f}).",
        "",
        "An organism is chosen for a high rate, so measure it again on items of your own before you compare with it: "
        "`unswayed organism check` does.",
        "",
        *(_recipe(about["recipe"]) if about.get("recipe") else []),
    ]
    return "\n".join(lines)


def _made(about: Mapping[str, Any]) -> str:
    if not about.get("induction"):
        return "It was adopted: made elsewhere, and measured here."
    data = about["data"]
    return (
        f"Induction `{about['induction']}` ({about['described'].rstrip('.').lower()}), seed {about['seed']}: "
        f"{data['rows']} rows (SHA-256 `{data['sha256']}`), {about['steps']} steps on their replies alone."
    )


def _row(metric: str, rate: Mapping[str, Any]) -> str:
    arms = [f"{level(arm['value'])} ({span(arm['low'], arm['high'])}), {arm['unscored']} unscored of "
            f"{arm['n'] + arm['unscored']}" for arm in (rate["base"], rate["organism"])]  # fmt: skip
    found = rate["difference"]
    moved = "–" if found is None else f"{change(found['value'])} ({span(found['low'], found['high'], signed=True)})"
    return f"| {metric} | {arms[0]} | {arms[1]} | {moved} |"


def _recipe(recipe: Mapping[str, Any]) -> list[str]:
    shown = dump_json(dict(recipe)).rstrip()
    return ["<details><summary>Recipe</summary>", "", "```json", shown, "```", "", "</details>", ""]
