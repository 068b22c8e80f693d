r"""Supervised fine-tuning: the offline counterpart of OPCT, and plain induction on given targets.

    source = "teacher"   y ~ π_0(·|x'), drawn once per pair from the frozen teacher on its own prompt (as `bct`)
    source = "target"    y is the pair's `target` text
    loss = −Σ_t w_t log π_θ(y_t | x, y_<t), divided by Σ w of the step

Only completion tokens are trained, the stop token among them; the prompt never is. Sampled ids are used as they were
drawn, never decoded and encoded again.

Differences from the papers: OPCT's jailbreak baseline re-tokenised decoded text, so that no stop token was supervised;
here it is. The draw's address is the pair, not the step: every epoch sees the same completion, as a stored set would.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from unswayed.config.methods import SFTConfig
from unswayed.core.types import PairedBatch, TokenizedPair
from unswayed.engine.base import Capability, Engine
from unswayed.methods.base import Collected, Source, Step, TeacherCompletions, method, weigh


@method(SFTConfig)
class SFT(TeacherCompletions):
    """Cross-entropy on a fixed completion after the student's prompt: the teacher's, as in `bct`, or a given one."""

    needs: Mapping[Capability, str] = {"sampled": "method.name = 'bct_soft'"}
    config: SFTConfig

    def collect(self, pairs: Sequence[TokenizedPair], engine: Engine, step: Step) -> Collected:
        """Draw the teacher's completions, or take the pairs' targets."""
        if not self.config.trains_on_targets:
            return super().collect(pairs, engine, step)
        rows, skipped = weigh([Source(pair, pair.target_ids) for pair in pairs if pair.target_ids], self.config, step)
        empty = [pair.pair.id for pair in pairs if not pair.target_ids]
        return Collected(PairedBatch(tuple(rows)), skipped=skipped | ({"empty target": empty} if empty else {}))
