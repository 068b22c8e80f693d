"""The decode loop: token ids in, completions as token ids out.

One loop serves every batch. Prompts wait in a queue, longest first; free slots take the next prompts' rollouts, a row
that ends frees its slot at once, and nothing is padded to the longest completion. What rows share is computed
once: the tokens all prompts begin with, and a prompt with several rollouts. Sampling parameters are explicit; the
generation defaults a model ships with are never read.

Prompts are padded at the right. A causal model's real tokens never look there, so the pass over the prompts needs no
padding mask, and since a token's cache column is its position (see `slot_cache`), padding can not shift a position.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import psutil  # type: ignore[import-untyped]
import torch
from torch import Tensor, nn

from unswayed.core.errors import ConfigError, NotFiniteError
from unswayed.core.seeding import uniforms
from unswayed.core.signals import stop_signals
from unswayed.core.types import Finish, SamplingParams
from unswayed.engine.batching import common_prefix
from unswayed.engine.decode.decodable import attention_windows, kv_bytes
from unswayed.engine.decode.lean import lean_linears
from unswayed.engine.decode.sampling_rules import check_params, choose, tempered_logprobs
from unswayed.engine.decode.slot_cache import SlotCache
from unswayed.engine.logits import LogitRule, logit_rule

SHARED_PREFIX = 8
"""A common prefix shorter than this is not worth a pass of its own."""


@dataclass(frozen=True, slots=True)
class Draw:
    """One completion as ids.

    Attributes:
        completion_ids: as sampled; ends with the stop token, once, where `finish` is "stop".
        logprobs: one for each id, under the policy before temperature and truncation, in nats.
        finish: "stop", or "length" where `max_new_tokens` came first.
        tempered_logprobs: one for each id, at the temperature of the draw; None where that is 0 or 1.
    """

    completion_ids: tuple[int, ...]
    logprobs: tuple[float, ...]
    finish: Finish
    tempered_logprobs: tuple[float, ...] | None = None


def sample(
    backbone: nn.Module,
    head: nn.Module,
    prompts: Sequence[Sequence[int]],
    params: SamplingParams,
    *,
    seeds: Sequence[Sequence[int]],
    stop_ids: frozenset[int],
    vocab_size: int | None = None,
    batch_rows: int | None = None,
    lean: bool = True,
) -> list[list[Draw]]:
    """Draw `params.n` completions for each prompt.

    A rollout depends on its prompt, its seed and the weights. What else is in the call, the order of the prompts and
    `batch_rows` change it only through the rounding of the model's own arithmetic.

    Args:
        backbone: the transformer body (`model.model` of a `...ForCausalLM`), adapters injected or not. It is in eval
            mode for the duration; every module's mode is restored.
        head: output embedding, hidden states to logits.
        prompts: token ids, none empty.
        params: `params.seed` is not used here; each rollout has its own seed.
        seeds: `params.n` rollout seeds for each prompt. Token `t` uses number `t` of `seeding.uniforms`.
        stop_ids: tokens that end a completion.
        vocab_size: ids at or above it do not exist: they are not sampled and the policy is normalised without them, for
            models whose embeddings are padded.
        batch_rows: rows decoded at once; from the free memory where not given.
        lean: replace linear layers by leaner ones for the duration; changes rounding only.

    Returns:
        For each prompt, in the given order, one `Draw` for each of its seeds.

    Raises:
        ConfigError: parameters, prompts or a model that cannot be sampled from as asked.
        NotFiniteError: a logit is NaN or infinite; names the prompt, the rollout and the token.
    """
    check_params(params)
    if batch_rows is not None and batch_rows < 1:
        raise ConfigError(f"batch_rows = {batch_rows}: give at least 1, or leave it out")
    columns = max(map(len, prompts), default=0) + params.max_new_tokens
    windows = attention_windows(backbone, columns)
    config: Any = backbone.config.get_text_config()  # type: ignore[operator,union-attr]
    rule = logit_rule(config)
    _check_inputs(prompts, seeds, params.n, config.vocab_size)
    if not prompts:
        return []
    weight = next(backbone.parameters())
    slots = batch_rows or _rows_that_fit(kv_bytes(config, weight.dtype) * columns, config.vocab_size, weight.device)
    rows = [
        _Row(index, rollout, tuple(prompt), seed)
        for index, (prompt, own) in enumerate(zip(prompts, seeds, strict=True))
        for rollout, seed in enumerate(own)
    ]
    with torch.no_grad(), _eval_mode(backbone, head), lean_linears(backbone, head) if lean else nullcontext():
        decoder = _Decoder(backbone, head, params, stop_ids, vocab_size, windows, rule)
        decoder.run(rows, SlotCache(min(slots, len(rows)), columns))
    draws: list[list[Draw]] = [[] for _ in prompts]
    for row in rows:
        tempered = None if params.temperature in {0, 1} else tuple(row.tempered)
        draws[row.prompt_index].append(Draw(tuple(row.ids), tuple(row.logprobs), row.finish, tempered))
    return draws


@dataclass(slots=True, eq=False)
class _Row:
    """One rollout while it is decoded."""

    prompt_index: int
    rollout: int
    prompt: tuple[int, ...]
    seed: int
    ids: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    tempered: list[float] = field(default_factory=list)
    uniforms: list[float] = field(default_factory=list)
    finish: Finish = "length"

    @property
    def length(self) -> int:
        """Tokens so far; the cache holds all of them but the last."""
        return len(self.prompt) + len(self.ids)


@dataclass
class _Decoder:
    """One call's loop. `live[i]` is the row in slot `i` of the cache."""

    backbone: nn.Module
    head: nn.Module
    params: SamplingParams
    stop_ids: frozenset[int]
    vocab_size: int | None
    windows: dict[str, int | None]
    rule: LogitRule

    def run(self, rows: Sequence[_Row], cache: SlotCache) -> None:
        """Finish every row in place."""
        weight = next(self.backbone.parameters())
        self.device, self.dtype = weight.device, weight.dtype
        # On a CPU a thousand tokens already fill the matrix products; more would only add padding.
        self.prefill_tokens = 1024 if self.device.type == "cpu" else 8192
        self.cache = cache
        self.live: list[_Row] = []
        self.queue = deque(_groups(rows, cache.slots))
        self.prefix = _shared_prefix([group[0].prompt for group in self.queue])
        if self.prefix:
            self.cache.prefix(self.prefix)
            self._forward([rows[0].prompt[: self.prefix]], torch.arange(self.prefix, device=self.device)[None], None)
        # Refilled by the eighth: a pass for every single free slot would cost more than the idle slot.
        refill = max(1, cache.slots // 8)
        while self.queue or self.live:
            stop_signals.look()
            if cache.slots - len(self.live) >= refill:
                while groups := self._next_groups():
                    self._prefill(groups)
            if self.live:
                self._step()

    def _next_groups(self) -> list[list[_Row]]:
        """Take from the queue what fits the free slots and one pass."""
        free = self.cache.slots - len(self.live)
        groups: list[list[_Row]] = []
        while self.queue and len(self.queue[0]) <= free:
            longest = len((groups or self.queue)[0][0].prompt) - self.prefix
            if groups and (len(groups) + 1) * longest > self.prefill_tokens:
                break
            free -= len(self.queue[0])
            groups.append(self.queue.popleft())
        return groups

    def _prefill(self, groups: Sequence[Sequence[_Row]]) -> None:
        """Run the groups' prompts, assign each rollout a slot and choose its first token."""
        rests = [group[0].prompt[self.prefix :] for group in groups]
        longest = max(map(len, rests))
        owners = torch.tensor([owner for owner, group in enumerate(groups) for _ in group], device=self.device)
        positions = torch.arange(self.prefix, self.prefix + longest, device=self.device)[None]
        # Behind a prefix the queries do not start at column 0, which "causal" alone would assume.
        mask = self._mask(positions, self.prefix + longest) if self.prefix else None
        first = len(self.live)
        self.cache.admit(first, owners, longest)
        hidden = self._forward([rest + (0,) * (longest - len(rest)) for rest in rests], positions, mask)
        last = torch.tensor([len(rest) - 1 for rest in rests], device=self.device)
        for row in (row for group in groups for row in group):
            if self.params.temperature:
                row.uniforms = uniforms(row.seed, self.params.max_new_tokens).tolist()
            self.live.append(row)
        self._choose(self._logits(hidden[torch.arange(len(rests), device=self.device), last])[owners], first)

    def _step(self) -> None:
        """Feed every live row its last token and choose the next."""
        places = [row.length - 1 for row in self.live]
        columns = max(places) + 1
        positions = torch.tensor(places, device=self.device)
        mask = self._mask(positions[:, None], columns) if min(places) + 1 < columns else None
        self.cache.decode(positions, columns)
        hidden = self._forward([row.ids[-1:] for row in self.live], positions[:, None], mask)
        self._choose(self._logits(hidden[:, 0]), 0)

    def _forward(self, ids: Sequence[Sequence[int]], positions: Tensor, mask: Any) -> Tensor:
        output = self.backbone(
            input_ids=torch.tensor(ids, device=self.device),
            attention_mask=mask,
            position_ids=positions,
            past_key_values=self.cache,
            use_cache=True,
        )
        hidden: Tensor = output.last_hidden_state
        return hidden

    def _logits(self, hidden: Tensor) -> Tensor:
        return self.rule.apply(self.head(hidden)[:, : self.vocab_size])

    def _mask(self, positions: Tensor, columns: int) -> Tensor | dict[str, Tensor]:
        """Additive masks `[rows or 1, 1, queries, columns]`, one for each kind of attention that differs here."""
        column = torch.arange(columns, device=self.device)
        masks = {}
        for kind, window in self.windows.items():
            hidden = column > positions[..., None]
            if window is not None and window < columns:
                hidden |= column <= positions[..., None] - window
            masks[kind] = torch.zeros(hidden.shape, dtype=self.dtype, device=self.device)
            masks[kind] = masks[kind].masked_fill_(hidden, -math.inf)[:, None]
        return masks if len(masks) > 1 else next(iter(masks.values()))

    def _choose(self, logits: Tensor, first: int) -> None:
        """Choose a token for the live rows from `first` on, and retire those it finishes."""
        new = self.live[first:]
        draws = None
        if self.params.temperature:
            draws = torch.tensor([row.uniforms[len(row.ids)] for row in new], dtype=torch.float64, device=self.device)
        ids_B, logprobs_B = choose(logits, draws, self.params)
        ids, logprobs = _read(ids_B, logprobs_B)
        if self.params.temperature not in {0, 1}:
            tempered_B = tempered_logprobs(logits, ids_B, self.params.temperature)
            for row, tempered in zip(new, tempered_B.tolist(), strict=True):
                row.tempered.append(tempered)
        # From the last to the first: the row that fills a freed slot is then always one already seen.
        for index in reversed(range(first, len(self.live))):
            row, token, logprob = self.live[index], ids[index - first], logprobs[index - first]
            if not math.isfinite(logprob):
                raise NotFiniteError(
                    f"logits of prompt {row.prompt_index}, rollout {row.rollout}, token {len(row.ids)} are not finite: "
                    f"check the weights (NaN or overflow in {self.dtype}); nothing was kept of this call"
                )
            row.ids.append(token)
            row.logprobs.append(logprob)
            if token in self.stop_ids:
                row.finish = "stop"
            if token in self.stop_ids or len(row.ids) == self.params.max_new_tokens:
                self._retire(index)

    def _retire(self, index: int) -> None:
        last = self.live.pop()
        if index < len(self.live):
            self.live[index] = last
            self.cache.move(len(self.live), index, last.length - 1)


def _groups(rows: Sequence[_Row], slots: int) -> Iterator[list[_Row]]:
    """Yield rows of one prompt together, longest prompt first, at most `slots` in a group."""
    by_prompt: dict[tuple[int, ...], list[_Row]] = {}
    for row in rows:
        by_prompt.setdefault(row.prompt, []).append(row)
    for prompt in sorted(by_prompt, key=len, reverse=True):
        own = by_prompt[prompt]
        yield from (own[start : start + slots] for start in range(0, len(own), slots))


def _shared_prefix(prompts: Sequence[tuple[int, ...]]) -> int:
    """Return how many leading tokens all prompts share, or 0 where sharing them does not pay.

    At least one token of every prompt stays behind the prefix, since its hidden state gives the first logits.
    """
    if len(prompts) < 2:
        return 0
    shared = min(common_prefix(prompts), min(map(len, prompts)) - 1)
    return shared if shared >= SHARED_PREFIX else 0


def _check_inputs(prompts: Sequence[Sequence[int]], seeds: Sequence[Sequence[int]], n: int, vocab_size: int) -> None:
    if len(prompts) != len(seeds):
        raise ConfigError(f"{len(prompts)} prompts but seeds for {len(seeds)}: give one list of seeds for each prompt")
    for index, (prompt, own) in enumerate(zip(prompts, seeds, strict=True)):
        if len(prompt) == 0:
            raise ConfigError(f"prompt {index} is empty: a completion needs at least one token to follow")
        if not 0 <= min(prompt) <= max(prompt) < vocab_size:
            raise ConfigError(
                f"prompt {index} holds ids from {min(prompt)} to {max(prompt)}, the model has {vocab_size}: "
                "encode it with the model's own tokenizer"
            )
        if len(own) != n:
            raise ConfigError(f"prompt {index} has {len(own)} seeds and n = {n}: give one seed for each completion")


def _read(ids_B: Tensor, logprobs_B: Tensor) -> tuple[list[int], list[float]]:
    """Return both on the host with one synchronisation: float64 holds every id and every float32 exactly."""
    if ids_B.device.type == "mps":  # has no float64
        return ids_B.tolist(), logprobs_B.tolist()
    ids, logprobs = torch.stack((ids_B.double(), logprobs_B.double())).tolist()
    return [int(token) for token in ids], logprobs


@contextmanager
def _eval_mode(*roots: nn.Module) -> Iterator[None]:
    """Switch to eval mode, and restore the mode of exactly the modules that were training."""
    training = [module for root in roots for module in root.modules() if module.training]
    try:
        for module in training:
            module.training = False
        yield
    finally:
        for module in training:
            module.training = True


def _rows_that_fit(row_bytes: int, vocab_size: int, device: torch.device) -> int:
    """Return how many rows to decode at once: half of the free memory, and no more than speed gains from.

    Beside its keys and values a row needs its logits, their softmax and their float64 running sum.
    """
    if device.type == "cuda":
        free = torch.cuda.mem_get_info(device)[0]
        free += torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    else:
        free = psutil.virtual_memory().available
    most = 128 if device.type == "cpu" else 512
    return max(1, min(most, free // 2 // (row_bytes + 24 * vocab_size)))
