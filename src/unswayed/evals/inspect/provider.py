"""Our models as an Inspect model API, sampled by our own sampler.

    inspect eval unswayed/sycophancy_are_you_sure --model unswayed/smollm2-135m -M adapter=runs/opct/adapter
    get_model("unswayed/mine", model_path="path/or/alias", adapter="runs/opct/adapter")
    inspect_model(policy)                                       # a policy in memory, e.g. between two steps of training

The model's name in logs ends in `@` and the first 12 digits of the policy's identity, so an eval set that is resumed
never mixes two checkpoints, and a log that is retried refuses another one. Every draw is addressed by (seed, prompt,
epoch, how often this sample has asked the same): results depend neither on batches nor on the order of samples, and at
equal seeds epoch e draws what `unswayed eval` draws as completion e. Where nothing is set the full policy is sampled:
temperature 1, no truncation, seed 0.
"""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol
from weakref import WeakKeyDictionary

import anyio
import anyio.to_thread
from inspect_ai.log._samples import sample_active
from inspect_ai.model import (
    ChatCompletionChoice,
    ChatMessage,
    ChatMessageAssistant,
    GenerateConfig,
    Model,
    ModelAPI,
    ModelOutput,
    ModelUsage,
    get_model,
)

from unswayed.chat.render import Chat
from unswayed.core.errors import ConfigError, UnswayedError
from unswayed.core.seeding import seed_at
from unswayed.core.types import Message, SamplingParams
from unswayed.engine.decode.sampling_rules import check_params
from unswayed.engine.policy import Drawn, load_policy
from unswayed.evals.inspect.batcher import Batcher
from unswayed.evals.inspect.messages import from_inspect
from unswayed.evals.inspect.naming import API, digest, split_model_name
from unswayed.evals.inspect.naming import model_name as full_name

MAX_TOKENS = 2048
"""Length limit where a task sets none, as Inspect's own local providers have it."""
BATCH_SIZE = 32
_NOTHING_SET = GenerateConfig()
# What a task may set: what we follow, and what Inspect itself sees to before or after it calls us.
_FOLLOWED = {"max_tokens", "temperature", "top_p", "top_k", "num_choices", "seed"}
_INSPECTS_OWN = {
    "max_retries", "timeout", "attempt_timeout", "stream_idle_timeout", "max_connections", "adaptive_connections",
    "system_message", "max_tool_output", "reasoning_history", "cache", "fail_on_refusal",
}  # fmt: skip
# Remote code needs a flag on our own command line; a log that is retried must not be able to ask for it.
_ARGUMENTS = tuple(
    name
    for name in inspect.signature(load_policy).parameters
    if name not in {"model", "adapter", "name", "trust_remote_code"}
)


class Sampled(Protocol):
    """What we need of a policy; every `unswayed.engine.policy.Policy` with an identity is one."""

    name: str
    chat: Chat

    @property
    def identity(self) -> str: ...

    def draw(
        self, ids: Sequence[tuple[int, ...]], params: SamplingParams, seeds: Sequence[Sequence[int]]
    ) -> Sequence[Sequence[Drawn]]: ...


@dataclass(frozen=True, slots=True)
class Request:
    """One prompt as ids, how it is to be continued, and a seed for each completion."""

    ids: tuple[int, ...]
    params: SamplingParams
    seeds: tuple[int, ...]


class UnswayedAPI(ModelAPI):  # type: ignore[misc]  # Inspect is skipped by the type checker: it may not be installed
    """Inspect's seam to a policy.

    Args:
        model_name: what logs call the model; also what is loaded (alias, folder, GGUF file, hub id) unless `model_path`
            or `policy` says otherwise. With a digest behind it (`name@0123456789ab`) only that very policy is accepted.
        base_url, api_key: refused; nothing is asked over a network.
        config: Inspect's settings for this model.
        policy: a policy in memory instead of a model to load.
        model_path: what is loaded, where it differs from `model_name`.
        adapter: a PEFT adapter to put on top.
        batch_size: prompts sampled at once.
        arguments: `revision`, `dtype`, `device`, … as for `unswayed.load_policy`.

    Raises:
        ConfigError: arguments that do not fit, a model that cannot be loaded, or another policy than the digest names.
    """

    def __init__(
        self,
        model_name: str,
        base_url: str | None = None,
        api_key: str | None = None,
        config: GenerateConfig = _NOTHING_SET,
        *,
        policy: Sampled | None = None,
        model_path: str | None = None,
        adapter: str | None = None,
        batch_size: int = BATCH_SIZE,
        **arguments: Any,
    ) -> None:
        if base_url is not None or api_key is not None:
            raise ConfigError(f"model {API}/{model_name} runs in this process: it takes no base_url and no api_key")
        if batch_size < 1:
            raise ConfigError(f"batch_size is {batch_size}; it must be at least 1")
        name, wanted = split_model_name(model_name)
        if policy is None:
            unknown = sorted(set(arguments) - set(_ARGUMENTS))
            if unknown:
                known = ", ".join(("model_path", "adapter", "batch_size", *_ARGUMENTS))
                raise ConfigError(f"model {API}/{name} has no argument {', '.join(unknown)}; it has {known}")
            policy = load_policy(model_path or name, adapter, name=name, **arguments)
        elif model_path is not None or adapter is not None or arguments:
            raise ConfigError("a policy in memory is complete: give it no model, adapter or other arguments")
        self.identity = policy.identity
        if wanted and wanted != digest(self.identity):
            raise ConfigError(
                f"{name} is now {digest(self.identity)}, but {wanted} was asked for: other weights, adapter, tokenizer "
                "or precision; give the model and adapter that were meant, or leave the digest out"
            )
        super().__init__(full_name(name, self.identity), base_url, api_key, [], config)
        self.policy = policy
        self.batch_size = batch_size
        self._batcher: Batcher[Request, list[Drawn]] = Batcher(self._draw, batch_size)
        self._asked: WeakKeyDictionary[Any, Counter[tuple[tuple[int, ...], SamplingParams]]] = WeakKeyDictionary()

    async def generate(
        self, input: list[ChatMessage], tools: Sequence[Any], tool_choice: Any, config: GenerateConfig
    ) -> ModelOutput:
        """Return `config.num_choices` completions of one prompt.

        Raises:
            ConfigError: settings, tools or content that our sampler cannot follow.
            DataError: the chat template refuses the messages.
        """
        if tools:
            raise ConfigError(f"model {self.model_name} takes no tools; use a solver without them")
        params = sampling_params(config, MAX_TOKENS)
        ids = self.policy.chat.render([from_inspect(message) for message in input])
        context = self.policy.chat.context_length
        room = params.max_new_tokens if context is None else context - len(ids)
        if room < 1:
            return self._output([("", "model_length")], len(ids), 0)
        cut = "max_tokens" if params.max_new_tokens <= room else "model_length"
        params = replace(params, max_new_tokens=min(params.max_new_tokens, room))
        drawn = await _answer(self._batcher, Request(ids, params, self._seeds(ids, params)))
        choices = [
            (self.policy.chat.decode(draw.completion_ids), cut if draw.finish == "length" else "stop") for draw in drawn
        ]
        return self._output(choices, len(ids), sum(len(draw.completion_ids) for draw in drawn))

    def max_tokens(self) -> int:
        """Return the length limit of a request that sets none."""
        return MAX_TOKENS

    def max_connections(self) -> int:
        """Return how many requests may wait at once: as many as make a batch."""
        return self.batch_size

    def connection_key(self) -> str:
        """Return what shares those requests: this model alone."""
        return str(self.model_name)

    async def count_text_tokens(self, text: str) -> int:
        """Return the tokens of a text as a user's whole message, by the model's own tokenizer and template."""
        return len(self.policy.chat.render([Message("user", text)]))

    def _seeds(self, ids: tuple[int, ...], params: SamplingParams) -> tuple[int, ...]:
        active = sample_active()
        epoch, repeat, seed = 1, 0, params.seed
        if active is not None:
            asked = self._asked.setdefault(active, Counter())
            epoch, repeat = active.epoch, asked[ids, params]
            asked[ids, params] += 1
        if repeat:
            seed = seed_at(seed, "inspect/repeat", repeat)
        first = (epoch - 1) * params.n
        return tuple(seed_at(seed, "complete", *ids, first + k) for k in range(params.n))

    def _draw(self, requests: Sequence[Request]) -> list[list[Drawn]]:
        """Sample one batch; requests with equal parameters go through the sampler together."""
        if self.policy.identity != self.identity:
            raise UnswayedError(
                f"the policy behind {self.model_name} has changed since; call inspect_model again for the new one"
            )
        groups: dict[SamplingParams, list[int]] = {}
        for place, request in enumerate(requests):
            groups.setdefault(request.params, []).append(place)
        drawn: dict[int, list[Drawn]] = {}
        for params, places in groups.items():
            ids, seeds = [requests[i].ids for i in places], [requests[i].seeds for i in places]
            found = self.policy.draw(ids, params, seeds)
            drawn |= {place: list(draws) for place, draws in zip(places, found, strict=True)}
        return [drawn[place] for place in range(len(requests))]

    def _output(self, choices: Sequence[tuple[str, str]], prompt: int, completion: int) -> ModelOutput:
        return ModelOutput(
            model=self.model_name,
            choices=[
                ChatCompletionChoice(
                    message=ChatMessageAssistant(content=text, model=self.model_name, source="generate"),
                    stop_reason=reason,
                )
                for text, reason in choices
            ],
            usage=ModelUsage(input_tokens=prompt, output_tokens=completion, total_tokens=prompt + completion),
        )


def inspect_model(policy: Sampled, name: str = "", *, batch_size: int = BATCH_SIZE) -> Model:
    """Return a policy in memory as an Inspect model, for `eval(..., model=...)` and `get_model`.

    Make a new one whenever the policy has changed: this one answers for the weights it was made with, and refuses
    to answer for others.

    Args:
        policy: what is sampled, e.g. `run.policy`.
        name: what logs call it; the policy's own name by default.
        batch_size: prompts sampled at once.
    """
    model = get_model(f"{API}/{name or policy.name}", policy=policy, batch_size=batch_size, memoize=False)
    model.model_args = {}  # a live policy is nothing that a log could hold
    return model


def sampling_params(config: GenerateConfig, max_tokens: int) -> SamplingParams:
    """Return Inspect's settings as ours.

    Raises:
        ConfigError: a setting that our sampler would not follow.
    """
    given = {name for name, value in config.model_dump(exclude_none=True).items() if value not in (False, 0, [], {})}
    unknown = sorted(given - _FOLLOWED - _INSPECTS_OWN)
    if unknown:
        raise ConfigError(
            f"our sampler does not follow {', '.join(unknown)}; it follows {', '.join(sorted(_FOLLOWED))}. "
            "Remove the setting, which would otherwise be ignored in silence"
        )
    asked = {
        "temperature": config.temperature, "top_p": config.top_p, "top_k": config.top_k,
        "max_new_tokens": max_tokens if config.max_tokens is None else config.max_tokens,
        "n": config.num_choices, "seed": config.seed,
    }  # fmt: skip
    params = SamplingParams(**{name: value for name, value in asked.items() if value is not None})
    check_params(params)
    return params


async def _answer(batcher: Batcher[Request, list[Drawn]], request: Request) -> list[Drawn]:
    """Wait for the answer without holding up the event loop, whichever kind it is (asyncio or trio)."""
    answer = batcher.submit(request)
    try:
        # A limiter of its own: waiting takes no computation, and must not use up the threads of others.
        return await anyio.to_thread.run_sync(answer.result, abandon_on_cancel=True, limiter=anyio.CapacityLimiter(1))
    finally:
        answer.cancel()
