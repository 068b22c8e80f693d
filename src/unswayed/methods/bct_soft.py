r"""Bias-augmented consistency training with soft labels: the teacher's whole distribution at each token of its answer.

The frozen teacher answers its own prompt x'; the same ids are forced on both sides, and at each of them the student
after x is pulled to what the teacher says after x':

    y ~ π_0(·|x')          loss = Σ_t w_t KL(π_0(·|x', y_<t) ‖ π_θ(·|x, y_<t)), divided by Σ w of the step

Positions are those of the answer alone and are aligned by it, whatever the prompts' lengths. Gradient flows through
π_θ and never into the teacher. In expectation over y the gradient is that of hard labels, without their noise.

Differences from the implementation that came with arXiv 2606.03810: the teacher is frozen where theirs is the moving
model in evaluation mode; only the answer is compared where theirs takes the last positions of both padded sequences,
prompts included; the value is a divergence, so that 0 means equal. See docs/divergences.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from unswayed.config.methods import BCTSoftConfig
from unswayed.core.types import LossOutput, PairedBatch, TokenizedPair
from unswayed.engine.base import Capability, Engine, Scored
from unswayed.methods.base import Collected, Step, TeacherCompletions, divergence, method, with_teacher


@method(BCTSoftConfig)
class BCTSoft(TeacherCompletions):
    """Divergence from the teacher along the teacher's own answer."""

    needs: Mapping[Capability, str] = {"exact_kl": "method.name = 'bct'"}
    config: BCTSoftConfig

    def collect(self, pairs: Sequence[TokenizedPair], engine: Engine, step: Step) -> Collected:
        """Let the teacher answer `teacher_prompt` and say what else it could have said."""
        found = super().collect(pairs, engine, step)
        return replace(found, batch=with_teacher(found.batch.rows, engine))

    def loss(self, student: Scored, batch: PairedBatch) -> LossOutput:
        """Return the summed divergence, in nats."""
        config = self.config
        return divergence(student, batch, kind=config.divergence, beta=config.beta, clamp=config.clamp)
