"""The interface in Python: typed settings, models, LoRA configs and rows in memory, observers of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

import pytest

import runs
import unswayed as uw
from unswayed import api
from unswayed.config import methods as configs
from unswayed.core.errors import ConfigError, DataError

SETTINGS = {
    "opct": (api.OPCTSettings, configs.OPCTConfig),
    "sft": (api.SFTSettings, configs.SFTConfig),
    "bct": (api.CompletionSettings, configs.BCTConfig),
    "bct_soft": (api.BCTSoftSettings, configs.BCTSoftConfig),
    "act": (api.ACTSettings, configs.ACTConfig),
}


def kind(annotation: Any) -> Any:
    """The type without metadata, `Literal` as the set of its values."""
    values = get_args(annotation)
    return frozenset(values) if get_origin(annotation) is not None else annotation


@pytest.mark.parametrize("name", SETTINGS)
def test_typed_settings_are_the_fields_of_the_recipe(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import peft
    import transformers

    monkeypatch.setattr(api, "peft", peft, raising=False)
    monkeypatch.setattr(api, "transformers", transformers, raising=False)
    settings, config = SETTINGS[name]
    typed = get_type_hints(settings)
    fields = {field: info.annotation for field, info in config.model_fields.items() if field != "name"}
    recipe = api.Recipe.model_fields
    for short, (table, field) in api.SHORT.items():
        fields[short] = recipe[table].annotation.model_fields[field].annotation  # type: ignore[union-attr]
    own = {"model", "tokenizer", "pairs", "name", "save_dir", "seed", "lora", "callbacks", "tables"}
    assert typed.keys() - own == fields.keys()
    assert {field: kind(typed[field]) for field in fields} == {field: kind(value) for field, value in fields.items()}


SMALL = {"dtype": "float32", "device": "cpu", "max_new_tokens": 5, "lr": 1e-2, "steps": 2, "pairs_per_step": 2,
         "rank": 2, "alpha": 4.0}  # fmt: skip


def test_a_model_in_memory_trains_what_its_folder_trains(tmp_path: Path, tiny_model_dir: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(tiny_model_dir)
    tokenizer = AutoTokenizer.from_pretrained(tiny_model_dir)
    common = {"pairs": runs.ROWS, "save_dir": tmp_path, **SMALL}
    named = uw.OPCT(model=str(tiny_model_dir), name="named", **common).train(progress=False)
    held = uw.OPCT(model=model, tokenizer=tokenizer, name="held", **common).train(progress=False)
    files = [(run.adapter / "adapter_model.safetensors").read_bytes() for run in (named, held)]
    assert files[0] == files[1]
    again = uw.OPCT(model=model, tokenizer=tokenizer, name="held", **common)
    assert again.recipe.model.id == str(tmp_path / "held-model")
    model.get_input_embeddings().weight.data[0, 0] += 1
    with pytest.raises(ConfigError, match="holds another model"):
        uw.OPCT(model=model, tokenizer=tokenizer, name="held", **common)


def test_models_that_cannot_be_taken_are_refused(tmp_path: Path, tiny_model_dir: Path) -> None:
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(tiny_model_dir)
    common = {"pairs": runs.ROWS, "save_dir": tmp_path, "steps": 1}
    with pytest.raises(ConfigError, match="needs its tokenizer"):
        uw.OPCT(model=model, **common)
    with pytest.raises(ConfigError, match="without adapters"):
        uw.OPCT(model=get_peft_model(model, LoraConfig(target_modules="all-linear")), **common)
    with pytest.raises(ConfigError, match="is a int"):
        uw.OPCT(model=3, **common)
    with pytest.raises(ConfigError, match="brings its own"):
        uw.OPCT(model="x", tokenizer=object(), **common)
    with pytest.raises(ConfigError, match="needs model"):
        uw.OPCT(pairs=runs.ROWS)
    assert list(tmp_path.iterdir()) == []


def test_a_lora_config_becomes_the_recipes_table(tmp_path: Path) -> None:
    from peft import LoraConfig

    common = {"model": "x", "pairs": runs.ROWS, "save_dir": tmp_path, "steps": 1}
    lora = LoraConfig(r=3, lora_alpha=5, lora_dropout=0.25, target_modules=["v_proj", "q_proj"], task_type="CAUSAL_LM")
    table = uw.OPCT(lora=lora, **common).recipe.lora
    assert (table.rank, table.alpha, table.dropout, table.targets) == (3, 5.0, 0.25, ["q_proj", "v_proj"])
    assert uw.OPCT(lora=LoraConfig(), **common).recipe.lora.targets == "all-linear"
    with pytest.raises(ConfigError, match=r"sets bias, use_rslora"):
        uw.OPCT(lora=LoraConfig(use_rslora=True, bias="all"), **common)


def test_rows_in_memory_are_dictionaries_pairs_or_a_dataset(tmp_path: Path) -> None:
    from datasets import Dataset

    common = {"model": "x", "save_dir": tmp_path, "steps": 1}
    files = [
        Path(uw.OPCT(pairs=rows, name=name, **common).recipe.data.train)
        for name, rows in (("dicts", runs.ROWS), ("data", Dataset.from_list(runs.ROWS)))
    ]
    assert uw.read_pairs(files[0]) == uw.read_pairs(files[1])
    assert len(uw.read_pairs(files[0])) == len(runs.ROWS)
    with pytest.raises(DataError, match=r"row 2: teacher_prompt: missing") as caught:
        uw.OPCT(pairs=[runs.ROWS[0], {"prompt": "a"}, 7], name="bad", **common)
    assert "row 3: is a int" in str(caught.value)


def test_callbacks_observe_and_change_nothing(tmp_path: Path, tiny_model_dir: Path) -> None:
    seen: list[tuple[str, Any]] = []

    class Watch(uw.Callback):
        def on_step(self, row: Any) -> None:
            seen.append(("step", row["step"]))

        def on_checkpoint(self, step: int, run_dir: Path) -> None:
            assert (run_dir / "checkpoints").is_dir()
            seen.append(("checkpoint", step))

        def on_end(self, run_dir: Path) -> None:
            assert (run_dir / "adapter" / "adapter_model.safetensors").is_file()
            seen.append(("end", run_dir.name))

    common = {"model": str(tiny_model_dir), "pairs": runs.ROWS, "save_dir": tmp_path, **SMALL}
    common["tables"] = {"save": {"every_steps": 1}}
    plain = uw.OPCT(name="plain", **common).train(progress=False)
    watched = uw.OPCT(name="watched", callbacks=[Watch()], **common).train(progress=False)
    assert seen == [("step", 1), ("checkpoint", 1), ("step", 2), ("checkpoint", 2), ("end", "watched")]
    files = [(run.adapter / "adapter_model.safetensors").read_bytes() for run in (plain, watched)]
    assert files[0] == files[1]
