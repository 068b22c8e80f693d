"""The five terms against independent computations: exact fractions, an enumerated world, and edges of real logs."""

from __future__ import annotations

import itertools
import json
import math
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from unswayed.audit.theory.decomposition import TERMS, Decomposition, decompose
from unswayed.audit.theory.outcome_log import EvalRow, TrainRow, read_evaluation, read_training
from unswayed.cli.main import load
from unswayed.core.errors import DataError
from unswayed.stats.error_rates import ErrorRate

OUTCOMES = st.lists(st.sampled_from([0.0, 1.0, None]), max_size=4).map(tuple)


def row(prompt: str, before: Any, candidates: Any, chosen: int | None, kept: bool, after: Any = ()) -> TrainRow:
    return TrainRow(prompt, tuple(before), tuple(candidates), chosen, kept, tuple(after))


def estimates(made: Decomposition) -> dict[str, float | None]:
    return {name: term.estimate for name, term in made.terms.items()}


def mean(values: Any) -> Fraction | None:
    known = [Fraction(value) for value in values if value is not None]
    return sum(known, Fraction(0)) / len(known) if known else None


@st.composite
def worlds(draw: st.DrawFn) -> tuple[list[TrainRow], list[EvalRow]]:
    training = []
    for _ in range(draw(st.integers(1, 8))):
        candidates = draw(OUTCOMES)
        chosen = draw(st.one_of(st.none(), st.integers(0, len(candidates) - 1))) if candidates else None
        prompt = draw(st.sampled_from("abcdef"))
        training.append(row(prompt, draw(OUTCOMES), candidates, chosen, draw(st.booleans()), draw(OUTCOMES)))
    evaluation = [EvalRow(draw(st.sampled_from("efghij")), draw(OUTCOMES), draw(OUTCOMES)) for _ in range(4)]
    return training, evaluation


def by_definition(training: list[TrainRow], evaluation: list[EvalRow]) -> dict[str, Fraction | None]:
    """The terms in exact arithmetic, as docs/theory.md states them."""
    prompts: dict[str, dict[str, Fraction | None]] = {}
    for name in dict.fromkeys(one.prompt_id for one in training):
        own = [one for one in training if one.prompt_id == name]
        before, after = mean(mean(one.before) for one in own), mean(mean(one.after) for one in own)
        pools = []
        for one in own:
            rate = mean(one.candidates)
            label = rate if one.chosen is None else one.candidates[one.chosen]
            if rate is not None and label is not None:
                pools.append((rate, Fraction(label), Fraction(one.kept and one.chosen is not None)))
        if before is None or not pools:
            continue
        prompts[name] = {
            "b": before, "a": after, "q": mean(p[0] for p in pools), "l": mean(p[1] for p in pools),
            "r": mean(p[2] for p in pools), "rl": mean(p[1] * p[2] for p in pools),
        }  # fmt: skip
    sides = []
    for name in dict.fromkeys(one.prompt_id for one in evaluation):
        own_rows = [one for one in evaluation if one.prompt_id == name]
        pair = mean(mean(one.before) for one in own_rows), mean(mean(one.after) for one in own_rows)
        if None not in pair:
            sides.append(pair)
    total = mean(a - b for b, a in sides)  # type: ignore[operator]
    every = list(prompts.values())
    if not every:
        return {**dict.fromkeys(TERMS), "total": total}
    b, q, chosen = (mean(one[name] for one in every) for name in "bql")
    kept = sum(one["r"] for one in every)  # type: ignore[misc]
    label = sum(one["rl"] for one in every) / kept if kept else None  # type: ignore[misc]
    change = mean(one["a"] - one["b"] for one in every if one["a"] is not None)  # type: ignore[operator]
    assert b is not None
    assert q is not None
    assert chosen is not None
    return {
        "drift": q - b,
        "selection": chosen - q,
        "filter": None if label is None else label - chosen,
        "fit": None if label is None or change is None else b + change - label,
        "generalisation": None if total is None or change is None else total - change,
        "total": total,
    }


@settings(deadline=None, max_examples=150)
@given(worlds())
def test_every_term_equals_exact_arithmetic_and_they_add_up(world: tuple[list[TrainRow], list[EvalRow]]) -> None:
    made = decompose(*world, replicates=20)
    for name, expected in by_definition(*world).items():
        term = made.terms[name]
        if expected is None:
            assert term.estimate is None
            assert term.interval is None
            assert term.note
        else:
            assert term.estimate == pytest.approx(float(expected), abs=1e-12)
            assert term.interval is None or term.interval[0] <= term.estimate <= term.interval[1]
    if made.closure is not None:
        assert abs(made.closure) <= 1e-12


def test_on_a_tabular_world_the_terms_are_those_of_the_operator() -> None:
    """Three prompts, four answers, a proposal, best of two with a tie, a keep rule: every pool enumerated."""
    outcome = [1, 0, 1, 0]
    score = [2, 2, 1, 0]
    proposals = {"a": (0, 0, 1, 3), "b": (1, 1, 2, 3), "c": (0, 2, 2, 3)}  # answers, each as likely
    keep = {"a": Fraction(1), "b": Fraction(1, 2), "c": Fraction(1, 4)}
    before = {"a": (1, 0), "b": (0, 0, 0, 1), "c": (1, 1)}
    after = {"a": (1, 1), "b": (0, 1), "c": (1, 0)}
    training: list[TrainRow] = []
    q, price, chosen = {}, {}, {}
    for name, answers in proposals.items():
        law = {y: Fraction(0) for y in range(4)}
        for pool in itertools.product(answers, repeat=2):
            best = [i for i in range(2) if score[pool[i]] == max(score[y] for y in pool)]
            for i in (0, 1) if len(best) == 2 else best * 2:  # a tie is broken either way
                law[pool[i]] += Fraction(1, 32)
                # Each pool as often as makes the keep rule come out whole.
                for turn in range(4):
                    training.append(
                        row(name, before[name], [outcome[y] for y in pool], i, turn < 4 * keep[name], after[name])
                    )
        base = {y: Fraction(answers.count(y), 4) for y in range(4)}
        q[name] = sum(base[y] * outcome[y] for y in range(4))
        weight = {y: law[y] / base[y] if base[y] else Fraction(0) for y in range(4)}
        price[name] = sum(base[y] * (weight[y] - 1) * (outcome[y] - q[name]) for y in range(4))
        chosen[name] = sum(law[y] * outcome[y] for y in range(4))
    names = list(proposals)
    drift = mean(q[n] - mean(before[n]) for n in names)  # type: ignore[operator]
    rho = mean(keep.values())
    covariance = mean(keep[n] * chosen[n] for n in names) - rho * mean(chosen.values())  # type: ignore[operator]
    label = mean(keep[n] * chosen[n] for n in names) / rho  # type: ignore[operator]
    made = estimates(decompose(training, [EvalRow("z", (0.0, 1.0), (1.0, 1.0))], replicates=20))
    assert made["drift"] == pytest.approx(float(drift), abs=1e-12)  # type: ignore[arg-type]
    assert made["selection"] == pytest.approx(float(mean(price.values())), abs=1e-12)  # type: ignore[arg-type]
    assert made["filter"] == pytest.approx(float(covariance / rho), abs=1e-12)  # type: ignore[operator]
    fit = mean(mean(after[n]) for n in names) - label  # type: ignore[operator]
    assert made["fit"] == pytest.approx(float(fit), abs=1e-12)


def test_prompts_weigh_equally_however_many_outcomes_and_rows_they_have() -> None:
    one = row("a", [0] * 9 + [1], [1, 1, 0, 0, 0, 0], 0, True, [1])
    two = row("b", [1], [1], 0, True, [0])
    made = decompose([one, one, one, two], [EvalRow("z", (0.0,), (1.0,))], replicates=50)
    assert made.rates["before"] == pytest.approx((0.1 + 1) / 2)
    assert made.rates["candidates"] == pytest.approx((1 / 3 + 1) / 2)


def test_a_row_without_a_label_selects_nothing_and_is_filtered() -> None:
    training = [row("a", [0], [1, 0], None, False, [0]), row("b", [0], [1, 0], 0, True, [1])]
    made = estimates(decompose(training, [EvalRow("z", (0.0,), (0.0,))], replicates=50))
    assert made["selection"] == pytest.approx(0.25)  # (0 + 1/2) / 2
    assert made["filter"] == pytest.approx(1 - 0.75)


def test_nothing_kept_leaves_filter_and_fit_unknown_and_the_rest_as_it_is() -> None:
    training = [row(name, [0], [1, 0], 0, False, [1]) for name in "abc"]
    made = decompose(training, [EvalRow(name, (0.0,), (1.0,)) for name in "xyz"], replicates=50)
    assert made.terms["filter"].estimate is made.terms["fit"].estimate is made.closure is None
    assert "no label was kept" in made.terms["fit"].note
    assert [made.terms[name].estimate for name in ("drift", "selection", "generalisation", "total")] == [0.5, 0.5, 0, 1]


def test_prompts_that_were_dropped_and_not_asked_again_change_no_other_term() -> None:
    """The kept prompts never show the behaviour, the dropped ones always do, and training changes nothing."""
    kept = [row(f"k{i}", [0], [0, 0], 0, True, [0]) for i in range(4)]
    asked = [row(f"d{i}", [1], [1, 1], 0, False, [1]) for i in range(4)]
    silent = [row(f"d{i}", [1], [1, 1], 0, False) for i in range(4)]
    evaluation = [EvalRow("z", (1.0, 0.0), (1.0, 0.0))]
    whole, part = decompose([*kept, *asked], evaluation), decompose([*kept, *silent], evaluation)
    assert estimates(whole) == pytest.approx(estimates(part))
    assert part.terms["filter"].estimate == -0.5
    assert part.terms["generalisation"].estimate == 0
    assert any("not asked after training" in note for note in part.notes)


def test_unscored_outcomes_enter_no_mean_and_are_counted() -> None:
    training = [
        row("a", [None, 1], [None, 0, 1], 2, True, [1]),
        row("b", [None], [1], 0, True, [1]),
        row("c", [1], [None, 1], 0, True, [1]),
        row("d", [1], [], None, False, [1]),
    ]
    made = decompose(training, [EvalRow("z", (None,), (1.0,)), EvalRow("y", (0.0,), (None, 1.0))])
    assert made.train.ids == ("a",)
    assert set(made.train.left_out) == {
        "no scored outcome before training", "the chosen candidate is unscored", "no scored candidate",
    }  # fmt: skip
    assert dict(made.train.unscored) == {"before": 2, "candidates": 2}
    assert made.rates["before"] == 1
    assert made.rates["candidates"] == 0.5
    assert made.evaluation.ids == ("y",)
    assert dict(made.evaluation.unscored) == {"before": 1, "after": 1}
    assert any("label whose outcome is unscored" in note for note in made.notes)


def test_shared_prompts_are_counted_and_resampled_together() -> None:
    training = [row(f"p{i}", [i % 2], [i % 2], 0, True, [1]) for i in range(40)]
    same = [EvalRow(f"p{i}", (float(i % 2),), (1.0,)) for i in range(40)]
    other = [EvalRow(f"q{i}", (float(i % 2),), (1.0,)) for i in range(40)]
    together, apart = decompose(training, same), decompose(training, other)
    assert together.shared == 40
    assert apart.shared == 0
    # The same prompts change in both, so what generalises is zero in every resample.
    limits = together.terms["generalisation"].interval
    assert limits is not None
    assert max(map(abs, limits)) < 0.1
    wide = apart.terms["generalisation"].interval
    assert wide is not None
    assert wide[0] < -0.15
    assert wide[1] > 0.15


def test_processing_and_memorisation_are_parts_of_their_own() -> None:
    training = [TrainRow(f"p{i}", (0.0,), (1.0, 0.0), 0, True, (1.0,), (0.0, 0.0)) for i in range(12)]
    evaluation = [EvalRow(f"q{i}", (0.0,), (0.0,)) for i in range(12)]
    fresh = [EvalRow(f"f{i}", (0.0,), (float(i % 2),)) for i in range(12)]
    made = decompose(training, evaluation, fresh=fresh)
    assert made.extra["processing"].estimate == 0.5 == made.terms["drift"].estimate
    assert made.extra["memorisation"].estimate == 0.5
    assert "memorisation" not in decompose(training, evaluation).extra


def test_a_known_judge_error_is_taken_out_of_every_term_in_each_arm() -> None:
    """Expected verdicts instead of outcomes: correction gives the terms of the outcomes back."""
    arms = {"before": ErrorRate(0.9, 400, 0.8, 400), "candidates": ErrorRate(0.7, 400, 0.95, 400),
            "after": ErrorRate(0.85, 400, 0.99, 400)}  # fmt: skip

    def seen(values: tuple[float, ...], arm: str) -> tuple[float, ...]:
        error = arms[arm]
        return tuple(v * error.sensitivity + (1 - v) * (1 - error.specificity) for v in values)

    rng = np.random.default_rng(3)
    draws = [tuple(map(float, rng.integers(0, 2, 4))) for _ in range(200)]
    truth = [row(f"p{i}", draws[i], draws[i + 50], i % 4, i % 3 > 0, draws[i + 100]) for i in range(50)]
    judged = [
        row(one.prompt_id, seen(one.before, "before"), seen(one.candidates, "candidates"), one.chosen, one.kept,  # type: ignore[arg-type]
            seen(one.after, "after"))  # type: ignore[arg-type]
        for one in truth
    ]  # fmt: skip
    evaluation = [EvalRow(f"q{i}", draws[i + 150], draws[i]) for i in range(50)]
    seen_eval = [EvalRow(e.prompt_id, seen(e.before, "before"), seen(e.after, "after")) for e in evaluation]  # type: ignore[arg-type]
    made = decompose(judged, seen_eval, errors=arms, replicates=400)
    assert estimates(made) == pytest.approx(estimates(decompose(truth, evaluation, replicates=20)), abs=1e-12)
    assert abs(made.closure or 0) <= 1e-12
    few = {arm: ErrorRate(e.sensitivity, 20, e.specificity, 20) for arm, e in arms.items()}
    narrow, wide = (made.terms["total"].interval, decompose(judged, seen_eval, errors=few, replicates=400))
    limits = wide.terms["total"].interval
    assert narrow
    assert limits
    assert limits[1] - limits[0] > narrow[1] - narrow[0]


def audits(count: int, prompts: int = 150) -> dict[str, tuple[float, float]]:
    """How often each interval holds the truth, and how often it excludes zero, over audits with known terms."""
    held = dict.fromkeys(TERMS, 0.0)
    nonzero = dict.fromkeys(TERMS, 0.0)
    truth = world_terms()
    for number in range(count):
        made = decompose(*drawn_world(number, prompts), replicates=599, seed=number)
        for name, term in made.terms.items():
            assert term.interval is not None
            held[name] += (term.interval[0] <= truth[name] <= term.interval[1]) / count
            nonzero[name] += (not term.interval[0] <= 0 <= term.interval[1]) / count
    return {name: (held[name], nonzero[name]) for name in TERMS}


LEVELS = (0.1, 0.4, 0.8)
"""Rates of three kinds of prompts; candidates are drawn at `p + 0.05`, two of them, kept as often as the label says."""


def world_terms() -> dict[str, float]:
    q = [p + 0.05 for p in LEVELS]
    chosen = [1 - (1 - p) ** 2 for p in q]
    kept = [0.5 + 0.5 * p for p in q]
    # A kept row's label: with probability 1/2 whatever it is, with p whatever it is; independent of the draw.
    label = float(np.dot(kept, chosen) / np.sum(kept))
    b, a = float(np.mean(LEVELS)), float(np.mean([p + 0.1 for p in LEVELS]))
    return {"drift": 0.05, "selection": float(np.mean(chosen) - np.mean(q)), "filter": label - float(np.mean(chosen)),
            "fit": a - label, "generalisation": -(a - b), "total": 0.0}  # fmt: skip


def drawn_world(number: int, prompts: int) -> tuple[list[TrainRow], list[EvalRow]]:
    rng = np.random.default_rng(number)

    def draw(p: float, n: int) -> tuple[float, ...]:
        return tuple(map(float, rng.random(n) < p))

    training, evaluation = [], []
    for place in range(prompts):
        p = float(rng.choice(LEVELS))
        pool = draw(p + 0.05, 2)
        best = pool.index(max(pool))
        training.append(
            row(f"t{place}", draw(p, 3), pool, best, bool(rng.random() < 0.5 + 0.5 * (p + 0.05)), draw(p + 0.1, 3))
        )
        p = float(rng.choice(LEVELS))
        evaluation.append(EvalRow(f"e{place}", draw(p, 2), draw(p, 2)))
    return training, evaluation


def test_intervals_cover_and_an_audit_of_nothing_finds_nothing() -> None:
    for name, (held, nonzero) in audits(100).items():
        assert held >= 0.89, name  # 95 expected; five standard errors would be 0.84
        if name == "total":
            assert nonzero <= 0.11


@pytest.mark.deep
def test_over_a_thousand_audits_coverage_is_nominal() -> None:
    found = audits(1000)
    assert all(0.93 <= held <= 0.97 for held, _ in found.values()), found
    assert found["total"][1] <= 0.06


def test_structural_zeros_have_no_width_and_observed_zeros_do() -> None:
    single = [row(f"p{i}", [0, 1], [i % 2], 0, True, [1]) for i in range(20)]
    made = decompose(single, [EvalRow(f"q{i}", (0.0,), (0.0,)) for i in range(20)])
    assert made.terms["selection"].interval == (0.0, 0.0) == made.terms["filter"].interval
    limits = made.terms["total"].interval
    assert limits is not None
    assert limits[0] < -0.1
    assert limits[1] > 0.1


def written(folder: Path, name: str, rows: list[Any]) -> Path:
    path = folder / name
    path.write_text("".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in rows))
    return path


GOOD = {"prompt_id": "a", "before": [0, 1], "candidates": [1, 0], "chosen": 0, "kept": True, "after": [1]}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"before": [2]}, "before: holds 2"),
        ({"before": "01"}, "before: a string, where a list"),
        ({"candidates": [0, "1"]}, "candidates: holds a string"),
        ({"chosen": 2}, "chosen: 2 is no place among 2 candidates"),
        ({"chosen": -1}, "chosen: -1"),
        ({"chosen": True}, "chosen: a boolean"),
        ({"kept": 1}, "kept: a number"),
        ({"kept": None}, "kept: null"),
        ({"prompt_id": ""}, "prompt_id: a string, where a name"),
        ({"after": 1}, "after: a number"),
        ({"raw": [0]}, "raw: 1 outcomes for 2 candidates"),
    ],
)
def test_bad_rows_are_named_by_line_and_field(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    path = written(tmp_path, "t.jsonl", [GOOD, {**GOOD, **change}, GOOD])
    with pytest.raises(DataError, match=r"t\.jsonl:2") as error:
        read_training(path)
    assert said in str(error.value)


def test_missing_fields_torn_lines_and_empty_files_are_errors_too(tmp_path: Path) -> None:
    for name in ("prompt_id", "before", "candidates", "chosen", "kept"):
        path = written(tmp_path, "t.jsonl", [{key: value for key, value in GOOD.items() if key != name}])
        with pytest.raises(DataError, match=f"t.jsonl:1: {name}: missing"):
            read_training(path)
    with pytest.raises(DataError, match=r"e\.jsonl:2"):
        read_evaluation(written(tmp_path, "e.jsonl", [{"prompt_id": 1, "before": [], "after": []}, "{"]))
    with pytest.raises(DataError, match="has no rows"):
        read_evaluation(written(tmp_path, "e.jsonl", []))


def command(*words: str) -> tuple[int, str]:
    found = CliRunner().invoke(load("audit"), list(words))
    if found.exception and not isinstance(found.exception, SystemExit):
        raise found.exception
    return found.exit_code, found.stdout


def test_the_command_prints_terms_in_rates(tmp_path: Path) -> None:
    train = written(tmp_path, "t.jsonl", [{**GOOD, "prompt_id": f"p{i}", "after": [i % 2]} for i in range(20)])
    evaluation = written(tmp_path, "e.jsonl", [{"prompt_id": i, "before": [0], "after": [i % 2]} for i in range(20)])
    code, said = command("decompose", str(train), str(evaluation), "--json")
    found = json.loads(said)
    assert code == 0
    assert set(found["terms"]) == set(TERMS)
    assert found["terms"]["total"]["estimate"] == 0.5
    assert len(found["terms"]["total"]["interval"]) == 2
    assert math.isclose(sum(found["terms"][name]["estimate"] for name in TERMS[:-1]), 0.5, abs_tol=1e-12)
    assert "selection" in command("decompose", str(train), str(evaluation))[1]
    again = json.loads(command("decompose", str(train), str(evaluation), "--json")[1])
    assert again == found
