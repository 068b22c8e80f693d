"""Where an option's letter stands as a letter, and not as an article, a pronoun or a vitamin."""

from __future__ import annotations

import re
from functools import cache

_MARKS_LETTER = r"(?i:\b(?:option|choice|answer|letter|ans|alternative)(?:\s+(?:is|was))?\s*:?\s*[(\[\"'{$]*\s*)"


@cache
def letter_pattern(letter: str) -> re.Pattern[str]:
    """Return where an option's letter stands as one. "A" may be an article, "I" a pronoun, "C" a vitamin.

    A small letter counts in brackets, and right after a word such as "answer" where nothing follows.
    """
    follows = "because|since|as|is|was|are|were|would|seems|here|it is|or|and|but|not|over|rather|instead"
    apart = rf"(?=\s*[^\w\s]|\s*$|\s+(?:{follows})\b)"
    noun = "".join(
        rf"(?<!\b{word} )" for word in ("vitamin", "plan", "type", "grade", "group", "team", "point", "hepatitis")
    )
    pronoun = r"(?=\s*[)\].:\"'}$]|\s*\Z|\s*\n)" if letter == "I" else ""
    article = (
        rf"|(?<={letter})(?=\s+(?:[a-z]+\s+){{0,3}}(?:is|was) (?:the )?(?:right|correct|best))" if letter == "A" else ""
    )
    return re.compile(
        rf"(?<![A-Za-z0-9_])(?<!\w['.-])(?i:{noun})({letter})(?!'?\w|\.\w)(?:{apart}{pronoun}{article})|"
        rf"{_MARKS_LETTER}({letter})(?=\s+[a-z])|"
        rf"(?:[(\[\"]\s*|{_MARKS_LETTER}|^[^\w\n]*)({letter.lower()})(?=[)\]}}.\"':]|\s*\Z|\s*\n)", re.M
    )  # fmt: skip
