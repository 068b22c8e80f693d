"""From pairs to labels to an adapter, on a real tiny model; resuming, refusing, and the files that are left."""

from __future__ import annotations

import json
import math
import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import runs
import scripted
import tiny
from unswayed.chat.render import Chat
from unswayed.config.labels import LabelRecipe
from unswayed.core.errors import CheckpointError, ConfigError, DataError, Interrupted, LockedError, UnswayedError
from unswayed.core.files import locked, read_jsonl
from unswayed.core.types import PromptPair
from unswayed.data.labelled import KEY, attach, given_target, target_ids, why_encoded
from unswayed.data.read import read_pairs, write_pairs
from unswayed.labels import run as labelling
from unswayed.labels.run import label
from unswayed.training.loop import train
from unswayed.training.prepare import prepare

CAP = 8


def recipe(tmp_path: Path, folder: Path, name: str = "self_confidence", /, **changes: Any) -> LabelRecipe:
    pairs = tmp_path / "pairs.jsonl"
    if not pairs.exists():
        runs.write_pairs(pairs)
    tables = {
        "model": {"id": str(folder), "dtype": "float32", "device": "cpu"},
        "data": {"train": str(pairs)},
        "labeller": {"name": name, **changes.pop("labeller", {})},
        "max_new_tokens": CAP,
        "eval_max_new_tokens": CAP,
        "batch": 4,
        **changes,
    }
    return LabelRecipe.from_dict(tables)


@pytest.fixture(scope="module")
def reward_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.save(tiny.reward(), tmp_path_factory.mktemp("rm") / "rm")


def test_label_then_sft_then_plain_peft(tmp_path: Path, tiny_model_dir: Path, caplog: pytest.LogCaptureFixture) -> None:
    made = label(recipe(tmp_path, tiny_model_dir), tmp_path / "labels.jsonl")
    rows = read_jsonl(made.records / "candidates.jsonl")
    assert [row["pair_id"] for row in rows] == [row["id"] for row in runs.ROWS]
    assert made.summary["labels"] == made.summary["pairs"] == 10
    assert made.summary["candidates"] == 40
    training = runs.recipe(
        tmp_path,
        tiny_model_dir,
        data={"train": str(made.path)},
        method={"name": "sft", "source": "target"},
    )
    prepared = prepare(training)
    assert not caplog.messages
    for pair, row in zip(prepared.pairs, rows, strict=True):
        chosen = row["candidates"][row["chosen"]]
        assert pair.target_ids == tuple(chosen["ids"])  # as they were drawn
        best = max(math.fsum(c["logprobs"]) / len(c["logprobs"]) for c in row["candidates"] if c["text"].strip())
        assert chosen["score"] == best
        assert pair.pair.meta[KEY]["given_target"] == runs.ROWS[prepared.pairs.index(pair)]["target"]
    run = train(training)
    from peft import AutoPeftModelForCausalLM

    loaded = AutoPeftModelForCausalLM.from_pretrained(str(run.adapter), dtype=torch.float32)
    delta = [p for name, p in loaded.named_parameters() if "lora_B" in name]
    assert delta
    assert all(bool(p.isfinite().all()) for p in delta)
    assert any(bool(p.any()) for p in delta)


def test_log_probabilities_are_those_of_the_model(tmp_path: Path, tiny_model_dir: Path) -> None:
    from transformers import AutoModelForCausalLM

    made = label(
        recipe(tmp_path, tiny_model_dir, data={"train": str(_pairs(tmp_path)), "limit": 2}), tmp_path / "l.jsonl"
    )
    model = AutoModelForCausalLM.from_pretrained(tiny_model_dir, dtype=torch.float32)
    chat = Chat.load(tiny_model_dir)
    for pair, row in zip(
        read_pairs(tmp_path / "pairs.jsonl"), read_jsonl(made.records / "candidates.jsonl"), strict=False
    ):
        prompt = chat.render(pair.prompt)
        for candidate in row["candidates"]:
            ids = torch.tensor([[*prompt, *candidate["ids"]]])
            with torch.no_grad():
                logprobs = model(ids).logits[0].double().log_softmax(-1)
            expected = [float(logprobs[len(prompt) - 1 + t, id_]) for t, id_ in enumerate(candidate["ids"])]
            assert candidate["logprobs"] == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize(
    "name",
    [
        "diverse_decoding", "rejection_sampling", "self_refinement", "self_training", "random_selection",
        "self_distillation", "oracle", "anti_oracle",
    ],
)  # fmt: skip
def test_each_labeller_on_a_real_model(tmp_path: Path, tiny_model_dir: Path, reward_dir: Path, name: str) -> None:
    scorer = {"scorer": {"kind": "reward_model", "model": str(reward_dir)}}
    takes = name in {"diverse_decoding", "rejection_sampling"}
    made = label(recipe(tmp_path, tiny_model_dir, name, labeller=scorer if takes else {}), tmp_path / "labels.jsonl")
    assert made.summary["labels"] >= 8
    pairs = read_pairs(made.path)
    chat = Chat.load(tiny_model_dir)
    for pair in pairs:
        assert why_encoded(chat, pair) is None
        assert target_ids(chat, pair)
        assert pair.meta[KEY]["labeller"] == name
    rows = read_jsonl(made.records / "candidates.jsonl")
    assert sum(row["chosen"] is not None for row in rows) == len(pairs)
    if takes:
        values = [c["score"] for row in rows for c in row["candidates"] if c["score"] is not None]
        assert len(set(values)) > 5
        for row in rows:
            scores = [c["score"] for c in row["candidates"] if c["score"] is not None]
            assert row["candidates"][row["chosen"]]["score"] == max(scores)


def test_self_rewarding_and_multi_view_end_to_end(
    tmp_path: Path, tiny_model_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def reply(text: str, params: Any, number: int) -> str:
        if "Score:" in text:
            return "Fine.\nScore: 5" if "reply 2" in text.split("<reply ")[1] else "Hm.\nScore: 2"
        if "JSON" in text:
            return '{"answer": "reply 0"}' if "what is 1?" in text else "no"
        return f"reply {number}"

    monkeypatch.setattr(labelling, "load_policy", lambda *a, **k: scripted.Scripted(tiny_model_dir, reply))
    graded = label(recipe(tmp_path, tiny_model_dir, "self_rewarding"), tmp_path / "graded.jsonl")
    assert {pair.target for pair in read_pairs(graded.path)} == {"reply 2"}
    assert graded.summary["tied"] == 0
    assert graded.summary["effective_k"] == 2
    viewed = recipe(tmp_path, tiny_model_dir, "multi_view", labeller={"reasoning_cue": "Answer with JSON or words."})
    made = label(viewed, tmp_path / "viewed.jsonl")
    assert made.summary["labels"] == 10 - made.summary["dropped"].get("the views disagree", 0)
    assert made.summary["unscored"] == {"no answer to read in the json view": 9}


# Going on


def _pairs(tmp_path: Path) -> Path:
    return runs.write_pairs(tmp_path / "pairs.jsonl")


def _bytes(folder: Path) -> dict[str, bytes]:
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != "LOCK"]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def _cut(path: Path, lines: int, torn: bytes = b"") -> None:
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:lines]) + torn)


def test_an_interrupted_labelling_goes_on_bit_for_bit(tmp_path: Path, tiny_model_dir: Path) -> None:
    whole = label(recipe(tmp_path, tiny_model_dir), tmp_path / "a" / "labels.jsonl")
    expected = _bytes(tmp_path / "a")
    assert set(expected) == {
        "labels.jsonl", *(f"labels.records/{name}.json" for name in ("label", "models", "summary")),
        "labels.records/candidates.jsonl",
    }  # fmt: skip
    for lines, torn in ((0, b""), (3, b'{"pair_id": "pai'), (4, b""), (7, b"{"), (10, b"")):
        whole.path.unlink()
        (whole.records / "summary.json").unlink()
        _cut(whole.records / "candidates.jsonl", lines, torn)
        label(recipe(tmp_path, tiny_model_dir), whole.path)
        assert _bytes(tmp_path / "a") == expected


def test_a_signal_keeps_finished_batches(tmp_path: Path, tiny_model_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = label(recipe(tmp_path, tiny_model_dir), tmp_path / "whole.jsonl").path.read_bytes()
    real, calls = labelling.append_jsonl, []

    def append(path: Path, rows: Any) -> None:
        real(path, rows)
        calls.append(path)
        os.kill(os.getpid(), signal.SIGTERM)

    with monkeypatch.context() as patch:
        patch.setattr(labelling, "append_jsonl", append)
        for done in (4, 8):
            with pytest.raises(Interrupted, match=f"after {done} of 10"):
                label(recipe(tmp_path, tiny_model_dir), tmp_path / "labels.jsonl")
            assert not (tmp_path / "labels.jsonl").exists()
    assert label(recipe(tmp_path, tiny_model_dir), tmp_path / "labels.jsonl").path.read_bytes() == expected


def test_a_finished_labelling_is_returned_without_loading_anything(
    tmp_path: Path, tiny_model_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = label(recipe(tmp_path, tiny_model_dir), tmp_path / "labels.jsonl")
    monkeypatch.setattr(labelling, "load_policy", lambda *a, **k: pytest.fail("loaded"))
    assert label(recipe(tmp_path, tiny_model_dir), first.path).summary == first.summary
    first.path.unlink()  # written again from the records
    assert label(recipe(tmp_path, tiny_model_dir), first.path) == first
    first.path.write_text(first.path.read_text() + "\n")
    with pytest.raises(DataError, match="was changed after it was written"):
        label(recipe(tmp_path, tiny_model_dir), first.path)


def test_batch_and_device_may_change_and_settings_may_not(tmp_path: Path, tiny_model_dir: Path) -> None:
    out = tmp_path / "labels.jsonl"
    made = label(recipe(tmp_path, tiny_model_dir), out)
    before = out.read_bytes()
    (made.records / "summary.json").unlink()
    _cut(made.records / "candidates.jsonl", 4)
    label(recipe(tmp_path, tiny_model_dir, batch=2), out)
    assert [p.target for p in read_pairs(out)] == [json.loads(line)["target"] for line in before.splitlines()]
    for changed in ({"seed": 1}, {"labeller": {"k": 5}}, {"max_new_tokens": 9}):
        with pytest.raises(ConfigError, match="holds another labelling"):
            label(recipe(tmp_path, tiny_model_dir, **changed), out)
    with pytest.raises(ConfigError, match=r"labeller\.name"):
        label(recipe(tmp_path, tiny_model_dir, "self_training"), out)
    fresh = label(recipe(tmp_path, tiny_model_dir, "self_training"), out, fresh=True)
    assert fresh.summary["labeller"] == "self_training"
    assert fresh.summary["candidates"] == 10


def test_other_pairs_and_other_weights_are_refused(
    tmp_path: Path, tiny_model_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = label(recipe(tmp_path, tiny_model_dir), tmp_path / "labels.jsonl")
    (made.records / "summary.json").unlink()
    _cut(made.records / "candidates.jsonl", 4)
    real = labelling.load_policy

    def other(*args: Any, **kwargs: Any) -> Any:
        policy = real(*args, **kwargs)
        policy.identity = "another"
        return policy

    with monkeypatch.context() as patch:
        patch.setattr(labelling, "load_policy", other)
        with pytest.raises(CheckpointError, match="the policy is not the model"):
            label(recipe(tmp_path, tiny_model_dir), made.path)
    _cut(made.records / "candidates.jsonl", 2)
    swapped = read_jsonl(made.records / "candidates.jsonl")[::-1]
    (made.records / "candidates.jsonl").write_text("".join(json.dumps(row) + "\n" for row in swapped))
    with pytest.raises(DataError, match="not the expected rows in order"):
        label(recipe(tmp_path, tiny_model_dir), made.path)
    runs.write_pairs(tmp_path / "pairs.jsonl", runs.ROWS[:9])
    with pytest.raises(DataError, match="is not what"):
        label(recipe(tmp_path, tiny_model_dir), made.path)


def test_one_process_at_a_time(tmp_path: Path, tiny_model_dir: Path) -> None:
    with locked(tmp_path / "labels.records"), pytest.raises(LockedError):
        label(recipe(tmp_path, tiny_model_dir), tmp_path / "labels.jsonl")


# Refused


def test_files_that_are_not_ours_stay(tmp_path: Path, tiny_model_dir: Path) -> None:
    out = tmp_path / "labels.jsonl"
    out.write_text("mine\n")
    with pytest.raises(ConfigError, match="exists and no"):
        label(recipe(tmp_path, tiny_model_dir), out)
    assert out.read_text() == "mine\n"
    with pytest.raises(ConfigError, match="is the file that is labelled"):
        label(recipe(tmp_path, tiny_model_dir), tmp_path / "pairs.jsonl", fresh=True)
    assert len(read_pairs(tmp_path / "pairs.jsonl")) == 10
    with pytest.raises(ConfigError, match="jsonl or"):
        label(recipe(tmp_path, tiny_model_dir), tmp_path / "labels.csv")


def test_what_cannot_work_is_refused_before_weights_load(
    tmp_path: Path, tiny_model_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(labelling, "load_policy", lambda *a, **k: pytest.fail("loaded"))
    out = tmp_path / "labels.jsonl"
    runs.write_pairs(tmp_path / "pairs.jsonl", [{k: v for k, v in row.items() if k != "target"} for row in runs.ROWS])
    with pytest.raises(DataError, match="chooses by nothing else"):
        label(recipe(tmp_path, tiny_model_dir, "oracle"), out)
    with pytest.raises(ConfigError, match="no alias, no folder"):
        label(
            recipe(tmp_path, tiny_model_dir, "multi_view", labeller={"judge": {"kind": "model", "model": "no such"}}),
            out,
        )
    model = {"id": str(tiny_model_dir), "adapter": str(tmp_path)}
    with pytest.raises(ConfigError, match=r"adapter_config\.json"):
        label(recipe(tmp_path, tiny_model_dir, model=model), out)
    with pytest.raises(DataError, match="longer than the context"):
        label(recipe(tmp_path, tiny_model_dir, max_new_tokens=5000), out)
    sides = [[{"role": "user", "content": text}, {"role": "assistant", "content": "It is"}] for text in ("a b", "b")]
    runs.write_pairs(tmp_path / "pairs.jsonl", [{"id": "x", "prompt": sides[0], "teacher_prompt": sides[1]}])
    for name in ("multi_view", "self_refinement"):
        with pytest.raises(DataError, match="end inside an answer"):
            label(recipe(tmp_path, tiny_model_dir, name), out)
    assert not out.exists()


def test_labels_that_are_all_missing_end_with_the_reasons(
    tmp_path: Path, tiny_model_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(labelling, "load_policy", lambda *a, **k: scripted.Scripted(tiny_model_dir, lambda *_: "hm"))
    with pytest.raises(DataError, match="10 x no candidate has a score: unreadable score: no score lines"):
        label(recipe(tmp_path, tiny_model_dir, "self_rewarding"), tmp_path / "labels.jsonl")
    assert not (tmp_path / "labels.jsonl").exists()
    assert len(read_jsonl(tmp_path / "labels.records" / "candidates.jsonl")) == 10


def test_a_disk_that_fails_leaves_whole_batches(
    tmp_path: Path, tiny_model_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, rows: Any) -> None:
        raise OSError(28, "No space left on device", str(path))

    with monkeypatch.context() as patch:
        patch.setattr(labelling, "append_jsonl", full)
        with pytest.raises(UnswayedError, match="No space left"):
            label(recipe(tmp_path, tiny_model_dir), tmp_path / "labels.jsonl")
    assert label(recipe(tmp_path, tiny_model_dir), tmp_path / "labels.jsonl").summary["labels"] == 10


# What training reads


def _one(tmp_path: Path, tiny_model_dir: Path) -> tuple[Chat, PromptPair]:
    made = label(recipe(tmp_path, tiny_model_dir, "self_distillation"), tmp_path / "labels.jsonl")
    pair = next(pair for pair in read_pairs(made.path) if pair.meta[KEY]["finish"] == "length")
    return Chat.load(tiny_model_dir), pair


def test_ids_are_used_as_drawn_and_text_only_where_they_mean_something_else(
    tmp_path: Path, tiny_model_dir: Path
) -> None:
    chat, pair = _one(tmp_path, tiny_model_dir)
    assert (target_ids(chat, pair), why_encoded(chat, pair)) == (tuple(pair.meta[KEY]["ids"]), None)
    edited = replace(pair, target="it is four")
    assert "changed" in str(why_encoded(chat, edited))
    whole = chat.encode_completion(pair.prompt, "it is four")
    # The draw ended at the length limit, so its text is no whole answer and no stop token is taught.
    assert target_ids(chat, edited) == whole[:-1]
    stopped = replace(edited, meta={**pair.meta, KEY: {**pair.meta[KEY], "finish": "stop"}})
    assert target_ids(chat, stopped) == whole
    other = Chat.load(tiny_model_dir, template=chat.template.replace("assistant\n", "assistant:\n"))
    assert "another tokenizer" in str(why_encoded(other, pair))
    unlabelled = replace(pair, target="it is four", meta={})
    assert (target_ids(chat, unlabelled), why_encoded(chat, unlabelled)) == (whole, None)
    for ids in ("text", [1.5], [True], [-1], [10**6]):
        with pytest.raises(DataError, match=r"meta\.labelling\.ids"):
            target_ids(chat, replace(pair, meta={KEY: {**pair.meta[KEY], "ids": ids}}))


def test_show_shows_the_ids_that_are_trained(tmp_path: Path, tiny_model_dir: Path) -> None:
    from unswayed.cli.show import view

    chat, pair = _one(tmp_path, tiny_model_dir)
    shown = view(chat, pair, pair.target, "the pair's target").completion
    assert shown is not None
    assert shown.ids == tuple(pair.meta[KEY]["ids"])
    other = view(chat, pair, "it is four", "--completion").completion
    assert other is not None
    assert other.ids == chat.encode_completion(pair.prompt, "it is four")


def test_a_silent_draw_is_trained_as_it_was_drawn(tmp_path: Path, tiny_model_dir: Path) -> None:
    chat = Chat.load(tiny_model_dir)
    silent = attach(scripted.pair(0, target="4"), "", (scripted.STOP,), "stop", chat, {"labeller": "self_distillation"})
    write_pairs(tmp_path / "silent.jsonl", [silent])
    (back,) = read_pairs(tmp_path / "silent.jsonl")
    assert target_ids(chat, back) == (scripted.STOP,)
    assert given_target(back) == "4"


def test_training_says_how_many_labels_it_encodes_again(
    tmp_path: Path, tiny_model_dir: Path, caplog: pytest.LogCaptureFixture
) -> None:
    made = label(recipe(tmp_path, tiny_model_dir), tmp_path / "labels.jsonl")
    rows = [json.loads(line) for line in made.path.read_text().splitlines()]
    rows[0]["target"] = "it is four"
    runs.write_pairs(tmp_path / "edited.jsonl", rows)
    training = runs.recipe(
        tmp_path,
        tiny_model_dir,
        data={"train": str(tmp_path / "edited.jsonl")},
        method={"name": "sft", "source": "target"},
    )
    prepare(training)
    assert caplog.messages == [
        "1 of 10 labels are encoded from their text, because the label was changed after it was drawn"
    ]
