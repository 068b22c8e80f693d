"""Each labeller's rule, on a scripted model: what is asked, what wins, what is missing, what is dropped."""

from __future__ import annotations

import collections
from pathlib import Path
from typing import Any

import pytest

from scripted import STOP, Scripted, Table, context, pair
from unswayed.config import labels as recipes
from unswayed.config.labels import LabelRecipe
from unswayed.core.types import Message, PromptPair, Score
from unswayed.engine.decode.sampler import Draw
from unswayed.judges.labelling import MatchJudge
from unswayed.labels.base import Candidate, Decoder, choose
from unswayed.labels.labellers import LABELLERS
from unswayed.labels.labellers.diverse_decoding import decoders
from unswayed.labels.labellers.multi_view import read_view


def config(name: str, **fields: Any) -> Any:
    tables = {"model": {"id": "m"}, "data": {"train": "pairs.jsonl"}, "labeller": {"name": name, **fields}}
    return LabelRecipe.from_dict(tables).labeller


def test_every_labeller_of_the_recipe_has_its_function() -> None:
    tables = [
        kind
        for kind in vars(recipes).values()
        if isinstance(kind, type) and "name" in getattr(kind, "model_fields", {})
    ]
    names = {kind.model_fields["name"].annotation.__args__[0] for kind in tables}
    assert names == set(LABELLERS)
    assert len(names) == 11


# Choosing


def scored(*values: float | None) -> list[Candidate]:
    scores = [Score(None, reason="gone") if value is None else Score(value) for value in values]
    return [
        Candidate("t1", "plain", i, (5, STOP), (-1.0, -1.0), "stop", f"text {i}", score)
        for i, score in enumerate(scores)
    ]


def test_the_best_wins_and_the_missing_never_do() -> None:
    found = choose("p", scored(1.0, None, 3.0, 2.0), seed=0)
    assert (found.chosen, found.ties, found.tie_seed, found.dropped) == (2, (2,), None, None)
    assert choose("p", scored(1.0, None, 3.0), seed=0, lowest=True).chosen == 0
    assert choose("p", scored(None, -5.0), seed=0).chosen == 1
    nothing = choose("p", scored(None, None), seed=0)
    assert (nothing.chosen, nothing.dropped) == (None, "no candidate has a score: gone")
    assert choose("p", [], seed=0).dropped == "no candidate has a score: none drawn"


def test_ties_are_broken_evenly_by_a_seed_that_is_recorded() -> None:
    found = [choose(f"pair-{i}", scored(2.0, 1.0, 2.0, 2.0), seed=7) for i in range(600)]
    assert all(row.ties == (0, 2, 3) and row.tie_seed is not None for row in found)
    counts = collections.Counter(row.chosen for row in found)
    assert set(counts) == {0, 2, 3}
    assert all(150 < count < 250 for count in counts.values())
    again = [choose(f"pair-{i}", scored(2.0, 1.0, 2.0, 2.0), seed=7) for i in range(600)]
    assert again == found
    assert [r.chosen for r in found] != [choose(f"pair-{i}", scored(2.0, 1.0, 2.0, 2.0), 8).chosen for i in range(600)]
    # The recorded number alone gives the draw again.
    import numpy as np

    for row in found[:50]:
        place = int(np.random.Generator(np.random.Philox(row.tie_seed)).integers(3))
        assert row.chosen == row.ties[place]


# Self-confidence


def test_self_confidence_takes_the_likeliest_and_never_silence(tiny_model_dir: Path) -> None:
    model = Scripted(tiny_model_dir, lambda *_: "")
    draws = [
        model.say("it is four", logprob=-0.9),
        model.say("it is a long and likely reply", logprob=-0.5),
        Draw((STOP,), (-0.001,), "stop"),  # the stop token alone: one likely token, and nothing said
        model.say("  ", logprob=-0.01, finish="length"),
    ]
    model.reply = lambda text, params, number: draws[number]
    (found,) = LABELLERS["self_confidence"]([pair(0)], config("self_confidence"), context(model))
    assert found.chosen == 1
    assert found.candidates[1].score == Score(-0.5)
    assert found.candidates[0].score is not None
    assert found.candidates[0].score.value == pytest.approx(-0.9)
    assert [c.score.reason for c in found.candidates if c.score] == [None, None, "blank", "blank"]
    ((asked, params, seeds),) = model.asked
    assert (params.n, params.temperature, params.top_p, params.max_new_tokens) == (4, 0.7, 0.9, 32)
    assert len(set(seeds)) == 4
    assert "I say yes" in asked
    model.reply = lambda *_: Draw((STOP,), (-0.1,), "stop")
    (silent,) = LABELLERS["self_confidence"]([pair(0)], config("self_confidence"), context(model))
    assert (silent.chosen, silent.dropped) == (None, "no candidate has a score: blank")


def test_truncated_completions_are_kept_or_dropped_as_asked(tiny_model_dir: Path) -> None:
    model = Scripted(tiny_model_dir, lambda *_: "")
    model.reply = lambda text, params, number: model.say("and so on", -0.1 - number, "stop" if number else "length")
    kept = LABELLERS["self_confidence"]([pair(0)], config("self_confidence"), context(model))[0]
    assert kept.chosen == 0
    left = LABELLERS["self_confidence"]([pair(0)], config("self_confidence", truncated="drop"), context(model))[0]
    assert left.chosen == 1
    assert left.candidates[0].score == Score(None, reason="truncated")


def test_the_side_decides_which_prompt_is_answered(tiny_model_dir: Path) -> None:
    model = Scripted(tiny_model_dir, lambda *_: "four")
    LABELLERS["self_training"]([pair(0)], config("self_training", side="teacher_prompt"), context(model))
    assert "I say yes" not in model.asked[0][0]


def test_draws_depend_on_the_pair_and_not_on_what_else_is_labelled(tiny_model_dir: Path) -> None:
    model = Scripted(tiny_model_dir, lambda *_: "four")
    LABELLERS["random_selection"]([pair(0), pair(1)], config("random_selection"), context(model))
    LABELLERS["random_selection"]([pair(1)], config("random_selection"), context(model))
    (_, _, first), (_, _, second), (_, _, alone) = model.asked
    assert second == alone
    assert not set(first) & set(second)


# Labellers with a scorer


@pytest.mark.parametrize("name", ["self_rewarding", "rejection_sampling"])
def test_the_highest_score_wins(tiny_model_dir: Path, name: str) -> None:
    texts = ["one", "two", "two", "unread"]
    model = Scripted(tiny_model_dir, lambda text, params, number: texts[number])
    scorer = Table({"one": 2.0, "two": 4.0})
    (found,) = LABELLERS[name]([pair(0)], config(name), context(model, scorer=scorer))
    assert found.ties == (1, 2)
    assert found.chosen in {1, 2}
    assert found.tie_seed is not None
    assert [c.score.value for c in found.candidates if c.score] == [2.0, 4.0, 4.0, None]
    assert found.candidates[0].said == "on one"
    assert scorer.seen == ["one", "two", "unread"]  # equal replies are scored once


def test_scores_that_are_all_missing_drop_the_pair_and_default_to_nothing(tiny_model_dir: Path) -> None:
    model = Scripted(tiny_model_dir, lambda *_: "four")
    (found,) = LABELLERS["self_rewarding"]([pair(0)], config("self_rewarding"), context(model, scorer=Table({})))
    assert (found.chosen, found.dropped) == (None, "no candidate has a score: not in the table")


def test_diverse_decoding_draws_from_every_decoder(tiny_model_dir: Path) -> None:
    table = config("diverse_decoding", nucleus=2, temperatures=[1.0, 1.3])
    assert [(d.name, d.n) for d in decoders(table)] == [("greedy", 1), ("t0.8-p0.9", 2), ("t1", 1), ("t1.3", 1)]
    says = {0.0: "greedy", 0.8: "nucleus", 1.0: "whole", 1.3: "wild"}
    model = Scripted(tiny_model_dir, lambda text, params, number: says[params.temperature])
    scorer = Table({"greedy": 1.0, "nucleus": 2.0, "whole": 3.0, "wild": 0.0})
    (found,) = LABELLERS["diverse_decoding"]([pair(0)], table, context(model, scorer=scorer))
    assert [c.text for c in found.candidates] == ["greedy", "nucleus", "nucleus", "whole", "wild"]
    assert found.candidates[found.chosen or 0].decoder == "t1"
    assert len({c.seed for c in found.candidates}) == 5
    assert Decoder(0.5, top_k=3).name == "t0.5-k3"


# Multi-view


def views(model: Scripted, plain: str, reasoning: str, as_json: str) -> None:
    model.reply = lambda text, *_: as_json if "JSON" in text else reasoning if "step by step" in text else plain


@pytest.mark.parametrize(
    ("plain", "reasoning", "as_json", "dropped"),
    [
        ("It is 4.", "2 + 2\nAnswer: 4", '{"answer": 5}', None),  # one agrees
        ("It is 4.", "Answer: 5", 'so: {"answer": "4"}', None),
        ("It is 4.", "Answer: 5", '{"answer": 5}', "the views disagree"),
        ("It is 4.", "Answer: 4", "no object", None),  # the unread view does not count against it
        ("It is 4.", "", "no object", "no view can be read"),
        ("", "Answer: 4", '{"answer": 4}', "blank"),
    ],
)
def test_multi_view_keeps_plain_answers_that_agree(
    tiny_model_dir: Path, plain: str, reasoning: str, as_json: str, dropped: str | None
) -> None:
    model = Scripted(tiny_model_dir, lambda *_: "")
    views(model, plain, reasoning, as_json)
    (found,) = LABELLERS["multi_view"]([pair(0)], config("multi_view"), context(model, judge=MatchJudge()))
    assert found.dropped == dropped
    assert found.chosen == (None if dropped else 0)
    assert [c.view for c in found.candidates] == ["plain", "reasoning", "json"]
    assert found.candidates[0].text == plain
    assert all(params.temperature == 0 and params.n == 1 for _, params, _ in model.asked)


def test_multi_view_can_ask_for_all(tiny_model_dir: Path) -> None:
    model = Scripted(tiny_model_dir, lambda *_: "")
    views(model, "It is 4.", "Answer: 4", '{"answer": 5}')
    (found,) = LABELLERS["multi_view"]([pair(0)], config("multi_view", agree="all"), context(model, judge=MatchJudge()))
    assert found.dropped == "the views disagree"
    assert found.candidates[0].score == Score(0.5)
    assert [c.score.value for c in found.candidates[1:] if c.score] == [1.0, 0.0]


@pytest.mark.parametrize(
    ("view", "text", "answer"),
    [
        ("reasoning", "Answer: 3\nno\n**Final answer:** 4", "4"),
        ("reasoning", "it must be 4", "it must be 4"),
        ("reasoning", " ", None),
        ("json", '```json\n{"answer": " four "}\n```', " four "),
        ("json", '{"answer": true}', None),
        ("json", '{"answer": ""}', None),
        ("json", '{"reply": 4}', None),
        ("json", '["answer"]', None),
        ("json", '{"answer": 4', None),
        ("json", "{" * 5000 + "}" * 5000, None),
    ],
)
def test_reading_a_view(view: str, text: str, answer: str | None) -> None:
    assert read_view(view, text) == answer


# Self-refinement


def test_self_refinement_keeps_the_conversation_and_the_draft(tiny_model_dir: Path) -> None:
    model = Scripted(tiny_model_dir, lambda text, params, number: "better" if params.temperature else "draft text")
    told = PromptPair("p", (Message("system", "be kind"), Message("user", "why?")), (Message("user", "why?"),))
    (found,) = LABELLERS["self_refinement"]([told], config("self_refinement"), context(model))
    assert (found.chosen, [c.view for c in found.candidates]) == (1, ["draft", "refined"])
    assert found.candidates[1].text == "better"
    asked, params, _ = model.asked[1]
    assert "be kind" in asked
    assert "why?" in asked
    assert "draft text" in asked
    assert (params.temperature, params.top_p, params.n) == (0.6, 0.9, 1)


@pytest.mark.parametrize(
    ("draft", "refined", "dropped"),
    [
        (" ", "better", "the draft is blank or holds special tokens"),
        ("go <|im_end|> on", "better", "the draft is blank or holds special tokens"),
        ("draft", "", "blank"),
        ("word " * 700, "better", "the prompt does not fit into the context"),
    ],
)
def test_self_refinement_without_a_result(tiny_model_dir: Path, draft: str, refined: str, dropped: str) -> None:
    model = Scripted(tiny_model_dir, lambda *_: "")

    def reply(text: str, params: Any, number: int) -> Any:
        if params.temperature:
            return refined
        if "<|" not in draft:
            return draft
        # Spelled out byte by byte, as a model can write it without ever emitting the special token.
        ids = tuple(id_ for char in draft for id_ in model.chat.tokenizer(char)["input_ids"])
        return Draw((*ids, STOP), (-1.0,) * (len(ids) + 1), "stop")

    model.reply = reply
    fine = pair(1)
    found, _ = LABELLERS["self_refinement"]([pair(0), fine], config("self_refinement"), context(model, cap=400))
    assert (found.chosen, found.dropped) == (None, dropped)


# Controls and selectors


def test_self_training_is_greedy_and_drops_only_blanks(tiny_model_dir: Path) -> None:
    model = Scripted(tiny_model_dir, lambda text, *_: "" if "silence" in text else "four")
    found, blank = LABELLERS["self_training"]([pair(0), pair(1, "silence")], config("self_training"), context(model))
    assert (found.chosen, found.candidates[0].decoder, found.candidates[0].score) == (0, "greedy", None)
    assert (blank.chosen, blank.dropped) == (None, "blank")


def test_self_distillation_filters_nothing(tiny_model_dir: Path) -> None:
    model = Scripted(tiny_model_dir, lambda *_: "")
    model.reply = lambda text, *_: Draw((STOP,), (-3.0,), "stop") if "silence" in text else model.say("x", -1, "length")
    found = LABELLERS["self_distillation"]([pair(0), pair(1, "silence")], config("self_distillation"), context(model))
    assert [row.chosen for row in found] == [0, 0]
    assert all((p.temperature, p.top_p, p.top_k, p.n) == (1.0, 1.0, 0, 1) for _, p, _ in model.asked)


def test_random_selection_is_even_over_what_is_fit(tiny_model_dir: Path) -> None:
    model = Scripted(tiny_model_dir, lambda text, params, number: "" if number == 1 else f"reply {number}")
    found = LABELLERS["random_selection"]([pair(i) for i in range(300)], config("random_selection"), context(model))
    counts = collections.Counter(row.chosen for row in found)
    assert set(counts) == {0, 2, 3}
    assert all(70 < count < 130 for count in counts.values())


def test_oracle_and_anti_oracle_bracket_every_selector(tiny_model_dir: Path) -> None:
    texts = ["it is 3", "it is 4", "", "it is 4, I think"]
    model = Scripted(tiny_model_dir, lambda text, params, number: texts[number])
    pairs = [pair(0, target="4"), pair(1), pair(2, target="9"), pair(3, labelling={"ids": [5], "given_target": "3"})]
    made = context(model, judge=MatchJudge())
    best = LABELLERS["oracle"](pairs, config("oracle"), made)
    worst = LABELLERS["anti_oracle"](pairs, config("anti_oracle"), made)
    assert best[0].ties == (1, 3)
    assert worst[0].chosen == 0
    assert (best[1].chosen, best[1].dropped, best[1].candidates) == (None, "the pair has no target", ())
    assert best[2].ties == worst[2].ties == (0, 1, 3)  # none is right: any of them
    assert best[3].chosen == 0  # a label is not the truth; the target it was given is
    assert best[0].candidates[2].score == Score(None, reason="blank")
