r"""Whether a worked solution ends on the right answer: by number for GSM8K, by Math-Verify for MATH.

The marked answer decides (see `readers.marks`; several boxes in a row are one answer of several parts). Without a
mark, the last formula of the last paragraph of a finished reply is its answer, or the number that it states.
"""

from __future__ import annotations

import re

from unswayed.core.types import UNKNOWN, Completion, Sample, Score
from unswayed.evals.scoring.checks.client import WORKER
from unswayed.evals.scoring.scorers import last_turn, rule, unread
from unswayed.readers.answers import spell
from unswayed.readers.marks import CORRECTS, FORMULA, TAIL, marked
from unswayed.readers.numbers import number, read_number
from unswayed.readers.text import prepare, visible_reply

LONGEST_ANSWER = 600
"""A final answer of more characters is not an answer but a text."""

_TEXT = r"\\(?:text|textbf|textrm|textit|mathrm|mathbf|mathit|mbox|operatorname|rm|bf)\s*"
_UNIT = re.compile(
    rf"(?<=[\d}})\]])\s*(?:\\[,;: ]|~)*\s*(?:{_TEXT}\{{\s*(?P<text>(?:sq(?:uare)?\.? |cubic"
    rf" )?[A-Za-z/]+)\.?\s*\}}|(?P<plain>[mck]?m|ft|in|yd|"
    r"mi|k?g|mg|m?[lL]|s|min|h|hours?|minutes?|seconds?|days?|years?|dollars?|cents?|degrees?|units?)(?![A-Za-z]))"
    r"\s*(?:\^\s*\{?\s*(?P<power>-?\d)\s*\}?)?\s*$"
)
_LONG = {
    "millimeter": "mm", "centimeter": "cm", "meter": "m", "kilometer": "km", "inche": "in", "inch": "in", "foot": "ft",
    "feet": "ft", "hour": "h", "minute": "min", "second": "s", "gram": "g", "kilogram": "kg", "mile": "mi",
    "yard": "yd",
}  # fmt: skip
_BASED = re.compile(r"(\w+)_\{?(\d+)\}?")
_LESS = {"<": False, r"\lt": False, r"\le": True, r"\leq": True, "≤": True, r"\leqslant": True}
_MORE = {">": False, r"\gt": False, r"\ge": True, r"\geq": True, "≥": True, r"\geqslant": True}
_SIGN = r"\s*(<|>|≤|≥|\\[lg](?:t|e|eq|eqslant)(?![a-z]))\s*"
_CHAIN = re.compile(rf"([^<>≤≥\\]+|\\[a-z]+[^<>≤≥]*?){_SIGN}[a-zA-Z]{_SIGN}(.+)")
_ONE_SIDED = re.compile(rf"[a-zA-Z]{_SIGN}(.+)")


def final_answer(reply: str, *, cut: bool = False) -> str | None:
    """Return what a reply ends on as it was written (see `text.visible_reply`), or None.

    `cut`: it reached its length limit; then only a mark counts.
    """
    reply = re.sub(r"\*\*|`", "", reply[-TAIL:])
    mark = marked(reply, cut=cut)
    if mark is not None:
        cue = CORRECTS.search(reply, mark.end)
        later = reply[cue.end() :] if cue and not cut else ""
        if later and (
            marked(later) or (len(later) < 60 and (FORMULA.search(later) or read_number(later).value is not None))
        ):
            return final_answer(later)
        return _bare(mark.text)
    if cut:
        return None
    paragraph = re.split(r"\n\s*\n", reply.rstrip())[-1]
    formulas = [next(group for group in match.groups() if group) for match in FORMULA.finditer(paragraph)]
    if formulas:
        return _bare(formulas[-1])
    if re.fullmatch(r"\s*[-+(\[{\\\d.\w^*/=, ]{1,40}\s*\.?\s*", reply) and not re.search(
        r"[a-z]{3}", reply.replace("\\", " \\")
    ):
        return _bare(reply)
    return spell(read_number(reply).value)


@rule("math", version=2)
def score_mathematics(sample: Sample, completion: Completion) -> Score:
    """Return 1 if the final answer equals the sample's, else 0; unscored where none is reached or it cannot be checked.

    Equal means the same text but for spacing and notation, or equal by Math-Verify: `\\frac12`, `1/2` and `0.5`.
    """
    cut = completion.finish == "length"
    if reason := unread(sample, completion):
        return Score(None, reason=reason)
    final = final_answer(visible_reply(completion.text) or "", cut=cut)
    if not final:
        return Score(None, reason="truncated") if cut else Score(0.0, answer=UNKNOWN)
    if len(final) > LONGEST_ANSWER:
        return Score(None, reason="answer too long")
    right = sample.target[0]
    if notation(final) == notation(right):
        return Score(1.0, answer=final)
    found = equal(right, final)
    return Score(None, reason=found) if isinstance(found, str) else Score(float(found), answer=final)


def equal(right: str, given: str) -> bool | str:
    """Return whether two answers are equal by value, unit and base, or why that cannot be checked."""
    based = [_BASED.fullmatch(notation(side)) for side in (right, given)]
    if all(based):
        return False  # another notation of the same would have been equal as text
    if any(based):
        return notation(right).partition("_")[0] == notation(given).partition("_")[0]
    (right, unit), (given, other) = _without_unit(right), _without_unit(given)
    if unit and other and unit != other:
        return False
    right, given = _labelled(right), _labelled(given)
    if re.match(r"[(\[]", right) != re.match(r"[(\[]", given):
        right, given = _interval(right), _interval(given)
    if notation(right) == notation(given):
        return True
    found = WORKER.ask("mathematics", {"right": right, "given": given})
    return str(found["reason"]) if "reason" in found else bool(found["equal"])


@rule("number", version=3)
def score_number(sample: Sample, completion: Completion) -> Score:
    """Return 1 if the number that the reply gives equals the sample's, else 0; unscored where none can be read.

    Units, currencies and percent signs are set aside: "60%" is 60.
    """
    if reason := unread(sample, completion):
        return Score(None, reason=reason)
    text = prepare(completion.text, last_turn(sample)).text
    found, right = read_number(text, cut=completion.finish == "length"), number(sample.target[0])
    if right is None:
        return Score(None, reason="the target states no number")
    if found.value is None:
        return Score(0.0, answer=UNKNOWN) if found.reason == "no number" else Score(None, reason=found.reason)
    return Score(float(found.value == right), answer=spell(found.value))


def notation(text: str) -> str:
    """Return an answer without what never changes its meaning: spacing, sizes of brackets, text wrappers, degrees."""
    text = re.sub(r"\\(?:left|right|displaystyle|[bB]igg?[lr]?)(?![a-zA-Z])", "", text)
    text = re.sub(_TEXT + r"\{([^{}]*)\}", r"\1", text)
    text = re.sub(r"\\([dt])frac", r"\\frac", text)
    text = re.sub(r"\\[!,;: ]|~|\\q?quad(?![a-zA-Z])|\s+|\\\$|\$|\^\s*\{?\\circ\}?|\\%|%|\\degree", "", text)
    text = text.removesuffix(".").replace("{,}", ",").replace("−", "-")
    text = re.sub(r"(?<=\d),(?=\d{3}(?:\D|$))", "", text)
    text = re.sub(r"\\frac(\d)(\d)", r"\\frac{\1}{\2}", text)
    return re.sub(r"_\{(\w+)\}", r"_\1", text).lower()


def _without_unit(text: str) -> tuple[str, str]:
    """Return an answer without the unit at its end, and the unit with its power; a unit in words only by its power."""
    match = _UNIT.search(text)
    if match is None:
        return text, ""
    name, power = (match["text"] or match["plain"]).lower(), match["power"]
    for word, meant in (("square ", "2"), ("sq. ", "2"), ("sq ", "2"), ("cubic ", "3")):
        name, power = (name.removeprefix(word), meant) if name.startswith(word) else (name, power)
    short = name if len(name) < 3 else name.rstrip("s")
    return text[: match.start()].rstrip(" \\"), f"{_LONG.get(short, short)}^{power or 1}"


def _labelled(text: str) -> str:
    """Return an answer without a label before it, its mixed number in LaTeX."""
    text = re.sub(
        rf"^\s*(?:{_TEXT})?\{{?\s*[A-Za-z ]*(?:answer|solution|result)[A-Za-z ]*(?::|=|\bis\b)\s*\}}?\s*",
        "",
        text,
        flags=re.I,
    )
    return re.sub(r"^\s*(-?)\s*(\d+)\s+(\d+)\s*/\s*(\d+)\s*$", r"\1\2\\frac{\3}{\4}", text)


def _interval(text: str) -> str:
    """Return a chain of inequalities in one variable as the interval it is; any other text as it is."""
    text = re.sub(r"^[a-zA-Z]\s*\\in\s*", "", text.strip())
    chain, single = _CHAIN.fullmatch(text), _ONE_SIDED.fullmatch(text)
    if chain and chain[2] in _LESS and chain[3] in _LESS:
        return f"{'(['[_LESS[chain[2]]]}{chain[1].strip()}, {chain[4].strip()}{')]'[_LESS[chain[3]]]}"
    if chain and chain[2] in _MORE and chain[3] in _MORE:
        return f"{'(['[_MORE[chain[3]]]}{chain[4].strip()}, {chain[1].strip()}{')]'[_MORE[chain[2]]]}"
    if single and single[1] in _LESS:
        return rf"(-\infty, {single[2].strip()}{')]'[_LESS[single[1]]]}"
    if single and single[1] in _MORE:
        return rf"{'(['[_MORE[single[1]]]}{single[2].strip()}, \infty)"
    return text


def _bare(text: str) -> str:
    """Return an answer without marks of formulas and emphasis around it; only its formula, if that is the answer."""
    text = text.strip().strip("*_").strip().rstrip(".").strip()
    formulas = list(FORMULA.finditer(text))
    if len(formulas) == 1 and (formulas[0].start() == 0 or not re.search(r"\d", text[: formulas[0].start()])):
        text = next(group for group in formulas[0].groups() if group)
    elif formulas:
        text = FORMULA.sub(lambda match: next(group for group in match.groups() if group), text)
    return re.sub(r"^(?:approximately|about|exactly)\s+", "", text.strip(), flags=re.I).rstrip(".,").strip()
