"""Recipes: closed to unknown keys, strict about types, every field marked."""

from pathlib import Path
from typing import Any

import pytest

from unswayed.config.recipe import Recipe, Table
from unswayed.core.errors import ConfigError

MINIMAL = """
name = "a-run"
model = { id = "smollm2-135m" }
data = { train = "pairs.jsonl" }
method = { name = "opct" }
train = { steps = 3 }
"""


@pytest.fixture
def recipe_file(tmp_path: Path) -> Path:
    path = tmp_path / "recipe.toml"
    path.write_text(MINIMAL, encoding="utf-8")
    return path


def _tables(table: type[Table]) -> list[type[Table]]:
    return [table, *(inner for sub in table.__subclasses__() for inner in _tables(sub))]


def test_every_field_is_science_or_operational() -> None:
    for table in _tables(Table):
        for name, field in table.model_fields.items():
            extra = field.json_schema_extra
            assert isinstance(extra, dict), f"{table.__name__}.{name} has no mark"
            assert extra["kind"] in {"science", "operational"}


def test_defaults_are_those_of_the_design(recipe_file: Path) -> None:
    recipe = Recipe.load(recipe_file)
    assert (recipe.lora.rank, recipe.lora.alpha, recipe.lora.dropout) == (32, 64.0, 0.0)
    assert recipe.sampling.temperature == 1.0
    assert (recipe.sampling.top_p, recipe.sampling.top_k) == (1.0, 0)
    assert recipe.method.teacher == "start"
    assert recipe.to_dict()["method"]["estimator"] == "exact"


def test_round_trip_through_json(recipe_file: Path) -> None:
    recipe = Recipe.load(recipe_file)
    assert Recipe.from_dict(recipe.to_dict()) == recipe


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("optim.lr=2e-5", 2e-5),
        ("optim.lr=1", 1.0),
        ("train.pairs_per_step=4", 4),
        ("save.dir=some/where", "some/where"),
        ('save.dir="quoted"', "quoted"),
    ],
)
def test_set_takes_toml_or_plain_text(recipe_file: Path, setting: str, value: Any) -> None:
    table, key = setting.split("=", maxsplit=1)[0].split(".")
    assert Recipe.load(recipe_file, set=[setting]).to_dict()[table][key] == value


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("optim.learning_rate=1", "optim.learning_rate: unknown key"),
        ("nosuch.x=1", "nosuch: unknown key"),
        ('optim.lr="fast"', "optim.lr"),
        ("optim.lr=true", "optim.lr"),
        ("optim.lr=nan", "optim.lr"),
        ("optim.lr=-1", "optim.lr"),
        ("train.pairs_per_step=1.5", "train.pairs_per_step"),
        ("train.epochs=1", "steps and epochs are both set"),
        ("sampling.temperature=0", "on-policy"),
        ("sampling.top_p=0.9", "top_p"),
        ("sampling.top_k=5", "top_k"),
        ("method.name=nosuch", "nosuch"),
        ("method.teacher=someone", "method.teacher"),
        ("method.discount=0.9", "estimator = 'sampled'"),
        ("save.keep=1", "save.keep"),
        ("name=../up", "name"),
        ("name=a/b", "name"),
        ("log.wandb_api_key=1", "secret"),
        ("model.hf_token=1", "secret"),
        ("optim.lr", "table.key=value"),
        ("name.inner=1", "is a value, not a table"),
    ],
)
def test_bad_settings_are_refused_by_name(recipe_file: Path, setting: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Recipe.load(recipe_file, set=[setting])
    assert message in str(caught.value)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("text", ["x = ", "a = 1\na = 2", "\x00", "[" * 20000])
def test_broken_toml_is_a_config_error(tmp_path: Path, text: str) -> None:
    path = tmp_path / "broken.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match="not valid TOML"):
        Recipe.load(path)


def test_missing_file_is_a_config_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot read the recipe"):
        Recipe.load(tmp_path / "none.toml")


def test_difference_names_science_fields_only(recipe_file: Path) -> None:
    before = Recipe.load(recipe_file)
    after = Recipe.load(recipe_file, set=["optim.lr=2e-5", "save.every_steps=7", "method.clamp=3.0"])
    assert after.difference(before.science()) == ["method.clamp: was null, now 3.0", "optim.lr: was 1e-05, now 2e-05"]


def test_set_with_no_value_takes_the_files_own_away(recipe_file: Path) -> None:
    """Shipped recipes give epochs; a first try wants steps."""
    with pytest.raises(ConfigError, match=r"--set train\.epochs="):
        Recipe.load(recipe_file, set=["train.epochs=2"])
    recipe = Recipe.load(recipe_file, set=["train.steps=", "train.epochs=2", "optim.nothing_there= "])
    assert (recipe.train.steps, recipe.train.epochs) == (None, 2)


def test_sampled_estimator_takes_a_discount(recipe_file: Path) -> None:
    recipe = Recipe.load(recipe_file, set=["method.estimator=sampled", "method.discount=0.9"])
    assert recipe.to_dict()["method"]["discount"] == 0.9
