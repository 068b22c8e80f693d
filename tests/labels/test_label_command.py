"""`unswayed label` as typed: what it prints, and how it ends."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

import runs
from unswayed.cli.main import cli
from unswayed.config.labels import LabelRecipe
from unswayed.core.errors import ConfigError

ROOT = Path(__file__).resolve().parents[2]
RECIPES = sorted((ROOT / "recipes" / "labels").glob("*.toml"))


@pytest.fixture
def recipe_file(tmp_path: Path, tiny_model_dir: Path) -> Path:
    pairs = runs.write_pairs(tmp_path / "pairs.jsonl")
    path = tmp_path / "recipe.toml"
    path.write_text(
        f'max_new_tokens = 8\neval_max_new_tokens = 8\n[model]\nid = "{tiny_model_dir}"\ndtype = "float32"\n'
        f'device = "cpu"\n[data]\ntrain = "{pairs}"\n[labeller]\nname = "self_training"\n',
        encoding="utf-8",
    )
    return path


def call(*words: str | Path) -> tuple[str, BaseException | None]:
    result = CliRunner().invoke(cli, ["label", *(str(word) for word in words)])
    return result.stdout, None if isinstance(result.exception, SystemExit) else result.exception


def test_label_prints_what_it_did(tmp_path: Path, recipe_file: Path) -> None:
    out = tmp_path / "labels.jsonl"
    plan, error = call(recipe_file, "-o", out, "--dry-run")
    assert error is None
    assert "self_training" in plan
    assert not out.exists()
    said, error = call(recipe_file, "-o", out)
    assert error is None
    assert said.startswith("10 of 10 pairs labelled by self_training\n")
    assert str(out) in said
    again, error = call(recipe_file, "-o", out, "--json")
    assert error is None
    assert json.loads(again)["path"] == str(out)


def test_settings_from_the_command_line(tmp_path: Path, recipe_file: Path) -> None:
    out = tmp_path / "labels.jsonl"
    _, error = call(recipe_file, "-o", out, "--set", "max_new_tokens=4")
    assert isinstance(error, ConfigError)
    said, error = call(
        recipe_file, "-o", out, "--set", "labeller.name=random_selection", "--set", "labeller.k=2", "--json"
    )
    assert error is None
    assert json.loads(said)["candidates"] == 20
    _, error = call(recipe_file, "-o", out)
    assert isinstance(error, ConfigError)
    said, error = call(recipe_file, "-o", out, "--fresh", "--json")
    assert error is None
    assert json.loads(said)["candidates"] == 10


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.name)
def test_label_recipes_parse_and_are_named_after_their_labeller(path: Path) -> None:
    recipe = LabelRecipe.load(path)
    assert recipe.labeller.name == path.stem
    assert LabelRecipe.from_dict(recipe.to_dict()) == recipe


def test_every_labeller_has_a_recipe() -> None:
    from unswayed.labels.labellers import LABELLERS

    assert {path.stem for path in RECIPES} == set(LABELLERS) - {"anti_oracle"}
