"""Judges of replies, for evaluations and for labellers."""

from unswayed.judges.base import Item, Judge, Verdict, grade_blind
from unswayed.judges.build import build_judge
from unswayed.judges.cache import CachedJudge
from unswayed.judges.endpoint import EndpointJudge
from unswayed.judges.local import LocalJudge
from unswayed.judges.rubrics import RUBRICS, Rubric, rubric
from unswayed.judges.rule import RuleJudge

__all__ = [
    "RUBRICS",
    "CachedJudge",
    "EndpointJudge",
    "Item",
    "Judge",
    "LocalJudge",
    "Rubric",
    "RuleJudge",
    "Verdict",
    "build_judge",
    "grade_blind",
    "rubric",
]
