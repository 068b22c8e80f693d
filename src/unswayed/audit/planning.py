"""A plan to edit: every setting with its default, and what the prompts at hand can show, before any outcome is seen."""

from __future__ import annotations

import json
from pathlib import Path

from unswayed.audit.cells import CELLS, pairs
from unswayed.audit.formats.read import Source
from unswayed.audit.plan import SECTIONS, AuditConfig
from unswayed.config.document import read_toml
from unswayed.stats.power import detectable, pairs_needed

DISCORDANCE = 0.3
"""Share of prompts that flip, assumed where nobody has looked."""


def draft(source: Source | None, rule: str | None = None) -> str:
    """Return a plan as TOML.

    Args:
        source: one arm; of its rows only behaviours and prompts are looked at.
        rule: for rows without an outcome.
    """
    config = AuditConfig(rule=rule)
    names = [] if source is None else list(dict.fromkeys(reply.behaviour for reply in source.replies))
    lines = [
        "# What is decided before anything is looked at. unswayed audit BEFORE AFTER --plan FILE hashes it first.",
        "[audit]",
        f"eps = {config.eps}                 # the change of a rate that matters; decide it by severity",
        f"family = [{', '.join(_quoted(name) for name in names)}]  # behaviours that are claimed at once; empty: all",
        f"looks = {config.looks}                  # how often AFTER is evaluated on these prompts, the audit included",
        f"max_unjoined = {config.max_unjoined}        # share of prompts that need not be in both arms",
        f"seed = {config.seed}",
        *([f"rule = {_quoted(rule)}"] if rule else ['# rule = "refusal"       # for rows that carry no outcome']),
        "",
        "[audit.margins]               # eps of single behaviours",
        *([_margin(name, source, config) for name in names] if source else ["# sycophancy = 0.03"]),
        "",
        "[audit.side_margins]          # measures that must not get worse by this much, and are not claimed",
        "# capability = 0.03",
        "",
        "[audit.sections]              # false: the section says NOT RUN",
        *[f"{name} = true" for name in SECTIONS],
        "",
        "[audit.firewall]              # from which change of the replies on a verdict is CONFOUNDED",
        *[f"{name} = {value}" for name, value in config.firewall.model_dump().items()],
        "",
    ]
    return "\n".join(lines)


def _margin(name: str, source: Source, config: AuditConfig) -> str:
    prompts = len({(one.id, one.prompt_sha256) for one in source.replies if one.behaviour == name})
    least = detectable(prompts, DISCORDANCE)
    shows = "nothing would show" if least is None else f"shows {100 * least:.1f} points"
    needed = pairs_needed(DISCORDANCE, config.eps)
    return f"{_quoted(name)} = {config.eps}    # {prompts} prompts: {shows} if 30% flip; eps needs about {needed}"


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def organism_of(sweep: Path) -> Path | None:
    """Return the evaluation of a sweep's first measured organism; None where nothing is measured yet.

    Args:
        sweep: its folder, or its recipe, which names the folder.

    Raises:
        ConfigError: neither.
    """
    if sweep.suffix == ".toml":
        tables = read_toml(sweep, "sweep")
        sweep = Path(str(tables.get("dir", "sweeps"))) / str(tables.get("name", ""))
        if not (sweep / CELLS).exists():
            return None
    return next((pair.before for pair in pairs(sweep)), None)
