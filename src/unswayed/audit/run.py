"""An audit from two arms to a bundle: read, pair, hash the plan, give outcomes, conclude, write."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unswayed._version import __version__
from unswayed.audit import bundle
from unswayed.audit.formats.read import Source, read_arm
from unswayed.audit.join import Joined, join
from unswayed.audit.judged import Labels, read_labels
from unswayed.audit.live import Live, ask, generation, identity, is_policy
from unswayed.audit.outcomes import assign
from unswayed.audit.plan import SECTIONS, AuditConfig, load_plan, record
from unswayed.audit.sections import Material, conclude
from unswayed.audit.transcripts import transcripts
from unswayed.audit.verdict import FINDINGS
from unswayed.core.errors import ConfigError, DataError
from unswayed.core.files import dump_json, write_atomic, write_json, write_jsonl
from unswayed.core.hashing import hash_file, hash_json
from unswayed.core.jsonl import parse
from unswayed.core.tables import read_table
from unswayed.judges.base import Judge

FOUND, UNDECIDED = 10, 11
TOTAL = "total"
"""Which of the terms of a decomposition is their sum."""
Extra = Mapping[str, Source]


@dataclass(frozen=True)
class Audit:
    """A finished audit.

    Attributes:
        content: what `audit.json` holds.
        folder: the bundle, where one was written.
    """

    content: Mapping[str, Any]
    folder: Path | None = None

    @property
    def verdicts(self) -> list[dict[str, Any]]:
        """One for each behaviour, as `audit.json` has them."""
        found: list[dict[str, Any]] = self.content["verdicts"]
        return found

    def exit_code(self, allow: Collection[str] = ()) -> int:
        """Return 10 where something was found, 11 where something is undecided, else 0.

        Args:
            allow: verdicts that count as nothing found, e.g. `SUPPRESSED` where that is what training was for.
        """
        return exit_code(self.verdicts, allow)


def exit_code(verdicts: Sequence[Mapping[str, Any]], allow: Collection[str] = ()) -> int:
    """Return how a command with these verdicts ends; see `Audit.exit_code`."""
    names = {str(one["verdict"]) for one in verdicts} - {name.upper() for name in allow}
    return FOUND if names & set(FINDINGS) else UNDECIDED if "UNDECIDED" in names else 0


def audit(
    before: Path | str,
    after: Path | str,
    *,
    plan: Path | str | None = None,
    out: Path | str | None = None,
    judge: Judge | None = None,
    replicate: Path | str | None = None,
    parity: Path | str | None = None,
    labels: Path | str | None = None,
    inputs: Sequence[Path | str] = (),
    scorer: str | None = None,
    skip: Sequence[str] = (),
    again: bool = False,
    show_sensitive: bool = False,
    live: Live | None = None,
    attribution: Path | str | None = None,
    **changes: Any,
) -> Audit:
    """Audit what changed from one arm to another, from completions; policies are asked for theirs.

    Args:
        before, after: a folder of `unswayed eval`, a file of completions of any tool (docs/audit.md lists them), or
            the name of a policy.
        plan: a TOML file with an `[audit]` table.
        out: folder of the bundle; nothing is written without one.
        judge: gives outcomes where rows carry none and there is no rule; blind to the arm.
        replicate: BEFORE once more (another seed): the noise floor.
        parity: AFTER once more through another path (merged weights, another engine).
        labels: people's labels of some replies: a table with `arm`, `id` and `human`.
        inputs: input files of OpenAI's batch API.
        scorer: of Inspect's scorers, the one that counts.
        skip: sections to switch off.
        again: this folder holds an audit of other replies, and this one counts as another look.
        show_sensitive: show texts of suites that are marked as sensitive.
        live: what policies are asked, and how; `out` must be given.
        attribution: what `unswayed audit decompose --json` printed of the training between the arms.
        changes: fields of the plan, e.g. `eps=0.03`, `rule="agrees"`; where a plan was given each is a deviation.

    Raises:
        ConfigError: a plan, rule or folder that cannot be used.
        DataError: rows that cannot be read or do not pair.
    """
    where = None if plan is None else Path(plan)
    config, departures = load_plan(where, changes)
    if skip:
        sections = {**config.sections, **dict.fromkeys(skip, False)}
        config, more = load_plan(where, {**changes, "sections": sections})
        departures = more
    paths = {"before": before, "after": after, "replicate": replicate, "parity": parity}
    named = {name: str(path) for name, path in paths.items() if path is not None}
    batches = [Path(one) for one in inputs]
    asked = [name for name, path in named.items() if is_policy(path)]
    found: dict[str, Any] = {} if attribution is None else {"attribution": read_attribution(Path(attribution))}
    arms: dict[str, Source] = {
        name: read_arm(Path(path), batches, scorer) for name, path in named.items() if name not in asked
    }
    if asked:
        if live is None or out is None:
            raise ConfigError(
                f"{named[asked[0]]}: neither a file of completions nor a folder of evaluations. A policy is asked: "
                "name suites with --suite, and a folder with -o"
            )
        decoded = live.decoded({"before", "after"} <= set(asked))
        found["generation"] = generation(decoded)
        _declare(Path(out), config, {name: identity(named[name], decoded) for name in asked})
        arms |= {name: ask(name, named[name], live, decoded, Path(out)) for name in asked}
    return audit_sources(
        arms, config, found=found,
        departures=departures, out=None if out is None else Path(out), judge=judge,
        labels=None if labels is None else Path(labels), again=again, show_sensitive=show_sensitive,
    )  # fmt: skip


def audit_sources(
    arms: Extra,
    plan: AuditConfig,
    *,
    departures: Sequence[str] = (),
    out: Path | None = None,
    judge: Judge | None = None,
    labels: Path | None = None,
    again: bool = False,
    show_sensitive: bool = False,
    found: Mapping[str, Any] = {},
) -> Audit:
    """Audit arms that are read already; `found` holds what other commands made: generation, attribution, controls."""
    first, second = arms["before"], arms["after"]
    side = tuple(dict.fromkeys(one.behaviour for one in first.side)) + tuple(plan.side_margins)
    joined = {"pairs": join([*first.replies, *first.side], [*second.replies, *second.side], plan.max_unjoined)}
    if "replicate" in arms:
        joined["replicate"] = join(joined["pairs"].arm("before"), arms["replicate"].replies, plan.max_unjoined)
    if "parity" in arms:
        joined["parity"] = join(joined["pairs"].arm("after"), arms["parity"].replies, plan.max_unjoined)
    if out is not None:
        plan = _looks(out, plan, {name: one.sha256 for name, one in arms.items()}, again=again)
    declared = record(plan, joined["pairs"].prompts_sha256, {name: one.sha256 for name, one in arms.items()})
    if out is not None:
        write_json(out / bundle.PLAN, declared)  # before the first outcome is computed
    outcomes: dict[str, Any] = {}
    for name, pairs in list(joined.items()):
        joined[name], about = assign(pairs, plan, judge)
        outcomes = outcomes or about
    given = {
        "arms": {name: {"path": one.path, "format": one.format, "sha256": one.sha256} for name, one in arms.items()},
        "join": joined["pairs"].about(),
        "departures": list(departures),
        "outcomes": outcomes,
        "side": [name for name in side if name in joined["pairs"].behaviours],
        "sensitive": [first.sensitive, second.sensitive],
        "show_sensitive": show_sensitive,
        **found,
    }
    people = None if labels is None else read_labels(labels)
    content = compose(joined, plan, declared, given, people)
    if out is not None:
        _write(out, content, joined, labels)
    return Audit(content, out)


def compose(
    joined: Mapping[str, Joined],
    plan: AuditConfig,
    declared: Mapping[str, Any],
    given: Mapping[str, Any],
    people: Labels | None,
) -> dict[str, Any]:
    """Return what `audit.json` holds: a pure function of replies with their outcomes, plan, and what is given."""
    material = Material(
        joined["pairs"], plan, tuple(given["side"]), given["outcomes"], joined.get("replicate"), joined.get("parity"),
        people, given.get("generation"), given.get("attribution"), given.get("controls"),
    )  # fmt: skip
    concluded = conclude(material)
    return {
        "format": bundle.FORMAT,
        "unswayed": __version__,
        "plan": dict(declared),
        "given": dict(given),
        **concluded,
        "order": list(SECTIONS),
        "transcripts": transcripts(material, given),
        "exit_code": exit_code(concluded["verdicts"]),
    }


def read_attribution(path: Path) -> dict[str, Any]:
    """Return the terms of a change in order, with the hash of the file that they are from.

    Raises:
        DataError: not what `unswayed audit decompose --json` prints.
    """
    try:
        value = parse(path.read_text(encoding="utf-8"))
        terms = {str(name): dict(term) for name, term in value["terms"].items()}
        rows = [{"name": name, "value": term["estimate"], "interval": term["interval"]} for name, term in terms.items()]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{path}: not what `unswayed audit decompose --json` prints ({error})") from error
    parts = [row for row in rows if row["name"] != TOTAL]
    return {
        "terms": [row for row in parts if row["value"] is not None],
        "not_measured": [row["name"] for row in parts if row["value"] is None],
        "total": next((row for row in rows if row["name"] == TOTAL), None),
        "sha256": hash_file(path),
    }


def _declare(out: Path, plan: AuditConfig, arms: Mapping[str, str]) -> None:
    """Write what is decided before the first sample is drawn; the plan that holds the prompts' hash follows."""
    if not (out / bundle.DECLARED).exists() and not (out / bundle.PLAN).exists():
        content = {"plan": plan.model_dump(), "arms": dict(arms)}
        write_json(out / bundle.DECLARED, {**content, "sha256": hash_json(content)})


def _looks(out: Path, plan: AuditConfig, arms: Mapping[str, str], *, again: bool) -> AuditConfig:
    """Return the plan with the looks that this folder has counted.

    Raises:
        ConfigError: the folder holds something else, or another audit that this one is not meant to follow.
    """
    if not out.exists() or not any(out.iterdir()):
        return plan
    if not (out / bundle.PLAN).exists() and (out / bundle.DECLARED).exists():
        return plan
    if not (out / bundle.PLAN).exists():
        raise ConfigError(f"{out}: is not empty and holds no audit; name another folder with -o")
    held = json.loads((out / bundle.PLAN).read_text(encoding="utf-8"))
    looks = int(held["plan"]["looks"])
    if dict(held["arms"]) == dict(arms):
        return plan if plan.looks >= looks else plan.model_copy(update={"looks": looks})
    if not again:
        raise ConfigError(
            f"{out}: holds an audit of other replies; name another folder with -o. If these prompts are asked once "
            "more because of what the first audit said, add --again: the look is counted, and the threshold widens"
        )
    return plan.model_copy(update={"looks": max(plan.looks, looks + 1)})


def _write(out: Path, content: Mapping[str, Any], joined: Mapping[str, Joined], labels: Path | None) -> None:
    pairs = joined["pairs"]
    for arm in ("before", "after"):
        bundle.write_replies(out, arm, pairs.arm(arm))
    for name in ("replicate", "parity"):
        if name in joined:
            bundle.write_replies(out, name, joined[name].arm("after"))
    if labels is not None:
        write_jsonl(out / "labels.jsonl", read_table(labels))
    bundle.write_outcomes(out, joined)
    write_json(out / bundle.AUDIT, content)
    write_atomic(out / bundle.PAGE, page(content))
    bundle.write_manifest(out)


def page(content: Mapping[str, Any]) -> str:
    """Return the page of an audit."""
    from unswayed.report.html import audit_page

    return audit_page(json.loads(dump_json(content)))  # in the order of keys that a reader of the file has
