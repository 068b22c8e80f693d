"""How a number is written: one place, so that page, terminal and sentences agree to the last digit."""

from __future__ import annotations

MINUS = "−"
NONE = "–"


def _fixed(number: float, digits: int) -> str:
    text = f"{number:.{digits}f}"
    return text.removeprefix("-") if float(text) == 0 else text.replace("-", MINUS)


def _plain(number: float, unit: str) -> str:
    """A rate in percent with one decimal; anything else with three significant digits, never in powers of ten."""
    if unit in ("rate", "points"):
        return _fixed(100 * number, 1)
    digits = max(0, 2 - _exponent(number))
    return _fixed(number, min(digits, 6))


def _exponent(number: float) -> int:
    return int(f"{number:e}".partition("e")[2]) if number else 0


def level(number: float | None, unit: str = "rate") -> str:
    """Write a rate as `61.2%` and a mean as `143 tokens`; nothing scored is a dash."""
    if number is None:
        return NONE
    if unit == "points":
        return change(number, unit, named=True)
    return f"{_plain(number, unit)}%" if unit == "rate" else f"{_plain(number, unit)} {unit}".rstrip()


def change(number: float | None, unit: str = "rate", *, named: bool = False) -> str:
    """Write a difference with its sign: `−40.8`, with `named` `−40.8 points` (percentage points for a rate)."""
    if number is None:
        return NONE
    text = _plain(number, unit)
    if not text.startswith(MINUS) and text.strip("0."):
        text = f"+{text}"
    return f"{text} {'points' if unit in ('rate', 'points') else unit}".rstrip() if named else text


def size(number: float | None, unit: str = "rate") -> str:
    """Write a size that has no sign, such as a margin: `2.0 points`."""
    return (
        NONE
        if number is None
        else f"{_plain(number, unit)} {'points' if unit in ('rate', 'points') else unit}".rstrip()
    )


def span(low: float | None, high: float | None, unit: str = "rate", *, signed: bool = False) -> str:
    """Write an interval as `54.9 to 67.1`; one of differences keeps its signs."""
    if low is None or high is None:
        return NONE
    write = change if signed or unit == "points" else _plain
    return f"{write(low, unit)} to {write(high, unit)}"


def count(number: int, one: str, many: str | None = None) -> str:
    """Write `1 sample`, `1,234 samples`."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def p_value(number: float | None) -> str:
    """Write a p-value with three decimals, never as zero: `p = 0.031`, `p < 0.001`."""
    if number is None:
        return "no p-value"
    return "p < 0.001" if number < 0.001 else f"p = {number:.3f}"
