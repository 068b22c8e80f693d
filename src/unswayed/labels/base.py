"""Candidates of labellers: how they are drawn, graded and checked, and how one of them is chosen.

A labeller is a function of pairs, its table of the recipe and a `Context`; it returns one `Labelled` for each pair.
Every draw is addressed by (seed, view, decoder, pair id, number), so a pair's candidates do not depend on what else is
labelled.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Protocol, TypeVar

from unswayed.chat.render import Chat
from unswayed.config.labels import Labeller, Pool
from unswayed.core.errors import ConfigError, DataError
from unswayed.core.quoting import transcript
from unswayed.core.seeding import rng, seed_at
from unswayed.core.types import Finish, Message, PromptPair, SamplingParams, Score, TextPolicy
from unswayed.engine.policy import Drawn
from unswayed.judges.base import Grader, Item, Verdict


class Model(TextPolicy, Protocol):
    """What labellers know of a causal model; `unswayed.engine.policy` has the real ones."""

    chat: Chat

    def draw(
        self, ids: Sequence[tuple[int, ...]], params: SamplingParams, seeds: Sequence[Sequence[int]]
    ) -> Sequence[Sequence[Drawn]]:
        """Return one completion as ids for each seed of each prompt."""
        ...


@dataclass(frozen=True, slots=True)
class Decoder:
    """One way of drawing completions; at temperature 0, `n` is 1."""

    temperature: float
    top_p: float = 1.0
    top_k: int = 0
    n: int = 1

    @property
    def name(self) -> str:
        """Return what records call it, e.g. `greedy`, `t0.7`, `t0.8-p0.9`."""
        if not self.temperature:
            return "greedy"
        cut = (f"-p{self.top_p:g}" if self.top_p < 1 else "") + (f"-k{self.top_k}" if self.top_k else "")
        return f"t{self.temperature:g}{cut}"


GREEDY = Decoder(0.0)


@dataclass(frozen=True, slots=True)
class Candidate:
    """One completion.

    Attributes:
        decoder, view: how it was drawn, and after which way of asking (`plain` is the pair's own prompt).
        seed: of the draw; unused by greedy decoding.
        ids, logprobs, finish, text: as the sampler returned it; log-probabilities are of the untempered policy.
        score: what the labeller makes of it; missing with a reason, never a default. None where nothing is scored.
        said: what a model wrote when it was asked about this candidate.
    """

    decoder: str
    view: str
    seed: int
    ids: tuple[int, ...]
    logprobs: tuple[float, ...]
    finish: Finish
    text: str
    score: Score | None = None
    said: str | None = None

    def row(self) -> dict[str, Any]:
        """Return the candidate as one JSON object."""
        score = self.score or Score(None, reason="")
        return {**asdict(self), "score": score.value, "reason": score.reason or None}


@dataclass(frozen=True, slots=True)
class Labelled:
    """What became of one pair.

    Attributes:
        candidates: all of them, in the order they were drawn.
        chosen: place of the label, or None where the pair is dropped.
        ties: places of the candidates that shared the best score.
        tie_seed: seed of the generator that broke the tie; None where there was none.
        dropped: why there is no label.
    """

    pair_id: str
    candidates: tuple[Candidate, ...]
    chosen: int | None
    ties: tuple[int, ...] = ()
    tie_seed: int | None = None
    dropped: str | None = None

    def row(self) -> dict[str, Any]:
        """Return the record as one JSON object."""
        return {**asdict(self), "candidates": [candidate.row() for candidate in self.candidates]}


@dataclass(frozen=True)
class Context:
    """What a labeller works with: the labelled model, the run's seed, and the parts its table names."""

    policy: Model
    seed: int
    max_new_tokens: int
    scorer: Grader | None = None
    judge: Grader | None = None


LabelFunction = Callable[[Sequence[PromptPair], Any, Context], list[Labelled]]
LABELLERS: dict[str, LabelFunction] = {}
F = TypeVar("F", bound=LabelFunction)


def labeller(*names: str) -> Callable[[F], F]:
    """Declare a function as the labeller of the tables with these names.

    Raises:
        ConfigError: a name that has a labeller already.
    """

    def declare(label: F) -> F:
        for name in names:
            if LABELLERS.setdefault(name, label) is not label:
                raise ConfigError(f"labeller {name!r} is declared already, in {LABELLERS[name].__module__}")
        return label

    return declare


def messages_of(pair: PromptPair, config: Labeller) -> tuple[Message, ...]:
    """Return the side of the pair that completions follow."""
    return pair.prompt if config.side == "prompt" else pair.teacher_prompt


def draw(
    context: Context,
    prompts: Sequence[tuple[str, Sequence[Message]]],
    decoder: Decoder,
    view: str = "plain",
) -> list[list[Candidate]]:
    """Draw `decoder.n` completions for each (pair id, messages).

    A prompt that the template refuses, or that leaves no room in the context, gives no candidate: only views made from
    a model's own words can come to that, since the pairs' own prompts are checked beforehand.
    """
    chat = context.policy.chat
    ids = [_render(context, messages) for _, messages in prompts]
    asked = [place for place, row in enumerate(ids) if row is not None]
    seeds = {
        place: [seed_at(context.seed, f"label:{view}:{decoder.name}:{prompts[place][0]}", k) for k in range(decoder.n)]
        for place in asked
    }
    params = SamplingParams(decoder.temperature, decoder.top_p, decoder.top_k, context.max_new_tokens, decoder.n)
    drawn = context.policy.draw([ids[place] or () for place in asked], params, [seeds[place] for place in asked])
    pools: list[list[Candidate]] = [[] for _ in prompts]
    for place, draws in zip(asked, drawn, strict=True):
        pools[place] = [
            Candidate(decoder.name, view, seed, d.completion_ids, d.logprobs, d.finish, chat.decode(d.completion_ids))
            for d, seed in zip(draws, seeds[place], strict=True)
        ]
    return pools


def _render(context: Context, messages: Sequence[Message]) -> tuple[int, ...] | None:
    chat = context.policy.chat
    try:
        ids = chat.render(messages)
    except DataError:
        return None
    limit = chat.context_length
    return None if limit is not None and len(ids) + context.max_new_tokens > limit else ids


def unfit(candidate: Candidate, config: Labeller) -> str | None:
    """Return why a candidate may not become a label: it is `blank`, or `truncated` where those are dropped.

    A completion that is only a stop token is blank. It would win by likelihood, and teaches silence.
    """
    if not candidate.text.strip():
        return "blank"
    return "truncated" if config.truncated == "drop" and candidate.finish == "length" else None


def score_pools(
    context: Context,
    pairs: Sequence[PromptPair],
    pools: Sequence[Sequence[Candidate]],
    config: Labeller,
) -> list[list[Candidate]]:
    """Give every fit candidate the score of the context's scorer. Equal replies to one prompt are scored once."""
    assert context.scorer is not None
    wanted = {
        (pair.id, candidate.text): item_of(context, pair.id, messages_of(pair, config), candidate.text)
        for pair, pool in zip(pairs, pools, strict=True)
        for candidate in pool
        if unfit(candidate, config) is None
    }
    verdicts = dict(zip(wanted, context.scorer.grade(list(wanted.values())), strict=True))
    return [
        [
            unscored(candidate, reason)
            if (reason := unfit(candidate, config))
            else judged(candidate, verdicts[pair.id, candidate.text])
            for candidate in pool
        ]
        for pair, pool in zip(pairs, pools, strict=True)
    ]


def mark_of(context: Context, pair_id: str) -> str:
    """Return the mark for one pair: eight hexadecimal digits of an address."""
    return f"{seed_at(context.seed, f'mark:{pair_id}'):016x}"[-8:]


def item_of(context: Context, pair_id: str, messages: Sequence[Message], reply: str, **material: str) -> Item:
    """Return what a grader is shown of a reply to a pair's prompt."""
    return Item(transcript(messages), reply, material, tuple(messages), mark_of(context, pair_id))


def judged(candidate: Candidate, verdict: Verdict) -> Candidate:
    """Return the candidate with the score of a verdict, and with what was written where a model was asked."""
    asked = verdict.prompt_sha256 and verdict.status != "error"
    score = Score(verdict.score, verdict.label, verdict.reason or None)
    return replace(candidate, score=score, said=verdict.raw if asked else None)


def unscored(candidate: Candidate, reason: str) -> Candidate:
    """Return the candidate without a score, and why."""
    return replace(candidate, score=Score(None, reason=reason))


def draw_pools(pairs: Sequence[PromptPair], config: Pool, context: Context) -> list[list[Candidate]]:
    """Draw `config.k` completions for each pair."""
    decoder = Decoder(config.temperature, config.top_p, config.top_k, config.k)
    return draw(context, [(pair.id, messages_of(pair, config)) for pair in pairs], decoder)


def choose(pair_id: str, candidates: Sequence[Candidate], seed: int, *, lowest: bool = False) -> Labelled:
    """Choose the candidate with the highest (or `lowest`) score; a tie is broken by a draw of its own address.

    Candidates without a score are never chosen. With none scored the pair is dropped, and the reasons are kept.
    """
    pool = tuple(candidates)
    values = [
        (place, candidate.score.value)
        for place, candidate in enumerate(pool)
        if candidate.score is not None and candidate.score.value is not None
    ]
    if not values:
        reasons = sorted({c.score.reason for c in pool if c.score is not None and c.score.reason is not None})
        return Labelled(pair_id, pool, None, dropped=f"no candidate has a score: {', '.join(reasons) or 'none drawn'}")
    best = (min if lowest else max)(value for _, value in values)
    ties = tuple(place for place, value in values if value == best)
    if len(ties) == 1:
        return Labelled(pair_id, pool, ties[0], ties)
    purpose = f"tie:{pair_id}"
    chosen = ties[int(rng(seed, purpose).integers(len(ties)))]
    return Labelled(pair_id, pool, chosen, ties, seed_at(seed, purpose))


def only(pair_id: str, candidate: Candidate | None, config: Labeller, before: Sequence[Candidate] = ()) -> Labelled:
    """Keep the one candidate there is, unless it is unfit; `before` are the steps that led to it."""
    if candidate is None:
        return Labelled(pair_id, tuple(before), None, dropped="the prompt does not fit into the context")
    reason = unfit(candidate, config)
    place = len(before)
    return Labelled(pair_id, (*before, candidate), None if reason else place, () if reason else (place,), None, reason)
