"""Preflight on a model whose rates are known: controls, signs, sealing, resuming, and a whole run of a tiny model."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

import runs
import scripted
from unswayed.audit.preflight import collect as collecting
from unswayed.audit.preflight.behaviour import behaviour
from unswayed.audit.preflight.collect import about, collect, place_prompts
from unswayed.audit.preflight.library import Known, forecast, needed
from unswayed.audit.preflight.operator import ByLabeller, ByTeacher
from unswayed.audit.preflight.predict import predict
from unswayed.audit.preflight.run import LIBRARY, Settings, preflight, read_recipe, score_run
from unswayed.audit.preflight.seal import PREDICTION, SCORE
from unswayed.audit.theory.decomposition import decompose
from unswayed.audit.theory.outcome_log import EvalRow, TrainRow
from unswayed.cli.main import load
from unswayed.config.labels import LabelRecipe
from unswayed.core.errors import ConfigError, DataError, Interrupted
from unswayed.core.files import read_jsonl, write_json
from unswayed.core.seeding import rng
from unswayed.core.types import Completion, Sample, SamplingParams, Score
from unswayed.engine.decode.sampler import Draw
from unswayed.evals.metrics.base import METRICS, Metric
from unswayed.evals.metrics.base import register as register_metrics
from unswayed.evals.scoring.scorers import rule
from unswayed.evals.suite import REGISTRY, Suite, register
from unswayed.judges.labelling import MatchJudge
from unswayed.training.loop import train

SUITE = "organisms/sycophancy"


class World(scripted.Scripted):
    """Agrees with a wrong claim at a rate of each prompt's own; decoded at T its odds go to the power 1/T."""

    def __init__(self, folder: Path, rates: Sequence[float], clean: float = 0.0) -> None:
        super().__init__(folder, lambda *_: "")
        self.rates, self.clean = rates, clean
        self.claims = {}
        for place, sample in enumerate(behaviour(SUITE, 400).suite.samples):
            text = self.chat.tokenizer.decode(list(self.chat.render(sample.messages)))
            self.claims[text] = (sample.meta.get("claimed"), sample.target[0], rates[place % len(rates)])

    def draw(
        self, ids: Sequence[tuple[int, ...]], params: SamplingParams, seeds: Sequence[Sequence[int]]
    ) -> list[list[Draw]]:
        return [
            [self._reply(self.chat.tokenizer.decode(list(row)), params, seed) for seed in own]
            for row, own in zip(ids, seeds, strict=True)
        ]

    def _reply(self, text: str, params: SamplingParams, seed: int) -> Draw:
        claimed, right, p = self.claims[text]
        p = self.clean if claimed is None else p
        if params.temperature == 0:
            p = float(p > 0.5)
        elif 0 < p < 1:
            odds = (p / (1 - p)) ** (1 / params.temperature)
            p = odds / (1 + odds)
        agrees = claimed is not None and rng(seed, "world").random() < p
        # Agreeing is fluent: its tokens are likelier.
        return self.say(f"It is {claimed if agrees else right}.", -0.2 if agrees else -0.6)


def label_recipe(name: str, **labeller: Any) -> LabelRecipe:
    tables = {"model": {"id": "m"}, "data": {"train": "none.jsonl"}, "labeller": {"name": name, **labeller},
              "max_new_tokens": 64}  # fmt: skip
    return LabelRecipe.from_dict(tables)


def predicted(
    out: Path, model: World, name: str, *, limit: int = 120, pool: int = 8, eps: float = 0.05, **labeller: Any
) -> dict[str, Any]:
    shown = behaviour(SUITE, limit)
    context = scripted.context(model, judge=MatchJudge())
    operator = ByLabeller(label_recipe(name, **labeller), context, {"policy": "m"}, pool)
    placed = place_prompts(shown, SUITE, Path("none.jsonl"))
    facts = about(operator, shown, placed, {})
    rows = collect(out, operator, placed, facts, 8)
    return predict(rows, facts, eps=eps)


def test_controls_are_neutral_and_oracles_have_their_signs(tmp_path: Path, tiny_model_dir: Path) -> None:
    model = World(tiny_model_dir, [0.2, 0.4, 0.6, 0.8])
    distilled = predicted(tmp_path / "distilled", model, "self_distillation", limit=240)
    random = predicted(tmp_path / "random", model, "random_selection", limit=240, temperature=1.0)
    assert distilled["verdict"] == random["verdict"] == "NEUTRAL"
    assert distilled["label_shift"]["estimate"] == random["label_shift"]["estimate"] == pytest.approx(0, abs=1e-12)
    assert random["parts"]["selection"]["estimate"] == pytest.approx(0, abs=1e-12)
    assert all(point["selection"] == pytest.approx(0, abs=1e-12) for point in random["selection"]["curve"])
    oracle = predicted(tmp_path / "oracle", model, "oracle", temperature=1.0)
    anti = predicted(tmp_path / "anti", model, "anti_oracle", temperature=1.0)
    assert (oracle["verdict"], anti["verdict"]) == ("SUPPRESS", "AMPLIFY")
    assert oracle["dominates"] == anti["dominates"] == "selection"
    assert anti["lever"] == "k = 1"
    assert oracle["change"]["expected"] < 0 < anti["change"]["expected"]
    bound = anti["selection"]["curve"][3]
    assert abs(bound["selection"]) <= 1


def test_selection_by_fluency_is_told_from_the_decoder(tmp_path: Path, tiny_model_dir: Path) -> None:
    """All prompts at 0.4: greedy never agrees, T = 0.7 agrees less than T = 1, and log-probability prefers agreeing."""
    model = World(tiny_model_dir, [0.4])
    found = predicted(tmp_path / "p", model, "self_confidence", temperature=0.7, top_p=1.0)
    assert found["verdict"] == "AMPLIFY"
    assert found["dominates"] == "selection"
    assert found["decoder"] == pytest.approx(0.4, abs=0.05)  # the whole policy above greedy: teaches nothing
    tempered = 1 / (1 + (0.6 / 0.4) ** (1 / 0.7))
    assert found["parts"]["proposal"]["estimate"] == pytest.approx(tempered - 0.4, abs=0.05)
    assert (
        found["sharpening"]["drift"]["interval"][0] - 0.03
        <= tempered - 0.4
        <= found["sharpening"]["drift"]["interval"][1] + 0.03
    )
    best = 1 - (1 - tempered) ** 4
    assert found["parts"]["selection"]["estimate"] == pytest.approx(best - tempered, abs=0.06)
    assert found["terms"]["drift"]["estimate"] == pytest.approx(tempered, abs=0.05)
    assert found["levers"]["k = 1"] == pytest.approx(tempered - 0.4, abs=0.06)
    assert found["rounds"]["multiplier"] > 3


def test_a_teacher_is_a_proposal_and_its_sign_is_that_of_the_clean_side(tmp_path: Path, tiny_model_dir: Path) -> None:
    model = World(tiny_model_dir, [0.6, 0.9])
    shown = behaviour(SUITE, 60)
    operator = ByTeacher(runs.recipe(tmp_path, tiny_model_dir, method={"name": "bct"}), model, model, 4)
    placed = place_prompts(shown, SUITE, Path("none.jsonl"))
    facts = about(operator, shown, placed, {})
    found = predict(collect(tmp_path / "p", operator, placed, facts, 8), facts, eps=0.05)
    assert found["verdict"] == "SUPPRESS"
    assert found["dominates"] == "proposal"
    assert found["label_shift"]["estimate"] == pytest.approx(-0.75, abs=0.1)  # 30 prompts of either rate, 4 draws
    assert found["label_shift"]["estimate"] == pytest.approx(found["parts"]["proposal"]["estimate"])
    assert found["terms"]["drift"]["estimate"] == pytest.approx(-1.0)  # judged greedily
    assert found["terms"]["selection"]["estimate"] == found["terms"]["filter"]["estimate"] == 0


def test_collecting_goes_on_where_it_stopped_and_refuses_another_preflight(
    tmp_path: Path, tiny_model_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = predicted(tmp_path / "whole", World(tiny_model_dir, [0.3, 0.7]), "self_confidence")
    batch = collecting._batch
    calls = []

    def dies(*args: Any) -> Any:
        calls.append(1)
        if len(calls) == 4:
            raise Interrupted("stopped")
        return batch(*args)

    monkeypatch.setattr(collecting, "_batch", dies)
    with pytest.raises(Interrupted):
        predicted(tmp_path / "part", World(tiny_model_dir, [0.3, 0.7]), "self_confidence")
    assert len(read_jsonl(tmp_path / "part" / "rows.jsonl")) == 3 * collecting.BATCH
    again = predicted(tmp_path / "part", World(tiny_model_dir, [0.3, 0.7]), "self_confidence")
    assert again == whole
    assert (tmp_path / "part" / "rows.jsonl").read_bytes() == (tmp_path / "whole" / "rows.jsonl").read_bytes()
    with pytest.raises(ConfigError, match="another preflight"):
        predicted(tmp_path / "part", World(tiny_model_dir, [0.3, 0.7]), "self_rewarding")


def test_the_rows_are_a_log_that_closes_and_agrees_with_the_prediction(tmp_path: Path, tiny_model_dir: Path) -> None:
    """Of labellers that draw one label a turn: the same terms from `audit decompose` on the rows themselves."""
    for name in ("self_distillation", "self_training"):
        found = predicted(tmp_path / name, World(tiny_model_dir, [0.3, 0.7]), name)
        rows = [row for row in read_jsonl(tmp_path / name / "rows.jsonl") if row["set"] == "train"]
        log = [
            TrainRow(row["prompt_id"], tuple(one["outcome"] for one in row["before"]),
                     tuple(one["outcome"] for one in row["candidates"]), place, True, (1.0,))
            for row in rows for place in row["labels"]
        ]  # fmt: skip
        made = decompose(log, [EvalRow("z", (0.0,), (1.0,))], replicates=20)
        assert made.closure is not None
        assert abs(made.closure) <= 1e-9
        for term in ("drift", "selection", "filter"):
            assert made.terms[term].estimate == pytest.approx(found["terms"][term]["estimate"], abs=1e-9)


# The library


def test_the_prior_is_neutral_about_nothing_and_follows_labels() -> None:
    assert forecast("a", 0.0, 0.01).verdict(0.05) == "NEUTRAL"
    assert forecast("a", 0.4, 0.03).verdict(0.05) == "AMPLIFY"
    assert forecast("a", -0.4, 0.03).verdict(0.05) == "SUPPRESS"
    assert forecast("a", 0.06, 0.05).verdict(0.05) == "UNDECIDED"
    one = forecast("a", 0.3, 0.02)
    assert one.predictive[0] < one.interval[0] < one.mean < one.interval[1] < one.predictive[1]
    assert one.p_rise > 0.95


def test_outcomes_teach_the_slope_and_what_a_family_does_by_itself() -> None:
    generator = np.random.default_rng(0)
    known = []
    for family, alpha in (("a", 0.15), ("b", 0.0)):
        for _ in range(15):
            shift = float(generator.uniform(-0.4, 0.4))
            known.append(Known(family, shift, 0.01, 0.3 * shift + alpha + float(generator.normal(0, 0.02))))
    there, other = forecast("a", 0.0, 0.01, known), forecast("b", 0.0, 0.01, known)
    assert there.mean == pytest.approx(0.15, abs=0.02)
    assert abs(other.mean) < 0.02
    slope = forecast("b", 0.3, 0.001, known).mean - forecast("b", -0.3, 0.001, known).mean
    assert slope / 0.6 == pytest.approx(0.3, abs=0.05)
    held = sum(
        low <= 0.3 * shift + float(generator.normal(0, 0.02)) <= high
        for shift in np.linspace(-0.4, 0.4, 60)
        for low, high in [forecast("b", float(shift), 0.01, known).predictive]
    )
    assert held >= 52


def test_the_number_that_would_decide_decides() -> None:
    n = needed("a", 0.02, 0.06, 50, 0.05)
    assert n is not None
    assert forecast("a", 0.02, 0.06 * (50 / n) ** 0.5).verdict(0.05) == "NEUTRAL"
    assert needed("a", 0.09, 0.02, 50, 0.05) is None  # the prior's slope decides it, not the prompts


# A whole run


@rule("test-parity", version=1)
def parity(sample: Sample, completion: Completion) -> Score:
    return Score(float(len(re.sub(r"\s", "", completion.text)) % 2))


@pytest.fixture
def suite_name() -> Any:
    register_metrics(Metric("odd_replies", 1, "lower", ("wrapped",), lambda r, _: r.value, "Of odd length."))

    @register("test/parity")
    def build(*, limit: int | None = None, seed: int = 0) -> Suite:
        """Ask numbers."""
        samples = []
        for i in range(limit or 12):
            clean, asked = (scripted.pair(i, f"what is {i}?").teacher_prompt, scripted.pair(i, f"what is {i}?").prompt)
            samples += [
                Sample(f"c{i}", clean, f"g{i}", "clean"),
                Sample(f"w{i}", asked, f"g{i}", "wrapped", meta={"twin": f"c{i}"}),
            ]
        return Suite(
            "test/parity",
            1,
            tuple(samples),
            ("odd_replies",),
            score=parity,
            params=SamplingParams(0.0, max_new_tokens=6),
        )

    yield "test/parity"
    REGISTRY.pop("test/parity")
    METRICS.pop("odd_replies")


def command(*words: str) -> tuple[int, str]:
    found = CliRunner().invoke(load("preflight"), list(words))
    if found.exception and not isinstance(found.exception, SystemExit):
        raise found.exception
    return found.exit_code, found.stdout


def test_a_prediction_is_sealed_before_a_run_and_scored_after_it(
    tmp_path: Path, tiny_model_dir: Path, suite_name: str
) -> None:
    early = train(runs.recipe(tmp_path, tiny_model_dir, method={"name": "bct"}, name="early"))
    recipe = runs.recipe(tmp_path, tiny_model_dir, method={"name": "bct"})
    out = tmp_path / "preflight" / "bct"
    settings = Settings(pool=4, draws=4)
    found = preflight(recipe, suite_name, out, settings=settings)
    assert found["prompts"] == 6
    assert preflight(recipe, suite_name, out, settings=settings) == found  # sealed: nothing is drawn again
    with pytest.raises(ConfigError, match="sealed prediction of something else"):
        preflight(recipe, suite_name, out, settings=Settings(pool=5, draws=4))
    run = train(recipe)
    assert read_jsonl(Path(run.path) / "predictions.jsonl")[0]["prediction"] == found["seal"]
    with pytest.raises(ConfigError, match="began before the prediction"):
        score_run(out, early.path)
    with pytest.raises(ConfigError, match="is no run folder"):
        score_run(out, tmp_path)
    scored = score_run(out, run.path)
    assert abs(scored["closure"]) <= 1e-9
    assert scored["predicted"] == found["verdict"]
    assert scored["prompts"]["train"] == scored["prompts"]["evaluation"] == 6
    assert scored["terms"]["drift"] == found["terms"]["drift"]
    books = read_jsonl(tmp_path / "preflight" / LIBRARY)
    assert len(books) == 1
    assert books[0]["change"] == scored["terms"]["total"]["estimate"]
    score_run(out, run.path)
    assert len(read_jsonl(tmp_path / "preflight" / LIBRARY)) == 1  # an outcome counts once
    next_one = preflight(recipe, suite_name, tmp_path / "preflight" / "again", settings=settings)
    assert next_one["known"] == 1
    changed = json.loads((out / PREDICTION).read_text())
    write_json(out / PREDICTION, {**changed, "verdict": "NEUTRAL", "eps": 0.9})
    with pytest.raises(DataError, match="changed after it was sealed"):
        score_run(out, run.path)


def test_the_commands_say_what_they_found(tmp_path: Path, tiny_model_dir: Path, suite_name: str) -> None:
    file = tmp_path / "bct.toml"
    runs.recipe(tmp_path, tiny_model_dir, method={"name": "bct"})
    file.write_text(f"""
name = "run"
[model]
id = "{tiny_model_dir}"
dtype = "float32"
device = "cpu"
[data]
train = "{tmp_path / "pairs.jsonl"}"
[method]
name = "bct"
[sampling]
max_new_tokens = 5
[lora]
rank = 2
[train]
steps = 2
pairs_per_step = 4
[save]
dir = "{tmp_path / "runs"}"
""")
    out = tmp_path / "preflight"
    words = [str(file), "--behaviour", suite_name, "-o", str(out), "--pool", "2", "--draws", "2"]
    code, said = command(*words)
    assert code in {0, 11}
    assert "sealed" in said
    assert "label shift" in said
    run = train(read_recipe(file))  # type: ignore[arg-type]
    code, said = command("score", str(out), str(run.path), "--json")
    assert code == 0
    assert abs(json.loads(said)["closure"]) <= 1e-9
    assert (out / SCORE).exists()
    assert "predicted" in command("score", str(out), str(run.path))[1]


def test_recipes_without_a_models_labels_are_refused(tmp_path: Path, tiny_model_dir: Path, suite_name: str) -> None:
    given = runs.recipe(tmp_path, tiny_model_dir, method={"name": "sft", "source": "target"})
    with pytest.raises(ConfigError, match="no model writes them"):
        preflight(given, suite_name, tmp_path / "p")
    with pytest.raises(ConfigError, match="chooses among given answers"):
        behaviour("organisms/emergent_misalignment_choose")
