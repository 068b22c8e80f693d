import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sample_report import HOSTILE, hostile_report

from unswayed.core.printable import printable
from unswayed.core.types import Effect, Estimate, Message, Score
from unswayed.report import html
from unswayed.report.html import page_of, write_report
from unswayed.report.model import Answer, Arm, Cell, Draw, Report, Row, Transcript

POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
VOID = {"meta"}
PAGE = {
    *("html", "head", "meta", "title", "style", "body", "header", "main", "footer", "nav", "section", "article"),
    *("h1", "h2", "h3", "h4", "p", "a", "ul", "li", "dl", "dt", "dd", "div", "span", "strong", "code"),
    *("figure", "figcaption", "table", "thead", "tbody", "tr", "th", "td"),
}
DRAWING = {"svg", "g", "defs", "path", "text", "use", "clippath", "rect"}
PAGE_ATTRIBUTES = {
    *("lang", "charset", "http-equiv", "content", "name", "class", "id", "href", "role", "scope", "dir", "colspan"),
    *("aria-label", "aria-labelledby"),
}
DRAWING_ATTRIBUTES = {
    *("viewbox", "role", "aria-label", "class", "id", "d", "style", "transform", "clip-path", "href", "x", "y"),
    *("width", "height", "clippathunits"),
}
CLASSES = re.compile(r"[a-z]+(-\d)?( [a-z]+(-\d)?)*")


class Audit(HTMLParser):
    """Reads a page as a browser would and notes everything that has no place in it."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.wrong: list[str] = []
        self.text: list[str] = []
        self.policies: list[str | None] = []
        self.open: list[str] = []
        self.ids: set[str] = set()
        self.links: set[str] = set()
        self.feed(page)
        self.close()
        if self.open:
            self.wrong.append(f"never closed: {self.open}")
        self.wrong += [f"leads nowhere: {link}" for link in self.links - self.ids]

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.handle_endtag(tag)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        drawing = "svg" in self.open or tag == "svg"
        allowed, attributes = (DRAWING, DRAWING_ATTRIBUTES) if drawing else (PAGE, PAGE_ATTRIBUTES)
        if tag not in allowed:
            self.wrong.append(f"<{tag}>")
        for name, value in attrs:
            if name not in attributes or value is None:
                self.wrong.append(f"<{tag} {name}>")
                continue
            if name == "id":
                self.ids.add(value)
            if name == "href":
                self.links.add(value.removeprefix("#") if value.startswith("#") else f"outside: {value}")
            if name == "class" and not CLASSES.fullmatch(value):
                self.wrong.append(f"class={value!r}")
            if name == "style" and re.search(r"url|expression|import|@|\\", value):
                self.wrong.append(f"style={value!r}")
        if dict(attrs).get("http-equiv"):
            self.policies.append(dict(attrs).get("content"))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.wrong.append(f"</{tag}> out of order")

    def handle_data(self, data: str) -> None:
        if self.open[-1:] == ["style"]:
            return
        if self.open[-1:] != ["text"]:
            self.text.append(data)

    def handle_comment(self, data: str) -> None:
        self.wrong.append(f"comment {data!r}")

    def handle_pi(self, data: str) -> None:
        self.wrong.append(f"instruction {data!r}")

    def unknown_decl(self, data: str) -> None:
        self.wrong.append(f"declaration {data!r}")


def small(text: str) -> Report:
    """A report with `text` in every field, and nothing to draw, so that a page of it is quick."""
    side = Estimate(12.0, 11.0, 13.0, 5, 4, 1, text)
    effect = Effect(text, side, side, -1.0, -2.0, 0.5, 5, 4, 0.2, 1.5, 1.0, "not known", (text,))
    rows = (
        Row("r", text, "lower", {"base": Cell(side), "new": Cell(side, effect)}, text, unit=text or "u"),
        Row("s", text, "higher", {"base": Cell(side), "new": Cell(side)}, text, unit="tokens"),
    )
    item = Transcript(
        text, "r", (Message("user", text),),
        {"base": Answer(text, Score(1.0, text)), "new": Answer(text, Score(None, reason=text), cut=True)},
        hinted=text, target=text,
    )  # fmt: skip
    arms = (Arm("base", text, text), Arm("new", text, text))
    return Report(text, arms, "base", rows, (text,), {text: text}, (), (Draw((item,), 1, 0),), (text,))


def check(page: str) -> Audit:
    audit = Audit(page)
    assert audit.wrong == []
    assert audit.policies == [POLICY]
    assert "<script" not in page.lower()
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2066-\u2069\ufeff]", page)
    page.encode()
    return audit


def squeezed(text: str) -> str:
    return " ".join(text.split())


def test_the_page_holds_every_number(report: Report, page: Path) -> None:
    text = squeezed(" ".join(check(page.read_text(encoding="utf-8")).text))
    for row in report.rows:
        assert row.label in text
        assert row.description in text
        for cell in row.cells.values():
            side, effect = cell.estimate, cell.effect
            assert f"{100 * (side.value or 0):.1f}%" in text
            assert f"{100 * (side.low or 0):.1f} to {100 * (side.high or 0):.1f}" in text
            assert f"n = {side.n}" in text
            if effect is not None:
                assert effect.verdict in text
                assert f"{100 * abs(effect.difference or 0):.1f}" in text
    for fact in (*report.facts, *report.facts.values(), *report.lead, *report.limits):
        assert squeezed(fact) in text
    for item in report.transcripts[0].shown:
        assert all(squeezed(answer.text) in text for answer in item.answers.values())
    assert "3 of 40 samples, drawn at random with seed 11" in text
    assert "Cut at the length limit." in text
    assert "unscored no answer line" in text
    assert "Read as “" in text
    assert "2 unscored" in text


def test_the_same_report_gives_the_same_bytes(report: Report, page: Path) -> None:
    assert page_of(report) == page.read_text(encoding="utf-8")


def test_the_page_loads_nothing(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert "http://" not in text
    assert "https://" not in text
    assert "@import" not in text
    assert "url(" not in text.replace("url(#", "")
    assert "\t" not in text


def test_hostile_text_in_a_whole_report() -> None:
    text = "\n".join(item for item in HOSTILE if len(item) < 200)
    shown = "\n".join(check(page_of(hostile_report(text))).text)
    assert shown.count(printable(text)) > 20


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_in_every_field(text: str) -> None:
    shown = check(page_of(small(text))).text
    # title twice (head and heading), lead, arms, rows, facts, limits, transcript
    assert sum(printable(text) in part for part in shown) >= 20


@given(
    st.text(st.characters(codec=None, exclude_categories=()), max_size=60)
    | st.text("<>\"'&/=-! scriptonlaed\0\n", max_size=60)
)
@settings(deadline=None, max_examples=40)
def test_any_text_in_every_field(text: str) -> None:
    shown = "".join(check(page_of(small(text))).text)
    assert printable(text) in shown


def test_a_megabyte_on_one_line_is_cut_and_said_to_be() -> None:
    text = "<b>" + "x" * 1_000_000
    page = page_of(small(text))
    assert len(page) < 500_000
    assert "992,003 more characters, in report.json]" in "".join(check(page).text)


def test_a_value_that_is_not_there_is_an_error_not_a_word() -> None:
    with pytest.raises(ValueError, match="printed a value that is not there"):
        html._shown(None)
    from jinja2 import UndefinedError

    with pytest.raises(UndefinedError):
        html._environment().from_string("{{ report.no_such_thing }}").render(report=small("x"))


def test_a_report_of_one_arm_and_nothing_else(tmp_path: Path) -> None:
    nothing = Estimate(None, None, None, 0, 0, 3, "nothing scored")
    bare = Report("Bare", (Arm("base", "Base"),), "base", (Row("r", "Row", "lower", {"base": Cell(nothing)}),))
    written = write_report(tmp_path, bare).read_text(encoding="utf-8")
    text = squeezed(" ".join(check(written).text))
    assert "nothing scored" in text
    assert "Answers that could not be scored count in no rate" in text
    assert "What changed" not in text


def test_a_failed_write_leaves_the_old_page(report: Report, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_report(tmp_path, small("first"))
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def broken(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("unswayed.core.files.os.rename", broken)
    with pytest.raises(OSError, match="disk full"):
        write_report(tmp_path, small("second"))
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_the_templates_trust_nothing() -> None:
    folder = Path(html.__file__).parent / "templates"
    for template in folder.iterdir():
        text = template.read_text(encoding="utf-8")
        assert "|safe" not in re.sub(r"\s", "", text)
        assert "autoescape" not in text
        assert not re.search(r"=\{\{", text), f"{template.name}: an attribute without quotation marks"
