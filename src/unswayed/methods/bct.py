r"""Bias-augmented consistency training with hard labels (Chua et al. 2024, arXiv 2403.05518).

The frozen teacher answers its own prompt x' once; the student learns to give that answer after its prompt x:

    y ~ π_0(·|x')          loss = −Σ_t w_t log π_θ(y_t | x, y_<t), divided by Σ w of the step

Gradient flows through the student's log-probabilities; neither prompt is trained. The stop token is part of y and is
supervised. Ids are used as they were drawn, never decoded and encoded again. Rows of `data.anchors` with equal prompts
are the mix of self-generated harmless answers.

Differences from the paper: the frozen start of the run answers, at the recipe's temperature, once for each pair; no
instruction data is mixed in unless the recipe names it. See docs/divergences.md.
"""

from __future__ import annotations

from collections.abc import Mapping

from unswayed.config.methods import BCTConfig
from unswayed.engine.base import Capability
from unswayed.methods.base import TeacherCompletions, method


@method(BCTConfig)
class BCT(TeacherCompletions):
    """Cross-entropy on the teacher's own answer after the student's prompt."""

    needs: Mapping[Capability, str] = {"sampled": "method.name = 'bct_soft'"}
