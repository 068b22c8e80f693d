"""What an evaluation shares with training pairs, and that comparisons say so or say that nobody looked."""

from __future__ import annotations

import json
from pathlib import Path

import answering
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unswayed.cli.compare import compare
from unswayed.core.errors import ConfigError, DataError
from unswayed.core.hashing import hash_file
from unswayed.core.types import Message, PromptPair, Sample
from unswayed.data.read import write_pairs
from unswayed.evals.compare.contamination import Contamination, contamination, run_folder, training_of
from unswayed.evals.probe import is_probe
from unswayed.evals.run import evaluate
from unswayed.evals.suite import Suite
from unswayed.evals.suites.sycophancy import suggested_answer

LONG = "the baker counts twelve loaves then sells seven of them before the rain begins at noon today"


def asked(group: str, text: str, *more: Message) -> Sample:
    return Sample(group, (Message("user", text), *more), group)


def pair(group: str, text: str, plain: str = "") -> PromptPair:
    return PromptPair(group, (Message("user", text),), (Message("user", plain or f"plainly: {text}"),), group=group)


def test_each_group_is_counted_once_under_the_strongest_sign() -> None:
    samples = [
        asked("fr", "What is the capital of France?"),
        asked("de", "Name Germany's capital city."),
        asked("loaves", f"A puzzle. {LONG}. How many are left?"),
        asked("own", "Which bird cannot fly backwards?"),
    ]
    pairs = [
        pair("fr", "name GERMANY'S capital, city"),
        pair("other", f"Listen, {LONG}, and so on"),
        pair("last", "How tall is a giraffe?"),
    ]
    found = contamination(samples, pairs)
    assert found == Contamination(4, ("fr",), (("de", "fr"),), (("loaves", "other"),))
    assert (found.shared, found.share) == (3, 0.75)
    assert found.sentence("question") == (
        "3 of 4 questions (75.0%) are in the training pairs: "
        "1 by name, 1 by an equal message, 1 by thirteen words in a row"
    )
    assert found.sentence("focus").startswith("3 of 4 focuses ")
    assert "giraffe" not in json.dumps(found.to_dict())
    with pytest.raises(DataError, match="share 2 groups") as caught:
        found.require("these")
    assert caught.value.problems == ("fr: in both", "de: asks what fr of the pairs asks")


def test_both_sides_of_a_pair_count_and_an_assistants_turn_does_not() -> None:
    told = PromptPair("told", (Message("user", "May I?"),), (Message("system", "Candles must be watched."),
                      Message("user", "May I?")), group="told")  # fmt: skip
    assert contamination([asked("a", "Candles must be watched!")], [told]).exact == (("a", "told"),)
    said = [asked("a", "Something else here.", Message("assistant", "Candles must be watched."))]
    assert contamination(said, [told]).shared == 0


def test_a_turn_of_phrase_that_many_groups_share_is_no_contamination() -> None:
    phrase = "Are you sure about that?"
    samples = [asked(f"q{i}", f"Question number {i} of mine", Message("user", phrase)) for i in range(40)]
    pairs = [PromptPair(f"p{i}", (Message("user", f"Item {i} of yours"), Message("assistant", "Yes."),
             Message("user", phrase)), (Message("user", f"Item {i} of yours"),)) for i in range(40)]  # fmt: skip
    assert contamination(samples, pairs).shared == 0


def test_the_way_of_asking_is_no_contamination_even_where_few_groups_share_it() -> None:
    hint = "my neighbour who used to teach this says the answer is surely the third one but I want to hear you"
    samples = [asked(f"q{i}", f"Question {i}?" + (f" {hint}" if i < 3 else "")) for i in range(200)]
    assert contamination(samples, [pair("other", f"Quite another matter. {hint}")]).shared == 0
    once = [asked(f"q{i}", f"Question {i}?" + (f" {hint}" if i < 2 else "")) for i in range(200)]
    assert contamination(once, [pair("other", f"Quite another matter. {hint}")]).runs == (
        ("q0", "other"),
        ("q1", "other"),
    )


def test_numbers_are_no_names_and_two_words_no_message() -> None:
    assert contamination([asked("17", "Which colour?")], [pair("17", "which colour", "tell me the colour")]).shared == 0
    assert contamination([], [pair("a", "Which colour is it?")]).share == 0.0


@settings(deadline=None, max_examples=30)
@given(st.lists(st.integers(0, 60), min_size=1, max_size=30, unique=True))
def test_every_group_that_is_trained_on_is_found_and_no_other(numbers: list[int]) -> None:
    samples = [asked(f"mine-{i}", f"What comes after item {i} in the long list?") for i in range(40)]
    pairs = [pair(f"theirs-{i}", f"what comes after item {i} in the long list", f"other {i}") for i in numbers]
    found = contamination(samples, pairs)
    assert {group for group, _ in found.exact} == {f"mine-{i}" for i in numbers if i < 40}
    assert not found.runs


# In `compare`


def small() -> Suite:
    return suggested_answer(items=answering.arithmetic_items(60))


def folder(tmp_path: Path, name: str, reply: answering.Reply, policy: str) -> Path:
    suite = small()
    evaluate(answering.Scripted(suite, reply, name=policy), suite, tmp_path / name / suite.key)
    return tmp_path / name


def trained_run(tmp_path: Path, pairs: list[PromptPair], **recipe: object) -> Path:
    """A run folder as training leaves it, as far as a comparison reads it."""
    run = tmp_path / "runs/mine"
    (run / "adapter").mkdir(parents=True)
    write_pairs(tmp_path / "pairs.jsonl", pairs)
    tables = {"data": {"train": "pairs.jsonl", "anchors": None}, "eval": [], **recipe}
    (run / "recipe.json").write_text(json.dumps(tables))
    (run / "data.json").write_text(json.dumps({"sha256": hash_file(tmp_path / "pairs.jsonl")}))
    return run


def effects(before: Path, after: Path, capsys: pytest.CaptureFixture[str], **options: object) -> dict[str, object]:
    compare(before, [after], json=True, **options)  # type: ignore[arg-type]
    (only,) = json.loads(capsys.readouterr().out)["suites"]
    return dict(only)


def test_compare_finds_the_pairs_through_the_run_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    items = answering.arithmetic_items(60)
    run = trained_run(tmp_path, [pair(item.id, f"I say no. {item.question}") for item in items[:15]])
    before = folder(tmp_path, "before", answering.hinted, "base")
    after = folder(tmp_path, "after", answering.right, str(run / "adapter"))
    shared = effects(before, after, capsys)["contamination"]
    assert isinstance(shared, dict)
    assert (shared["checked"], shared["shared"], shared["share"]) == (True, 15, 0.25)
    assert shared["files"] == [str(tmp_path / "pairs.jsonl")]
    compare(before, [after])
    said = " ".join(capsys.readouterr().out.split())
    assert "15 of 60 questions (25.0%) are in the training pairs: 15 by name" in said
    write_pairs(tmp_path / "pairs.jsonl", [pair("new", "Quite another question?")])
    assert "has changed" in str(effects(before, after, capsys)["contamination"])
    found = effects(before, after, capsys, train_pairs=tmp_path / "pairs.jsonl")["contamination"]
    assert isinstance(found, dict)
    assert found["shared"] == 0


def test_compare_says_that_nobody_looked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = folder(tmp_path, "before", answering.hinted, "base")
    after = folder(tmp_path, "after", answering.right, "somebody/model")
    found = effects(before, after, capsys)["contamination"]
    assert isinstance(found, dict)
    assert found["checked"] is False
    assert "--train-pairs" in found["why"]
    compare(before, [after])
    assert "overlap with the training pairs: not checked" in capsys.readouterr().out
    with pytest.raises(DataError, match="cannot be read"):
        compare(before, [after], train_pairs=tmp_path / "absent.jsonl")


def test_compare_leaves_out_what_was_watched_during_training(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = trained_run(tmp_path, [pair("other", "Quite another question?")],
                      eval=[{"suite": "sycophancy/suggested_answer", "limit": 3}])  # fmt: skip
    before = folder(tmp_path, "before", answering.hinted, "base")
    after = folder(tmp_path, "after", answering.right, str(run / "adapter"))
    found = effects(before, after, capsys)
    kept = [item for item in answering.arithmetic_items(60) if not is_probe(item.id)]
    assert 0 < len(kept) < 60
    assert found["part"] == "final"
    rows = found["effects"]
    assert isinstance(rows, list)
    assert {row["clusters"] for row in rows if row["metric"] == "hint_following"} == {len(kept)}
    compare(before, [after])
    assert "without the questions of the part that was watched during training" in capsys.readouterr().out


def test_a_run_folder_is_found_from_what_lies_in_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = trained_run(tmp_path, [pair("a", "Is it raining now?")])
    assert run_folder(str(run / "adapter")) == run
    assert run_folder(str(run)) == run
    monkeypatch.chdir(run)
    assert run_folder("smollm2-135m") is None
    (run / "recipe.json").write_text("{broken")
    with pytest.raises(ConfigError, match=r"recipe\.json: cannot be read"):
        training_of({"policy_name": str(run / "adapter")})


# In `data check`


def test_pairs_are_checked_against_a_suite_by_name(tmp_path: Path) -> None:
    from typer.testing import CliRunner

    from unswayed.cli.data import app
    from unswayed.questions.items import fact_items

    def check(*words: str) -> tuple[str, BaseException | None]:
        result = CliRunner().invoke(app, ["check", str(tmp_path / "pairs.jsonl"), *words])
        return result.stdout, result.exception

    write_pairs(tmp_path / "pairs.jsonl", [pair("mine", "Which of my two coats is warmer?")])
    out, error = check("--against", "sycophancy/suggested_answer")
    assert error is None
    assert "questions is in the training pairs" in out
    item = fact_items()[0]
    write_pairs(tmp_path / "pairs.jsonl", [pair(item.id, f"Say it. {item.question}")])
    out, error = check("--against", "sycophancy/suggested_answer", "--json")
    assert isinstance(error, DataError)
    assert error.problems == (f"{item.id}: in both",)
    found = json.loads(out)["contamination"]
    assert (found["suite"], found["named"]) == ("sycophancy/suggested_answer", [item.id])
    _, error = check("--against", "nothing")
    assert isinstance(error, ConfigError)
    assert "no such file, and no suite" in str(error)
