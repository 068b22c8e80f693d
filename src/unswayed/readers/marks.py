r"""The answer a reply marks: the last `\boxed{…}`, else the last `#### …` or `<answer>`, else "the answer is …"."""

from __future__ import annotations

import re
from typing import NamedTuple

from unswayed.readers.patterns import patterns

_P = patterns("marks")
FORMULA, CORRECTS, SAID_BY = _P["formula"], _P["corrects"], _P["said_by"]
TAIL = 20_000
"""How many characters of a reply, counted from its end, are looked at."""

_BOX = re.compile(r"\\f?box(?:ed)?\s*(?=\{)|\\boxed\s+(?=[^\s{])")
_TOKEN = re.compile(r"[^\s$.,]+")
_BRACE = re.compile(r"\\.|[{}]", re.S)
_HASHES = re.compile(r"^[ \t>*]*####[ \t]*(\S[^\n]*)", re.M)
_TAGGED = re.compile(r"<answer>(.*?)</answer>", re.S | re.I)
_SENTENCE_END = re.compile(r"(?<=[^.\s])(?<!\b[A-Za-z]\.[A-Za-z])\.+(?=[\s\"')*]|$)|[!?](?=\s|$)")


_STANDS = re.compile(r"(.*?\S)(?:,\s|\s+(?:because|since|as|which|and|-)\s|\s\(|\s*\)\s)", re.S)


class Mark(NamedTuple):
    """What a mark holds, as it was written, and where it ends."""

    text: str
    end: int


def marked(reply: str, *, cut: bool = False) -> Mark | None:
    """Return the marked answer of a reply as it was written (see `text.visible_reply`), or None.

    `cut`: the reply reached its length limit; a mark that it may have cut through is none.
    """
    reply = reply[-TAIL:]
    end, boxed = _last_boxes(reply)
    if boxed is not None:
        return Mark(boxed, end)
    found: Mark | None = None
    for rank in ((_HASHES, _TAGGED, _P["json"]), (_P["said"],)):
        for pattern in rank:
            for match in pattern.finditer(reply):
                text = next(group for group in match.groups() if group is not None)
                start = match.end() - len(text) if pattern in (_HASHES, _P["said"]) else match.start()
                if pattern is _P["said"]:
                    text = sentence(text)
                    inner = list(_P["said"].finditer(text))  # "the answer: the answer is 5"
                    text = sentence(next(g for g in inner[-1].groups() if g is not None)) if inner else text
                if (
                    cut
                    and pattern in (_HASHES, _P["said"])
                    and not (reply[start + len(text) :].strip() or text.endswith((")", "]", "}")))
                ):
                    stands = _STANDS.match(text)
                    text = stands[1] if stands else ""
                own = pattern is not _P["said"] or not SAID_BY.search(reply[max(0, match.start() - 80) : match.start()])
                if text.strip() and own and (found is None or match.start() > found.end - len(found.text)):
                    found = Mark(text.strip(), start + len(text) if pattern is _P["said"] else match.end())
        if found:
            return found
    return None


def sentence(text: str) -> str:
    """Return a line up to the end of its sentence; a full stop inside a formula ends none."""
    hidden = FORMULA.sub(lambda match: "x" * len(match[0]), text)
    end = _SENTENCE_END.search(hidden)
    return text[: end.start() if end else len(text)].strip(" \t*_")


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
        if not _P["between"].fullmatch(reply, box[1], row[-1][0]):
            break
        row.append(box)
    row.reverse()
    return row[-1][1], ", ".join(dict.fromkeys(content.strip() for _, _, content in row))


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
