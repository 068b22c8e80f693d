"""A sheet of given pixels to draw on: text, lines, marks, with text measured so that nothing runs into anything."""

from __future__ import annotations

import unicodedata
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, Literal

from unswayed.core.printable import printable
from unswayed.report.svg import SETTINGS, ink, render

SMALL, TEXT = 11.0, 12.5  # font sizes in pixels
LONGEST = 200  # characters of a label that a drawing looks at; tables and report.json hold the whole
MARKERS = ("o", "s", "D", "^", "v", "P")  # six, so that with seven colours 42 arms differ


@contextmanager
def house_style() -> Iterator[None]:
    """Draw with the defaults of matplotlib and `SETTINGS`, whatever a matplotlibrc says; put that back after."""
    import matplotlib

    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(SETTINGS)
        yield


class Canvas:
    """Pixels with the origin at the top left, as SVG has them. One unit is one pixel at natural size.

    To be made, drawn on and written inside `house_style`.
    """

    def __init__(self, width: float, height: float) -> None:
        from matplotlib.figure import Figure

        self.width, self.height = width, height
        self.figure = Figure(figsize=(width / 72, height / 72), dpi=72)
        self.axes: Any = self.figure.add_axes((0, 0, 1, 1))
        self.axes.set_xlim(0, width)
        self.axes.set_ylim(height, 0)
        self.axes.set_axis_off()

    def text(
        self,
        x: float,
        y: float,
        text: str,
        *,
        color: str = "ink",
        size: float = TEXT,
        align: Literal["left", "center", "right"] = "left",
        bold: bool = False,
    ) -> None:
        """Write one line with its baseline at `y`."""
        weight = "bold" if bold else "normal"
        self.axes.text(x, y, text, color=ink(color), fontsize=size, ha=align, va="baseline", fontweight=weight)

    def line(
        self,
        xs: Sequence[float],
        ys: Sequence[float],
        color: str,
        *,
        width: float = 1.0,
        style: Any = "-",
        kind: str = "",
    ) -> None:
        """Draw a line through the points. `kind` becomes its class."""
        gid = f"u-{kind}" if kind else None
        self.axes.plot(xs, ys, color=color, lw=width, ls=style, gid=gid, solid_capstyle="butt", solid_joinstyle="round")

    def mark(self, x: float, y: float, index: int, color: str, *, kind: str = "", size: float = 7.5) -> None:
        """Draw the mark of the arm in column `index`, ringed by the paper so that it stands out from its interval."""
        self.axes.plot(
            [x], [y], marker=MARKERS[index % len(MARKERS)], ms=size, mfc=color, mec=ink("paper"), mew=1.2, ls="none",
            gid=f"u-{kind}" if kind else None,
        )  # fmt: skip

    def box(self, x: float, y: float, width: float, height: float, color: str, *, kind: str = "") -> None:
        """Fill a rectangle."""
        from matplotlib.patches import Rectangle

        gid = f"u-{kind}" if kind else None
        self.axes.add_patch(Rectangle((x, y), width, height, fc=color, ec="none", lw=0, gid=gid))

    def svg(self, name: str, description: str) -> str:
        """Return the drawing as one `<svg>` element; see `unswayed.report.svg.render`."""
        return render(self.figure, name, description)


@lru_cache(maxsize=4096)
def measure(text: str, size: float = TEXT, *, bold: bool = False) -> float:
    """Return the width of one line in pixels, in a font about as wide as any that a browser would take."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import text_to_path

    narrow = "".join(char for char in text if unicodedata.east_asian_width(char) not in "WF")
    font = FontProperties(family=SETTINGS["font.family"], size=size, weight="bold" if bold else "normal")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        width = text_to_path.get_text_width_height_descent(narrow, font, ismath=False)[0] if narrow else 0.0
    return float(width) + size * (len(text) - len(narrow))


def one_line(text: str) -> str:
    """Return text as a drawing may show it: printable, on one line, cut at `LONGEST` with an ellipsis."""
    line = " ".join(printable(text[: 2 * LONGEST]).split())
    return line if len(line) <= LONGEST and len(text) <= 2 * LONGEST else line[: LONGEST - 1] + "…"


def shorten(text: str, room: float, size: float = TEXT) -> str:
    """Return as much of one line as fits into `room` pixels, ending in an ellipsis where something is cut."""
    if measure(text, size) <= room:
        return text
    keep = len(text)
    while keep and measure(text[:keep].rstrip() + "…", size) > room:
        keep -= 1
    return text[:keep].rstrip() + "…"


def wrap(text: str, room: float, size: float = TEXT, *, lines: int = 3) -> list[str]:
    """Break text into at most `lines` lines of at most `room` pixels, between words where it can."""
    done: list[str] = []
    rest = one_line(text)
    while rest and len(done) < lines - 1 and measure(rest, size) > room:
        keep = len(shorten(rest, room, size)) - 1
        space = rest.rfind(" ", 0, keep + 1)
        cut = space if space > 0 else max(keep, 1)
        done.append(rest[:cut].rstrip())
        rest = rest[cut:].lstrip()
    return [*done, shorten(rest, room, size)] if rest else done
