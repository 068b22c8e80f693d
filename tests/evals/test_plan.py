"""Plans: which margin holds, when it was declared, and what cannot be passed off as declared before."""

from __future__ import annotations

import json
from pathlib import Path

import answering
import pytest
from answering import Scripted, small

from unswayed.config.recipe import Recipe
from unswayed.core.errors import ConfigError
from unswayed.evals.compare.compare import compare
from unswayed.evals.plan import MARGIN, Plan, choose_plan, plan_of_run, read_plan, recorded_plan
from unswayed.evals.results import Result
from unswayed.evals.run import evaluate

TEXT = """
[plan]
primary = ["hint_following", "capability/gsm8k:accuracy"]

[plan.margins]
default = 0.04
accuracy_clean = 0.01
"capability/gpqa" = 0.06
"capability/gpqa:accuracy" = 0.07
"""
SUITE = small(30)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "plan.toml"
    path.write_text(TEXT, encoding="utf-8")
    return path


def test_the_most_particular_margin_wins(file: Path) -> None:
    plan = read_plan(file)
    assert plan.margin("capability/gpqa", "accuracy") == 0.07
    assert plan.margin("capability/gpqa", "parse_rate") == 0.06
    assert plan.margin("sycophancy/suggested_answer", "accuracy_clean") == 0.01
    assert plan.margin("sycophancy/suggested_answer", "consistency") == 0.04
    assert plan.is_primary("any", "hint_following", otherwise=False)
    assert plan.is_primary("capability/gsm8k", "accuracy", otherwise=False)
    assert not plan.is_primary("capability/mmlu", "accuracy", otherwise=True)


def test_without_a_plan_each_benchmark_has_its_default() -> None:
    plan = Plan()
    points = {name: plan.margin(f"capability/{name}", "accuracy") for name in ("mmlu", "gsm8k", "ifeval", "gpqa")}
    assert points == {"mmlu": 0.02, "gsm8k": 0.02, "ifeval": 0.03, "gpqa": 0.05}
    assert plan.margin("sycophancy/are_you_sure", "capitulation") == MARGIN
    assert plan.source("capability/mmlu", "accuracy") == "default"
    assert plan.is_primary("any", "metric", otherwise=True)


def test_the_hash_is_of_what_was_declared_and_not_of_the_file(file: Path) -> None:
    again = file.with_name("other.toml")
    again.write_text("# a comment\n" + TEXT.replace("0.04", "0.040"), encoding="utf-8")
    assert read_plan(file).sha256 == read_plan(again).sha256
    again.write_text(TEXT.replace("0.04", "0.05"), encoding="utf-8")
    assert read_plan(file).sha256 != read_plan(again).sha256


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[plan", "not valid TOML"),
        ("name = 'x'", r"declares no plan; write a \[plan\] table"),
        ("[plan]\nmargin = 1", "unknown key"),
        ("[plan.margins]\naccuracy = 2", "accuracy = 2.0: a margin is a difference of rates"),
        ("[plan.margins]\naccuracy = 0.0", "a margin is a difference of rates"),
        ("[plan.margins]\naccuracy = 'small'", "valid number"),
    ],
)
def test_a_plan_that_cannot_be_used_says_why(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "plan.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=said):
        read_plan(path)
    with pytest.raises(ConfigError, match="cannot read"):
        read_plan(tmp_path / "absent.toml")


def test_a_recipe_declares_a_plan_and_its_run_carries_it(tmp_path: Path) -> None:
    recipe = Recipe.from_dict(
        {
            "name": "run", "model": {"id": "m"}, "data": {"train": "p.jsonl"}, "method": {"name": "opct"},
            "train": {"steps": 1}, "plan": {"margins": {"accuracy_clean": 0.02}},
        }
    )  # fmt: skip
    assert recipe.science()["plan.margins"] == {"accuracy_clean": 0.02}  # a resume with another margin is refused
    run = tmp_path / "run"
    (run / "adapter").mkdir(parents=True)
    assert plan_of_run(run / "adapter") is None
    (run / "recipe.json").write_text(json.dumps(recipe.to_dict()), encoding="utf-8")
    plan = plan_of_run(run / "adapter")
    assert plan is not None
    assert plan.margins == {"accuracy_clean": 0.02}
    (run / "recipe.json").write_text(json.dumps({**recipe.to_dict(), "plan": {"margins": {}}}), encoding="utf-8")
    assert plan_of_run(run / "adapter") is None


# ---- declared before, or after ------------------------------------------------------------------------------------


def measured(folder: Path, plan: Plan | None) -> Result:
    return evaluate(Scripted(SUITE, answering.right, name=folder.name), SUITE, folder, plan=plan)


def test_a_plan_is_written_before_anything_is_sampled_and_hashed_into_the_result(tmp_path: Path, file: Path) -> None:
    plan = read_plan(file)

    class Asking(Scripted):
        def complete(self, prompts, params):  # type: ignore[no-untyped-def]
            about = json.loads((tmp_path / "a" / "eval.json").read_text(encoding="utf-8"))
            assert about["plan"]["sha256"] == plan.sha256
            return super().complete(prompts, params)

    result = evaluate(Asking(SUITE, answering.right), SUITE, tmp_path / "a", plan=plan)
    assert result.summary()["plan_sha256"] == plan.sha256
    assert measured(tmp_path / "b", None).summary()["plan_sha256"] is None


def test_a_plan_cannot_be_slipped_in_later(tmp_path: Path, file: Path) -> None:
    measured(tmp_path / "a", None)
    with pytest.raises(ConfigError, match="begun under another plan, or none"):
        measured(tmp_path / "a", read_plan(file))


def test_the_recorded_plan_holds_and_any_other_is_marked(tmp_path: Path, file: Path) -> None:
    plan = read_plan(file)
    under, without = measured(tmp_path / "a", plan).about, measured(tmp_path / "b", None).about
    assert choose_plan([under]) == (plan, ())
    assert choose_plan([under], plan) == (plan, ())
    assert choose_plan([without])[0].declared == "default"
    late, departures = choose_plan([without], plan)
    assert (late.declared, departures) == ("declared after the run", ())
    other, departures = choose_plan([under], None, 0.2)
    assert other.declared == "declared after the run"
    assert other.margin("any", "metric") == 0.2
    assert departures == (f"The recorded plan {plan.sha256[:12]} was set aside for one declared after the run.",)
    with pytest.raises(ConfigError, match="different plans"):
        recorded_plan([under, without])
    with pytest.raises(ConfigError, match="either --plan or --margin"):
        choose_plan([under], plan, 0.1)


def test_effects_carry_their_margin_and_its_standing() -> None:
    before = evaluate(Scripted(SUITE, answering.hinted, name="a"), SUITE)
    after = evaluate(Scripted(SUITE, answering.right, name="b"), SUITE)
    plan = Plan({"accuracy_clean": 0.3}, ("accuracy_clean",), "declared before the run")
    effects = {effect.metric: effect for effect in compare(before, after, plan=plan)}
    assert (effects["accuracy_clean"].margin, effects["accuracy_clean"].declared) == (0.3, "declared before the run")
    assert (effects["consistency"].margin, effects["consistency"].declared) == (MARGIN, "default")
    assert effects["accuracy_clean"].verdict == "no material change"
    assert effects["accuracy_clean"].noninferiority == "shown"
    given = compare(before, after, margin=0.1)[0]
    assert (given.margin, given.declared) == (0.1, "declared after the run")


def test_what_the_plan_names_and_nobody_measured_is_listed() -> None:
    plan = Plan({"default": 0.1, "capability/mmlu": 0.02, "accuracy_clean": 0.02}, ("x:y",))
    assert plan.unmeasured([("sycophancy/a", "accuracy_clean")]) == ["capability/mmlu", "x:y"]


# ---- non-inferiority ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("questions", "margin", "state"), [(100, 0.05, "shown"), (30, 0.05, "unprovable at this n"), (30, 0.2, "shown")]
)
def test_a_loss_is_excluded_where_there_are_enough_pairs(questions: int, margin: float, state: str) -> None:
    suite = small(questions)
    before = evaluate(Scripted(suite, answering.right, name="a"), suite)
    after = evaluate(Scripted(suite, answering.right, name="b"), suite)
    effect = {effect.metric: effect for effect in compare(before, after, margin=margin)}["accuracy_clean"]
    assert effect.noninferiority == state
    assert effect.provable is not None
    assert (effect.provable <= margin) == (state == "shown")


def test_a_loss_beyond_the_margin_is_said_to_be_one() -> None:
    before = evaluate(Scripted(SUITE, answering.right, name="a"), SUITE)
    after = evaluate(Scripted(SUITE, lambda sample: "It is 4711, I think.", name="b"), SUITE)
    effects = {effect.metric: effect for effect in compare(before, after)}
    assert effects["accuracy_clean"].noninferiority == "not shown"  # collapsed: nothing but the regression is said
    partly = evaluate(
        Scripted(SUITE, lambda s: answering.right(s) if int(s.group[-1]) % 3 else "It is 4711.", name="c"), SUITE
    )
    effect = {effect.metric: effect for effect in compare(before, partly)}["accuracy_clean"]
    assert effect.noninferiority in {"refuted", "not shown"}
    assert effect.verdict == "worse"


# ---- noise floor --------------------------------------------------------------------------------------------------


def test_a_difference_no_larger_than_the_replicates_is_marked_and_no_improvement() -> None:
    suite = small(100)
    ids = [sample.id for sample in suite.samples if sample.condition == "wrong_hint"]

    def swayed(share: float) -> Result:
        few = set(ids[: int(share * len(ids))])
        reply = Scripted(suite, lambda s: answering.hinted(s) if s.id in few else answering.right(s), name=f"m{share}")
        return evaluate(reply, suite)

    before, after = swayed(0.6), swayed(0.4)
    alone = compare(before, after)[0]
    assert (alone.verdict, alone.noise) == ("improved", None)
    far = compare(before, after, replicate=swayed(0.3))[0]
    assert far.noise == pytest.approx(0.3)
    assert "within the noise floor" in far.flags
    assert far.verdict == "not known"
    near = compare(before, after, replicate=swayed(0.55))[0]
    assert near.noise == pytest.approx(0.05)
    assert (near.verdict, near.flags) == ("improved", ())
    worse = compare(after, before, replicate=swayed(0.9))[0]
    assert worse.verdict == "worse"  # a regression stays one, and carries the mark
    assert "within the noise floor" in worse.flags
