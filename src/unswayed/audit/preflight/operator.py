"""What writes the labels: the labeller of a label recipe, or the frozen teacher of a training recipe.

Both give a pool of candidates for a prompt. Where the best of k is chosen, a pool larger than k is drawn, and what
the best of k would be is its exact mean over all subsets; any other labeller that draws is run with several seeds. A
method that learns from the teacher (`opct`, `bct`, `bct_soft`, `sft`, and `act`, which moves toward the teacher
without words) is taken as a proposal of the teacher's replies on the clean side.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from unswayed.config.labels import AntiOracleConfig, LabelRecipe, Pool
from unswayed.config.recipe import Recipe
from unswayed.core.errors import ConfigError, DataError
from unswayed.core.types import Completion, PromptPair, SamplingParams, TextPolicy
from unswayed.engine.policy import load_policy
from unswayed.labels.base import Context, Labelled
from unswayed.labels.labellers import LABELLERS
from unswayed.labels.run import load_context

FIXED = frozenset({"self_training", "multi_view"})
"""Labellers that draw nothing at random: another seed gives the same label."""
STEPS = frozenset({"draft", "reasoning", "json"})
"""Views of a labeller that are steps towards a label and never become one."""


@dataclass(frozen=True, slots=True)
class Drawn:
    """One candidate as text, with its score (None: never chosen) and the mean log-probability of its tokens."""

    text: str
    finish: str
    decoder: str
    score: float | None = None
    logprob: float | None = None

    def completion(self) -> Completion:
        """Return it as a rule reads it."""
        return Completion(self.text, "length" if self.finish == "length" else "stop", 0, 0)


@dataclass(frozen=True, slots=True)
class Labelling:
    """The pool of one prompt, and the places of the labels that were really chosen; None where one was dropped."""

    candidates: tuple[Drawn, ...]
    labels: tuple[int | None, ...]
    dropped: str = ""


class Operator(Protocol):
    """Writes labels.

    Attributes:
        name: of the labeller or method.
        policy: the model that is trained, as it is before.
        k: candidates of which the best is chosen; None where nothing is chosen from a pool.
        temperature: of the candidates; None where decoders differ.
        lowest: the lowest score is chosen.
        on_policy: candidates are draws of the policy itself from its whole distribution, on the same prompt.
        identity: everything that decides the labels, as plain JSON.
    """

    name: str
    policy: TextPolicy
    k: int | None
    temperature: float | None
    lowest: bool
    on_policy: bool
    identity: dict[str, Any]

    def label(self, pairs: Sequence[PromptPair]) -> list[Labelling]:
        """Return the labelling of each pair."""
        ...


class ByLabeller:
    """A label recipe's labeller, with a pool of at least `pool` candidates where it chooses the best of k."""

    def __init__(self, recipe: LabelRecipe, context: Context, identities: dict[str, str], pool: int) -> None:
        config = recipe.labeller
        self.name, self.context = config.name, context
        self.policy: TextPolicy = context.policy
        pooled = config if isinstance(config, Pool) else None
        self.k = pooled.k if pooled else None
        self.temperature = pooled.temperature if pooled else None
        self.lowest = isinstance(config, AntiOracleConfig)
        whole = pooled is not None and (pooled.temperature, pooled.top_p, pooled.top_k) == (1.0, 1.0, 0)
        self.on_policy = whole or self.name == "self_distillation"
        self.config = config.model_copy(update={"k": max(pool, pooled.k)}) if pooled else config
        self.replicates = 1 if pooled or self.name in FIXED else pool
        self.identity = {"labels": recipe.science(), "models": identities, "pool": pool}

    def label(self, pairs: Sequence[PromptPair]) -> list[Labelling]:
        """See `Operator`."""
        run = LABELLERS[self.name]
        contexts = [replace(self.context, seed=self.context.seed + turn) for turn in range(self.replicates)]
        turns = [run(pairs, self.config, context) for context in contexts]
        return [_joined(each) for each in zip(*turns, strict=True)]


class ByTeacher:
    """The replies of a training recipe's frozen teacher on the clean side, `pool` for each prompt; none is chosen."""

    lowest = on_policy = False

    def __init__(self, recipe: Recipe, policy: TextPolicy, teacher: TextPolicy, pool: int) -> None:
        sampling = recipe.sampling
        self.policy, self.teacher = policy, teacher
        self.k: int | None = None
        self.name = str(recipe.method.model_dump()["name"])
        self.temperature: float | None = sampling.temperature
        n = pool if sampling.temperature else 1
        self.params = SamplingParams(
            sampling.temperature, sampling.top_p, sampling.top_k, sampling.max_new_tokens, n, recipe.seed
        )
        models = {"policy": policy.identity, "teacher": teacher.identity}
        self.identity = {"recipe": recipe.science(), "models": models, "pool": n}

    def label(self, pairs: Sequence[PromptPair]) -> list[Labelling]:
        """See `Operator`.

        Raises:
            DataError: a prompt without a clean side, where teacher and student are the same by construction.
        """
        alone = [pair.id for pair in pairs if pair.prompt == pair.teacher_prompt]
        if alone:
            raise DataError(
                f"{len(alone)} risk prompts have no clean side, so {self.name} has no teacher's reply to them; take a "
                f"suite whose samples have twins ({alone[0]} is the first)"
            )
        replies = self.teacher.complete([pair.teacher_prompt for pair in pairs], self.params)
        n = self.params.n
        drawn = [Drawn(one.text, one.finish, f"teacher-t{self.params.temperature:g}") for one in replies]
        return [Labelling(tuple(drawn[i * n : i * n + n]), tuple(range(n))) for i in range(len(pairs))]


def load_operator(recipe: Recipe | LabelRecipe, pool: int) -> Operator:
    """Load the models of a recipe and return what writes its labels.

    Raises:
        ConfigError: the recipe trains on given targets: nothing writes labels there.
    """
    if isinstance(recipe, LabelRecipe):
        return ByLabeller(recipe, *load_context(recipe), pool)
    if recipe.method.trains_on_targets:
        raise ConfigError(
            "this recipe trains on the pairs' own targets, and no model writes them; where a model labelled them, run "
            "the preflight on that label recipe"
        )
    load = _loader(recipe)
    policy = load(recipe.model.id, recipe.model.adapter)
    kind, _, where = recipe.method.teacher.partition(":")
    teachers: dict[str, Callable[[], TextPolicy]] = {
        "start": lambda: policy,
        "base": lambda: load(recipe.model.id, None) if recipe.model.adapter else policy,
        "adapter": lambda: load(recipe.model.id, where),
        "model": lambda: load(where, None),
    }
    return ByTeacher(recipe, policy, teachers[kind](), pool)


def _loader(recipe: Recipe | LabelRecipe) -> Callable[[str, str | None], TextPolicy]:
    settings = {**recipe.model.model_dump(exclude={"id", "adapter", "revision"}), **recipe.chat.model_dump()}

    def load(name: str, adapter: str | None) -> TextPolicy:
        revision = recipe.model.revision if name == recipe.model.id else None
        return load_policy(name, adapter, revision=revision, **settings)

    return load


def _joined(turns: Sequence[Labelled]) -> Labelling:
    """Return the labellings of one prompt by several seeds as one pool with as many labels."""
    candidates: list[Drawn] = []
    labels: list[int | None] = []
    for turn in turns:
        places = [place for place, one in enumerate(turn.candidates) if one.view not in STEPS]
        labels.append(None if turn.chosen is None else len(candidates) + places.index(turn.chosen))
        candidates += [_drawn(turn.candidates[place]) for place in places]
    return Labelling(tuple(candidates), tuple(labels), next((turn.dropped for turn in turns if turn.dropped), ""))


def _drawn(candidate: Any) -> Drawn:
    score = candidate.score.value if candidate.score is not None else None
    logprob = sum(candidate.logprobs) / len(candidate.logprobs) if candidate.logprobs else None
    return Drawn(candidate.text, candidate.finish, candidate.decoder, score, logprob)
