r"""The final answer of a worked solution, and whether it is right: by number for GSM8K, by Math-Verify for MATH.

What a solution ends on is its answer. A mark decides: `\boxed{…}` (several in a row are one answer of several parts),
`#### …`, `<answer>…</answer>`, "the answer is …". The last box wins over what came before it; a mark after the last box
replaces it only where something mathematical follows it. Without a mark, the last formula of the last paragraph of a
finished reply is its answer, and else there is none. A mark that the length limit may have cut through is none.
"""

from __future__ import annotations

import re
from dataclasses import replace
from fractions import Fraction
from typing import NamedTuple

from unswayed.core.types import UNKNOWN, Completion, Sample, Score
from unswayed.evals.scoring.checks.client import WORKER
from unswayed.evals.scoring.scorers import last_turn, rule, score_answer
from unswayed.readers.text import plain, prepare, visible_reply

LONGEST_ANSWER = 600
"""A final answer of more characters is not an answer but a text."""
TAIL = 20_000
"""How many characters of a reply, counted from its end, are looked at."""

_BOX = re.compile(r"\\f?box(?:ed)?\s*(?=\{)|\\boxed\s+(?=[^\s{])")
_TOKEN = re.compile(r"[^\s$.,]+")
_BRACE = re.compile(r"\\.|[{}]", re.S)
_BETWEEN = re.compile(
    r"[\s$,;.*]*+(?:\b(?:and|or)\b)?[\s$,;.*]*+|\s*\\(?:text|quad|,|;)\s*(?:\{\s*(?:and|or),?\s*\})?\s*"
)
_HASHES = re.compile(r"^[ \t>*]*####[ \t]*(\S[^\n]*)", re.M)
_TAGGED = re.compile(r"<answer>(.*?)</answer>", re.S | re.I)
_SAID = re.compile(
    r"\b(?:answer|solution|result)\b(?:[^\n.:=$\\]{0,60}?\b(?:is|are|was|equals|be)\b\s*:?|\s*[:=]|[^\n.:=$\\]{0,60}?:)"
    r"[ \t*_]*\n?[ \t*_]*([^\n]+)",
    re.I,
)
_MATHEMATICAL = re.compile(r"[\s*_]*(?:[-+(\[{$\\.\d€£¥]|(?:approximately|about|exactly)\b)")
_FORMULA = re.compile(
    r"\$\$(.+?)\$\$|\\\[((?:(?!\\\[).)+?)\\\]|\\\(((?:(?!\\\().)+?)\\\)|(?<![\\\d])\$((?:\\.|[^$\n\\])+)\$", re.S
)
_SENTENCE_END = re.compile(r"(?<=[^.\s])\.(?=\s|\*|$)|[!?](?=\s|$)|;\s")
_NUMBER = re.compile(
    r"(?<![\w.,])[-+]?[$€£¥]?\s?(?:(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?|\.\d+)(?:e[-+]?\d{1,3}(?!\w))?", re.I
)
_POWER = re.compile(
    r"(?<![\w.,^])(?:(?P<times>[-+]?\d+(?:\.\d+)?)\s*(?:\\times|\\cdot|×|\*|x)\s*)?"
    r"10\s*\^\s*(?:\{\s*([-+]?\d{1,3})\s*\}|([-+]?\d{1,3})(?!\d))"
)
_LISTED = re.compile(r"\d\s*[,;]\s*[-+$€£¥]*\s*\.?\d")
_FRACTION = re.compile(r"[-+]?\\[dt]?frac\{\s*(-?\d+)\s*\}\{\s*(\d+)\s*\}|(?<![\w./])([-+]?\d+)\s*/\s*(\d+)(?![\w/])")
_JOINED = re.compile(r"(?:\s*[-+*/x^]|[^\d.,;(]{0,40}\b(?:and|or|to)\b)\s*[$€£¥(]?\s*\.?\d", re.I)


class Final(NamedTuple):
    """A final answer as it was written, and whether something marked it."""

    text: str
    marked: bool


def final_answer(reply: str, *, cut: bool = False) -> Final | None:
    """Return what a reply ends on, or None.

    Args:
        reply: as it was written (see `text.visible_reply`).
        cut: the reply reached its length limit.
    """
    reply = reply[-TAIL:]
    end, boxed = _last_boxes(reply)
    found: tuple[int, str] | None = None if boxed is None else (end, boxed)
    for pattern in (_HASHES, _TAGGED, _SAID):
        for match in pattern.finditer(reply):
            touches_end = not reply[match.end(1) :].strip() and pattern is not _TAGGED
            text = _sentence(match[1]) if pattern is _SAID else match[1].strip()
            whole = not (cut and touches_end and text == match[1].strip())
            outside = boxed is None or (match.start() > end and _MATHEMATICAL.match(text))
            if text and whole and outside and "\\box" not in text and (found is None or match.start() >= found[0]):
                found = (match.end(), text)
    if found is not None:
        return Final(_bare(found[1]), True)
    if cut:
        return None
    paragraph = re.split(r"\n\s*\n", reply.rstrip())[-1]
    formulas = [next(group for group in match.groups() if group) for match in _FORMULA.finditer(paragraph)]
    return Final(_bare(formulas[-1]), False) if formulas else None


@rule("math", version=1)
def score_mathematics(sample: Sample, completion: Completion) -> Score:
    """Return 1 if the final answer equals the sample's, else 0; unscored where none is reached or it cannot be checked.

    Equal means the same text but for spacing and notation, or equal by Math-Verify: `\\frac12`, `1/2` and `0.5`.
    """
    cut = completion.finish == "length"
    prepared = prepare(completion.text, last_turn(sample))
    if prepared.reason:
        return Score(None, reason="truncated" if cut and prepared.reason == "empty" else prepared.reason)
    final = final_answer(visible_reply(completion.text) or "", cut=cut)
    if final is None or not final.text:
        return Score(None, reason="truncated") if cut else Score(0.0, answer=UNKNOWN)
    if len(final.text) > LONGEST_ANSWER:
        return Score(None, reason="answer too long")
    right = sample.target[0]
    if notation(final.text) == notation(right):
        return Score(1.0, answer=final.text)
    found = WORKER.ask("mathematics", {"right": right, "given": final.text})
    if "reason" in found:
        return Score(None, answer=None, reason=found["reason"])
    return Score(float(found["equal"]), answer=final.text)


@rule("numbers", version=2)
def score_number(sample: Sample, completion: Completion) -> Score:
    """Return 1 if the final number equals the sample's, else 0; unscored where none is reached.

    A marked answer may carry a unit, a currency or a percent sign. Without a mark the general rule decides
    (`scorers.score_answer`).
    """
    cut = completion.finish == "length"
    if prepare(completion.text, last_turn(sample)).reason is None:
        final = final_answer(visible_reply(completion.text) or "", cut=cut)
        value = None if final is None or not final.marked else number(final.text)
        right = number(sample.target[0])
        if value is not None and right is not None:
            return Score(float(value == right), answer=_spelled(value))
        if value is None and final is not None and final.marked and _listed(final.text):
            return Score(None, reason="ambiguous")
    if cut:  # the digits at the cut may be the beginning of another number
        completion = replace(completion, text=re.sub(r"[-+\d.,$€£¥]+$", "", completion.text))
    return score_answer(sample, completion)


def number(text: str) -> Fraction | None:
    """Return the number a final answer states: "$1,200.00 a day" is 1200, "1.5e3" and "1.5 × 10^3" are 1500. None where
    it states none, or several, or one that may be meant in two ways: "10,20".

    After an equals sign only what follows the last one is read.
    """
    text = re.sub(r"\\[!,;: ]|\{,\}", lambda match: "," if match[0] == "{,}" else "", text[-LONGEST_ANSWER:])
    text = re.sub(r"(?:=|\\approx|≈)", "=", text).rpartition("=")[2]
    fraction = _FRACTION.search(text)
    if fraction:
        top, bottom = (int(part) for part in (fraction[1] or fraction[3], fraction[2] or fraction[4]))
        rest = text[: fraction.start()] + text[fraction.end() :]
        if bottom == 0 or re.search(r"\d", rest):
            return None
        return Fraction(-top if fraction[0].startswith("-\\") else top, bottom)
    power = _POWER.search(text)
    if power and not re.search(r"\d", text[: power.start()] + text[power.end() :]):
        return Fraction(power["times"] or "1") * Fraction(10) ** int(power[2] or power[3])
    if _listed(text):
        return None
    spelled = plain(text)
    first = _NUMBER.search(spelled)
    if first is None or re.search(r"\d\s*$", spelled[: first.start()]) or _JOINED.match(spelled, first.end()):
        return None
    if re.match(r"[.,]?\d|e[-+]?\d", spelled[first.end() :], re.I):
        return None
    return Fraction(re.sub(r"[^\de.+-]", "", first[0].lower()).rstrip("."))


def _listed(text: str) -> bool:
    """Whether two numbers stand with nothing but a comma or semicolon between them, which is no thousands separator."""
    spelled = plain(text[-LONGEST_ANSWER:].replace("{,}", ""))
    return bool(_LISTED.search(re.sub(r"(?<![\d.,])(\d{1,3}(?:,\d{3})+)(?![\d]|,\d)", "0", spelled)))


def notation(text: str) -> str:
    """Return an answer without what never changes its meaning: spacing, sizes of brackets, text wrappers, degrees."""
    text = re.sub(r"\\(?:left|right|displaystyle|[bB]igg?[lr]?)(?![a-zA-Z])", "", text)
    text = re.sub(r"\\(?:text|mathrm|mathbf|textbf|mbox|operatorname)\s*\{([^{}]*)\}", r"\1", text)
    text = re.sub(r"\\([dt])frac", r"\\frac", text)
    text = re.sub(r"\\[!,;: ]|~|\\q?quad(?![a-zA-Z])|\s+|\\\$|\$|\^\s*\{?\\circ\}?|\\%|%|\\degree", "", text)
    text = text.removesuffix(".").replace("{,}", ",").replace("−", "-")
    text = re.sub(r"(?<=\d),(?=\d{3}(?:\D|$))", "", text)
    return re.sub(r"\\frac(\d)(\d)", r"\\frac{\1}{\2}", text).lower()


def _spelled(value: Fraction) -> str:
    return str(value.numerator) if value.denominator == 1 else str(float(value)) if _finite(value) else str(value)


def _finite(value: Fraction) -> bool:
    """Whether a fraction has a finite decimal expansion."""
    rest = value.denominator
    for prime in (2, 5):
        while rest % prime == 0:
            rest //= prime
    return rest == 1


def _last_boxes(reply: str) -> tuple[int, str | None]:
    """Return the content of the last box, or of the boxes in a row that end the reply's boxes, and where it ends."""
    boxes: list[tuple[int, int, str]] = []
    closing = _closing(reply)
    for match in _BOX.finditer(reply):
        if boxes and match.start() < boxes[-1][1]:
            continue  # a box inside a box
        closed = closing.get(match.end())
        if closed is not None:
            boxes.append((match.start(), closed + 1, reply[match.end() + 1 : closed]))
        elif reply[match.end()] != "{":
            token = _TOKEN.match(reply, match.end())
            if token:
                boxes.append((match.start(), token.end(), token[0]))
    if not boxes:
        return 0, None
    row = [boxes[-1]]
    for box in reversed(boxes[:-1]):
        if not _BETWEEN.fullmatch(reply, box[1], row[-1][0]):
            break
        row.append(box)
    row.reverse()
    contents = [content.strip() for _, _, content in row]
    return row[-1][1], ", ".join(dict.fromkeys(contents))


def _closing(text: str) -> dict[int, int]:
    """Return for each brace that opens and is closed where it closes; all in one pass, however many stay open."""
    found: dict[int, int] = {}
    opened: list[int] = []
    for match in _BRACE.finditer(text):
        if match[0] == "{":
            opened.append(match.start())
        elif match[0] == "}" and opened:
            found[opened.pop()] = match.start()
    return found


def _sentence(text: str) -> str:
    """Return a line up to the end of its sentence; a full stop inside a formula ends none."""
    hidden = _FORMULA.sub(lambda match: "x" * len(match[0]), text)
    end = _SENTENCE_END.search(hidden)
    return text[: end.start() if end else len(text)].strip(" \t*_")


def _bare(text: str) -> str:
    """Return an answer without marks of formulas and emphasis around it; only its formula, if that is the answer."""
    text = text.strip().strip("*_").strip().rstrip(".").strip()
    formulas = list(_FORMULA.finditer(text))
    if len(formulas) == 1 and (formulas[0].start() == 0 or not re.search(r"\d", text[: formulas[0].start()])):
        text = next(group for group in formulas[0].groups() if group)
    elif formulas:
        text = _FORMULA.sub(lambda match: next(group for group in match.groups() if group), text)
    return re.sub(r"^(?:approximately|about|exactly)\s+", "", text.strip(), flags=re.I).rstrip(".,").strip()
