"""Policies by name: a model, a finished run, a PEFT folder; the same weights whichever way they are named."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import unswayed as uw
from runs import recipe
from unswayed.core.errors import ConfigError
from unswayed.core.types import Message, SamplingParams
from unswayed.engine.named import base_of, load_policy
from unswayed.engine.policy import load_policy as load_weights

ASK = ((Message("user", "2 + 2?"),),)
PARAMS = SamplingParams(temperature=0.0, max_new_tokens=8)


@pytest.fixture(scope="module")
def run(tiny_model_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("named")
    return uw.train(recipe(folder, tiny_model_dir, train={"steps": 2}, optim={"lr": 0.5})).path


def test_a_run_its_adapter_and_base_plus_adapter_are_one_policy(run: Path, tiny_model_dir: Path) -> None:
    base, adapter, settings = base_of(str(run))
    assert (base, adapter) == (str(tiny_model_dir), str(run / "adapter"))
    assert settings["dtype"] == "float32"
    assert "device" not in settings  # this machine may have another
    found = [
        load_policy(str(run)),
        load_policy(str(run / "adapter")),
        load_policy(str(tiny_model_dir), str(run / "adapter"), dtype="float32"),
        load_weights(str(tiny_model_dir), str(run / "adapter"), dtype="float32"),
    ]
    assert len({policy.identity for policy in found}) == 1
    assert len({policy.complete(ASK, PARAMS)[0].text for policy in found}) == 1
    plain = load_policy(str(tiny_model_dir), dtype="float32")
    assert plain.identity not in {policy.identity for policy in found}
    assert [found[0].name, found[1].name] == [str(run), str(run / "adapter")]


def test_a_peft_folder_elsewhere_finds_its_base(run: Path, tmp_path: Path) -> None:
    shutil.copytree(run / "adapter", tmp_path / "somebody")
    named = load_policy(str(tmp_path / "somebody"), dtype="float32")
    assert named.identity == load_policy(str(run)).identity


def test_what_has_no_base_or_is_unfinished_says_so(run: Path, tmp_path: Path, tiny_model_dir: Path) -> None:
    shutil.copytree(run, tmp_path / "r")
    with pytest.raises(ConfigError, match="is an adapter itself"):
        load_policy(str(run), str(run / "adapter"))
    with pytest.raises(ConfigError, match="is no endpoint"):
        load_policy(str(tiny_model_dir), endpoint_params={"a": 1})
    (tmp_path / "r" / "recipe.json").write_text("{")
    with pytest.raises(ConfigError, match="cannot be read"):
        load_policy(str(tmp_path / "r"))
    shutil.rmtree(tmp_path / "r" / "adapter")
    with pytest.raises(ConfigError, match="published no adapter"):
        load_policy(str(tmp_path / "r"))
    shutil.copytree(run / "adapter", tmp_path / "a")
    config = json.loads((tmp_path / "a" / "adapter_config.json").read_text())
    (tmp_path / "a" / "adapter_config.json").write_text(json.dumps({**config, "base_model_name_or_path": None}))
    with pytest.raises(ConfigError, match="names no base model"):
        load_policy(str(tmp_path / "a"))


def test_a_model_folder_is_its_own_base(tiny_model_dir: Path) -> None:
    assert base_of(str(tiny_model_dir)) == (str(tiny_model_dir), None, {})
    assert base_of("smollm2-135m") == ("smollm2-135m", None, {})
