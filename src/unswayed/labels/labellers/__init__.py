"""The labellers by name: functions of pairs, a table of the recipe and a context; see `unswayed.labels.base`."""

from __future__ import annotations

from unswayed.labels.base import LabelFunction
from unswayed.labels.labellers import best_of_k, diverse_decoding, multi_view, oracle, self_refinement, single

LABELLERS: dict[str, LabelFunction] = {
    "self_confidence": best_of_k.by_confidence,
    "diverse_decoding": diverse_decoding.label,
    "multi_view": multi_view.label,
    "self_refinement": self_refinement.label,
    "self_rewarding": best_of_k.by_scorer,
    "self_training": single.greedy,
    "rejection_sampling": best_of_k.by_scorer,
    "random_selection": best_of_k.at_random,
    "self_distillation": single.exact,
    "oracle": oracle.label,
    "anti_oracle": oracle.label,
}
