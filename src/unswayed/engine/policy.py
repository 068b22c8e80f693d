"""Policies: messages in, text out. Evaluations know models only through this."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

from unswayed.chat.check import check_prompts
from unswayed.chat.render import Chat
from unswayed.core.errors import ConfigError
from unswayed.core.hashing import hash_file, hash_json, model_identity
from unswayed.core.seeding import seed_at
from unswayed.core.types import Completion, Finish, Likelihood, Message, SamplingParams
from unswayed.engine.base import Role, Sampler, Scorer
from unswayed.engine.decode.loglikelihood import continuation_logprobs
from unswayed.engine.decode.sampler import sample
from unswayed.engine.forward import backbone
from unswayed.engine.hf.adapters import STUDENT, adapter_layers
from unswayed.engine.hf.attach import attach
from unswayed.engine.hf.engine import memory_guard
from unswayed.engine.hf.load import pick_device
from unswayed.engine.proof import prove
from unswayed.models import load_chat, load_model
from unswayed.models.adapter import CONFIG, WEIGHTS, check_base, read_adapter

log = logging.getLogger(__name__)


class Drawn(Protocol):
    """What every sampler returns for one completion."""

    @property
    def completion_ids(self) -> tuple[int, ...]: ...
    @property
    def logprobs(self) -> tuple[float, ...]: ...
    @property
    def finish(self) -> Finish: ...


class Policy:
    """The part that loaded models and engines in training share: rendering, addresses of draws, decoding."""

    name: str
    chat: Chat

    def complete(self, prompts: Sequence[tuple[Message, ...]], params: SamplingParams) -> list[Completion]:
        """Return `params.n` completions for each prompt, in order.

        A draw is addressed by (seed, prompt tokens, number), so it does not depend on what else is asked for. Where the
        template left a span of thinking open, the text begins with its tag: cut inside, it holds no reply.
        """
        ids = [self.chat.render(prompt) for prompt in prompts]
        seeds = [[seed_at(params.seed, "complete", *row, k) for k in range(params.n)] for row in ids]
        return [
            Completion(opened + self.chat.decode(draw.completion_ids), draw.finish, len(draw.completion_ids), len(row))
            for row, draws in zip(ids, self.draw(ids, params, seeds), strict=True)
            for opened in [self._opened(row)]
            for draw in draws
        ]

    def _opened(self, prompt_ids: Sequence[int]) -> str:
        """Return the tag of thinking that a prompt leaves open, as text, or an empty one."""
        tags = self.chat.thinking
        return self.chat.decode(tags[0]) if tags and self.chat.opens_thinking(prompt_ids) else ""

    def check(self, prompts: Iterable[tuple[str, Sequence[Message]]], new_tokens: int, of: str) -> None:
        """Refuse prompts, by their names, that the model would not see as they are meant.

        Raises:
            DataError: special tokens in a text, a message that the template drops, two BOS tokens, or no room for
                `new_tokens` in the context; all of them, named as problems in `of`.
        """
        check_prompts(self.chat, prompts, new_tokens, of)

    def loglikelihood(
        self, prompts: Sequence[tuple[Message, ...]], continuations: Sequence[Sequence[str]]
    ) -> list[list[Likelihood]]:
        """Return how likely each of `continuations[i]` is as the beginning of the answer to `prompts[i]`.

        It stands where the template writes an answer; that the turn then ends is not part of it.

        Raises:
            ConfigError: the template opens a span of thinking, in which no answer is given.
        """
        ids = [self.chat.render(prompt) for prompt in prompts]
        given = [
            [self.chat.encode_completion(prompt, text, ended=False) for text in texts]
            for prompt, texts in zip(prompts, continuations, strict=True)
        ]
        if any(map(self.chat.opens_thinking, ids)):
            raise ConfigError(
                f"{self.name}: the chat template opens a span of thinking, and the likelihood of an answer inside it "
                "means nothing; fix a template value that turns thinking off (such as enable_thinking = false)"
            )
        return [
            [Likelihood(value, len(text), len(row)) for value, text in zip(values, own, strict=True)]
            for row, own, values in zip(ids, given, self.logprobs(ids, given), strict=True)
        ]

    def draw(
        self, ids: Sequence[tuple[int, ...]], params: SamplingParams, seeds: Sequence[Sequence[int]]
    ) -> Sequence[Sequence[Drawn]]:
        """Return one completion as ids for each seed of each prompt; `params.n` seeds for every prompt."""
        raise NotImplementedError

    def logprobs(
        self, ids: Sequence[tuple[int, ...]], continuations: Sequence[Sequence[tuple[int, ...]]]
    ) -> list[list[float]]:
        """Return the log-probability in nats of each continuation of each prompt, as ids."""
        raise NotImplementedError


class EnginePolicy(Policy):
    """The student or the teacher of an engine in training, e.g. between two steps; `scorer` computes likelihoods."""

    def __init__(
        self, sampler: Sampler, chat: Chat, role: Role = "student", name: str = "", *, scorer: Scorer | None = None
    ) -> None:
        self.sampler, self.scorer = sampler, scorer
        self.chat = chat
        self.role: Role = role
        self.name = name or role

    @property
    def identity(self) -> str:
        """Return a hash over everything that can change an answer; read anew, because training changes it."""
        teacher = self.sampler.teacher_policy
        policy = self.sampler.policy if self.role == "student" else teacher
        return hash_json([teacher.fingerprint, policy.fingerprint, self.chat.identity])

    def draw(
        self, ids: Sequence[tuple[int, ...]], params: SamplingParams, seeds: Sequence[Sequence[int]]
    ) -> Sequence[Sequence[Drawn]]:
        """See `Policy.draw`."""
        return self.sampler.sample([str(i) for i in range(len(ids))], ids, params, seeds, self.role)

    def logprobs(
        self, ids: Sequence[tuple[int, ...]], continuations: Sequence[Sequence[tuple[int, ...]]]
    ) -> list[list[float]]:
        """See `Policy.logprobs`.

        Raises:
            ConfigError: the engine has no scorer.
        """
        if self.scorer is None:
            raise ConfigError(
                f"{self.name}: its engine draws completions only; the likelihood of given ones needs a scorer"
            )
        return self.scorer.loglikelihood(ids, continuations, self.role)


class LoadedPolicy(Policy):
    """A model read from its files, with an adapter on top or without. Nothing in it can be trained."""

    def __init__(self, model: Any, chat: Chat, identity: str, name: str, weights: tuple[str, ...] = ()) -> None:
        self.model = model
        self.chat = chat
        self.identity = identity
        self.name = name
        self.weights = weights
        """Identity of the model's own weights, then of the files of an adapter on top."""
        self.body, self.head = backbone(model), model.get_output_embeddings()
        self.vocab_size = min(chat.vocab_size, model.config.get_text_config().vocab_size)
        with memory_guard():
            self.ways = prove(model, self.head, tuned=adapter_layers(model), vocab_size=self.vocab_size, trained=False)

    def draw(
        self, ids: Sequence[tuple[int, ...]], params: SamplingParams, seeds: Sequence[Sequence[int]]
    ) -> Sequence[Sequence[Drawn]]:
        """See `Policy.draw`."""
        self.ways.check_decodable(self.name)
        how: dict[str, Any] = {"stop_ids": self.chat.stop_ids, "vocab_size": self.vocab_size, "lean": self.ways.lean}
        with memory_guard():
            return sample(self.body, self.head, ids, params, seeds=seeds, **how)

    def logprobs(
        self, ids: Sequence[tuple[int, ...]], continuations: Sequence[Sequence[tuple[int, ...]]]
    ) -> list[list[float]]:
        """See `Policy.logprobs`."""
        with memory_guard():
            return continuation_logprobs(
                self.body, self.head, ids, continuations, vocab_size=self.vocab_size, **self.ways.likelihood
            )


def load_policy(
    model: str,
    adapter: str | None = None,
    *,
    revision: str | None = None,
    dtype: str = "auto",
    device: str = "auto",
    attention: str = "sdpa",
    template_kwargs: Mapping[str, Any] = {},
    allow_special_tokens: bool = False,
    trust_remote_code: bool = False,
    name: str = "",
) -> LoadedPolicy:
    """Load a model, with a PEFT adapter on top where one is given, for evaluation.

    Raises:
        ConfigError: model or adapter cannot be found, or the adapter was made for another architecture.
    """
    source, chat = load_chat(
        model,
        adapter=adapter,
        revision=revision,
        template_kwargs=template_kwargs,
        allow_special_tokens=allow_special_tokens,
        trust_remote_code=trust_remote_code,
    )
    identity = model_identity(source.path, source.revision)
    added = None if adapter is None else read_adapter(adapter)
    if added is not None:
        check_base(added, source, identity)
    base = load_model(source, dtype=dtype, device=pick_device(device), attn=attention)
    weights = [identity]
    parts = [*weights, str(base.dtype), chat.identity]
    if added is not None:
        whole, rewritten = attach(base, added, STUDENT)
        if rewritten:
            log.info("%s rewrites %d weights of its base, as PEFT does, e.g. %s", adapter, len(rewritten), rewritten[0])
        base = whole.get_base_model()
        files = [hash_file(added.path / file) for file in (CONFIG, WEIGHTS)]
        parts += files
        weights += files
    base.eval()
    return LoadedPolicy(base, chat, hash_json(parts), name or adapter or model, tuple(weights))
