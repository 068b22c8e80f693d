"""Find the rows of one file that are already in another: by group, by text, and by runs of thirteen words."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby

from unswayed.core.types import Message, PromptPair

GRAM = 13
PHRASE = 5
COMMON = 0.05
"""Five words in a row that stand in more than this share of all groups (and in three at least) are an instruction or a
wording. They are cut out before runs are compared, so that two questions with the same instruction share nothing."""

Run = tuple[str, ...]
# Operators stay: "7 + 5" and "7 - 5" are different questions.
_WORD = re.compile(r"\w+|[-+*/=<>^%]")


@dataclass(frozen=True, slots=True)
class Overlap:
    """What two files share. Each entry names the group and its group in the other file.

    Attributes:
        groups: names that both files use.
        texts: (group, other group) whose prompts are equal once case, spacing and punctuation are set aside.
        grams: (group, other group, words) whose prompts differ, but share a run of thirteen words once common
            phrases are cut out.
    """

    groups: tuple[str, ...]
    texts: tuple[tuple[str, str], ...]
    grams: tuple[tuple[str, str, str], ...]


def words(text: str) -> Run:
    """Return the words of a text in one form: compatibility characters, case and punctuation set aside."""
    return tuple(_WORD.findall(unicodedata.normalize("NFKC", text).casefold()))


def normalise(messages: Sequence[Message]) -> str:
    """Return a conversation in one form; texts that differ only in case, spacing or punctuation become equal."""
    return "\n".join(f"{message.role}: {' '.join(words(message.content))}" for message in messages)


def find_overlap(pairs: Iterable[PromptPair], others: Iterable[PromptPair]) -> Overlap:
    """Return what `pairs` share with `others`. One entry for each two groups, however many rows they have."""
    pairs, others = tuple(pairs), tuple(others)
    groups = {pair.group for pair in pairs} & {pair.group for pair in others}

    theirs: dict[str, str] = {}
    for pair in others:
        for side in (pair.prompt, pair.teacher_prompt):
            theirs.setdefault(normalise(side), pair.group)
    texts = {
        (pair.group, theirs[text])
        for pair in pairs
        for side in (pair.prompt, pair.teacher_prompt)
        if (text := normalise(side)) in theirs
    }

    mine, other = _messages_by_group(pairs), _messages_by_group(others)
    common = common_phrases([*mine.values(), *other.values()])
    holders: dict[Run, str] = {}
    for group, messages in other.items():
        for gram in grams_of(messages, common):
            holders.setdefault(gram, group)
    shared: dict[tuple[str, str], str] = {}
    for group, messages in mine.items():
        for gram in sorted(grams_of(messages, common) & holders.keys()):
            if (group, holders[gram]) not in texts:
                shared.setdefault((group, holders[gram]), " ".join(gram))
    return Overlap(
        tuple(sorted(groups)),
        tuple(sorted(texts)),
        tuple((one, other, gram) for (one, other), gram in sorted(shared.items())),
    )


def _messages_by_group(pairs: Iterable[PromptPair]) -> dict[str, set[Run]]:
    """Return the different messages of each group, as words."""
    contents: dict[str, set[str]] = {}
    for pair in pairs:
        texts = (message.content for message in (*pair.prompt, *pair.teacher_prompt))
        contents.setdefault(pair.group, set()).update(texts)
    return {group: {words(text) for text in texts} for group, texts in contents.items()}


def runs_of(run: Run, length: int) -> list[Run]:
    """Return every run of so many words in a row."""
    return [run[start : start + length] for start in range(len(run) - length + 1)]


def common_phrases(groups: Sequence[set[Run]]) -> set[Run]:
    """Return the runs of five words that so many groups share that they are wording, not content; see `COMMON`."""
    spread: Counter[Run] = Counter()
    for texts in groups:
        spread.update({phrase for text in texts for phrase in runs_of(text, PHRASE)})
    limit = max(2, COMMON * len(groups))
    return {phrase for phrase, count in spread.items() if count > limit}


def grams_of(texts: set[Run], common: set[Run]) -> set[Run]:
    """Return every run of thirteen words of a group that lies between its common phrases."""
    grams: set[Run] = set()
    for text in texts:
        covered = [False] * len(text)
        for start, phrase in enumerate(runs_of(text, PHRASE)):
            if phrase in common:
                covered[start : start + PHRASE] = [True] * PHRASE
        for is_common, part in groupby(range(len(text)), key=covered.__getitem__):
            places = list(part)
            if not is_common:
                grams.update(runs_of(text[places[0] : places[-1] + 1], GRAM))
    return grams
