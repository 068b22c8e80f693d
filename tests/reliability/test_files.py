"""Folders and files that are not ours, or not as we wrote them: nothing foreign is deleted, and damage is named."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

import runs
from unswayed.cli.runs import app as runs_app
from unswayed.core.errors import CheckpointError, ConfigError, DataError
from unswayed.core.files import locked, remove_leftovers
from unswayed.training.loop import Run, train
from unswayed.training.run_folder import MARKER


def tree(folder: Path) -> dict[str, bytes]:
    """Every file below a folder with its bytes, the lock left out."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file() and p.name != "LOCK"}


@pytest.mark.parametrize("name", ["thesis.md", ".tmp-photos-7", "checkpoints/last.pt", "recipe.json"])
@pytest.mark.parametrize("fresh", [True, False])
def test_26_a_folder_of_other_files_is_never_emptied(
    tmp_path: Path, tiny_model_dir: Path, name: str, fresh: bool
) -> None:
    recipe = runs.recipe(tmp_path, tiny_model_dir)
    file = recipe.run_dir / name
    file.parent.mkdir(parents=True)
    file.write_text("years of work")
    before = tree(recipe.run_dir)
    if fresh or name in {"checkpoints/last.pt", "recipe.json"}:  # where a run would write
        with pytest.raises(ConfigError, match=rf"holds {Path(name).parts[0]}.*nothing was changed") as caught:
            train(recipe, fresh=fresh)
        assert caught.value.exit_code == 2
        assert tree(recipe.run_dir) == before
    else:
        train(recipe)
        assert before.items() <= tree(recipe.run_dir).items()


def test_26_fresh_deletes_what_a_run_wrote_and_nothing_else(tmp_path: Path, tiny_model_dir: Path) -> None:
    recipe = runs.recipe(tmp_path, tiny_model_dir)
    first = train(recipe)
    events = first.path / "unswayed" / "events.out.tfevents.1"
    foreign = [first.path / "notes.txt", first.path / ".tmp-mine", first.path / "unswayed" / "kept"]
    events.parent.mkdir()
    for file in (events, *foreign):
        file.write_text("x")
    left = first.path / ".tmp-metrics.jsonl-123"
    left.write_text("cut off")
    again = train(recipe, fresh=True)
    assert again.metrics()[-1]["loss"] == first.metrics()[-1]["loss"]
    assert all(file.exists() for file in foreign)
    assert not events.exists()
    assert not left.exists()


def test_38_a_fresh_that_was_killed_is_said_and_begins_anew(tmp_path: Path, tiny_model_dir: Path) -> None:
    recipe = runs.recipe(tmp_path, tiny_model_dir)
    whole = train(recipe)
    expected = (whole.adapter / "adapter_model.safetensors").read_bytes()
    (whole.path / "recipe.json").unlink()  # the first that goes
    for resume in (True, False):
        with pytest.raises(ConfigError, match="start over with --fresh"):
            train(recipe, resume=resume)
    again = train(recipe, fresh=True)
    assert (again.adapter / "adapter_model.safetensors").read_bytes() == expected
    assert [row["step"] for row in again.metrics()] == [1, 2, 3]


@pytest.mark.parametrize("name", ["recipe.json", "data.json", "model.json", "metrics.jsonl"])
@pytest.mark.parametrize("content", [b'{"a": ', b"[]", b"\xff\xfe", b"[" * 100_000])
def test_38_a_damaged_file_of_a_run_is_named(tmp_path: Path, tiny_model_dir: Path, name: str, content: bytes) -> None:
    recipe = runs.recipe(tmp_path, tiny_model_dir, train={"steps": 1})
    run = train(recipe)
    (run.path / "DONE.json").unlink()
    (run.path / name).write_bytes(content + (b"\n{}\n" if name == "metrics.jsonl" else b""))
    with pytest.raises(DataError, match=rf"{name}.*changed by something else"):
        train(recipe, resume=True)


def test_35_a_lock_that_is_a_link_or_a_file_of_others_stays_as_it_is(tmp_path: Path) -> None:
    target, lock = tmp_path / "important", tmp_path / "run" / "LOCK"
    lock.parent.mkdir()
    target.write_text("keep me")
    lock.symlink_to(target)
    with pytest.raises(ConfigError, match="LOCK is a link"), locked(lock.parent):
        pass
    lock.unlink()
    os.link(target, lock)
    with pytest.raises(ConfigError, match="no lock of this program"), locked(lock.parent):
        pass
    assert target.read_text() == "keep me"
    lock.unlink()
    with locked(lock.parent):
        assert lock.read_text().startswith(f"pid {os.getpid()} on ")


def test_35_verify_finds_a_flipped_bit_in_the_published_adapter(tmp_path: Path, tiny_model_dir: Path) -> None:
    run = train(runs.recipe(tmp_path, tiny_model_dir))
    assert CliRunner().invoke(runs_app, ["verify", str(run.path)]).exit_code == 0
    (run.adapter / "README.md").write_text("my own words")
    assert CliRunner().invoke(runs_app, ["verify", str(run.path)]).exit_code == 0
    weights = run.adapter / "adapter_model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    found = CliRunner().invoke(runs_app, ["verify", str(run.path)])
    assert isinstance(found.exception, CheckpointError)
    assert "adapter_model.safetensors differs from what the run wrote" in found.stdout
    weights.unlink()
    assert "adapter_model.safetensors is missing" in CliRunner().invoke(runs_app, ["verify", str(run.path)]).stdout


def test_42_a_killed_writer_leaves_nothing_that_its_next_call_does_not_remove(tmp_path: Path) -> None:
    """As `data build` and `compare` do: they write beside files that are not theirs, and hold no lock."""
    path = tmp_path / "compare.json"
    program = (
        "import os, signal; from pathlib import Path; from unswayed.core import files\n"
        "os.rename = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
        f"files.write_json(Path({str(path)!r}), {{}})"
    )
    killed = subprocess.run([sys.executable, "-c", program], check=False)
    assert killed.returncode == -signal.SIGKILL
    (left,) = tmp_path.iterdir()
    foreign = [
        tmp_path / ".tmp-compare.json-x",
        tmp_path / ".tmp-other-1",
        tmp_path / f".tmp-compare.json-{os.getppid()}",
    ]
    for file in foreign:
        file.write_text("not ours, or still running")
    remove_leftovers(path)
    assert not left.exists()
    assert all(file.exists() for file in foreign)


def test_26_the_marker_is_the_first_that_a_run_writes(
    tmp_path: Path, tiny_model_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import unswayed.training.run_folder as module

    written: list[str] = []
    real = module.write_json
    monkeypatch.setattr(module, "write_json", lambda path, value: (written.append(path.name), real(path, value)))
    train(runs.recipe(tmp_path, tiny_model_dir, train={"steps": 1}))
    assert written[0] == MARKER


def test_58_a_finished_run_is_loaded_from_its_folder(tmp_path: Path, tiny_model_dir: Path) -> None:
    run = train(runs.recipe(tmp_path, tiny_model_dir))
    loaded = Run.load(run.path)
    assert loaded == run
    assert loaded.metrics() == run.metrics()
    assert loaded.policy.identity == run.policy.identity
    (run.path / "DONE.json").unlink()
    with pytest.raises(ConfigError, match="no finished run here"):
        Run.load(run.path)
