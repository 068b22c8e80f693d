import csv
import io
import time
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unswayed.core.printable import csv_cell, printable

ANY = st.text(st.characters(codec=None, exclude_categories=()))  # surrogates and unassigned code points included


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain text, \\ and 中文 עברית ñ é", "plain text, \\ and 中文 עברית ñ é"),
        ("\x1b[2J\x1b]0;title\x07", "\\x1b[2J\\x1b]0;title\\x07"),
        ("\x9b31m", "\\x9b31m"),
        ("NUL\0 DEL\x7f", "NUL\\x00 DEL\\x7f"),
        ("safe\u202egnp.exe", "safe\\u202egnp.exe"),
        ("\u2066a\u2069\u200e\u061c", "\\u2066a\\u2069\\u200e\\u061c"),
        ("ze\u200bro\u200d\u2060\ufeff", "ze\\u200bro\\u200d\\u2060\\ufeff"),
        ("soft\u00adhyphen", "soft\\xadhyphen"),
        ("\u3164\u2800\ufe0f\U000e0100", "\\u3164\\u2800\\ufe0f\\U000e0100"),
        ("\U000e0041", "\\U000e0041"),
        ("\u2028\u2029\x85", "\\u2028\\u2029\\x85"),
        ("\ud800", "\\ud800"),
        ("\ue000", "\\ue000"),
        ("a\u00a0b\u3000c", "a\u00a0b\u3000c"),
        ("two\r\nlines\tand a tab", "two\\r\nlines\tand a tab"),
        ("", ""),
    ],
)
def test_hidden_characters_are_written_out(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_one_line_on_request() -> None:
    assert printable("a\nb\tc\r", newlines=False) == "a\\nb\\tc\\r"


@given(ANY, st.booleans())
@settings(deadline=None, max_examples=300)
def test_output_is_harmless_and_stable(text: str, newlines: bool) -> None:
    shown = printable(text, newlines=newlines)
    for char in shown:
        if newlines and char in "\n\t":
            continue
        assert unicodedata.category(char) not in {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
    assert printable(shown, newlines=newlines) == shown
    shown.encode()  # lone surrogates are gone
    if not newlines:
        assert len(shown.splitlines()) <= 1


@given(st.text(st.characters(categories=["L", "N", "P"])))
@settings(deadline=None)
def test_written_languages_are_left_alone(text: str) -> None:
    fillers = set("\u115f\u1160\u3164\uffa0")
    assert printable("".join(char for char in text if char not in fillers)) == "".join(
        char for char in text if char not in fillers
    )


def test_a_megabyte_takes_no_time() -> None:
    started = time.perf_counter()
    assert len(printable("x\x1b" * 500_000)) == 500_000 * 5
    assert time.perf_counter() - started < 2


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "＝", " =", "\u00a0@"])
def test_a_formula_is_quoted(start: str) -> None:
    assert csv_cell(f"{start}HYPERLINK(1)") == f"'{start}HYPERLINK(1)"


def test_cells() -> None:
    assert csv_cell(None) == ""
    assert csv_cell(-0.5) == "-0.5"
    assert csv_cell(12) == "12"
    assert csv_cell("a - b = c") == "a - b = c"
    assert csv_cell("\t=1") == "\\t=1"  # the tab is written out, so the cell begins with a backslash
    assert csv_cell("") == ""


@given(ANY)
@settings(deadline=None)
def test_cells_survive_the_csv_module_and_never_begin_a_formula(text: str) -> None:
    cell = csv_cell(text)
    buffer = io.StringIO()
    csv.writer(buffer).writerow([cell, "next"])
    assert next(csv.reader(io.StringIO(buffer.getvalue()))) == [cell, "next"]
    assert not cell.lstrip().startswith(("=", "+", "-", "@"))
