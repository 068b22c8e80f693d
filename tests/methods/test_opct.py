"""What only OPCT has: draws of either role, several updates on one batch, top-k, spans, truncation, means."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import battery
import pytest
import torch

import runs
import tiny
import unswayed.training.loop
from unswayed.config.methods import CompletionConfig, OPCTConfig
from unswayed.config.recipe import Recipe
from unswayed.core.errors import ConfigError, DataError
from unswayed.core.types import PairedBatch, SamplingParams
from unswayed.engine.hf import CAPABILITIES
from unswayed.engine.hf.engine import HFEngine
from unswayed.methods import Step
from unswayed.methods.base import Source, weigh
from unswayed.training.loop import train
from unswayed.training.prepare import prepare

TAGS = ((7,), (8,))


def _collect(tmp_path: Path, folder: Path, number: int = 0, **method: Any) -> Any:
    prepared, engine = battery.load(tmp_path, folder, {"name": "opct", **method}, "float32")
    return prepared.method.collect(prepared.pairs[:5], engine, Step(0, number, battery.PARAMS))


def test_teacher_share_goes_from_the_student_to_the_teacher(tmp_path: Path, tiny_model_dir: Path) -> None:
    none, some, all_ = (_collect(tmp_path, tiny_model_dir, teacher_share=share) for share in (0.0, 0.4, 1.0))
    names = [[rollout.policy.name for rollout in collected.rollouts] for collected in (none, some, all_)]
    assert names[0] == ["student"] * 10
    assert set(names[1]) == {"student", "teacher"}
    assert names[2] == ["teacher"] * 10
    # A completion depends on its place alone, not on who drew the others.
    for mixed, student, teacher in zip(some.rollouts, none.rollouts, all_.rollouts, strict=True):
        own = student if mixed.policy.name == "student" else teacher
        assert (mixed.prompt_ids, mixed.completion_ids, mixed.seed) == (own.prompt_ids, own.completion_ids, own.seed)
        assert student.prompt_ids != teacher.prompt_ids
    for row, rollout in zip(some.batch.rows, some.rollouts, strict=True):
        assert (row.pair_id, row.completion_ids) == (rollout.pair_id, rollout.completion_ids)


def test_the_share_is_met_over_many_steps(tmp_path: Path, tiny_model_dir: Path) -> None:
    prepared, _ = battery.load(tmp_path, tiny_model_dir, {"name": "opct", "teacher_share": 0.3}, "float32")
    role_of = prepared.method._role  # type: ignore[attr-defined]
    places = [(number, i) for number in range(40) for i in range(50)]
    teachers = sum(role_of((i, 0), Step(0, number, battery.PARAMS)) == "teacher" for number, i in places)
    assert abs(teachers / len(places) - 0.3) < 0.03


def test_all_teacher_with_forward_kl_is_soft_bct(tmp_path: Path, tiny_model_dir: Path) -> None:
    """The two ends of the continuum: the same rows give the same loss and gradient as the method at that end."""
    prepared, engine = battery.load(
        tmp_path, tiny_model_dir, {"name": "opct", "teacher_share": 1.0, "divergence": "forward_kl"}
    )
    soft, _ = battery.load(tmp_path, tiny_model_dir, {"name": "bct_soft"})
    battery.shake(engine)
    batch = battery.collect(prepared, engine)
    a, b = battery.gradients(engine, batch, prepared), battery.gradients(engine, batch, soft)
    assert a[0] == b[0] > 0
    assert all(torch.equal(a[2][name], b[2][name]) for name in a[2])


def test_all_tokens_told_apart_is_the_exact_divergence(tmp_path: Path, tiny_model_dir: Path) -> None:
    exact, engine = battery.load(tmp_path, tiny_model_dir, {"name": "opct"})
    battery.shake(engine)
    batch = battery.collect(exact, engine)
    expected = battery.gradients(engine, batch, exact)
    totals = []
    for k in (1, 5, 50, engine.vocab_size):
        some, _ = battery.load(tmp_path, tiny_model_dir, {"name": "opct", "estimator": "topk", "k": k})
        totals.append(battery.gradients(engine, batch, some)[0])
    assert totals == sorted(totals)
    assert totals[0] > 0
    assert totals[-1] == pytest.approx(expected[0], rel=1e-12)


def test_the_control_variate_is_exact_about_the_mean(tmp_path: Path, tiny_model_dir: Path) -> None:
    """Over every first token, weighted by its chance, both forms have the exact divergence's gradient."""
    exact, engine = battery.load(tmp_path, tiny_model_dir, {"name": "opct"})
    battery.shake(engine)
    row = battery.collect(exact, engine).rows[0]
    (student,) = engine.score(PairedBatch((row,)), "student")
    logs = (student.hidden_ND[:1] @ student.head_VD[: engine.vocab_size].T).log_softmax(-1)[0]
    teacher = {"hidden_TD": row.teacher["hidden_TD"][:1]}
    first = replace(row, completion_ids=row.completion_ids[:1], loss_mask=(1.0,), teacher=teacher)
    expected = battery.gradients(engine, PairedBatch((first,)), exact)[2]
    engine.micro_batch = 64
    forms = {}
    for variate in (False, True):
        method = {"name": "opct", "estimator": "sampled", "control_variate": variate}
        sampled, _ = battery.load(tmp_path, tiny_model_dir, method)
        rows = tuple(
            replace(first, completion_ids=(token,), loss_mask=(chance,), behaviour_logprobs=(float(logs[token]),))
            for token, chance in enumerate(logs.exp().tolist())
        )
        if variate:
            # Only the token's own weight multiplies what is known before it, so chances cancel row by row.
            assert float(logs.exp().sum()) == pytest.approx(1)
        forms[variate] = battery.gradients(engine, PairedBatch(rows), sampled)[2]
        for name, grad in forms[variate].items():
            torch.testing.assert_close(grad, expected[name], rtol=0, atol=1e-5)


@pytest.mark.parametrize("temperature", [0.7, 1.2])
def test_18_sampled_at_another_temperature_is_exact_on_average(
    tmp_path: Path, tiny_model_dir: Path, temperature: float
) -> None:
    """Over every first token, weighted by its tempered chance, the gradient is the exact divergence's."""
    exact, engine = battery.load(tmp_path, tiny_model_dir, {"name": "opct"})
    battery.shake(engine)
    row = battery.collect(exact, engine).rows[0]
    (student,) = engine.score(PairedBatch((row,)), "student")
    logits = student.hidden_ND[0] @ student.head_VD[: engine.vocab_size].T
    chances = (logits / temperature).softmax(-1).tolist()
    first = replace(row, completion_ids=row.completion_ids[:1], loss_mask=(1.0,),
                    teacher={"hidden_TD": row.teacher["hidden_TD"][:1]})  # fmt: skip
    expected = battery.gradients(engine, PairedBatch((first,)), exact)[2]
    sampled, _ = battery.load(
        tmp_path, tiny_model_dir, {"name": "opct", "estimator": "sampled"}, sampling={"temperature": temperature}
    )
    rows = tuple(
        replace(first, completion_ids=(token,), loss_mask=(chance,), behaviour_logprobs=(math.log(chance),))
        for token, chance in enumerate(chances)
    )
    engine.micro_batch = 64
    for name, grad in battery.gradients(engine, PairedBatch(rows), sampled)[2].items():
        torch.testing.assert_close(grad, expected[name], rtol=0, atol=1e-5)


def test_18_rows_carry_the_chance_that_each_token_was_drawn_with(tmp_path: Path, tiny_model_dir: Path) -> None:
    for temperature in (0.7, 1.0, 1.2):
        prepared, engine = battery.load(tmp_path, tiny_model_dir, {"name": "opct", "estimator": "sampled"})
        battery.shake(engine)
        step = Step(0, 0, replace(battery.PARAMS, temperature=temperature))
        collected = prepared.method.collect(prepared.pairs[:5], engine, step)
        scored = engine.score(collected.batch, "student")
        for row, rollout, one in zip(collected.batch.rows, collected.rollouts, scored, strict=True):
            logits = one.hidden_ND @ one.head_VD[: engine.vocab_size].T
            ids = torch.tensor(row.completion_ids)[:, None]
            for given, at in ((row.behaviour_logprobs, temperature), (rollout.logprobs, 1.0)):
                expected = (logits / at).log_softmax(-1).gather(1, ids)[:, 0]
                assert given == pytest.approx(expected.tolist(), abs=1e-6)
            assert (rollout.tempered_logprobs is None) == (temperature == 1)


def test_18_clipped_ratios_need_temperature_1(tmp_path: Path, tiny_model_dir: Path) -> None:
    method = {"name": "opct", "estimator": "sampled", "clip": 0.2}
    with pytest.raises(ConfigError, match="temperature is not 1 with clip"):
        runs.recipe(tmp_path, tiny_model_dir, method=method, sampling={"temperature": 0.7})


def test_several_updates_learn_from_one_batch(
    tmp_path: Path, tiny_model_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    method = {"name": "opct", "estimator": "sampled", "mini_epochs": 3, "clip": 0.01}
    recipe = runs.recipe(tmp_path, tiny_model_dir, method=method, train={"steps": 2})
    versions: list[int] = []
    real = HFEngine.optim_step

    def optim_step(self: HFEngine, *args: Any) -> float:
        versions.append(self.version)
        return real(self, *args)

    monkeypatch.setattr(HFEngine, "optim_step", optim_step)
    run = train(recipe)
    assert versions == list(range(6))
    rows = run.metrics()
    assert [row["updates"] for row in rows] == [3, 3]
    # The first update's ratios are 1; the later ones' are not, and some leave the bound.
    assert all(0 < row["clipped"] < 2 / 3 for row in rows)
    assert all(row["ratio"] != pytest.approx(1, abs=1e-4) for row in rows)
    drawn = [(run.path / "rollouts" / f"step-{step:06d}.jsonl").read_text(encoding="utf-8") for step in (1, 2)]
    assert '"version":0' in drawn[0].replace(" ", "")
    assert '"version":3' in drawn[1].replace(" ", "")


def test_one_update_at_ratio_one_is_the_plain_form(tmp_path: Path, tiny_model_dir: Path) -> None:
    plain, engine = battery.load(tmp_path, tiny_model_dir, {"name": "opct", "estimator": "sampled"})
    clipped, _ = battery.load(tmp_path, tiny_model_dir, battery.METHODS["opct-clip"])
    battery.shake(engine)
    batch = battery.collect(plain, engine)
    a, b = battery.gradients(engine, batch, plain), battery.gradients(engine, batch, clipped)
    assert a[0] == pytest.approx(b[0], rel=1e-12)
    for name, grad in a[2].items():
        torch.testing.assert_close(grad, b[2][name], rtol=0, atol=1e-12)


def test_memory_runs_out_in_a_later_update(
    tmp_path: Path, tiny_model_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only that update is made again, from the same rows: what was learned before it stays."""
    method = {"name": "opct", "mini_epochs": 3}
    changes: dict[str, Any] = {"method": method, "train": {"steps": 2, "pairs_per_step": 4, "micro_batch": 4}}
    expected = train(runs.recipe(tmp_path, tiny_model_dir, name="whole", **changes)).metrics()
    real = HFEngine._forward

    def forward(self: HFEngine, model: Any, batch: Any, *rest: Any) -> Any:
        if len(batch) > 2 and self.version == 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return real(self, model, batch, *rest)

    monkeypatch.setattr(HFEngine, "_forward", forward)
    rows = train(runs.recipe(tmp_path, tiny_model_dir, **changes)).metrics()
    assert [row["micro_batch"] for row in rows] == [2, 2]
    assert [row["loss"] for row in rows] == pytest.approx([row["loss"] for row in expected], rel=1e-4)


# ---- how completions become rows


def _weigh(pair_ids: Any, completions: Any, **config: Any) -> Any:
    from unswayed.core.types import Message, PromptPair, TokenizedPair

    sources = []
    for pair_id, (prompt, ids, finish) in zip(pair_ids, completions, strict=True):
        said = (Message("user", "x"),)
        sources.append(Source(TokenizedPair(PromptPair(pair_id, said, said), prompt, (1,)), ids, finish))
    step = Step(0, 0, SamplingParams(), TAGS)
    return weigh(sources, CompletionConfig(**config), step)


THINKS = [
    ((1, 2), (7, 5, 5, 8, 9, 9), "stop"),
    ((1, 7), (5, 8, 9), "stop"),  # the prompt has opened the span
    ((1, 2), (9, 9), "stop"),
    ((1, 2), (7, 5, 5), "length"),  # cut inside its thinking
]


def test_thinking_and_answer_have_their_weights() -> None:
    rows, skipped = _weigh("abcd", THINKS, thinking_weight=0.5, answer_weight=2.0)
    assert [row.loss_mask for row in rows] == [
        (0.5, 0.5, 0.5, 0.5, 2.0, 2.0),
        (0.5, 0.5, 2.0),
        (2.0, 2.0),
        (0.5, 0.5, 0.5),
    ]
    assert not skipped


def test_rows_without_an_answer_are_counted_not_trained() -> None:
    rows, skipped = _weigh("abcd", THINKS, thinking_weight=0.0)
    assert [row.loss_mask for row in rows] == [(0, 0, 0, 0, 1, 1), (0, 0, 1), (1, 1)]
    assert skipped == {"no token with weight": ["d"]}


def test_truncated_completions_are_dropped_and_counted() -> None:
    rows, skipped = _weigh("abcd", THINKS, truncated="drop")
    assert [row.pair_id for row in rows] == ["a", "b", "c"]
    assert skipped == {"truncated": ["d"]}


def test_a_mean_over_sequences_weighs_each_the_same() -> None:
    rows, _ = _weigh("abcd", THINKS, aggregation="sequence", thinking_weight=0.5)
    assert [sum(row.loss_mask) for row in rows] == pytest.approx([1.0] * 4)
    assert rows[0].loss_mask[0] / rows[0].loss_mask[-1] == 0.5


def test_aggregation_is_the_mean_it_says(tmp_path: Path, tiny_model_dir: Path) -> None:
    tokens, engine = battery.load(tmp_path, tiny_model_dir, {"name": "opct"})
    sequences, _ = battery.load(tmp_path, tiny_model_dir, battery.METHODS["opct-sequence"])
    battery.shake(engine)
    batch = battery.collect(tokens, engine)
    alone = [battery.gradients(engine, batch.take([i]), tokens)[:2] for i in range(len(batch))]
    assert len({count for _, count in alone}) > 1
    total, count, _ = battery.gradients(engine, battery.collect(sequences, engine), sequences)
    assert total / count == pytest.approx(sum(total / count for total, count in alone) / len(alone), rel=1e-6)


def test_dropping_everything_says_so(tmp_path: Path, tiny_model_dir: Path) -> None:
    method = {"name": "opct", "truncated": "drop"}
    with pytest.raises(DataError, match=r"no row has a token to train on \(truncated: pair-"):
        train(runs.recipe(tmp_path, tiny_model_dir, method=method, sampling={"max_new_tokens": 1}))


def test_truncated_rows_are_counted_in_the_metrics(
    tmp_path: Path, tiny_model_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = unswayed.training.loop.load_engine

    def load_engine(*args: Any) -> HFEngine:
        engine = real(*args)
        engine.stop_ids = battery.STOPS
        return engine

    monkeypatch.setattr(unswayed.training.loop, "load_engine", load_engine)
    method, sampling = {"name": "opct", "truncated": "drop"}, {"max_new_tokens": 5, "rollouts_per_pair": 4}
    rows = train(runs.recipe(tmp_path, tiny_model_dir, method=method, sampling=sampling)).metrics()
    assert sum(row["truncated"] for row in rows) == sum(row["skipped"].get("truncated", 0) for row in rows) > 0
    assert all(row["rows"] + row["truncated"] == 16 for row in rows)
    assert [row["written_by"] for row in rows] == [{"student": 16}] * 3


# ---- refused before weights load, with the nearest setting that works


@pytest.mark.parametrize(
    ("method", "message"),
    [
        ({"estimator": "topk", "divergence": "jsd"}, "use divergence = 'reverse_kl'"),
        ({"estimator": "topk", "discount": 0.5}, "discount needs estimator = 'sampled'"),
        ({"control_variate": True}, "estimator = 'sampled'"),
        ({"clip": 0.2}, "leave clip out"),
        ({"estimator": "sampled", "teacher_share": 0.5}, "'exact' or 'topk'"),
        ({"estimator": "sampled", "mini_epochs": 4}, "set clip = 0.2"),
        ({"teacher_share": 1.5}, "teacher_share"),
        ({"mini_epochs": 0}, "mini_epochs"),
        ({"thinking_weight": 0.0, "answer_weight": 0.0}, "set one to 1"),
        ({"estimator": "topk", "k": 0}, "method.k"),
    ],
)
def test_settings_that_contradict_each_other(
    tmp_path: Path, tiny_model_dir: Path, method: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        runs.recipe(tmp_path, tiny_model_dir, method={"name": "opct", **method})
    assert message in str(caught.value)


def test_the_sampled_form_needs_draws_from_its_own_policy(tmp_path: Path, tiny_model_dir: Path) -> None:
    with pytest.raises(ConfigError, match=r"on-policy method.*use 1"):
        runs.recipe(tmp_path, tiny_model_dir, sampling={"temperature": 0.0})
    written_by_teacher: Recipe = runs.recipe(
        tmp_path, tiny_model_dir, method={"teacher_share": 1.0}, sampling={"temperature": 0.0}
    )
    assert not written_by_teacher.method.on_policy


def test_more_buckets_than_tokens(tmp_path: Path, tiny_model_dir: Path) -> None:
    recipe = runs.recipe(tmp_path, tiny_model_dir, method={"estimator": "topk", "k": 301})
    with pytest.raises(ConfigError, match=r"method\.k = 301, but this tokenizer has 300 tokens; use a smaller k"):
        prepare(recipe)


@pytest.mark.parametrize("name", ["opct", "bct", "bct_soft", "sft"])
def test_spans_that_the_tokenizer_does_not_mark(tmp_path: Path, tiny_model_dir: Path, name: str) -> None:
    recipe = runs.recipe(tmp_path, tiny_model_dir, method={"name": name, "thinking_weight": 0.0})
    with pytest.raises(ConfigError, match="no tokens that enclose thinking; set both to 1"):
        prepare(recipe)


@pytest.mark.parametrize(
    ("method", "lacking", "nearest"),
    [
        ({"name": "opct"}, "exact_kl", r"method\.estimator = 'topk', or 'sampled'"),
        ({"name": "opct", "estimator": "topk"}, "topk", r"method\.estimator = 'exact', or 'sampled'"),
        (
            {"name": "opct", "estimator": "sampled", "control_variate": True},
            "exact_kl",
            r"method\.control_variate = false",
        ),
        ({"name": "bct_soft"}, "exact_kl", r"method\.name = 'bct'"),
        ({"name": "bct"}, "sampled", r"method\.name = 'bct_soft'"),
        ({"name": "act"}, "hidden", r"method\.name = 'bct_soft'"),
    ],
)
def test_a_capability_that_the_engine_lacks(
    tmp_path: Path,
    tiny_model_dir: Path,
    monkeypatch: pytest.MonkeyPatch,
    method: dict[str, Any],
    lacking: str,
    nearest: str,
) -> None:
    monkeypatch.setattr("unswayed.engine.hf.CAPABILITIES", CAPABILITIES - {lacking})
    recipe = runs.recipe(tmp_path, tiny_model_dir, method=method)
    with pytest.raises(ConfigError, match=rf"needs {lacking}, which this engine lacks; use {nearest}"):
        prepare(recipe)


def test_the_defaults_are_plain_opct() -> None:
    config = OPCTConfig(name="opct")
    assert (config.estimator, config.divergence, config.discount, config.kl_coef) == ("exact", "reverse_kl", 0, 1)
    assert (config.teacher_share, config.mini_epochs, config.aggregation, config.truncated) == (0, 1, "token", "keep")
    assert (config.clip, config.clamp, config.control_variate) == (None, None, False)


@pytest.mark.parametrize("method", [{"name": "opct"}, {"name": "opct", "estimator": "sampled"}, {"name": "sft"}])
def test_43_the_gradient_norm_does_not_depend_on_the_micro_batch(
    tmp_path: Path, tiny_model_dir: Path, method: dict[str, Any]
) -> None:
    norms = []
    with tiny.norms_in_float64():
        prepared, engine = battery.load(tmp_path, tiny_model_dir, method)
        battery.shake(engine)
        batch = battery.collect(prepared, engine, pairs=8)
        for size in (1, 2, 3, 16):
            engine.micro_batch = size
            grads = battery.gradients(engine, batch, prepared)[2]
            norms.append(float(torch.nn.utils.get_total_norm(list(grads.values()))))
    assert max(norms) - min(norms) <= 1e-12 * norms[0]
