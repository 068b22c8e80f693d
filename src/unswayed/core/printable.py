"""Make text from models, data files and other machines safe to print.

A terminal obeys escape sequences, a bidirectional mark reorders what the eye reads, a zero-width character hides a
word from a search, and a spreadsheet runs a cell that begins with `=`. Text that we did not write goes through here
before it reaches a terminal, a log, a page or a table.
"""

from __future__ import annotations

import json
import re
import unicodedata

# Characters that Unicode calls printable although they draw nothing: joiners, fillers, variation selectors.
_SELECTORS = (*range(0x180B, 0x1810), *range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0))
_BLANK = frozenset((0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x2800, 0x3164, 0xFFA0, *_SELECTORS))
_FORMULA = ("=", "+", "-", "@", "＝", "＋", "－", "＠")
_NAMED = {"\n": "\\n", "\t": "\\t", "\r": "\\r"}


def _visible(char: str) -> str:
    code = ord(char)
    if code not in _BLANK and (char.isprintable() or unicodedata.category(char) == "Zs"):
        return char
    if char in _NAMED:
        return _NAMED[char]
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


class _Table(dict[int, str]):
    """A translation table that learns each character when it is first met."""

    def __missing__(self, code: int) -> str:
        self[code] = shown = _visible(chr(code))
        return shown


_LINE = _Table()
_BLOCK = _Table({ord("\n"): "\n", ord("\t"): "\t"})


def printable(text: str, *, newlines: bool = True) -> str:
    r"""Write out every character that would move the cursor, reorder the line or draw nothing.

    Control and escape characters, bidirectional and zero-width marks, line separators, variation selectors, lone
    surrogates, private and unassigned code points become `\x1b`, `\u202e` or `\U000e0041`. Ordinary text of any
    script stays as it is. A backslash is left alone, so the result can be read but not turned back: for that, keep
    the text itself (records and `report.json` do).

    Args:
        text: anything.
        newlines: keep line feeds and tabs; with `False` the result is one line and they are written out too.
    """
    return text.translate(_BLOCK if newlines else _LINE)


class _Escapes(dict[int, str]):
    """The same for JSON, in its own escapes."""

    def __missing__(self, code: int) -> str:
        shown = _visible(chr(code))
        self[code] = shown = (
            shown if shown == chr(code) else json.dumps(chr(code)).strip('"').replace("\x7f", "\\u007f")
        )
        return shown


_JSON = _Escapes({ord("\n"): "\n"})


def printable_json(text: str) -> str:
    """Return JSON that means the same, with every character escaped that `printable` would write out."""
    return text.translate(_JSON)


def csv_cell(value: str | float | None) -> str:
    """Return one cell for a CSV or TSV file that a spreadsheet will not run as a formula.

    Text becomes one printable line; where it begins with `=`, `+`, `-` or `@` (also after spaces, also in full width)
    it gets a leading apostrophe. Numbers stay numbers, so -0.5 is still -0.5; None is the empty cell. Quoting of
    commas and quotation marks is left to the `csv` module.
    """
    if value is None:
        return ""
    if not isinstance(value, str):
        return repr(value)
    line = printable(value, newlines=False)
    return f"'{line}" if line.lstrip().startswith(_FORMULA) else line


def storable(text: str) -> str:
    """Return text that UTF-8 can hold: a lone surrogate, which it cannot, is written out."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


URL_PASSWORD = re.compile(r"(?<=://)[^/@\s]+@")


def without_passwords(text: str) -> str:
    """Return text in which a name and password inside a URL are left out."""
    return URL_PASSWORD.sub("…@", text)


def first_line(error: Exception) -> str:
    """Return the first line of another library's message."""
    return printable(str(error).strip().partition("\n")[0], newlines=False)


EXCERPT = 80


def excerpt(text: str) -> str:
    """Return text for one line of a message: quoted, printable, cut in the middle where it is long."""
    line = printable(text, newlines=False)
    return f"'{line}'" if len(line) <= EXCERPT else f"'{line[: EXCERPT // 2]} … {line[-EXCERPT // 2 :]}'"
