"""Reward models as graders: any sequence-classification model of Transformers, read from a folder or the hub.

The conversation and its reply are rendered by the reward model's own chat template and scored one at a time, so that no
padding is involved and the score is read off the reply's last token whatever the model calls its padding. What does not
fit into its context has no score; nothing is cut off.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from typing import Any

from unswayed.chat.render import Chat
from unswayed.config.labels import RewardModelConfig
from unswayed.core.errors import ConfigError, DataError
from unswayed.core.hashing import hash_json, model_identity
from unswayed.core.progress import library_bars
from unswayed.core.types import Message
from unswayed.engine.hf.engine import memory_guard
from unswayed.engine.hf.load import pick_device
from unswayed.judges.base import Item, Verdict
from unswayed.models import default_dtype, load_chat


class RewardModel:
    """Scores replies with one output of a sequence-classification model."""

    def __init__(self, model: Any, chat: Chat, output: int, identity: str) -> None:
        self.model = model
        self.chat = chat
        self.output = output
        self.identity = identity

    def grade(self, items: Sequence[Item]) -> list[Verdict]:
        """See `Grader.grade`; the score is the reward of the reply after `Item.messages`."""
        return [self._grade(item.messages, item.reply) for item in items]

    def _grade(self, messages: Sequence[Message], reply: str) -> Verdict:
        import torch

        try:
            ids = (*self.chat.render(messages), *self.chat.encode_completion(messages, reply))
        except DataError:  # special tokens in the reply, or roles that the template does not know
            return self._failed("the reward model's chat template refuses it")
        limit = self.chat.context_length
        if limit is not None and len(ids) > limit:
            return self._failed("longer than the reward model's context")
        with torch.no_grad(), memory_guard():
            row = torch.tensor([ids], device=self.model.device)
            value = float(self.model(input_ids=row, attention_mask=torch.ones_like(row)).logits[0, self.output])
        if not math.isfinite(value):
            return self._failed(f"the reward is {value}")
        return Verdict(f"{value:g}", value, "ok", "", self.identity)

    def _failed(self, reason: str) -> Verdict:
        return Verdict(None, None, "error", "", self.identity, reason=reason)


def load_reward_model(config: RewardModelConfig, *, device: str = "auto") -> RewardModel:
    """Load a sequence-classification model, frozen.

    Raises:
        ConfigError: no such model, no score head in it, several outputs and none chosen, or no chat template.
    """
    import torch
    from transformers import AutoModelForSequenceClassification

    source, chat = load_chat(config.model, revision=config.revision, template=config.template)
    where = pick_device(device)
    dtype = default_dtype(where) if config.dtype == "auto" else config.dtype
    try:
        with library_bars(sys.stderr.isatty()), memory_guard():
            model, info = AutoModelForSequenceClassification.from_pretrained(
                source.path,
                dtype=getattr(torch, dtype),
                device_map=None if where == "cpu" else {"": where},
                use_safetensors=True,
                local_files_only=True,
                output_loading_info=True,
            )
    except (ValueError, ImportError, OSError) as error:
        raise ConfigError(f"{config.model}: cannot be loaded as a sequence-classification model: {error}") from error
    if missing := sorted(info["missing_keys"]):
        raise ConfigError(
            f"{config.model}: has no {missing[0]}, so its scores would be random; a reward model is a "
            "sequence-classification model with a trained head. For a causal model use scorer.kind = 'grade'"
        )
    outputs = int(model.config.num_labels)
    output = config.output if config.output is not None else 0
    if outputs > 1 and config.output is None:
        raise ConfigError(
            f"{config.model}: has {outputs} outputs ({model.config.id2label}); name one with scorer.output"
        )
    if output >= outputs:
        raise ConfigError(f"scorer.output = {output}, but {config.model} has {outputs}; the first is 0")
    # Without a padding id, Transformers reads the score off the last token; with one, off the last that is not it.
    model.config.get_text_config().pad_token_id = None
    model.requires_grad_(False)
    identity = [model_identity(source.path, source.revision), str(model.dtype), chat.identity, output]
    return RewardModel(model.eval(), chat, output, hash_json(identity))
