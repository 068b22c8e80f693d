"""Answers chosen by likelihood: what the model finds most probable after the prompt. Nothing is sampled.

A longer answer has more tokens to be unlikely in, so how answers of different lengths are compared is part of the
question that is asked:

    sum            the log-probability of the whole answer; right where all answers are single letters
    per token      divided by its tokens; depends on the tokenizer
    per character  divided by its characters; the same measure for every tokenizer

Choosing and writing are two measurements: a model that writes no readable answer still chooses one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import cast

from unswayed.core.errors import ConfigError, DataError, NotFiniteError, UnswayedError
from unswayed.core.types import ChoicePolicy, Completion, Likelihood, Sample, Score, TextPolicy
from unswayed.evals.records import Choice, Record, make_record
from unswayed.evals.suite import Suite

NORMALISATIONS: Mapping[str, Callable[[str, Likelihood], float]] = {
    "sum": lambda text, found: found.logprob,
    "per token": lambda text, found: found.logprob / found.tokens,
    "per character": lambda text, found: found.logprob / len(text),
}


def check_chooser(policy: TextPolicy, suite: Suite) -> None:
    """Check that the policy can weigh answers, and that the suite can be asked this way.

    Raises:
        ConfigError: the policy knows no log-likelihoods, or the suite asks for more than one draw or for an unknown
            normalisation.
        DataError: samples without answers to choose from, or whose right answer is not among them.
    """
    if not callable(getattr(policy, "loglikelihood", None)):
        raise ConfigError(
            f"policy {policy.name} writes text but gives no log-likelihoods, and {suite.name} chooses by them; use the "
            "suite's form that reads written answers (method='generate'), or a policy with loglikelihood()"
        )
    if suite.params.n != 1:
        raise ConfigError(f"{suite.name} draws {suite.params.n} completions, but a choice is not drawn; set n to 1")
    normalisation(suite)
    problems = [
        f"{sample.id}: needs at least two different choices, none empty, the right one (target) among them"
        for sample in suite.samples
        if not sample.target
        or sample.target[0] not in (choices := sample.meta.get("choices", ()))
        or len(set(choices)) < max(2, len(choices))
        or not all(choices)
    ]
    if problems:
        raise DataError(f"suite {suite.name}: samples that cannot be chosen from", problems)


def normalisation(suite: Suite) -> str:
    """Return how the suite compares answers of different lengths.

    Raises:
        ConfigError: an unknown way.
    """
    name = str(suite.arguments.get("normalisation", "sum"))
    if name not in NORMALISATIONS:
        raise ConfigError(f"{suite.name}: no normalisation {name!r}; there are {', '.join(NORMALISATIONS)}")
    return name


def choose_batch(policy: TextPolicy, suite: Suite, batch: Sequence[Sample]) -> list[Record]:
    """Return one record for each sample: the answer with the best score, and what every answer scored.

    Raises:
        NotFiniteError: a log-probability is NaN or infinite.
    """
    measure = NORMALISATIONS[normalisation(suite)]
    choices = [tuple(sample.meta["choices"]) for sample in batch]
    found = cast(ChoicePolicy, policy).loglikelihood([sample.messages for sample in batch], choices)
    if [len(own) for own in found] != [len(texts) for texts in choices]:
        raise UnswayedError(f"policy {policy.name} did not return one log-likelihood for each choice of each prompt")
    return [
        _record(
            sample,
            tuple(
                Choice(text, one.logprob, one.tokens, measure(text, one)) for text, one in zip(texts, own, strict=True)
            ),
            own[0].prompt_tokens,
        )
        for sample, texts, own in zip(batch, choices, found, strict=True)
    ]


def _record(sample: Sample, choices: tuple[Choice, ...], prompt_tokens: int) -> Record:
    """Return the record; two answers that score exactly the same are no choice, so the sample is then unscored."""
    for choice in choices:
        if not math.isfinite(choice.score):
            raise NotFiniteError(
                f"sample {sample.id}: the log-probability of {choice.text!r} is {choice.logprob}; check the weights"
            )
    top = max(choices, key=lambda choice: choice.score)
    tied = sum(choice.score == top.score for choice in choices) > 1
    right = sample.target[0]
    score = Score(None, reason="tie") if tied else Score(float(top.text == right), answer=top.text)
    return make_record(sample, 0, Completion(top.text, "stop", top.tokens, prompt_tokens), score, None, choices)
