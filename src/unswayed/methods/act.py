r"""Activation consistency training (Irpan et al. 2025, arXiv 2510.27062).

Nothing is generated. Where both prompts end with the same tokens, the residual stream after every layer is pulled to
what the frozen teacher has there:

    S = the longest common ending of the two prompts, in token ids, found row by row before anything is padded
    loss = s² Σ_{n∈S} 1/L Σ_l ‖h_l^θ(x)_n − h_l^0(x')_n‖², divided by the number of positions of the step

h_l is what layer l hands on, the last one before the final norm; the embeddings are left out. Squares are taken in
float32. The first position of a prompt is an attention sink with activations thousands of times larger than others; it
is left out where the common ending reaches it (`sink_tokens`). Gradient flows through the student's side.

A row keeps the common ending as its completion and what comes before it as its two prompts, which need not be there.

Differences from the paper: none known in the equation; `scale` is ours to choose. The implementation that came with
arXiv 2606.03810 compares the last positions of padded prompts and answers instead, whatever tokens stand there. See
docs/divergences.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch

from unswayed import losses
from unswayed.config.methods import ACTConfig
from unswayed.core.errors import DataError
from unswayed.core.types import LossOutput, PairedBatch, PairedRow, TokenizedPair
from unswayed.engine.base import Capability, Engine, Scored, View
from unswayed.engine.batching import common_suffix
from unswayed.methods.base import Collected, Step, Tokens, method


@method(ACTConfig)
class ACT:
    """Squared distance of the residual streams where both prompts end alike."""

    needs: Mapping[Capability, str] = {"hidden": "method.name = 'bct_soft'"}
    view: View = "layers"

    def __init__(self, config: ACTConfig) -> None:
        self.config = config

    def check(self, pairs: Sequence[TokenizedPair], tokens: Tokens) -> None:
        """Refuse pairs whose prompts have no common ending.

        Raises:
            DataError: naming them.
        """
        apart = [
            f"{pair.pair.id}: nothing to align ({common_suffix(pair.prompt_ids, pair.teacher_prompt_ids)} equal tokens)"
            for pair in pairs
            if not any(self._row(pair).loss_mask)
        ]
        if apart:
            raise DataError(
                "method.name = 'act' compares activations where both prompts end with the same tokens, and these pairs "
                "have no such tokens; leave them out, or use method.name = 'bct_soft', which needs none:",
                apart,
            )

    def collect(self, pairs: Sequence[TokenizedPair], engine: Engine, step: Step) -> Collected:
        """Let the teacher read `teacher_prompt`; keep every layer at the common ending."""
        rows = [self._row(pair) for pair in pairs]
        scored = engine.score(PairedBatch(tuple(rows)), "teacher", self.view)
        kept = (replace(row, teacher={"layers_LTD": _layers(result)}) for row, result in zip(rows, scored, strict=True))
        return Collected(PairedBatch(tuple(kept)))

    def loss(self, student: Scored, batch: PairedBatch) -> LossOutput:
        """Return the summed squared distance, over width summed and over layers averaged."""
        teacher_LND = torch.cat([row.teacher["layers_LTD"] for row in batch.rows], dim=1)
        output = losses.activation_mse(_layers(student), teacher_LND, student.weight_N)
        return replace(output, total=output.total * self.config.scale**2)

    def _row(self, pair: TokenizedPair) -> PairedRow:
        shared = common_suffix(pair.prompt_ids, pair.teacher_prompt_ids)
        before = len(pair.prompt_ids) - shared, len(pair.teacher_prompt_ids) - shared
        return PairedRow(
            pair_id=pair.pair.id,
            prompt_ids=pair.prompt_ids[: before[0]],
            teacher_prompt_ids=pair.teacher_prompt_ids[: before[1]],
            completion_ids=pair.prompt_ids[before[0] :],
            loss_mask=tuple(float(min(before) + place >= self.config.sink_tokens) for place in range(shared)),
        )


def _layers(scored: Scored) -> torch.Tensor:
    if scored.layers_LND is None:
        raise TypeError("the engine was not asked for the view 'layers'")
    return scored.layers_LND
