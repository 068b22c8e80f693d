import io

import pytest
from rich.cells import cell_len
from rich.console import Console
from sample_report import HOSTILE, hostile_report

from unswayed.report.model import Report
from unswayed.report.terminal import result_table


def printed(report: Report, width: int) -> str:
    console = Console(file=io.StringIO(), width=width, force_terminal=True, color_system="truecolor")
    console.print(result_table(report, width=width))
    plain = Console(file=io.StringIO(), width=width)
    plain.print(result_table(report, width=width))
    assert isinstance(plain.file, io.StringIO)
    return plain.file.getvalue()


@pytest.mark.parametrize("width", [160, 100])
def test_wide_terminals_get_a_column_for_each_arm(report: Report, width: int) -> None:
    lines = printed(report, width).splitlines()
    assert all(cell_len(line) <= width for line in lines)
    first = next(line for line in lines if line.lstrip().startswith("Followed the wrong hint"))
    assert [text in first for text in ("62.0%  55.8 to 67.8", "29.2%  23.9 to 35.1", "19.2%  14.8 to 24.5")] == [
        True
    ] * 3


@pytest.mark.parametrize("width", [79, 60, 40])
def test_narrow_terminals_get_a_line_for_each_arm(report: Report, width: int) -> None:
    text = printed(report, width)
    assert all(cell_len(line) <= width for line in text.splitlines())
    for part in ("62.0%  55.8 to 67.8", "−42.8  −48.9 to −36.7", "n 250, 3 unscored", "worse", "not run"):
        assert part in text


def test_no_number_is_missing(report: Report) -> None:
    for width in (100, 60):
        text = printed(report, width)
        for row in report.rows:
            for cell in row.cells.values():
                assert f"{100 * (cell.estimate.value or 0):.1f}%" in text
                assert f"n {cell.estimate.n}" in text


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_is_only_text(text: str) -> None:
    for width in (100, 50):
        shown = printed(hostile_report(text), width)
        assert not any(ord(char) < 32 and char != "\n" for char in shown)
        assert not set(shown) & set("\x7f\x9b\u202e\u2066\u200b\u200d\ufeff\ud800")
        assert all(cell_len(line) <= width for line in shown.splitlines())
    if "[bold red]" in text:
        assert "[bold red]" in shown
        assert ":warning:" in printed(hostile_report(text), 160)
