"""Whole words in text, and how numbers are written."""

from __future__ import annotations

import re
from functools import lru_cache

_ONES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
         "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen")  # fmt: skip
_TENS = ("", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_NUMBER_WORDS = frozenset((*_ONES, *_TENS[2:], "hundred", "thousand", "and"))
_NUMBER = "(?:" + "|".join(sorted(_NUMBER_WORDS - {"and"})) + ")"
_NUMBER_RUN = re.compile(rf"\b{_NUMBER}(?:(?:[-\s]+|(?:(?<=hundred)|(?<=thousand))\s+and\s+){_NUMBER})*\b")


def mentions(text: str, phrase: str) -> bool:
    """Whether `phrase` occurs in `text` as whole words, case and runs of spaces aside.

    A number is not found inside another: neither 1 in 1,000, nor 3 in 3.5, nor "twenty" in "twenty-one".
    """
    words = _words(phrase)
    if not words:
        return False
    if words[0] != "and" and all(word in _NUMBER_WORDS for word in words):
        runs = _NUMBER_RUN.findall(text.casefold())
        return " ".join(words) in {" ".join(run.replace("-", " ").split()) for run in runs}
    return _pattern(phrase).search(text.casefold()) is not None


@lru_cache(maxsize=1 << 14)
def _words(phrase: str) -> tuple[str, ...]:
    return tuple(phrase.casefold().replace("-", " ").split())


@lru_cache(maxsize=1 << 14)
def _pattern(phrase: str) -> re.Pattern[str]:
    whole = r"\s+".join(re.escape(word) for word in phrase.casefold().split())
    return re.compile(rf"(?<!\w)(?<!\d[.,]){whole}(?!\w)(?![.,]\d)")


def spellings(answer: str) -> tuple[str, ...]:
    """Return `answer`, and for a whole number from 0 to 9999 also its words and its form with a comma."""
    if not re.fullmatch(r"[0-9]{1,4}", answer):
        return (answer,)
    number = int(answer)
    comma = f"{number:,}"
    return tuple(dict.fromkeys((answer, comma, *_number_words(number))))


def _number_words(number: int) -> tuple[str, ...]:
    """Return the usual English spellings of 0 to 9999, e.g. `twenty-one` and `twenty one`."""
    if number < 20:
        return (_ONES[number],)
    if number < 100:
        tens, ones = divmod(number, 10)
        return (f"{_TENS[tens]}-{_ONES[ones]}", f"{_TENS[tens]} {_ONES[ones]}") if ones else (_TENS[tens],)
    size, unit = (1000, "thousand") if number >= 1000 else (100, "hundred")
    count, rest = divmod(number, size)
    head = f"{_ONES[count]} {unit}"
    if not rest:
        return (head, unit) if count == 1 else (head,)
    return tuple(f"{head} {joint}{tail}" for tail in _number_words(rest) for joint in ("", "and "))
