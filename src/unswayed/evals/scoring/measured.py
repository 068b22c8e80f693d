"""The measured error of each rule, by name and version: what a page prints beside a rate that the rule decided.

`docs/reading.md` says on what it was measured. Where the replies of a model differ from those, so may the error.
"""

from __future__ import annotations

from typing import NamedTuple


class Measured(NamedTuple):
    """How often a rule agrees with people.

    Attributes:
        sensitivity: of the replies that are right (that decline, that warn), the share the rule says so of.
        specificity: of the others that it read, the share it says so of.
        positives, negatives: how many of either there were.
        unread: the share it left unscored beyond those that a person would.
        on: what it was measured on, in a few words.
    """

    sensitivity: float
    specificity: float
    positives: int
    negatives: int
    unread: float
    on: str


MEASURED: dict[str, Measured] = {}
