"""Plans: the counts of the shipped matrix, keys that change with what counts, recipes in cells that read back."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from unswayed.config.document import read_toml, to_toml
from unswayed.config.labels import LabelRecipe
from unswayed.config.recipe import Recipe
from unswayed.core.errors import ConfigError
from unswayed.sweep.cell import Cell, read_cells
from unswayed.sweep.planning import Plan, plan
from unswayed.sweep.states import find_cell, why

SWEEPS = Path(__file__).resolve().parents[2] / "recipes" / "sweeps"


@pytest.fixture(scope="module")
def paper() -> tuple[Plan, float]:
    """The shipped matrix of the paper, and the seconds of CPU that planning it took."""
    began = time.process_time()
    return plan(SWEEPS / "paper.toml"), time.process_time() - began


def of_kind(planned: Plan, kind: str) -> list[Cell]:
    return [cell for cell in planned.cells if cell.kind == kind]


def test_the_matrix_of_the_paper_has_its_108_organisms(paper: tuple[Plan, float]) -> None:
    planned, seconds = paper
    told = planned.to_json()
    assert (told["organisms"], len(told["methods"]), len(told["models"]), len(told["families"])) == (108, 9, 7, 4)
    organisms = 4 * (5 * 5 + 2 * 1)
    assert told["cells"] == {
        "pairs": 4 * 5,
        "organism": organisms,
        "label": organisms * 7,  # five labellers, and two controls that label
        "train": organisms * 9,
        # traits of 7 base models, of every organism, and of 7 methods after 2 passes and 2 after 3; capability of the
        # base models, the organisms, and every method after the last pass
        "eval": (7 + organisms + organisms * (7 * 2 + 2 * 3)) + (7 + organisms + organisms * 9),
    }
    assert seconds < 2.0
    assert told["total_hours"] == pytest.approx(sum(told["hours"].values()), abs=0.01)
    assert all(hours > 0 for kind, hours in told["hours"].items() if kind != "pairs")
    assert told["judge_calls"] > 0


def test_an_organism_is_one_cell_however_many_need_it(paper: tuple[Plan, float]) -> None:
    planned, _ = paper
    organisms = of_kind(planned, "organism")
    assert len({cell.key for cell in organisms}) == len(organisms) == 108
    users = [cell for cell in planned.cells if organisms[0].key in cell.needs]
    assert {cell.kind for cell in users} == {"label", "train", "eval"}
    assert sum(cell.kind == "train" for cell in users) == 9
    assert len({cell.key for cell in planned.cells}) == len(planned.cells)
    assert len({cell.name for cell in planned.cells}) == len(planned.cells)


def test_needs_stand_before_those_that_need_them(paper: tuple[Plan, float]) -> None:
    seen: set[str] = set()
    for cell in paper[0].cells:
        assert set(cell.needs) <= seen
        seen.add(cell.key)


def test_optional_columns_share_the_organisms_of_the_others(paper: tuple[Plan, float]) -> None:
    more = plan(SWEEPS / "paper.toml", methods=["opct", "clean_to_clean", "constant"])
    assert [method.name for method in more.methods] == ["opct", "clean_to_clean", "constant"]
    assert {cell.key for cell in of_kind(more, "organism")} == {cell.key for cell in of_kind(paper[0], "organism")}
    with pytest.raises(ConfigError, match="no method is called nonsense"):
        plan(SWEEPS / "paper.toml", methods=["nonsense"])


def small(folder: Path, *settings: str) -> Plan:
    return plan(SWEEPS / "small.toml", set=[f"dir={folder}", *settings])


def test_recipes_in_cells_read_back_and_point_at_what_they_need(tmp_path: Path) -> None:
    planned = small(tmp_path)
    organisms = {cell.key for cell in of_kind(planned, "organism")}
    for cell in of_kind(planned, "train"):
        path = tmp_path / "recipe.toml"
        path.write_text(cell.files["recipe.toml"], encoding="utf-8")
        recipe = Recipe.load(path)
        assert str(recipe.run_dir) == "work/run"
        assert recipe.model.adapter is not None
        assert recipe.model.adapter.split("/")[1] in organisms & set(cell.needs)
        assert recipe.data.train.split("/")[1] in cell.needs
        assert recipe.seed == cell.axes["seed"]
        assert to_toml(recipe.to_dict()) == cell.files["recipe.toml"]
    for cell in of_kind(planned, "label"):
        path = tmp_path / "label.toml"
        path.write_text(cell.files["recipe.toml"], encoding="utf-8")
        assert LabelRecipe.load(path).model.adapter == f"../{cell.needs[0]}/out/organism"


def test_keys_change_with_what_counts_and_with_nothing_else(tmp_path: Path) -> None:
    keys = {cell.name: cell.key for cell in small(tmp_path).cells}
    same = {cell.name: cell.key for cell in small(tmp_path / "elsewhere", "rates.rollout=1").cells}
    assert same == keys
    other = {cell.name: cell.key for cell in small(tmp_path, "seeds=[1]").cells}
    assert not any(key in keys.values() for name, key in other.items() if "seed 1" in name)
    longer = {cell.name: cell.key for cell in small(tmp_path, "eval.units=25").cells}
    assert {name.split()[0] for name, key in longer.items() if key != keys[name]} == {"eval"}
    threads = {cell.name: cell.key for cell in small(tmp_path, "threads=2").cells}
    assert not set(threads.values()) & set(keys.values())


def test_why_follows_a_change_of_the_recipe(tmp_path: Path) -> None:
    folder = small(tmp_path).write()
    first = find_cell(read_cells(folder), "organism smollm2-135m sycophancy seed 0")
    (folder / "cells" / first.key).mkdir(parents=True)
    (folder / "cells" / first.key / "cell.json").write_text(json.dumps(first.to_json()), encoding="utf-8")
    small(tmp_path, 'families=[{name="sycophancy",pairs=96,rows=960,settings={"train.steps"=80}}]').write()
    told = why(folder, first.name)
    assert told["stale"] == [{"key": first.key, "changed": ["settings.train.steps: None there, 80 here"]}]


def test_a_file_of_pairs_may_stand_in_place_of_the_familys(tmp_path: Path) -> None:
    (tmp_path / "benign.jsonl").write_text("{}\n", encoding="utf-8")
    text = (SWEEPS / "small.toml").read_text(encoding="utf-8").replace("../", f"{SWEEPS.parent}/")
    text += f'\n[[methods]]\nname = "benign"\npairs = "benign.jsonl"\nrecipe = "{SWEEPS.parent}/bct.toml"\n'
    (tmp_path / "sweep.toml").write_text(text, encoding="utf-8")

    def cell() -> Cell:
        planned = plan(tmp_path / "sweep.toml", set=[f"dir={tmp_path}"], methods=["benign"])
        return of_kind(planned, "train")[0]

    before = cell()
    assert read_toml_text(tmp_path, before)["data"]["train"] == str(tmp_path / "benign.jsonl")
    (tmp_path / "benign.jsonl").write_text("{} \n", encoding="utf-8")
    assert cell().key != before.key


def read_toml_text(folder: Path, cell: Cell) -> dict[str, dict[str, str]]:
    path = folder / "text.toml"
    path.write_text(cell.files["recipe.toml"], encoding="utf-8")
    return read_toml(path, "recipe")


def test_axes_are_named_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"seeds are \[0, 0\]"):
        small(tmp_path, "seeds=[0,0]")
