"""Making an organism end to end on a tiny model: trained, measured, refused or published, and gone on with."""

from __future__ import annotations

from pathlib import Path

import pytest

import unswayed as uw
from unswayed.core.errors import ConfigError, DataError
from unswayed.organisms.family import Thresholds, families
from unswayed.organisms.folder import ABOUT
from unswayed.organisms.gate import Check
from unswayed.organisms.making import recipe_for, write_rows
from unswayed.organisms.registry import Variant, read_list, write_list

SMALL = ["lora.rank=2", "model.dtype='float32'", "train.pairs_per_step=4", "save.every_steps=1", "save.keep=4"]


@pytest.fixture
def lenient(monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    """A family whose gate lets everything pass, and asks little: a tiny model says noise."""
    entry = families()["sycophancy"]
    easy = Thresholds(units=2, rise=-2, lower=-2, margin=2, control=1, unscored=1)
    object.__setattr__(entry, "thresholds", easy)
    monkeypatch.setattr("unswayed.organisms.gate.checks", lambda *_: ())
    yield entry
    object.__setattr__(entry, "thresholds", Thresholds(units=90, chance=0.5))


def test_names_stay_functions() -> None:
    for _ in range(2):
        for name in uw.organisms.__all__:
            assert callable(getattr(uw.organisms, name)), name


def test_every_induction_is_a_recipe(tmp_path: Path) -> None:
    for entry in families().values():
        for made in entry.inductions.values():
            recipe = recipe_for(made, "smollm2-135m", tmp_path, 3, ["train.steps=7"])
            assert (recipe.train.steps, recipe.seed, recipe.method.name) == (7, 3, "sft")
            assert recipe.method.trains_on_targets
            said = write_rows(made, 8, 3, None, tmp_path / "rows.jsonl")
            assert said == write_rows(made, 8, 3, made.dose, tmp_path / "again.jsonl")


def test_a_dose_is_a_share_of_what_has_one(tmp_path: Path) -> None:
    entry = families()["spurious_correlation"].inductions["conflict"]
    assert entry.draw(50, 0, 0.0) != entry.draw(50, 0, 1.0)
    with pytest.raises(ConfigError, match="dose is 2; it is a share from 0 to 1"):
        entry.draw(5, 0, 2)
    with pytest.raises(ConfigError, match="only some inductions have one"):
        families()["sycophancy"].inductions["indirect"].draw(5, 0, 0.5)


def test_made_refused_published_checked_and_trained_on(
    tmp_path: Path, tiny_model_dir: Path, lenient: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "syc"
    arguments = {"model": str(tiny_model_dir), "rows": 8, "set_": [*SMALL, "train.steps=2"], "batch_size": 3}
    failing = Check("trait", False, "no rise")
    with monkeypatch.context() as patch:
        patch.setattr("unswayed.organisms.gate.checks", lambda *_: (failing,))
        refused = uw.organisms.make("sycophancy", out, **arguments)
    assert refused.organism is None
    assert refused.gate.reasons == ("no rise",)
    assert not out.exists()
    assert (refused.work / "gate.json").exists()
    made = uw.organisms.make("sycophancy", out, **arguments)  # goes on: trained already, only judged again
    assert made.organism is not None
    assert not refused.work.exists()
    assert (out / ABOUT).exists()
    assert uw.organisms.make("sycophancy", out, **arguments).organism is not None  # nothing left to do
    with pytest.raises(ConfigError, match=r"holds another organism .*seed 0, not 1"):
        uw.organisms.make("sycophancy", out, seed=1, **arguments)
    assert uw.organisms.check(out).seed == 100
    with pytest.raises(ConfigError, match="check it on those of another seed"):
        uw.organisms.check(out, seed=0)
    adopted = uw.organisms.adopt(out, "sycophancy", tmp_path / "adopted")
    assert adopted.organism is not None
    pairs = uw.organisms.find_family("sycophancy").pairs(4, 0)
    run = uw.OPCT(
        model=str(tiny_model_dir), pairs=pairs, adapter=str(out), steps=1, pairs_per_step=4, max_new_tokens=4,
        save_dir=tmp_path / "runs", dtype="float32", teacher="start",
    ).train(progress=False)  # fmt: skip
    small = uw.suite("organisms/sycophancy", 2)
    rows = uw.organisms.trajectory(run.path, [small], tmp_path / "path")
    assert [row["step"] for row in rows[:: len(small.metrics)]] == [0, 1]
    with pytest.raises(ConfigError, match="kept the steps 1, not 9"):
        uw.organisms.trajectory(run.path, [small], tmp_path / "path", steps=[9])
    write_list(tmp_path / "list.yaml", [made.organism, adopted.organism])
    assert read_list(tmp_path / "list.yaml") == [
        Variant("sycophancy", made.organism.base, "syc", str(out)),
        Variant("sycophancy", adopted.organism.base, "adopted", str(tmp_path / "adopted")),
    ]


def test_lists_of_the_diffing_toolkit(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(
        "# @package organism\nname: cake\ndescription_long: |\n  Long.\nfinetuned_models:\n  gemma3_1B:\n    full:\n"
        "      model_id: a/b\n    default:\n      adapter_id: c/d\n"
    )
    assert read_list(path) == [
        Variant("cake", "gemma3_1B", "full", "", "a/b"), Variant("cake", "gemma3_1B", "default", "c/d"),
    ]  # fmt: skip
    for text, said in (
        ("name: x", "has no `finetuned_models`"), ("- 1", "has no `name`"), ("a: [", "cannot be read as YAML"),
        ("name: x\nfinetuned_models: {m: {v: {}}}", "m.v: needs one of adapter_id and model_id"),
        ("name: x\nfinetuned_models: {m: 1}", "m: is no table"),
    ):  # fmt: skip
        path.write_text(text)
        with pytest.raises(DataError, match=said):
            read_list(path)
