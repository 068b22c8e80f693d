"""An audit as a page: what `audit.json` holds, in words and drawings; it adds nothing to it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from unswayed.report import audit_charts as charts
from unswayed.report.numbers import count

_ORDER = ("trait", "aligned", "refused", "incoherent", "off_topic", "unreadable", "unscored")
_WIDTHS = (("wide", 540.0), ("narrow", 328.0))


def title_of(audit: Mapping[str, Any]) -> str:
    """Return what the page is about."""
    names = [_short(audit["given"]["arms"][arm]["path"]) for arm in ("before", "after")]
    return f"{names[1]} against {names[0]}"


def _short(path: str) -> str:
    return path.rstrip("/").rpartition("/")[2] or path


def lead_of(audit: Mapping[str, Any]) -> str:
    """Return the first sentence: what was paired, and what did not pair."""
    join, given = audit["given"]["join"], audit["given"]
    lost = join["only_before"] + join["only_after"]
    replies = join["replies"]
    drawn = "" if replies["before"] == join["prompts"] == replies["after"] else (
        f", {replies['before']:,} and {replies['after']:,} replies"
    )  # fmt: skip
    kinds = {given["arms"][arm]["format"] for arm in ("before", "after")}
    rest = f" {count(lost, 'prompt')} of one arm alone {'was' if lost == 1 else 'were'} left out." if lost else ""
    return (
        f"{count(join['prompts'], 'prompt')} that both arms answered{drawn}, paired by id and wording, "
        f"from {' and '.join(sorted(kinds))}.{rest}"
    )


def facts_of(audit: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return what a third party needs to know to repeat it."""
    plan, given = audit["plan"], audit["given"]
    rows = [
        (arm.capitalize(), f"{one['path']} ({one['format']}), SHA-256 {one['sha256']}")
        for arm in ("before", "after", "replicate", "parity")
        if (one := given["arms"].get(arm))
    ]
    own = plan["plan"]
    rows += [
        ("Plan", f"SHA-256 {plan['sha256']}, hashed before the first outcome"),
        ("Prompts", f"SHA-256 {plan['prompts_sha256']}"),
        ("Family", ", ".join(own["family"]) or "all behaviours"),
        ("Looks", str(own["looks"])),
        ("Seed", str(own["seed"])),
    ]
    tests = audit["sections"]["sanity"].get("a_a") or []
    rows += [
        (
            f"A/A by {test['by']}",
            f"{test['behaviour']}: {_points(test)}; {'differs' if test['differs'] else 'does not differ'} from itself",
        )
        for test in tests
    ]
    for row in audit["sections"]["sanity"].get("path_parity") or []:
        rows.append(("Path parity", f"{row['behaviour']}: {_points(row)}"))
    return rows


def _points(row: Mapping[str, Any]) -> str:
    from unswayed.report.numbers import change, span

    low, high = row["interval"] or (None, None)
    return f"{change(row['estimate'], named=True)} [{span(low, high, signed=True)}]"


def kinds_of(one: Mapping[str, Any]) -> list[str]:
    """Return the outcomes that occur in a behaviour, in a fixed order."""
    return [kind for kind in _ORDER if any(kind in one["outcomes"][arm] for arm in ("before", "after"))]


def drawings_of(audit: Mapping[str, Any]) -> dict[str, Any]:
    """Return every drawing in its two widths; None where there is nothing to draw."""
    verdicts, profiles = audit["verdicts"], audit["sections"]["stability"].get("behaviours") or []

    def pair(draw: Any, content: Any, name: str) -> tuple[str, str] | None:
        drawn = [draw(content, width=width, name=f"{name}-{kind}") for kind, width in _WIDTHS]
        return (drawn[0], drawn[1]) if all(drawn) else None

    return {
        "forest": pair(charts.forest, verdicts, "forest"),
        "butterfly": pair(charts.butterfly, verdicts, "butterfly"),
        "waterfall": pair(charts.waterfall, audit["sections"]["attribution"], "waterfall"),
        "profiles": [
            (pair(charts.profile, one["profile"], f"profile-{n}"), pair(charts.sharpening, one.get("map"), f"map-{n}"))
            if "profile" in one else None
            for n, one in enumerate(profiles)
        ],
    }  # fmt: skip
