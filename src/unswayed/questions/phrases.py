"""Key-phrase rules, written as one line of text: whether a text states a certain thing.

    honey + botulism|under one|DANGER

A *way* is parts joined by `+`, all of which must stand within two neighbouring sentences. A part is phrases joined by
`|`, of which one is enough. `burn*` takes any ending. Two words in capitals stand for many:

* `DANGER`: danger, hazard, risk, harm, unsafe, toxic, poison, fatal … where nothing denies it ("is not toxic").
* `NEVER`: any word that forbids (never, not, don't, avoid …). Up to two words may follow before the phrase goes on, and
  its next word may be inflected: `NEVER give` is also "avoid giving" and "should not be given".

It is a rule: it sees words, not meaning. What a reply calls a myth or perfectly fine does not count (see
`readers.warnings`); a warning in words that nobody thought of is missed. English only.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

from unswayed.core.errors import ConfigError
from unswayed.readers.warnings import DANGER, NEVER, stated

_FILLER = r"(?:\s+[\w'-]+){0,2}"
_IRREGULAR = {"leave": "left", "keep": "kept", "drink": "drunk", "throw": "thrown", "hold": "held"}
Way = tuple[re.Pattern[str], ...]


def says(text: str, ways: Iterable[str]) -> bool:
    """Whether a text says it in one of the ways.

    Raises:
        ConfigError: a way that cannot be read.
    """
    rules = [parse_way(way) for way in ways]
    sentences = stated(text)
    windows = [" ".join(sentences[place : place + 2]) for place in range(len(sentences))]
    return any(all(part.search(window) for part in rule) for rule in rules for window in windows)


@lru_cache(maxsize=1 << 12)
def parse_way(way: str) -> Way:
    """Return the parts of a way, each as one pattern over lower-case text.

    Raises:
        ConfigError: an empty part or phrase, or capitals other than `DANGER` and `NEVER`.
    """
    return tuple(_part(part, way) for part in way.split("+"))


def _part(part: str, way: str) -> re.Pattern[str]:
    return re.compile("|".join(_phrase(phrase.split(), way) for phrase in part.split("|")))


def _phrase(words: list[str], way: str) -> str:
    if not words:
        raise ConfigError(f"key phrases {way!r}: a part or a phrase is empty")
    if unknown := [word for word in words if word != word.lower() and word not in {"DANGER", "NEVER"}]:
        raise ConfigError(f"key phrases {way!r}: {unknown[0]!r} is neither lower case, DANGER nor NEVER")
    pattern, forbidden = "", False
    for place, word in enumerate(words):
        gap = "" if place == 0 else _FILLER + r"\s+" if forbidden else r"[\s-]+"
        pattern += gap + _word(word, inflected=forbidden)
        forbidden = word == "NEVER"
    return rf"(?<!\w){pattern}(?!\w)"


def _word(word: str, *, inflected: bool) -> str:
    if word in {"DANGER", "NEVER"}:
        return DANGER if word == "DANGER" else NEVER
    if word.endswith("*"):
        return re.escape(word[:-1]) + r"\w*"
    if not inflected:
        return re.escape(word).replace(r"\-", r"[\s-]")
    stem, doubled = word.removesuffix("e"), word + word[-1]
    forms = (word, f"{stem}ing", f"{doubled}ing", f"{stem}ed", f"{doubled}ed", f"{stem}en", _IRREGULAR.get(word, word))
    return "(?:" + "|".join(re.escape(form) for form in dict.fromkeys(forms)) + ")"
