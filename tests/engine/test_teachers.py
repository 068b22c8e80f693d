"""Who the teacher is: start, base, another adapter, another model; none of them ever moves."""

from pathlib import Path

import pytest
import torch

import runs
from unswayed.config.recipe import Recipe
from unswayed.core.errors import ConfigError
from unswayed.core.types import SamplingParams
from unswayed.engine.hf.load import load_engine
from unswayed.methods import Step
from unswayed.training.loop import train
from unswayed.training.prepare import prepare

PARAMS = SamplingParams(max_new_tokens=4)


@pytest.fixture(scope="module")
def organism(tmp_path_factory: pytest.TempPathFactory, tiny_model_dir: Path) -> Path:
    """An adapter that was trained before, to start from."""
    folder = tmp_path_factory.mktemp("organism")
    method = {"name": "sft", "source": "target"}
    return train(runs.recipe(folder, tiny_model_dir, method=method, optim={"lr": 5e-2})).adapter


def _hidden(recipe: Recipe, role: str = "teacher") -> list[torch.Tensor]:
    prepared = prepare(recipe)
    engine = load_engine(prepared.recipe, prepared.source, prepared.chat)
    fingerprint = engine.teacher_fingerprint()
    batch = prepared.method.collect(prepared.pairs[:3], engine, Step(0, 0, PARAMS)).batch
    fixed = [(1, 5, 9), (2, 7), (8,)]
    rows = [
        type(row)(row.pair_id, row.prompt_ids, row.teacher_prompt_ids, ids, (1.0,) * len(ids))
        for row, ids in zip(batch.rows, fixed, strict=True)
    ]
    before = engine.score(type(batch)(tuple(rows)), role)  # type: ignore[arg-type]
    sums = engine.forward_backward(batch, prepared.method.loss)
    engine.optim_step(1e-2, sums.count, 1.0)
    after = engine.score(type(batch)(tuple(rows)), "teacher")
    if role == "teacher":
        assert all(torch.equal(a.hidden_ND, b.hidden_ND) for a, b in zip(before, after, strict=True))
    assert engine.teacher_fingerprint() == fingerprint
    return [scored.hidden_ND for scored in before]


def _equal(a: list[torch.Tensor], b: list[torch.Tensor]) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


def test_start_base_and_adapter_are_who_they_say(tmp_path: Path, tiny_model_dir: Path, organism: Path) -> None:
    model = {"adapter": str(organism)}
    plain = _hidden(runs.recipe(tmp_path, tiny_model_dir))
    start = _hidden(runs.recipe(tmp_path, tiny_model_dir, model=model, method={"teacher": "start"}))
    base = _hidden(runs.recipe(tmp_path, tiny_model_dir, model=model, method={"teacher": "base"}))
    named = _hidden(runs.recipe(tmp_path, tiny_model_dir, method={"teacher": f"adapter:{organism}"}))
    assert _equal(base, plain)
    assert _equal(start, named)
    assert not _equal(start, base)


def test_the_student_starts_as_a_copy_of_the_organism(tmp_path: Path, tiny_model_dir: Path, organism: Path) -> None:
    recipe = runs.recipe(tmp_path, tiny_model_dir, model={"adapter": str(organism)})
    prepared = prepare(recipe)
    engine = load_engine(recipe, prepared.source, prepared.chat)
    rows = prepared.method.collect(prepared.pairs[:3], engine, Step(0, 0, PARAMS)).batch
    same = type(rows)(
        tuple(type(r)(r.pair_id, r.prompt_ids, r.prompt_ids, r.completion_ids, r.loss_mask) for r in rows.rows)
    )
    student, teacher = engine.score(same, "student"), engine.score(same, "teacher")
    assert all(torch.equal(s.hidden_ND, t.hidden_ND) for s, t in zip(student, teacher, strict=True))


def test_another_model_as_teacher(tmp_path: Path, tiny_model_dir: Path) -> None:
    import tiny

    other = tiny.llama()
    tiny.fill(other, seed=99)
    folder = tiny.save(other, tmp_path / "other")
    foreign = _hidden(runs.recipe(tmp_path, tiny_model_dir, method={"teacher": f"model:{folder}"}))
    assert not _equal(foreign, _hidden(runs.recipe(tmp_path, tiny_model_dir)))


def test_a_teacher_with_another_tokenizer_is_refused(tmp_path: Path, tiny_model_dir: Path, tiny_qwen_dir: Path) -> None:
    tokenizer = tiny_qwen_dir.parent / "changed"
    import shutil

    shutil.copytree(tiny_qwen_dir, tokenizer, dirs_exist_ok=True)
    config = tokenizer / "tokenizer_config.json"
    config.write_text(config.read_text(encoding="utf-8").replace("2048", "1024"), encoding="utf-8")
    recipe = runs.recipe(tmp_path, tiny_model_dir, method={"teacher": f"model:{tokenizer}"})
    with pytest.raises(ConfigError, match=r"another tokenizer.*method\.teacher = 'start'"):
        prepare(recipe)  # which loads no weights


@pytest.mark.parametrize("files", [[], ["adapter_config.json"]])
def test_a_folder_that_is_no_adapter_is_refused(tmp_path: Path, tiny_model_dir: Path, files: list[str]) -> None:
    folder = tmp_path / "empty"
    folder.mkdir()
    for name in files:
        (folder / name).write_text("{}", encoding="utf-8")
    recipe = runs.recipe(tmp_path, tiny_model_dir, model={"adapter": str(folder)})
    with pytest.raises(ConfigError, match="adapter"):
        prepare(recipe)  # which loads no weights
