"""Files of other tools are read as they are, and arms are joined by id and prompt only."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import planted
import pytest
from planted import rows, write

from unswayed.audit.formats.read import Source, read_arm
from unswayed.audit.run import audit
from unswayed.core.errors import ConfigError, DataError
from unswayed.evals.run import evaluate
from unswayed.evals.suites.sycophancy import suggested_answer

Row = dict[str, Any]


def read(path: Path, **options: Any) -> Source:
    return read_arm(path, **options)


def seen(source: Source) -> list[tuple[str, str, str, str | None]]:
    return [(one.id, one.asked, one.text, one.outcome) for one in source.replies]


def test_plain_rows_with_messages_draws_and_everything_they_may_carry(tmp_path: Path) -> None:
    turns = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "2+2?"}]},
    ]
    found = read(write(tmp_path / "a.jsonl", [
        {"id": 1, "messages": turns, "completion": "4", "outcome": "aligned", "finish_reason": "length"},
        {"id": 1, "messages": turns, "completion": "5", "outcome": None, "behaviour": "lying"},
        {"id": 1, "messages": turns, "response": "6", "outcome": "off_topic"},
        {"id": "x", "messages": [*turns, {"role": "assistant", "content": "7"}], "outcome": "trait", "admits": True},
    ]))  # fmt: skip
    assert found.format == "JSONL"
    assert [(r.id, r.text, r.draw, r.outcome, r.behaviour) for r in found.replies] == [
        ("1", "4", 0, "aligned", "trait"), ("1", "5", 0, None, "lying"), ("1", "6", 1, "off_topic", "trait"),
        ("x", "7", 0, "trait", "trait"),
    ]  # fmt: skip
    assert [r.finish for r in found.replies][:2] == ["length", "stop"]
    assert all(r.given for r in found.replies)
    assert found.replies[0].messages[0].role == "system"


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"prompt": "a", "completion": "b"}, "id: missing"),
        ({"id": 1, "prompt": "a"}, "completion: missing"),
        ({"id": 1, "prompt": "", "completion": "b"}, "prompt: is empty"),
        ({"id": 1, "prompt": "a", "completion": "b", "outcome": "bad"}, "outcome: 'bad' is none of trait"),
        ({"id": 1, "prompt": "a", "completion": 3}, "completion: a number"),
        ({"id": 1, "messages": [{"role": "me", "content": "a"}], "completion": "b"}, "messages:"),
        ({"question": "a", "text": "b"}, "written by no tool that is known"),
    ],
)
def test_rows_that_cannot_be_audited_are_named(tmp_path: Path, row: Row, said: str) -> None:
    with pytest.raises(DataError) as error:
        read(write(tmp_path / "a.jsonl", [row]))
    assert said in str(error.value)


def lm_eval(doc: int, text: str, right: float, **more: Any) -> Row:
    return {
        "doc_id": doc, "doc": {"question": f"{doc}?"}, "target": "4", "resps": [[text]], "filtered_resps": [text[-1]],
        "arguments": {"gen_args_0": {"arg_0": f"Q: {doc}?\nA:", "arg_1": {"until": ["\n"]}}}, "filter": "strict",
        "metrics": ["exact_match"], "exact_match": right, "doc_hash": "d", "prompt_hash": "p", **more,
    }  # fmt: skip


def test_lm_eval_samples(tmp_path: Path) -> None:
    chat = json.dumps([{"role": "user", "content": "3?"}])
    choice = {
        "doc_id": 4, "doc": {}, "target": 1, "filter": "strict", "metrics": ["acc", "acc_norm"], "acc": 0.0,
        "acc_norm": 1.0, "resps": [[["-3.5", "False"]], [["-1.25", "False"]]], "filtered_resps": [["-3.5", "False"]],
        "arguments": {"gen_args_0": {"arg_0": "4?", "arg_1": " no"}, "gen_args_1": {"arg_0": "4?", "arg_1": " yes"}},
    }  # fmt: skip
    older = {**lm_eval(2, "it is 4", 1.0), "arguments": [["Q: 2?", {"until": []}]]}
    rows_ = [
        lm_eval(0, "so 4", 1.0), lm_eval(0, "so 4", 0.0, filter="flexible"), lm_eval(1, "so 5", 0.0), older,
        lm_eval(3, "5", 0.0, arguments={"gen_args_0": {"arg_0": [chat], "arg_1": {}}}), choice,
    ]  # fmt: skip
    found = read(write(tmp_path / "samples_gsm8k_2026.jsonl", rows_))
    assert found.format == "lm-eval samples, filter strict"
    assert seen(found) == [
        ("0", "Q: 0?\nA:", "so 4", "aligned"), ("1", "Q: 1?\nA:", "so 5", "trait"),
        ("2", "Q: 2?", "it is 4", "aligned"), ("3", "3?", "5", "trait"), ("4", "4?", "yes", "trait"),
    ]  # fmt: skip
    assert {one.behaviour for one in found.replies} == {"wrong answer"}


def batch(name: str, text: str | None, **more: Any) -> Row:
    body = {"choices": [{"message": {"role": "assistant", "content": text}, "finish_reason": "length"}]}
    response = {"status_code": 200, "body": body} if text is not None else None
    return {"id": f"r-{name}", "custom_id": name, "response": response, "error": None, **more}


def test_openai_batches_with_the_input_beside_them_or_named(tmp_path: Path) -> None:
    asked = [{"custom_id": str(n), "method": "POST", "url": "/v1/chat/completions",
              "body": {"model": "m", "messages": [{"role": "user", "content": f"{n}?"}]}}
             for n in range(3)]  # fmt: skip
    asked.append(
        {"custom_id": "3", "method": "POST", "url": "/v1/responses", "body": {"input": "3?", "instructions": "Hi"}}
    )
    parts = {
        "output": [{"type": "message", "content": [{"type": "output_text", "text": "yes"}]}],
        "status": "completed",
    }
    answered = [batch("2", "no"), batch("0", "yes"), batch("1", None, error={"code": "x"}),
                {"custom_id": "3", "response": {"status_code": 200, "body": parts}, "error": None}]  # fmt: skip
    out = write(tmp_path / "out.jsonl", answered)
    with pytest.raises(DataError, match="--inputs"):
        read(out)
    named = read(out, inputs=[write(tmp_path / "elsewhere.txt.jsonl", asked)])
    beside = read(out)
    assert seen(named) == seen(beside) == [
        ("2", "2?", "no", None), ("0", "0?", "yes", None), ("1", "1?", "", None), ("3", "3?", "yes", None)
    ]  # fmt: skip
    assert [one.given for one in named.replies] == [False, False, True, False]
    assert [one.finish for one in named.replies] == ["length", "length", "stop", "stop"]
    assert [turn.role for turn in named.replies[3].messages] == ["system", "user"]
    with pytest.raises(ConfigError, match="carry no outcome"):
        audit(out, out)
    assert audit(out, out, rule="agrees").verdicts[0]["outcomes"]["after"] == {"trait": 2, "aligned": 1, "unscored": 1}


def inspect_sample(name: str, epoch: int, text: str, value: Any, **more: Any) -> Row:
    message = {"role": "assistant", "content": text, "source": "generate"}
    return {
        "id": name, "epoch": epoch, "input": [{"id": "m1", "role": "user", "content": f"{name}?"}], "target": "4",
        "messages": [], "output": {"model": "m", "choices": [{"message": message, "stop_reason": "max_tokens"}]},
        "scores": {"match": {"value": value, "answer": "4"}, "other": {"value": 0.0}}, "metadata": {}, **more,
    }  # fmt: skip


def inspect_log(samples: list[Row]) -> Row:
    spec = {"created": "2026-01-01T00:00:00+00:00", "task": "t", "dataset": {}, "model": "m", "config": {}}
    return {"version": 2, "status": "success", "eval": spec, "samples": samples}


def test_inspect_logs_as_json(tmp_path: Path) -> None:
    samples = [
        inspect_sample("a", 1, "4", "C"), inspect_sample("a", 2, "5", "I"), inspect_sample("b", 1, "?", "N"),
        inspect_sample("c", 1, "4", 1.0, metadata={"outcome": "refused", "behaviour": "lying", "group": "g"}),
        inspect_sample("d", 1, "", "C", error={"message": "x"}), inspect_sample("e", 1, "4", True),
    ]  # fmt: skip
    path = tmp_path / "log.json"
    path.write_text(json.dumps(inspect_log(samples)))
    found = read(path)
    assert found.format == "Inspect log"
    assert [(o.id, o.draw, o.outcome, o.behaviour) for o in found.replies] == [
        ("a", 0, "aligned", "wrong answer"), ("a", 1, "trait", "wrong answer"), ("b", 0, "unreadable", "wrong answer"),
        ("c", 0, "refused", "lying"), ("d", 0, None, "wrong answer"), ("e", 0, "aligned", "wrong answer"),
    ]  # fmt: skip
    assert all(one.finish == "length" for one in found.replies)
    assert [one.outcome for one in read(path, scorer="other").replies][:2] == ["trait", "trait"]
    with pytest.raises(DataError, match="no scorer 'third'; there are match, other"):
        read(path, scorer="third")


def test_inspect_logs_as_eval_say_the_same_as_json(tmp_path: Path) -> None:
    log = pytest.importorskip("inspect_ai.log")
    path = tmp_path / "log.json"
    path.write_text(json.dumps(inspect_log([inspect_sample("a", 1, "4", "C"), inspect_sample("b", 1, "5", "I")])))
    log.write_eval_log(log.read_eval_log(str(path)), str(tmp_path / "log.eval"))
    assert seen(read(tmp_path / "log.eval")) == seen(read(path))


def test_every_eval_ever_samples(tmp_path: Path) -> None:
    common = {"schema_version": "0.2.1", "evaluation_id": "e", "model_id": "m", "evaluation_name": "gsm8k"}
    single = {
        **common, "sample_id": "s1", "interaction_type": "single_turn", "input": {"raw": "1?", "reference": ["4"]},
        "output": {"raw": ["4", "5"]}, "evaluation": {"score": 1.0, "is_correct": True},
        "answer_attribution": [{"turn_idx": 0, "source": "output.raw", "extracted_value": "4", "is_terminal": True}],
    }  # fmt: skip
    turns = [{"turn_idx": n, "role": role, "content": text} for n, (role, text) in enumerate(
        [("user", "1?"), ("assistant", "4"), ("user", "sure?"), ("assistant", "no, 5")])]  # fmt: skip
    multi = {**common, "sample_id": "s2", "interaction_type": "multi_turn", "input": {"raw": "1?", "reference": []},
             "messages": turns, "answer_attribution": [],
             "evaluation": {"score": 0.0, "is_correct": False}}  # fmt: skip
    found = read(write(tmp_path / "u_samples.jsonl", [single, multi]))
    assert found.format == "every-eval-ever samples"
    assert seen(found) == [
        ("s1", "1?", "4", "aligned"), ("s1", "1?", "5", "aligned"), ("s2", "sure?", "no, 5", "trait")
    ]  # fmt: skip
    assert len(found.replies[2].messages) == 3


def test_our_own_evaluations_have_a_behaviour_for_each_metric(tmp_path: Path) -> None:
    import answering

    suite = suggested_answer(limit=30)
    for name, reply in (("before", answering.right), ("after", answering.hinted)):
        evaluate(answering.Scripted(suite, reply, identity=name), suite, out=tmp_path / name)
    found = audit(tmp_path / "before", tmp_path / "after")
    by = {one["behaviour"].rpartition(": ")[2]: one for one in found.verdicts}
    assert by["hint_following"]["verdict"] == "AMPLIFIED"
    assert (by["hint_following"]["rates"]["before"]["value"], by["hint_following"]["rates"]["after"]["value"]) == (0, 1)
    measures = {row["measure"].rpartition(": ")[2] for row in found.content["sections"]["side_effects"]["rows"]}
    assert "not accuracy_clean" in measures
    assert found.content["given"]["sensitive"] == [False, False]


# Joining


def test_order_changes_nothing(tmp_path: Path) -> None:
    before, after = rows(0.4, 1, count=200, draws=2), rows(0.6, 2, count=200, draws=2)
    mixed = list(after)
    random.Random(0).shuffle(mixed)
    first = write(tmp_path / "b.jsonl", before)
    found = [audit(first, write(tmp_path / f"{n}.jsonl", some)).verdicts[0] for n, some in enumerate((after, mixed))]
    for one in found:
        assert one["estimate"] == found[0]["estimate"]
        assert one["interval"] == pytest.approx(found[0]["interval"], abs=1e-12)


def test_the_same_id_with_another_prompt_does_not_join(tmp_path: Path) -> None:
    before, after = rows(0.4, 1, count=100), rows(0.4, 2, count=100)
    after[:3] = [{**row, "prompt": row["prompt"] + " Surely."} for row in after[:3]]
    files = write(tmp_path / "b.jsonl", before), write(tmp_path / "a.jsonl", after)
    found = audit(*files).content["given"]["join"]
    assert (found["prompts"], found["only_before"], found["only_after"], found["other_words"]) == (97, 3, 3, 3)
    write(tmp_path / "a.jsonl", [{**row, "prompt": row["prompt"] + " Surely."} for row in after[:6]] + after[6:])
    with pytest.raises(DataError, match="6 of 100 prompts of before have no counterpart"):
        audit(*files)
    with pytest.raises(DataError, match="100 of 100 prompts"):
        audit(files[0], write(tmp_path / "c.jsonl", [{**row, "id": f"z{row['id']}"} for row in before]))


def test_rows_without_outcomes_need_a_rule(tmp_path: Path) -> None:
    bare = write(tmp_path / "b.jsonl", rows(0.4, 1, count=50, own=False))
    with pytest.raises(ConfigError, match="carry no outcome"):
        audit(bare, bare)
    with pytest.raises(ConfigError, match="no rule 'nonsense'"):
        audit(bare, bare, rule="nonsense")
    mixed = planted.changed(
        rows(0.4, 1, count=50, own=False), lambda row, drawn: {"outcome": "off_topic"} if drawn < 0.5 else {}
    )
    (found,) = audit(write(tmp_path / "m.jsonl", mixed), bare, rule="agrees").verdicts
    assert found["outcomes"]["before"]["off_topic"] > 5  # a row's own outcome is taken as it is


def test_a_rule_that_lacks_its_target_names_the_rows(tmp_path: Path) -> None:
    bare = write(tmp_path / "b.jsonl", rows(0.4, 1, count=20, own=False))
    with pytest.raises(DataError, match="target: no text"):
        audit(bare, bare, rule="number")
