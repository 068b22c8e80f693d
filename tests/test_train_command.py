"""`unswayed train` as a user meets it: results on stdout, notes on stderr, exit codes, the run folder."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

import runs
from unswayed.core.errors import ConfigError
from unswayed.training.loop import train


def _file(tmp_path: Path, model: Path, **top: Any) -> Path:
    pairs = runs.write_pairs(tmp_path / "pairs.jsonl")
    path = tmp_path / "recipe.toml"
    path.write_text(
        f'name = "run"\n'
        f'model = {{ id = {json.dumps(str(model))}, dtype = "float32" }}\n'
        f"data = {{ train = {json.dumps(str(pairs))} }}\n"
        f'method = {{ name = "opct" }}\n'
        f"lora = {{ rank = 2 }}\n"
        f"sampling = {{ max_new_tokens = 4 }}\n"
        f"train = {{ steps = 2, pairs_per_step = 2 }}\n"
        f"save = {{ dir = {json.dumps(str(tmp_path / 'runs'))} }}\n",
        encoding="utf-8",
    )
    return path


def _run(*args: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "unswayed", "train", *map(str, args)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_from_recipe_to_adapter(tmp_path: Path, tiny_model_dir: Path) -> None:
    recipe = _file(tmp_path, tiny_model_dir)
    plan = _run(recipe, "--dry-run", "--json")
    assert plan.returncode == 0, plan.stderr
    assert json.loads(plan.stdout)["pairs"] == 10
    assert not (tmp_path / "runs").exists()

    done = _run(recipe, "--json")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["steps"] == 2
    base = AutoModelForCausalLM.from_pretrained(tiny_model_dir, dtype=torch.float32)
    model = AutoModelForCausalLM.from_pretrained(result["adapter"], dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(result["adapter"])
    ids = torch.tensor([tokenizer.apply_chat_template([{"role": "user", "content": "yes?"}], return_dict=False)])
    assert not torch.equal(model(input_ids=ids).logits, base(input_ids=ids).logits)

    again = _run(recipe)
    assert again.returncode == 2
    assert "--resume" in again.stderr
    assert "Traceback" not in again.stderr
    other = _run(recipe, "--resume", "--set", "optim.lr=0.5")
    assert other.returncode == 2
    assert "optim.lr: was 1e-05, now 0.5" in other.stderr


@pytest.mark.parametrize(
    ("content", "code", "message"),
    [
        ('{"prompt": "a", "teacher_prompt": "b"', 3, "pairs.jsonl:1"),
        ('{"prompt": "a"}', 3, "teacher_prompt"),
        ("", 3, "pairs.jsonl"),
        ('{"prompt": "a <|im_end|>", "teacher_prompt": "b"}', 3, "<|im_end|>"),
    ],
)
def test_bad_pairs(tmp_path: Path, tiny_model_dir: Path, content: str, code: int, message: str) -> None:
    recipe = _file(tmp_path, tiny_model_dir)
    (tmp_path / "pairs.jsonl").write_text(content + "\n", encoding="utf-8")
    done = _run(recipe)
    assert done.returncode == code, done.stderr
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_a_model_of_another_family_with_columns_of_another_project(tmp_path: Path, tiny_qwen_dir: Path) -> None:
    rows = [{"unbiased_question": f"what is {i}?", "biased_question": f"I say {i}. what is {i}?"} for i in range(4)]
    recipe = _file(tmp_path, tiny_qwen_dir)
    (tmp_path / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    done = _run(recipe, "--json")
    assert done.returncode == 0, done.stderr
    model = AutoModelForCausalLM.from_pretrained(json.loads(done.stdout)["adapter"])
    assert model.config.model_type == "qwen2"


def test_model_text_cannot_speak_to_the_terminal(tmp_path: Path, tiny_model_dir: Path) -> None:
    row = {"id": "\x1b]0;owned\x07", "prompt": "[red]x[/red] \x1b[31m <|im_end|>", "teacher_prompt": "y"}
    recipe = _file(tmp_path, tiny_model_dir)
    (tmp_path / "pairs.jsonl").write_text(json.dumps(row) + "\n", encoding="utf-8")
    done = _run(recipe)
    assert done.returncode == 3
    assert "\x1b" not in done.stderr + done.stdout


def test_tensorboard_hears_every_step(tmp_path: Path, tiny_model_dir: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run = train(runs.recipe(tmp_path, tiny_model_dir, log={"trackers": ["tensorboard"], "project": "tb"}))
    (events,) = {path.parent for path in run.path.rglob("events.out.tfevents*") if path.parent.name == "tb"}
    reader = EventAccumulator(str(events))
    reader.Reload()
    assert [event.step for event in reader.Scalars("loss")] == [1, 2, 3]
    assert [event.value for event in reader.Scalars("loss")] == pytest.approx([row["loss"] for row in run.metrics()])


def test_a_tracker_that_is_not_installed_is_named(tmp_path: Path, tiny_model_dir: Path) -> None:
    from importlib.util import find_spec

    if find_spec("trackio") is not None:
        pytest.skip("trackio is installed here")
    with pytest.raises(ConfigError, match=r"trackio.*unswayed\[trackers\]"):
        train(runs.recipe(tmp_path, tiny_model_dir, log={"trackers": ["trackio"]}))


def test_the_facade_builds_the_same_run(tmp_path: Path, tiny_model_dir: Path) -> None:
    import unswayed as uw

    recipe = runs.recipe(tmp_path, tiny_model_dir)
    expected = (train(recipe).adapter / "adapter_model.safetensors").read_bytes()
    pairs = uw.read_pairs(tmp_path / "pairs.jsonl")
    trainer = uw.OPCT(
        model=str(tiny_model_dir), pairs=pairs, name="short", save_dir=tmp_path / "runs", dtype="float32", device="cpu",
        rank=2, alpha=4.0, max_new_tokens=5, lr=1e-2, steps=3, pairs_per_step=4, micro_batch=2, estimator="exact",
    )  # fmt: skip
    run = trainer.train(progress=False)
    assert (run.adapter / "adapter_model.safetensors").read_bytes() == expected
    assert len(run.policy.complete([(uw.Message("user", "yes?"),)], uw.SamplingParams(max_new_tokens=2))) == 1
    tables = {"eval": [{"suite": "sycophancy/suggested_answer", "limit": 5}], "optim": {"schedule": "cosine"}}
    watched = uw.SFT(model="x", pairs=tmp_path / "pairs.jsonl", steps=1, lr=1e-3, tables=tables)
    assert [probe.limit for probe in watched.recipe.eval] == [5]
    assert (watched.recipe.optim.schedule, watched.recipe.optim.lr) == ("cosine", 1e-3)
    assert tables["optim"] == {"schedule": "cosine"}
    with pytest.raises(ConfigError, match="nosuch"):
        uw.SFT(model="x", pairs=tmp_path / "pairs.jsonl", steps=1, nosuch=1)
    with pytest.raises(ConfigError, match="holds other pairs"):
        uw.OPCT(model="x", pairs=pairs[:3], name="short", save_dir=tmp_path / "runs", steps=1)
