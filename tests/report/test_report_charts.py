import os
import re
import subprocess
import sys
from dataclasses import replace
from xml.etree import ElementTree

import pytest
from sample_report import HOSTILE, hostile_report

from unswayed.core.types import Estimate
from unswayed.report import charts
from unswayed.report.canvas import Canvas, house_style, measure, one_line, shorten, wrap
from unswayed.report.model import Arm, Cell, Curve, Metric, Report, Row
from unswayed.report.svg import arm_ink


def texts(svg: str) -> list[str]:
    return [element.text or "" for element in ElementTree.fromstring(svg).iter("text")]


def drawn(svg: str | None) -> str:
    assert svg is not None
    return svg


def test_rates_show_every_number_and_every_absence(report: Report) -> None:
    found = texts(drawn(charts.rates(report)))
    for row in report.rows:
        assert row.label in found
        for cell in row.cells.values():
            assert f"{100 * (cell.estimate.value or 0):.1f}%" in found
    assert found.count("not run") == 1
    assert [arm.label for arm in report.arms] == found[:3]


def test_differences_show_every_effect(report: Report) -> None:
    found = texts(drawn(charts.differences(report)))
    assert {"−42.8", "−32.8", "+9.2", "← better", "better →", "margin", "smallest change that would show"} <= set(found)
    assert found.count("not run") == 1
    assert found.count("← better") == 3


def positions(svg: str) -> list[float]:
    """Where the marks of the data stand, from left to right as drawn."""
    root = ElementTree.fromstring(svg)
    data = [group for group in root.iter("g") if group.get("class") == "data"]
    return [float(use.get("x", "")) for group in data for use in group.iter("use")]


def test_marks_stand_where_their_rate_is(report: Report) -> None:
    found = positions(drawn(charts.rates(report)))
    rates = [row.cells[arm.id].estimate.value for row in report.rows for arm in report.arms if arm.id in row.cells]
    room = charts.WIDE - 2 * charts.EDGE - charts.VALUES
    expected = [charts.EDGE + room * rate for rate in rates if rate is not None]
    assert found == pytest.approx(expected, abs=1e-3)


def test_intervals_reach_from_low_to_high(report: Report) -> None:
    root = ElementTree.fromstring(drawn(charts.rates(report)))
    room = charts.WIDE - 2 * charts.EDGE - charts.VALUES
    ends = []
    for group in root.iter("g"):
        if group.get("class") == "data" and (path := group.find("path")) is not None:
            ends.append([float(x) for x in re.findall(r"[ML] ([\d.]+)", path.get("d", ""))])
    sides = [row.cells[arm.id].estimate for row in report.rows for arm in report.arms if arm.id in row.cells]
    expected = [[charts.EDGE + room * (end or 0) for end in (side.low, side.high)] for side in sides]
    assert len(ends) == len(expected) == 20
    for found, wanted in zip(ends, expected, strict=True):
        assert found == pytest.approx(wanted, abs=1e-3)


def test_the_two_drawings_line_up(report: Report) -> None:
    def label_heights(svg: str) -> list[str]:
        labels = {row.label for row in report.rows}
        return [text.get("y", "") for text in ElementTree.fromstring(svg).iter("text") if text.text in labels]

    first, second = drawn(charts.rates(report)), drawn(charts.differences(report))
    assert label_heights(first) == label_heights(second)
    assert len(label_heights(first)) == 7


def test_a_curve_draws_its_points(report: Report) -> None:
    curve = Curve("opct", Metric("loss", "Loss"), ((1, 4.0), (2, 2.0), (3, 1.0)))
    svg = drawn(charts.training(replace(report, curves=(curve,)), "loss"))
    root = ElementTree.fromstring(svg)
    (path,) = [group.find("path") for group in root.iter("g") if group.get("class") == "data"]
    assert path is not None
    points = [(float(x), float(y)) for x, y in re.findall(r"[ML] ([\d.]+) ([\d.]+)", path.get("d", ""))]
    assert len(points) == 3
    (x0, y0), (x1, y1), (x2, y2) = points
    assert x2 - x1 == pytest.approx(x1 - x0, abs=1e-3)
    assert y2 - y1 == pytest.approx((y1 - y0) / 2, abs=1e-3)  # 4 → 2 → 1
    assert "OPCT" in texts(svg)
    assert "Base model" not in texts(svg)


@pytest.mark.parametrize(
    ("values", "ticks"),
    [
        ([0.0, 1.0], {"0", "0.5", "1.0"}),
        ([290.0, 335.0], {"300", "320"}),
        ([0.0, 12000.0], {"0", "5,000", "10,000"}),
        ([1e-7, 3e-7], {"1e−07", "2e−07", "3e−07"}),
        ([0.0, 2.5e6], {"0", "1e+06", "2e+06"}),
        ([100.0001, 100.0003], {"100.0001", "100.0002", "100.0003"}),
        ([-40.0, 40.0], {"−25", "0", "25"}),
        ([5.0, 5.0], {"5.0"}),
        ([5.0], {"5.0"}),
    ],
)
def test_a_scale_tells_its_ticks_apart_and_fits(report: Report, values: list[float], ticks: set[str]) -> None:
    curve = Curve("opct", Metric("loss", "Loss"), tuple(enumerate(values, start=1)))
    root = ElementTree.fromstring(drawn(charts.training(replace(report, curves=(curve,)), "loss")))
    right_aligned = [text for text in root.iter("text") if "text-anchor: end" in text.get("style", "")]
    scale = [text for text in right_aligned if text.text != "step"]
    assert ticks <= {text.text for text in scale}
    assert len({text.text for text in scale}) == len(scale)
    assert all(float(text.get("x", "")) - measure(text.text or "", 11.0) >= 0 for text in scale)


def test_nothing_to_draw_is_none(report: Report) -> None:
    tokens = Row(
        "length", "Length", "lower", {"base": Cell(Estimate(143.0, 130.0, 150.0, 9, 9, 0, "t"))}, unit="tokens"
    )
    empty = Report("t", (Arm("base", "Base"),), "base", (tokens,))
    assert charts.rates(empty) is None
    assert charts.differences(empty) is None
    assert charts.training(empty, "loss") is None
    assert charts.training(report, "no such metric") is None


def test_drawings_are_the_same_bytes_in_another_process(report: Report) -> None:
    program = (
        "import sys; sys.path.insert(0, sys.argv[1]); from sample_report import sample_report as s; "
        "from unswayed.report import charts as c; r = s(); "
        "sys.stdout.write(c.rates(r) + c.differences(r) + c.training(r, 'kl/exact'))"
    )
    run = subprocess.run(
        [sys.executable, "-c", program, os.path.dirname(__file__)],
        capture_output=True, check=True, encoding="utf-8",
        env={**os.environ, "PYTHONHASHSEED": "12", "TZ": "Asia/Tokyo"},
    )  # fmt: skip
    here = drawn(charts.rates(report)) + drawn(charts.differences(report)) + drawn(charts.training(report, "kl/exact"))
    assert run.stdout == here


def test_drawings_take_their_colours_from_the_page(report: Report) -> None:
    for svg in (charts.rates(report), charts.differences(report), charts.training(report, "kl/exact")):
        assert "var(--arm-1)" in drawn(svg)
        assert not re.search(r"#[0-9a-f]{6}", re.sub(r'(?:href|id)="[^"]*"', "", drawn(svg)))


def test_ids_of_two_drawings_never_meet(report: Report) -> None:
    def ids(svg: str) -> set[str]:
        return {element.get("id", "") for element in ElementTree.fromstring(svg).iter()} - {""}

    wide, narrow = drawn(charts.rates(report, name="a")), drawn(charts.rates(report, width=charts.NARROW, name="b"))
    assert ids(wide)
    assert not ids(wide) & ids(narrow)
    for svg in (wide, narrow):
        links = set(re.findall(r'href="#([^"]+)"|url\(#([^)]+)\)', svg))
        assert {one or other for one, other in links} == ids(svg)


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_labels_stay_text(text: str) -> None:
    hostile = hostile_report(text)
    svg = drawn(charts.rates(hostile, width=charts.NARROW))
    root = ElementTree.fromstring(svg)
    assert {element.tag for element in root.iter()} <= {"svg", "g", "defs", "path", "text", "use", "clipPath", "rect"}
    joined = "".join(texts(svg)).replace(" ", "")
    assert one_line(text)[:20].replace(" ", "") in joined
    for element in root.iter("text"):
        size = float(re.findall(r"font-size: ([\d.]+)px", element.get("style", ""))[0])
        assert measure(element.text or "", size) <= charts.NARROW


def test_a_drawing_with_foreign_parts_is_refused() -> None:
    canvas = Canvas(100, 50)
    canvas.mark(10, 10, 0, arm_ink(0))
    canvas.axes.lines[0].set_url("https://example.org")
    with house_style(), pytest.raises(ValueError, match="may not hold <a>"):
        canvas.svg("x", "a link")


def test_the_users_own_style_changes_nothing_and_is_put_back(report: Report) -> None:
    import matplotlib

    expected = drawn(charts.rates(report))
    with matplotlib.rc_context({"font.size": 30, "text.parse_math": True, "svg.fonttype": "path", "lines.marker": "o"}):
        assert charts.rates(report) == expected
        assert matplotlib.rcParams["svg.fonttype"] == "path"


def test_measured_text_is_cut_to_fit() -> None:
    long = "a label of many words that will not fit on one line of this width by far"
    lines = wrap(long, 150)
    assert len(lines) == 3
    assert all(measure(line) <= 150 for line in lines)
    assert lines[-1].endswith("…")
    assert " ".join(wrap(long, 300)) == long
    assert wrap("", 100) == []
    assert shorten("short", 100) == "short"
    assert measure("日本") == pytest.approx(25.0)
    assert all(measure(line) <= 100 for line in wrap("x" * 500, 100))
    assert one_line("a\n b\x1b" + "c" * 500)[:7] == "a b\\x1b"
