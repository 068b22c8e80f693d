"""Which number a text states: the marked one, else the last; corrections win, and cut-off replies need a mark."""

from __future__ import annotations

import re
import unicodedata
from fractions import Fraction
from itertools import pairwise
from typing import NamedTuple

from unswayed.readers.marks import CORRECTS, SAID_BY, TAIL, marked
from unswayed.readers.patterns import patterns
from unswayed.readers.text import plain

_P = patterns("numbers")
_ONES = re.findall(
    r"\w+",
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen",
)
_TENS = re.findall(r"\w+", "twenty thirty forty fifty sixty seventy eighty ninety")
_WORDS = {word: n for n, word in enumerate(_ONES)} | {word: 10 * n for n, word in enumerate(_TENS, 2)}
_POWERS = {"hundred": 100, "k": 1000, "thousand": 1000, "million": 10**6, "billion": 10**9, "bn": 10**9,
           "trillion": 10**12}  # fmt: skip
_MONEY = r"[$€£¥₹]|\b(?:USD|EUR|GBP|Rs\.?)"
_DIGITS = r"(?:\d{1,3}(?:\.\d{3})+,\d{1,2}(?!\d)|(?:\d{1,3}(?:[,'_ ]\d{3})+(?!\d)|\d+)(?:\.\d+)?|\.\d+)"
_NUMBER = re.compile(
    rf"(?<![\w.^])(?<!\d[,/])(?P<sign>(?:(?<![\w)%] )(?<![)}}%])|(?<=[a-z] ))[-+] ?)?(?:{_MONEY})?\s?(?P<late>-)?"
    rf"(?P<number>{_DIGITS})"
    r"(?:e(?P<e>[-+]?\d{1,3})(?!\w)|\s*(?:\*|x)\s*10\s*\^\s*\{?\s*(?P<ten>[-+]?\d{1,3})\}?)?"
    r"(?:(?P<mixed> ?\d+/\d+(?![\d/])|/\d+(?![\d/]))|(?:\s?(?P<power>hundred|thousand|million|billion|trillion|bn"
    r"|(?-i:[kKM]))\b(?!&))"
    r"(?:-?(?=s\b))?)?"
    r"(?P<after>\s*(?:%|percent\b|per cent\b))?(?!\d|[.,]\d|e[-+]?\d|(?:st|nd|rd|th)\b|\^|[²³⁴]|[xyzn]\b|-[A-Za-z])",
    re.I,
)
_WORD = "|".join(sorted(_WORDS, key=len, reverse=True))
_IN_WORDS = re.compile(
    rf"(?<![\w-])(?<!\bno )(?<!\bthe )(?<!\bthat )(?<!\bthis )(?:(?:minus|negative)\s+)?(?:{_WORD}|a(?=\s+(?:hundred"
    rf"|thousand|million)\b))"
    rf"(?:(?:-|\s+(?:and\s+)?)(?:{_WORD}|hundred|thousand|million)\b)*(?![\w-])(?!\s+(?:of|more|answer|way"
    rf"|can)\b)", re.I
)  # fmt: skip
_FRACTION = re.compile(r"\\[dt]?frac\s*(?:\{\s*(-?\d+)\s*\}\s*\{\s*(\d+)\s*\}|(\d)(\d))")
_OPERATOR = r"(?:[-+*/^×÷]|\b(?:plus|minus|times|multiplied by|divided by|x)\b)"
_BEFORE = re.compile(rf"\s*{_OPERATOR}\s*[$€£(]*[\d.]", re.I)
_AFTER = re.compile(rf"(?:[\d)%]\s*{_OPERATOR}|\b(?:plus|minus|times|multiplied by|divided by))\s*[$€£]*$", re.I)
_VERB = (
    r"(?:is|are|has|have|had|gets?|makes?|equals?|gives?|leaves?|costs?|needs?|totals?|totaling|comes? to|will|takes?)"
)


class Found(NamedTuple):
    """A number and where it stands."""

    start: int
    end: int
    value: Fraction


class Number(NamedTuple):
    """The number that a reply gives, or None and why: `ambiguous`, `truncated`, `no number`; and where it was read."""

    value: Fraction | None
    reason: str | None = None
    read: str = ""


def spelled(text: str) -> str:
    """Return text in one spelling in which every number is one run of digits, signs and slashes."""
    text = re.sub(r"<<[^<>\n]*>>", "", text)
    text = re.sub(r"\\[!,;: ]|~", lambda m: "" if m[0] == "\\!" else " ", text.replace("{,}", ","))
    text = re.sub(r" +", " ", text.replace("\\times", "*"))
    text = re.sub(r"(?:not )?\d+ ?(?:%|percent) (?:sure|certain|confident)", "", text)
    text = re.sub(r"(?<![\d.^*x×{])(?<![*x×] )(?<!times )10\s*\^\s*\{?(-?\d+)\}?", r"1e\1", text)
    text = _FRACTION.sub(lambda m: f" {m[1] or m[3]}/{m[2] or m[4]}", text)
    text = re.sub(r"[\u00bc-\u00be\u2150-\u215e]", lambda m: f" {unicodedata.normalize('NFKC', m[0])}", text)
    text = re.sub(r"\\approx\b|≈|\\(?:implies|to|Rightarrow)\b", "=", text)
    text = re.sub(r"(?<=\d)[’\u2019](?=\d{3})", "'", text)
    text = plain(text)
    text = re.sub(
        r"(?<!\\)\$\s*(?=[^\d\s.+-])|(?<=[\d}%a-z) ])\$(?!\s?\d)|\\[()\[\]]", " ", text
    )  # formula marks, not money
    text = re.sub(r"(=\s*\d+)(?:st|nd|rd|th)\b", r"\1", text)
    text = re.sub(r"\\(?:text|mathrm|mathbf|rm)\b|[{}]", " ", text)
    return re.sub(r"(?<=\d) +(?=\d+/\d)|(?<=-) +(?=\d+/\d)", " ", re.sub(r"[ \t]+", " ", text))


def numbers(text: str) -> list[Found]:
    """Return the numbers of a spelled text in order; where it has no digits, those in words."""
    found = []
    for match in _NUMBER.finditer(text):
        value = _value(match)
        if value is not None:
            start = match.start("sign") if match["sign"] else match.start("number")
            found.append(Found(start, match.end(), value))
    if not found:
        found = [Found(*match.span(), _in_words(match[0])) for match in _IN_WORDS.finditer(text)]
    return found


def _value(match: re.Match[str]) -> Fraction | None:
    digits = match["number"]
    if re.fullmatch(r"\d{1,3}(?:\.\d{3})+,\d{1,2}", digits):
        digits = digits.replace(".", "").replace(",", ".")
    value = Fraction(re.sub(r"[^\d.]", "", digits))
    power = match["e"] or match["ten"]
    if power:
        value *= Fraction(10) ** int(power)
    if match["mixed"]:
        top, bottom = match["mixed"].strip().rjust(2, " ").split("/")
        if not int(bottom):
            return None
        value = value + Fraction(int(top), int(bottom)) if top.strip() else value / int(bottom)
    elif match["power"]:
        value *= _POWERS[{"m": "million"}.get(match["power"].lower(), match["power"].lower())]
    return -value if "-" in (match["sign"] or "") or match["late"] else value


def _in_words(text: str) -> Fraction:
    total = current = 0
    for word in re.findall(r"[a-z]+", text.lower()):
        if word in ("hundred", "thousand", "million"):
            current = (current or 1) * _POWERS[word]
            total, current = (total + current, 0) if word != "hundred" else (total, current)
        else:
            current += 1 if word == "a" else _WORDS.get(word, 0)
    return Fraction(-(total + current) if re.match(r"minus|negative", text, re.I) else total + current)


def number(text: str) -> Fraction | None:
    """Return the one number that a final answer states ("$1,200.00 a day" is 1200), or None."""
    return _stated(spelled(text)[-600:]).value


def read_number(reply: str, *, cut: bool = False) -> Number:
    """Return the number that a reply gives (see the module).

    Args:
        reply: as it was written, without thinking (see `text.visible_reply`).
        cut: it reached its length limit.
    """
    reply = re.sub(r"\*\*|`", "", reply[-TAIL:])
    mark = marked(reply, cut=cut)
    if mark is not None:
        given = _stated(spelled(mark.text))
        later = _corrected(reply[mark.end :], cut)
        if later is not None:
            return later
        if given.reason != "no number":
            return given
    found = _unmarked(spelled(reply), opening_only=cut)
    return Number(None, "truncated") if cut and found.value is None else found


def _corrected(rest: str, cut: bool) -> Number | None:
    """Return what a correction after the marked answer says, if there is one."""
    cue = CORRECTS.search(rest)
    if cue is None or cut:
        return None
    found = _unmarked(spelled(rest[cue.end() :]))
    return found if found.value is not None else None


def _unmarked(text: str, *, opening_only: bool = False) -> Number:
    """Return the number of the last sentence that states one; questions only where nothing else does."""
    parts = [part for part in _P["split"].split(text) if part.strip()]
    rest = text[len(parts[0]) :] if parts else ""
    opening = (
        _lone(parts[0]) if len(parts) > 1 and "=" not in rest and not CORRECTS.search(text, len(parts[0])) else None
    )
    if opening is not None:
        return Number(opening, None, parts[0].strip())
    if opening_only:
        return Number(None, "no number")
    for ask in (False, True):
        for part in reversed(parts):
            if part.rstrip().endswith("?") != ask:
                continue
            found = _stated(part)
            if found.reason != "no number":
                return found
    return Number(None, "no number")


def _lone(part: str) -> Fraction | None:
    """Return the number of a first sentence that is nothing else but a unit: the reply begins with its answer."""
    found = [] if re.match(r"\s*(?:[-*•]\s|1[.)]\s|step\b)", part, re.I) else numbers(part)
    found = [n for n in found if not _set_aside(part, n)]
    rest = re.sub(r"\W|\d", " ", part[: found[0].start] + part[found[0].end :]).split() if len(found) == 1 else [""] * 9
    return found[0].value if len(rest) <= 2 and not re.search(rf"\b{_VERB}\b", part, re.I) else None


def _stated(text: str) -> Number:
    """Return the number that a sentence or a marked answer states."""
    text = text.strip()
    if not re.search(r"\d", text) and not _IN_WORDS.search(text):
        return Number(None, "no number")
    short = _P["aside"].sub(" ", text)
    equation = "=" in text
    if equation:
        sides = [side for side in text.split("=") if numbers(side)]
        tail = text.rpartition("=")[2]
        if numbers(tail):
            text = tail
        elif sides:
            text = sides[-1]
    elif numbers(short):
        text = short
    turns = [m.end() for turn in (_P["turn"], CORRECTS) for m in turn.finditer(text) if numbers(text[m.end() :])]
    text = text[max(turns) :] if turns else text
    found = [n for n in numbers(text) if not _set_aside(text, n)]
    operands = [n for n in found if _BEFORE.match(text, n.end) or _AFTER.search(text[max(0, n.start - 30) : n.start])]
    kept = [n for n in found if n not in operands]
    if not kept and operands:
        kept = [Found(*match.span(), _in_words(match[0])) for match in _IN_WORDS.finditer(text)][-1:]
    if not kept:
        return Number(None, "ambiguous" if operands or re.search(r"\d,\d", text) else "no number")
    several = kept
    if len({n.value for n in kept}) > 1:
        kept = [n for n in kept if not _P["detail"].search(text[max(0, n.start - 40) : n.start])] or kept
    begins = kept[0].start <= len(text) - len(text.lstrip(" $€£:("))
    comes_to = not equation and re.search(rf"\b{_VERB}\b", text[kept[0].end : kept[-1].start], re.I)
    chosen = kept[0] if begins and not comes_to else kept[-1]
    for one, two in pairwise(several):
        if chosen in (one, two) and one.value != two.value and _P["two"].fullmatch(text, one.end - 1, two.start + 1):
            return Number(None, "ambiguous")
    return Number(chosen.value, None, text.strip())


def _set_aside(text: str, found: Found) -> bool:
    """Whether a number is negated, somebody else's, or the number of a step."""
    before = text[max(0, found.start - 80) : found.start]
    return bool(_P["excluded"].search(before) or _P["wrong"].match(text, found.end) or SAID_BY.search(before))
