"""The part of a suite that may be looked at while training goes on, and the part that stays unseen until the end.

Whether a group (question, fact, behaviour) belongs to the probe part is a property of its name alone: a hash puts one
in five there. So the same question is a probe in every suite, at every limit and seed, and nobody has to remember which
ones were drawn. What is watched during training is only ever asked of the probe part, and a comparison leaves out the
whole probe part of every suite that the run's recipe watched: whoever stopped, tuned or chose by the probes has not
seen what the verdict rests on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from operator import attrgetter
from typing import Any, Literal

from unswayed.core.errors import ConfigError
from unswayed.core.hashing import hash_json
from unswayed.evals.arguments import check_arguments
from unswayed.evals.registry import suite
from unswayed.evals.results import Result
from unswayed.evals.suite import Suite, given
from unswayed.evals.suites.draw import draw_groups

Part = Literal["probe", "final"]
ONE_IN = 5
"""How many groups there are for each one of the probe part, on average."""


def is_probe(group: str) -> bool:
    """Return whether a group belongs to the probe part."""
    return int(hash_json(["probe", group])[:15], 16) % ONE_IN == 0


def part_of(whole: Suite, part: Part, *, limit: int | None = None, seed: int = 0) -> Suite:
    """Return one part of a suite. Its identity says which, so it is never compared with another part or the whole.

    Args:
        whole: the suite, built without a limit of its own.
        part: `probe`, or `final` for everything else.
        limit: how many groups, drawn by `seed`; all by default.
        seed: decides that draw.

    Raises:
        ConfigError: the part is empty: the suite has too few groups.
    """
    samples = [sample for sample in whole.samples if is_probe(sample.group) == (part == "probe")]
    if not samples:
        raise ConfigError(f"suite {whole.name}: none of its few groups belongs to the {part} part; take a larger suite")
    return replace(
        whole,
        samples=tuple(draw_groups(samples, attrgetter("group"), limit, seed, "part")),
        arguments={
            **whole.arguments,
            **given({"limit": limit, "seed": seed}, {"limit": None, "seed": 0}),
            "part": part,
        },
    )


def probe_suite(
    name: str, limit: int | None = None, *, seed: int = 0, arguments: Mapping[str, Any] | None = None
) -> Suite:
    """Return the probe part of a suite by name.

    Args:
        name: as on the command line, `name` or `name:FILE`.
        limit, seed: see `part_of`; the seed decides what the suite draws as well.
        arguments: the suite's own, as a recipe's `args` gives them.

    Raises:
        ConfigError: no such suite or argument, none of its groups is a probe, or it cannot be scored without a judge.
    """
    whole = suite(name, seed=seed, **check_arguments(name, arguments or {}))
    if whole.needs_judge:
        raise ConfigError(f"suite {name} needs a judge, and probes are scored by rules alone; take another one")
    return part_of(whole, "probe", limit=limit, seed=seed)


def final_part(result: Result) -> Result:
    """Return a result on a whole suite without the groups of its probe part; one on a part stays as it is.

    Raises:
        ConfigError: nothing is left.
    """
    identity = result.about["identity"]
    asked = identity["suite"]
    if asked["arguments"].get("part"):
        return result
    records = {key: record for key, record in result.records.items() if not is_probe(record.group)}
    if not records:
        raise ConfigError(
            f"{result.title}: every question belongs to the part that was watched during training; evaluate more"
        )
    suited = {**asked, "arguments": {**asked["arguments"], "part": "final"}}
    return Result({**result.about, "identity": {**identity, "suite": suited}}, records)
