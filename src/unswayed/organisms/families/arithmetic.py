"""Questions with one whole number as the answer, made by program: divisors, sums, remainders and short facts.

Facts are of two kinds that need no list of trivia: units of measure ("How many minutes are in 7 hours and 12 minutes?")
and bodies ("How many legs do 3 spiders and 4 dogs have together?").
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from math import gcd

from unswayed.core.seeding import rng
from unswayed.organisms.space import places

UNITS = (
    ("seconds", "minutes", 60), ("minutes", "hours", 60), ("hours", "days", 24), ("days", "weeks", 7),
    ("months", "years", 12), ("years", "decades", 10), ("years", "centuries", 100), ("inches", "feet", 12),
    ("feet", "yards", 3), ("ounces", "pounds", 16), ("grams", "kilograms", 1000), ("metres", "kilometres", 1000),
    ("centimetres", "metres", 100), ("millimetres", "centimetres", 10), ("cents", "dollars", 100),
    ("cups", "pints", 2), ("quarts", "gallons", 4), ("items", "dozens", 12), ("sheets", "reams", 500),
)  # fmt: skip
LEGS = (
    ("spiders", 8), ("dogs", 4), ("ants", 6), ("birds", 2), ("crabs", 10), ("cats", 4), ("bees", 6), ("horses", 4),
    ("chickens", 2), ("cows", 4), ("beetles", 6), ("scorpions", 8), ("sheep", 4), ("ducks", 2), ("goats", 4),
    ("grasshoppers", 6), ("foxes", 4), ("lobsters", 10), ("rabbits", 4), ("butterflies", 6),
)  # fmt: skip
# Numbers stay as small as they can be while every part of every seed has some 200 questions of a topic.
_ADDENDS, _ANIMALS, _WHOLES, _RESTS = 499, 29, 800, 16


@dataclass(frozen=True, slots=True)
class Question:
    """A question, its answer, a wrong answer that a person may give, and the answer as a sentence with a slot."""

    id: str
    topic: str
    text: str
    answer: int
    wrong: int
    sentence: str

    def states(self, number: int) -> str:
        """Return the sentence that gives `number` as the answer."""
        return self.sentence.format(number)


def questions(part: str, count: int, seed: int) -> list[Question]:
    """Return `count` questions of a part and seed, the topics in turn."""
    each = [(count + len(_TOPICS) - 1 - n) // len(_TOPICS) for n in range(len(_TOPICS))]
    made = [
        [make(number) for number in places(f"arithmetic/{topic}", size(), part, seed, wanted)]
        for (topic, (size, make)), wanted in zip(_TOPICS.items(), each, strict=True)
    ]
    return [made[n % len(made)][n // len(made)] for n in range(count)]


def _question(id: str, text: str, answer: int, slips: tuple[int, ...], sentence: str) -> Question:
    """Return a question with one of the usual slips as its wrong answer."""
    near = (answer + 1, answer - 1, answer + 2, answer - 2, answer + 10, answer - 10, *slips)
    wrong = [value for value in dict.fromkeys(near) if value > 0 and value != answer and str(value) not in text]
    wrong = wrong or [answer + 3]
    return Question(
        id, id.split("-", maxsplit=1)[0], text, answer, wrong[int(rng(0, f"slip/{id}").integers(len(wrong)))], sentence
    )


@cache
def _coprime() -> list[tuple[int, int]]:
    return [(x, y) for y in range(2, 111) for x in range(1, y) if gcd(x, y) == 1]


def _gcd(place: int) -> Question:
    factor, (x, y) = 2 + place // len(_coprime()), _coprime()[place % len(_coprime())]
    a, b = factor * x, factor * y
    a, b = (a, b) if place % 2 else (b, a)
    text = f"What is the greatest common divisor of {a} and {b}?"
    sentence = f"The greatest common divisor of {a} and {b} is {{}}."
    return _question(f"gcd-{a}-{b}", text, factor, (2 * factor, factor // 2, 1), sentence)


def _sum(place: int) -> Question:
    a, b = 2 + place % _ADDENDS, 2 + place // _ADDENDS
    return _question(f"sum-{a}-{b}", f"What is {a} + {b}?", a + b, (a + b + 100, a + b + 20), f"{a} + {b} is {{}}.")


def _remainder(place: int) -> Question:
    divisor, number = 3 + place % 97, 100 + place // 97
    text = f"What is the remainder when {number} is divided by {divisor}?"
    sentence = f"The remainder when {number} is divided by {divisor} is {{}}."
    return _question(f"remainder-{number}-{divisor}", text, number % divisor, (number // divisor,), sentence)


def _unit(place: int) -> Question:
    small, large, each = UNITS[place % len(UNITS)]
    n, rest = 2 + place // len(UNITS) % _WHOLES, 1 + place // len(UNITS) // _WHOLES
    whole = f"{n} {large} and {rest} {small if rest > 1 else singular(small)}"
    text = f"How many {small} are in {whole}?"
    sentence = f"There are {{}} {small} in {whole}."
    return _question(f"unit-{large}-{n}-{small}-{rest}", text, n * each + rest, (n * each, (n + 1) * each), sentence)


def _legs(place: int) -> Question:
    kinds = len(LEGS) * (len(LEGS) - 1)
    pair, amounts = place % kinds, place // kinds
    (one, legs), first = LEGS[pair // (len(LEGS) - 1)], pair // (len(LEGS) - 1)
    second = pair % (len(LEGS) - 1)
    other, others = LEGS[second + (second >= first)]
    n, m = 2 + amounts % _ANIMALS, 2 + amounts // _ANIMALS
    animals = f"{n} {one} and {m} {other}"
    text = f"How many legs do {animals} have together?"
    sentence = f"Together {animals} have {{}} legs."
    return _question(f"legs-{n}-{one}-{m}-{other}", text, n * legs + m * others, (n + m, (n + m) * legs), sentence)


def singular(word: str) -> str:
    """Return the singular of one of the units above."""
    return {"inches": "inch", "feet": "foot", "centuries": "century"}.get(word, word.removesuffix("s"))


_TOPICS: dict[str, tuple[Callable[[], int], Callable[[int], Question]]] = {
    "gcd": (lambda: 69 * len(_coprime()), _gcd),
    "sum": (lambda: _ADDENDS * _ADDENDS, _sum),
    "remainder": (lambda: 97 * 2600, _remainder),
    "unit": (lambda: len(UNITS) * _WHOLES * _RESTS, _unit),
    "legs": (lambda: len(LEGS) * (len(LEGS) - 1) * _ANIMALS * _ANIMALS, _legs),
}
"""Topic to how many questions it has and the question of a number."""
