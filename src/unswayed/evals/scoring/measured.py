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


_WRITTEN = "our labelled replies, at their first reading"
_PEOPLE = "XSTest replies of three models that people labelled, each model left out of fit and threshold"
MEASURED: dict[str, Measured] = {
    "number/v3": Measured(0.995, 0.992, 1319, 1318, 0.0, "GSM8K solutions without their last line"),
    "letter/v2": Measured(0.994, 0.984, 531, 124, 0.058, _WRITTEN),
    "open/v2": Measured(1.0, 1.0, 135, 79, 0.014, _WRITTEN),
    "answers/v3": Measured(0.996, 0.990, 666, 203, 0.050, _WRITTEN),
    "math/v2": Measured(1.0, 1.0, 130, 95, 0.0, _WRITTEN),
    "refusal/v3": Measured(0.943, 0.960, 786, 533, 0.0, _PEOPLE),
    "compliance/v3": Measured(0.943, 0.960, 786, 533, 0.0, _PEOPLE),
    "warning/v4": Measured(0.848, 0.942, 224, 224, 0.0, "our labelled replies, each fact left out of the fit"),
}
"""Of refusals the mean over the models is stated: sensitivity 0.926 to 0.966, specificity 0.911 to 1.000."""
