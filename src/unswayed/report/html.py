"""The only writer of HTML: one page that needs nothing but itself, and `report.json` beside it.

Every text is hostile until shown otherwise. Jinja2 escapes all of it, hidden characters are written out first, the page
has no scripts and a policy that forbids them, and the only markup that passes as it is are our own drawings, which
`unswayed.report.svg` has taken apart and rebuilt.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unswayed.core.files import remove_leftovers, write_atomic, write_json
from unswayed.core.printable import printable
from unswayed.report import audit, charts, numbers, summary
from unswayed.report.comparison import report_of_comparison
from unswayed.report.model import Report
from unswayed.report.records import to_json

if TYPE_CHECKING:
    from jinja2 import Environment

    from unswayed.evals.compare.comparison import Comparison

REPORT = "report.json"
LONGEST = 8_000  # characters of one text that the page shows; report.json holds the whole
_BADGES = {"improved": "improved", "worse": "worse", "no material change": "unchanged"}


def write_report(folder: Path, report: Report) -> Path:
    """Write `report.json` and then `report.html` into a folder, each whole or not at all.

    Args:
        folder: made if it is not there.
        report: what to write.

    Returns:
        The path of the page.
    """
    page = page_of(report)
    write_json(folder / REPORT, to_json(report))
    write_atomic(folder / "report.html", page)
    return folder / "report.html"


def page_of(report: Report, record: str = REPORT) -> str:
    """Return the page as text; the same report gives the same bytes. `record` names the file that holds its numbers."""
    return (
        _environment(record)
        .get_template("report.html.j2")
        .render(
            report=report,
            outcomes=summary.outcomes(report),
            limits=summary.limits(report),
            drawings=_drawings(report),
            record=record,
        )
    )


def write_comparison(folder: Path, comparison: Comparison) -> Path:
    """Write `compare.json` and then `compare.html` into a folder, each whole or not at all; return the page's path."""
    from unswayed.evals.compare.comparison import to_json as comparison_json

    page = page_of(report_of_comparison(comparison), "compare.json")
    for name in ("compare.json", "compare.html"):
        remove_leftovers(folder / name)
    write_json(folder / "compare.json", comparison_json(comparison))
    write_atomic(folder / "compare.html", page)
    return folder / "compare.html"


def audit_page(content: Mapping[str, Any]) -> str:
    """Return the page of an audit, from what `audit.json` holds; equal contents give equal bytes."""
    from markupsafe import Markup

    def marked(value: Any) -> Any:
        if isinstance(value, str):
            return Markup(value)
        if isinstance(value, Mapping):
            return {key: marked(inner) for key, inner in value.items()}
        return [marked(inner) for inner in value] if isinstance(value, list | tuple) else value

    hidden = any(one is True for one in content["given"]["sensitive"])
    return (
        _environment("audit.json")
        .get_template("audit.html.j2")
        .render(
            audit=content,
            title=audit.title_of(content),
            lead=audit.lead_of(content),
            facts=audit.facts_of(content),
            kinds=audit.kinds_of,
            drawings=marked(audit.drawings_of(content)),
            folded=not hidden and not content["given"]["show_sensitive"],
        )
    )


def sweep_page(content: Mapping[str, Any]) -> str:
    """Return the page of a sweep, from what its `report.json` holds; equal contents give equal bytes."""
    return _environment(REPORT).get_template("sweep.html.j2").render(sweep=content)


def _drawings(report: Report) -> Mapping[str, Any]:
    from markupsafe import Markup

    def pair(draw: Any, name: str) -> tuple[Markup, Markup] | None:
        wide = draw(report, width=charts.WIDE, name=f"{name}-wide")
        narrow = draw(report, width=charts.NARROW, name=f"{name}-narrow")
        return (Markup(wide), Markup(narrow)) if wide and narrow else None

    curves = []
    for number, metric in enumerate({curve.metric.key: curve.metric for curve in report.curves}.values()):
        drawn = charts.training(report, metric.key, name=f"training-{number}")
        if drawn:
            curves.append((metric, Markup(drawn)))
    return {
        "rates": pair(charts.rates, "rates"),
        "differences": pair(charts.differences, "differences"),
        "training": curves,
    }


@cache
def _environment(record: str = REPORT) -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("unswayed.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=partial(_shown, record=record),
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(
        {name: getattr(numbers, name) for name in ("level", "change", "size", "span", "count", "p_value")}
    )
    environment.globals.update(details=summary.details, titles=summary.TITLES)
    environment.filters["capitalize_first"] = lambda text: text[:1].upper() + text[1:]
    environment.globals["badge"] = lambda verdict: _BADGES.get(verdict, "unknown")
    return environment


def _shown(value: Any, *, record: str = REPORT) -> Any:
    """What the page prints for a value: hidden characters written out, and no more of it than a page can bear."""
    if value is None:
        raise ValueError("the report's template printed a value that is not there")
    if hasattr(value, "__html__"):
        return value
    text = str(value)
    rest = len(text) - LONGEST
    if rest > 0:
        return f"{printable(text[:LONGEST])} … [{numbers.count(rest, 'more character')}, in {record}]"
    return printable(text)
