"""One file a labeller: a function of pairs, its table of the recipe, and a context; see `base`."""

from __future__ import annotations

from unswayed.labels.base import LabelFunction
from unswayed.labels.labellers import (
    diverse_decoding,
    multi_view,
    oracle,
    random_selection,
    rejection_sampling,
    self_confidence,
    self_distillation,
    self_refinement,
    self_rewarding,
    self_training,
)

LABELLERS: dict[str, LabelFunction] = {
    "self_confidence": self_confidence.label,
    "diverse_decoding": diverse_decoding.label,
    "multi_view": multi_view.label,
    "self_refinement": self_refinement.label,
    "self_rewarding": self_rewarding.label,
    "self_training": self_training.label,
    "rejection_sampling": rejection_sampling.label,
    "random_selection": random_selection.label,
    "self_distillation": self_distillation.label,
    "oracle": oracle.label,
    "anti_oracle": oracle.label,
}
