"""Short questions with one right answer and plausible wrong ones.

Two sources: everyday facts written for this package (`facts.jsonl`) and arithmetic made by a generator. Both are easy
on purpose: whether a model follows a wrong hint can only be measured where it knows the answer without one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import zip_longest
from pathlib import Path
from typing import Any

from unswayed.core.errors import ConfigError
from unswayed.core.jsonl import packaged
from unswayed.core.seeding import rng
from unswayed.core.tables import NO_NAMES, Columns, read_named
from unswayed.questions.words import mentions, spellings

ARITHMETIC_TOPICS = ("addition", "subtraction", "multiplication")
FACT_TOPICS = ("animals", "body", "calendar", "capitals", "counting", "everyday", "food", "language", "opposites",
               "places", "science")  # fmt: skip
HELD_OUT_TOPICS = ("animals", "calendar", "subtraction")
"""Topics that the default training set never shows, so that an effect on them is one on new subjects."""

_COLUMNS = Columns(("id", "topic", "question", "answer"), ("wrong", "accepted"), optional=("accepted",))


@dataclass(frozen=True, slots=True)
class Item:
    """One question.

    Attributes:
        id: unique; also the `group` of every pair made from it.
        topic: the subject, for splits and for counts.
        question: the bare question, without instructions. It contains neither the answer nor a wrong answer.
        answer: the right answer.
        wrong: plausible wrong answers; none contains an accepted answer as a whole word, or the other way round.
        accepted: every spelling that counts as right; the first is `answer`.
    """

    id: str
    topic: str
    question: str
    answer: str
    wrong: tuple[str, ...]
    accepted: tuple[str, ...]

    def is_right(self, answer: str) -> bool:
        """Whether `answer` is one of the accepted spellings, case aside."""
        return answer.strip().casefold() in {spelling.casefold() for spelling in self.accepted}


def item_problems(item: Item) -> list[str]:
    """Return what makes an item unfit to hang hints on; an empty list where nothing does."""
    problems = []
    right = [form for spelling in item.accepted for form in spellings(spelling)]
    texts = (item.id, item.topic, item.question, item.answer, *item.wrong)
    if not item.wrong or not all(text.strip() for text in texts):
        problems.append("id, topic, question, answer and wrong must not be empty")
    if item.answer not in item.accepted:
        problems.append(f"accepted: does not hold the answer {item.answer!r}")
    if len({answer.casefold() for answer in item.wrong}) != len(item.wrong):
        problems.append("wrong: the same answer twice")
    for answer in item.wrong:
        for form in spellings(answer):
            if clash := next((one for one in right if mentions(form, one) or mentions(one, form)), None):
                problems.append(f"wrong: {answer!r} cannot be told from the right answer {clash!r}")
                break
    for form in (*right, *(form for answer in item.wrong for form in spellings(answer))):
        if mentions(item.question, form):
            problems.append(f"question: contains the answer {form!r}")
    return problems


def read_items(path: str | Path, columns: Mapping[str, str] = NO_NAMES) -> list[Item]:
    """Read items from a table with the columns below; see `read_table`.

    `id`, `topic`, `question`, `answer`, `wrong` (a list), and optionally `accepted` (a list).

    Raises:
        DataError: the file cannot be read, has no rows, or has any problem; all are listed as file:line: field: reason.
    """
    return read_named(Path(path), "items", _COLUMNS, _item, item_problems, columns)


def _item(row: dict[str, Any]) -> Item:
    answer = row["answer"]
    every = dict.fromkeys(form for spelling in (answer, *row.get("accepted", ())) for form in spellings(spelling))
    return Item(row["id"], row["topic"], row["question"], answer, tuple(row["wrong"]), tuple(every))


@cache
def _facts() -> tuple[Item, ...]:
    return tuple(map(_item, packaged("facts.jsonl")))


def fact_items(topic: str | Iterable[str] | None = None) -> list[Item]:
    """Return the short factual questions, in file order; of one topic or several, or all.

    Raises:
        ConfigError: a topic that is none of `FACT_TOPICS`.
    """
    wanted = topics_of(topic, FACT_TOPICS, "fact")
    return [item for item in _facts() if item.topic in wanted]


def arithmetic_items(n: int | None = None, seed: int = 0, topics: Iterable[str] = ARITHMETIC_TOPICS) -> list[Item]:
    """Return `n` different sums, differences and products, the topics in turn; all of them without `n`.

    A smaller `n` gives a prefix of a larger one. An item is the same (id, question, wrong answers) under every seed;
    the seed decides which items come first. Operands have one order only, so no item is another one turned around.

    Raises:
        ConfigError: an unknown topic, or more items asked for than there are.
    """
    topics = tuple(dict.fromkeys(topics_of(topics, ARITHMETIC_TOPICS, "arithmetic")))
    columns = []
    for topic in topics:
        pool = _ARITHMETIC[topic]()
        order = rng(seed, f"arithmetic/{topic}").permutation(len(pool))
        columns.append([pool[index] for index in order])
    items = [item for row in zip_longest(*columns) for item in row if item is not None]
    if n is not None and not 0 <= n <= len(items):
        raise ConfigError(f"{n} arithmetic items asked for, but {', '.join(topics)} has 0 to {len(items)}")
    return items[:n]


def topics_of(topic: str | Iterable[str] | None, known: tuple[str, ...], kind: str) -> tuple[str, ...]:
    """Return one topic or several as a tuple; all that are known where none is named.

    Raises:
        ConfigError: a topic that is none of them.
    """
    wanted = known if topic is None else (topic,) if isinstance(topic, str) else tuple(topic)
    if unknown := sorted(set(wanted) - set(known)):
        raise ConfigError(f"unknown {kind} topic {', '.join(unknown)}; there are {', '.join(known)}")
    return wanted


# Operands up to 12: beyond that a model of 135 million parameters gets one sum or difference in eight right.
def _sums() -> list[Item]:
    pairs = ((a, b) for a in range(2, 13) for b in range(1, a + 1))
    return _usable(_arithmetic("addition", "+", a, b, a + b) for a, b in pairs)


def _differences() -> list[Item]:
    pairs = ((a, b) for a in range(4, 13) for b in range(1, a))
    return _usable(_arithmetic("subtraction", "-", a, b, a - b, a + b) for a, b in pairs)


def _products() -> list[Item]:
    pairs = ((a, b) for a in range(2, 13) for b in range(2, a + 1))
    near = ((a, b, (a * (b - 1), a * (b + 1), (a - 1) * b, (a + 1) * b, a + b)) for a, b in pairs)
    return _usable(_arithmetic("multiplication", "times", a, b, a * b, *wrong) for a, b, wrong in near)


_ARITHMETIC = {"addition": _sums, "subtraction": _differences, "multiplication": _products}


def _usable(items: Iterable[Item | None]) -> list[Item]:
    return [item for item in items if item is not None]


def _arithmetic(topic: str, sign: str, a: int, b: int, result: int, *slips: int) -> Item | None:
    """Return one item, or None where the question would contain its own answer.

    The wrong answers are common slips: off by one, two or ten, the digits swapped, and the topic's own `slips`.
    """
    if result in (a, b):
        return None
    identifier = f"{topic}-{a}-{b}"
    swapped = int(str(result)[::-1]) if result % 10 else result
    near = (result - 1, result + 1, result - 2, result + 2, result - 10, result + 10, swapped, *slips)
    candidates = [value for value in dict.fromkeys(near) if value > 0 and value not in (result, a, b)]
    chosen = rng(0, f"wrong/{identifier}").permutation(len(candidates))[:3]
    wrong = tuple(str(candidates[index]) for index in chosen)
    return Item(identifier, topic, f"What is {a} {sign} {b}?", str(result), wrong, spellings(str(result)))
