"""An adapter fits the model it is put upon, or is refused with what does not. Numbers are those of known faults."""

from __future__ import annotations

import json
import logging
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from test_adapter_kinds import SHARED, make
from transformers import AutoModelForCausalLM

import runs
import tiny
from unswayed.config.recipe import Recipe
from unswayed.core.errors import ConfigError, DataError, NotFiniteError
from unswayed.engine.hf.engine import HFEngine
from unswayed.engine.hf.load import load_engine
from unswayed.engine.policy import load_policy
from unswayed.training.loop import train
from unswayed.training.prepare import prepare


@pytest.fixture(scope="module")
def adapter(tmp_path_factory: pytest.TempPathFactory, tiny_model_dir: Path) -> Path:
    return make(tiny_model_dir, tmp_path_factory.mktemp("fit") / "plain", SHARED["lora"])


def _changed(adapter: Path, folder: Path, change: Any) -> Path:
    """Copy an adapter whose tensors are renamed, cut or left out by `change`, a function of all of them."""
    shutil.copytree(adapter, folder)
    tensors = change(load_file(adapter / "adapter_model.safetensors"))
    save_file(tensors, folder / "adapter_model.safetensors", metadata={"format": "pt"})
    return folder


def _load(recipe: Recipe) -> HFEngine:
    prepared = prepare(recipe)
    return load_engine(prepared.recipe, prepared.source, prepared.chat)


def _everywhere(tmp_path: Path, base: Path, adapter: Path, match: str) -> None:
    """Evaluation, start and teacher refuse it alike."""
    with pytest.raises(ConfigError, match=match):
        load_policy(str(base), str(adapter), dtype="float32", device="cpu")
    for where in ({"model": {"adapter": str(adapter)}}, {"method": {"teacher": f"adapter:{adapter}"}}):
        with pytest.raises(ConfigError, match=match):
            _load(runs.recipe(tmp_path, base, **where))


CHANGES = {
    "renamed": (lambda t: {k.replace("self_attn", "attn"): v for k, v in t.items()}, "8 are missing.*8 have no place"),
    "stripped": (lambda t: {k.removeprefix("base_model.model."): v for k, v in t.items()}, "12 are missing.*12 have"),
    "layer missing": (lambda t: {k: v for k, v in t.items() if ".layers.1." not in k}, r"6 are missing.*s\.1\."),
    "none": (lambda t: {"other": torch.zeros(1)}, "12 are missing.*other"),
    "surplus": (lambda t: {**t, "base_model.model.model.layers.7.mlp.lora_A.weight": torch.zeros(2, 2)}, "1 have no"),
    "shape": (lambda t: {k: v[:, :-1].contiguous() if "lora_A" in k else v for k, v in t.items()}, "made for another"),
}  # fmt: skip


@pytest.mark.parametrize("change", CHANGES)
def test_2_27_tensors_that_do_not_fit_are_named(
    tmp_path: Path, tiny_model_dir: Path, adapter: Path, change: str
) -> None:
    function, match = CHANGES[change]
    _everywhere(tmp_path, tiny_model_dir, _changed(adapter, tmp_path / "changed", function), match)


def test_47_another_architecture_is_one_line(tmp_path: Path, adapter: Path) -> None:
    other = tiny.save(tiny.llama(hidden_size=48, num_attention_heads=4), tmp_path / "other")
    with pytest.raises(ConfigError, match="tensors have other shapes") as caught:
        load_policy(str(other), str(adapter), dtype="float32", device="cpu")
    assert "\n" not in str(caught.value)


def test_34_47_the_run_knows_its_base(tmp_path: Path, tiny_model_dir: Path, caplog: pytest.LogCaptureFixture) -> None:
    method = {"name": "sft", "source": "target"}
    run = train(runs.recipe(tmp_path, tiny_model_dir, method=method, optim={"lr": 5e-2}))
    policy = load_policy(str(tiny_model_dir), str(run.adapter), dtype="float32", device="cpu")
    from peft import PeftModel

    merged = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(tiny_model_dir), run.adapter)
    tiny.save(merged.merge_and_unload(), tmp_path / "merged")
    _everywhere(tmp_path / "b", tmp_path / "merged", run.adapter, "was trained on .* copy the adapter folder away")
    shutil.copytree(run.adapter, tmp_path / "away")
    with caplog.at_level(logging.WARNING):
        other = load_policy(str(tmp_path / "merged"), str(tmp_path / "away"), dtype="float32", device="cpu")
    assert "says that it was made for" in caplog.text
    assert other.identity != policy.identity


def test_34_an_adapter_inside_a_model_folder_is_refused_by_all(
    tmp_path: Path, tiny_model_dir: Path, adapter: Path
) -> None:
    both = shutil.copytree(tiny_model_dir, tmp_path / "both")
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        shutil.copy(adapter / name, both / name)
    with pytest.raises(ConfigError, match="holds an adapter too"):
        load_policy(str(both))
    with pytest.raises(ConfigError, match="holds an adapter too"):
        prepare(runs.recipe(tmp_path, both))


def test_4_an_adapters_own_template_is_used(
    tmp_path: Path, tiny_model_dir: Path, adapter: Path, caplog: pytest.LogCaptureFixture
) -> None:
    own = shutil.copytree(adapter, tmp_path / "own")
    text = tiny.CHAT_TEMPLATE.replace("'\n'", "' '")
    assert text != tiny.CHAT_TEMPLATE
    (own / "chat_template.jinja").write_text(text, encoding="utf-8")
    with caplog.at_level(logging.WARNING):
        policy = load_policy(str(tiny_model_dir), str(own), dtype="float32", device="cpu")
    assert "chat template of its own" in caplog.text
    assert policy.chat.template == text
    recipe = runs.recipe(tmp_path, tiny_model_dir, model={"adapter": str(own)}, train={"steps": 1})
    assert prepare(recipe).chat.template == text
    run = train(recipe)
    assert (run.adapter / "chat_template.jinja").read_text(encoding="utf-8") == text
    assert run.policy.chat.template == text
    caplog.clear()
    plain = prepare(runs.recipe(tmp_path, tiny_model_dir, method={"teacher": f"adapter:{own}"}))
    assert "it is not used" in caplog.text
    assert plain.chat.template == load_policy(str(tiny_model_dir), str(adapter)).chat.template


@pytest.mark.parametrize("text", ["{", "[]", '{"peft_type": "LORA", "r": "two"}', '{"peft_type": "LORA", "zz": 1}'])
def test_38_a_broken_configuration_is_named(tmp_path: Path, tiny_model_dir: Path, adapter: Path, text: str) -> None:
    broken = shutil.copytree(adapter, tmp_path / "broken")
    (broken / "adapter_config.json").write_text(text, encoding="utf-8")
    _everywhere(tmp_path, tiny_model_dir, broken, "broken")


def test_48_a_target_that_matches_nothing_is_refused(tmp_path: Path, tiny_model_dir: Path) -> None:
    prepared = prepare(runs.recipe(tmp_path, tiny_model_dir, lora={"targets": ["q_proj", "v_prj"]}))
    with pytest.raises(ConfigError, match=r"'v_prj' matches no layer.*did you mean 'v_proj'\?"):
        load_engine(prepared.recipe, prepared.source, prepared.chat)
    prepared = prepare(runs.recipe(tmp_path, tiny_model_dir, lora={"targets": ["q_proj", "layers.1.mlp.up_proj"]}))
    engine = load_engine(prepared.recipe, prepared.source, prepared.chat)
    assert {name.split(".lora")[0].rpartition("layers.")[2] for name in engine.trainable} == {
        "0.self_attn.q_proj", "1.self_attn.q_proj", "1.mlp.up_proj",
    }  # fmt: skip


@pytest.mark.parametrize("place", ["layers.1.mlp.up_proj.weight", "embed_tokens.weight", "norm.weight"])
def test_39_nan_in_the_base_is_not_finite(tmp_path: Path, place: str) -> None:
    model = tiny.llama()
    with torch.no_grad():
        model.model.get_parameter(place).view(-1)[:40] = float("nan")
    folder = tiny.save(model, tmp_path / "nan")
    recipe = runs.recipe(tmp_path, folder)
    with pytest.raises(NotFiniteError, match=place.rpartition(".")[0]):
        train(recipe)
    assert json.loads((recipe.run_dir / "FAILED.json").read_text())["exit_code"] == 6


def test_39_a_changed_template_is_called_so(tmp_path: Path, tiny_model_dir: Path) -> None:
    folder = shutil.copytree(tiny_model_dir, tmp_path / "model")
    train(recipe := runs.recipe(tmp_path, folder, train={"steps": 1}))
    for file in ("chat_template.jinja", "tokenizer_config.json"):
        if (folder / file).exists():
            changed = (folder / file).read_text(encoding="utf-8").replace("assistant", "helper")
            (folder / file).write_text(changed, encoding="utf-8")
    with pytest.raises(DataError, match=r"same bytes.*chat template") as caught:
        train(recipe, resume=True)
    assert "SHA-256" not in str(caught.value)
