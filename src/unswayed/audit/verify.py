"""Recompute a bundle from its replies and outcomes, and compare every byte."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from unswayed._version import __version__
from unswayed.audit import bundle
from unswayed.audit.join import Joined, join
from unswayed.audit.judged import read_labels
from unswayed.audit.outcomes import assign
from unswayed.audit.plan import AuditConfig, AuditPlan
from unswayed.audit.run import compose, page
from unswayed.core.errors import DataError
from unswayed.core.files import dump_json
from unswayed.core.hashing import hash_file, hash_json
from unswayed.core.jsonl import loads


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at: whether it holds (None where it could not be compared), and what was found."""

    name: str
    holds: bool | None
    said: str


def verify(folder: Path) -> list[Check]:
    """Return what was checked of a bundle.

    Raises:
        DataError: a folder that is no bundle, or a file in it that cannot be read.
    """
    try:
        manifest, content = (_json(folder / name) for name in (bundle.MANIFEST, bundle.AUDIT))
        declared = _json(folder / bundle.PLAN)
    except OSError as error:
        raise DataError(f"{folder}: no bundle of an audit ({error})") from error
    checks = [_manifest(folder, manifest), _plan(declared, content)]
    plan = AuditPlan.from_dict({"audit": declared["plan"]}, where=str(folder / bundle.PLAN)).audit
    joined = _joined(folder)
    checks.append(_prompts(joined["pairs"], declared))
    checks.append(_outcomes(folder, joined, plan, content["given"]["outcomes"]))
    labels = folder / "labels.jsonl"
    known = {
        name: replace(pairs, before=_side(folder, name, "before", pairs), after=_side(folder, name, "after", pairs))
        for name, pairs in joined.items()
    }
    made = compose(known, plan, declared, content["given"], read_labels(labels) if labels.exists() else None)
    made = {**made, "unswayed": content["unswayed"]}
    same = dump_json(made) == (folder / bundle.AUDIT).read_text(encoding="utf-8")
    moved = "" if same else f": {_first_difference(made, content)}"
    checks.append(
        Check(
            "verdicts",
            same,
            "every number of audit.json recomputed bit by bit" if same else f"audit.json differs{moved}",
        )
    )
    checks.append(_page(folder, content, manifest))
    return checks


def _json(path: Path) -> dict[str, Any]:
    try:
        value: dict[str, Any] = loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataError(f"{path}: not JSON ({error})") from error
    return value


def _joined(folder: Path) -> dict[str, Joined]:
    first, second = (bundle.read_replies(folder, arm) for arm in ("before", "after"))
    found = {"pairs": join(first, second, 0.0)}
    for name, own in (("replicate", first), ("parity", second)):
        if (folder / f"{name}.jsonl").exists():
            found[name] = join(own, bundle.read_replies(folder, name), 1.0)
    return found


def _side(folder: Path, name: str, arm: str, pairs: Joined) -> Any:
    """Return one side of pairs with the bundle's outcomes: whose rows these are depends on what was paired."""
    rows = {"pairs": arm, "replicate": "before" if arm == "before" else "replicate",
            "parity": "after" if arm == "before" else "parity"}[name]  # fmt: skip
    return bundle.with_outcomes(folder, rows, pairs.before if arm == "before" else pairs.after)


def _manifest(folder: Path, manifest: Mapping[str, Any]) -> Check:
    found = {path.name for path in folder.iterdir() if path.is_file()} - {bundle.MANIFEST}
    listed = manifest["files"]
    wrong = [name for name in listed if name not in found or hash_file(folder / name) != listed[name]]
    wrong += [f"{name} (not listed)" for name in sorted(found - listed.keys()) if not name.startswith((".", "LOCK"))]
    own = {name: value for name, value in manifest.items() if name != "sha256"}
    if hash_json(own) != manifest["sha256"]:
        wrong.append(bundle.MANIFEST)
    return Check(
        "files", not wrong, f"changed: {', '.join(wrong)}" if wrong else f"{len(listed)} files have their hashes"
    )


def _plan(declared: Mapping[str, Any], content: Mapping[str, Any]) -> Check:
    own = {name: value for name, value in declared.items() if name != "sha256"}
    holds = hash_json(own) == declared["sha256"] and content["plan"] == declared
    return Check(
        "plan", holds, "the plan has its hash, and the verdicts name it" if holds else "not the plan that was hashed"
    )


def _prompts(pairs: Joined, declared: Mapping[str, Any]) -> Check:
    holds = pairs.prompts_sha256 == declared["prompts_sha256"]
    return Check(
        "prompts", holds, f"{len(pairs.before)} prompts" if holds else "not the prompts that the plan was made for"
    )


def _outcomes(folder: Path, joined: Mapping[str, Joined], plan: AuditConfig, about: Mapping[str, Any]) -> Check:
    """Give the outcomes of a rule anew; those of rows and judges are taken as they are."""
    if about.get("judge"):
        return Check("outcomes", None, f"taken from outcomes.jsonl: {about['judge']} is not asked again")
    again, found = assign(joined["pairs"], plan)
    held = {arm: _side(folder, "pairs", arm, joined["pairs"]) for arm in ("before", "after")}
    if found["rule"] != about["rule"]:
        return Check("outcomes", None, f"given by {about['rule']}, this program has {found['rule']}")
    differ = sum(
        one.outcome != other.outcome
        for arm in ("before", "after")
        for key, some in getattr(again, arm).items()
        for one, other in zip(some, held[arm][key], strict=True)
    )
    how = f"by {about['rule']}" if about["rule"] else "from the rows"
    return Check("outcomes", not differ, f"{differ} differ" if differ else f"every outcome given again {how}")


def _page(folder: Path, content: Mapping[str, Any], manifest: Mapping[str, Any]) -> Check:
    if page(content) == (folder / bundle.PAGE).read_text(encoding="utf-8"):
        return Check("page", True, "the page shows these numbers")
    used, here = manifest["versions"], bundle.versions()
    other = [f"{name} {used[name]} (here {here[name]})" for name in used if used[name] != here[name]]
    if content["unswayed"] != __version__:
        other.append(f"unswayed {content['unswayed']} (here {__version__})")
    if other:
        return Check("page", None, f"not compared, it was drawn by {', '.join(other)}")
    return Check("page", False, "the page is not the one that these numbers give")


def _first_difference(made: Any, held: Any, where: str = "") -> str:
    if isinstance(made, Mapping) and isinstance(held, Mapping):
        for key in sorted({*made, *held}):
            if made.get(key) != held.get(key):
                return _first_difference(made.get(key), held.get(key), f"{where}.{key}".lstrip("."))
    if isinstance(made, list) and isinstance(held, list) and len(made) == len(held):
        for place, (one, other) in enumerate(zip(made, held, strict=True)):
            if one != other:
                return _first_difference(one, other, f"{where}[{place}]")
    return f"{where}: {held!r:.80} there, {made!r:.80} recomputed"
