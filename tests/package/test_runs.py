"""`unswayed runs` on run folders made here: states, steps, damage and what prune may touch."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from unswayed.cli.runs import app, find_runs
from unswayed.core.errors import CheckpointError, ConfigError, UnswayedError
from unswayed.core.files import append_jsonl, lock_holder, locked, write_json
from unswayed.training import checkpoint


def make_run(folder: Path, steps: int = 0, every: int = 10, end: str = "") -> Path:
    """A run folder as the trainer leaves it: a metrics row a step, a checkpoint every few steps."""
    write_json(folder / "recipe.json", {"name": folder.name})
    append_jsonl(folder / "metrics.jsonl", [{"step": step, "loss": 1.5} for step in range(1, steps + 1)])
    for step in range(every, steps + 1, every):
        checkpoint.save(
            folder, step, lambda path, step=step: (path / "weights").write_bytes(bytes([step]) * 100), {}, keep=99
        )
    if end:
        write_json(folder / f"{end}.json", {})
    return folder


def call(*words: str | Path) -> tuple[int, str, BaseException | None]:
    result = CliRunner().invoke(app, [str(word) for word in words])
    return result.exit_code, result.stdout, None if isinstance(result.exception, SystemExit) else result.exception


def damage(folder: Path, step: int) -> None:
    path = folder / "checkpoints" / f"step-{step:06d}" / "weights"
    content = bytearray(path.read_bytes())
    content[50] ^= 1
    path.write_bytes(content)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "checkpoints").iterdir())


def test_states_steps_and_checkpoints(tmp_path: Path) -> None:
    make_run(tmp_path / "a", steps=25, end="DONE")
    make_run(tmp_path / "b", steps=12, end="FAILED")
    make_run(tmp_path / "deep/er/c", steps=9)
    make_run(tmp_path / "d")
    (tmp_path / "no-run").mkdir()
    with locked(tmp_path / "d"):
        runs = find_runs(tmp_path)
    seen = [(run.name, run.state, run.step, [path.name for path in run.checkpoints]) for run in runs]
    assert seen == [
        ("a", "done", 25, ["step-000010", "step-000020"]),
        ("b", "failed", 12, ["step-000010"]),
        ("d", "running", None, []),
        ("deep/er/c", "interrupted", 9, []),
    ]


def test_a_run_can_be_named_itself(tmp_path: Path) -> None:
    make_run(tmp_path / "a", steps=3)
    assert [(run.name, run.step) for run in find_runs(tmp_path / "a")] == [("a", 3)]


def test_a_run_inside_a_run_is_part_of_it(tmp_path: Path) -> None:
    make_run(make_run(tmp_path / "a") / "inner")
    assert [run.name for run in find_runs(tmp_path)] == ["a"]


def test_a_killed_holder_leaves_a_name_but_no_lock(tmp_path: Path) -> None:
    run = make_run(tmp_path / "a")
    (run / "LOCK").write_text("pid 1 on elsewhere\n")
    before = (run / "LOCK").read_bytes()
    assert lock_holder(run) is None
    assert find_runs(run)[0].state == "interrupted"
    assert (run / "LOCK").read_bytes() == before
    with locked(run):
        assert "pid" in (lock_holder(run) or "")
    assert lock_holder(run) is None
    assert lock_holder(tmp_path) is None
    assert not (tmp_path / "LOCK").exists()


def test_a_torn_or_long_last_row_is_not_the_step(tmp_path: Path) -> None:
    run = make_run(tmp_path / "a", steps=4)
    with open(run / "metrics.jsonl", "ab") as file:
        file.write(b'{"step": 5, "los')
    assert find_runs(run)[0].step == 4
    append_jsonl(tmp_path / "b" / "metrics.jsonl", [{"step": 6, "text": "x" * 200_000}])
    write_json(tmp_path / "b" / "recipe.json", {})
    assert find_runs(tmp_path / "b")[0].step is None


def test_list_prints_columns_and_json(tmp_path: Path) -> None:
    make_run(tmp_path / "a", steps=10, end="DONE")
    make_run(tmp_path / "long-name")
    code, text, _ = call("list", tmp_path)
    assert code == 0
    assert text.splitlines() == [
        "run        state        step  newest checkpoint",
        "a          done         10    step-000010",
        "long-name  interrupted  -     -",
    ]
    code, text, _ = call("list", tmp_path, "--json")
    assert code == 0
    assert json.loads(text)[0] == {
        "run": "a",
        "path": str(tmp_path / "a"),
        "state": "done",
        "step": 10,
        "checkpoints": ["step-000010"],
    }


def test_hostile_folder_names_are_written_out(tmp_path: Path) -> None:
    make_run(tmp_path / "a\x1b[31m\nb")
    _, text, _ = call("list", tmp_path)
    assert r"a\x1b[31m\nb" in text
    assert "\x1b" not in text


@pytest.mark.parametrize("command", ["list", "verify", "prune"])
def test_a_missing_folder_is_a_usage_error(tmp_path: Path, command: str) -> None:
    _, _, error = call(command, tmp_path / "none")
    assert isinstance(error, ConfigError)
    assert "no such folder" in str(error)


def test_nothing_to_list_is_fine_and_nothing_to_verify_is_not(tmp_path: Path) -> None:
    assert call("list", tmp_path)[:2] == (0, "")
    assert isinstance(call("verify", tmp_path)[2], ConfigError)


def test_verify_passes_whole_runs(tmp_path: Path) -> None:
    make_run(tmp_path / "a", steps=20)
    make_run(tmp_path / "b")
    (tmp_path / "b" / "metrics.jsonl").unlink()
    code, text, error = call("verify", tmp_path)
    assert (code, error) == (0, None)
    assert text.splitlines()[1:] == [
        "a    step-000010    ok",
        "a    step-000020    ok",
        "a    metrics.jsonl  ok",
        "b    -              nothing saved yet",
    ]


def test_verify_finds_one_changed_bit(tmp_path: Path) -> None:
    damage(make_run(tmp_path / "a", steps=30), 20)
    code, text, error = call("verify", tmp_path)
    assert isinstance(error, CheckpointError)
    assert error.exit_code == 4
    assert code != 0
    result = {line.split()[1]: line.split(maxsplit=2)[2] for line in text.splitlines()[1:]}
    assert result["step-000010"] == result["step-000030"] == "ok"
    assert "SHA-256" in result["step-000020"]


def test_verify_finds_a_broken_metrics_row(tmp_path: Path) -> None:
    run = make_run(tmp_path / "a", steps=5)
    lines = (run / "metrics.jsonl").read_text().splitlines()
    (run / "metrics.jsonl").write_text("\n".join([*lines[:2], '{"step": 3,', *lines[3:]]) + "\n")
    _, text, error = call("verify", tmp_path, "--json")
    assert isinstance(error, CheckpointError)
    (check,) = json.loads(text)[0]["checks"]
    assert check["what"] == "metrics.jsonl"
    assert "metrics.jsonl:3" in check["problems"][0]


def test_prune_keeps_the_newest_two_and_everything_else(tmp_path: Path) -> None:
    run = make_run(tmp_path / "a", steps=50, end="DONE")
    (run / "adapter").mkdir()
    code, text, error = call("prune", tmp_path, "--yes")
    assert (code, error) == (0, None)
    assert "step-000010, step-000020, step-000030" in text
    assert names(run) == ["step-000040", "step-000050"]
    assert {path.name for path in run.iterdir()} >= {"adapter", "metrics.jsonl", "recipe.json", "DONE.json"}
    assert call("prune", tmp_path, "--yes")[:2] == (0, "")


def test_prune_counts_only_whole_checkpoints(tmp_path: Path) -> None:
    run = make_run(tmp_path / "a", steps=50)
    damage(run, 50)
    damage(run, 30)
    (run / "checkpoints" / "damaged-step-000020-0").mkdir()
    assert call("prune", run, "--yes")[0] == 0
    # 40 and 20 are the newest two that are whole; 30 lies between them and 50 is newer: neither is ours to judge.
    assert names(run) == ["step-000020", "step-000030", "step-000040", "step-000050"]


def test_what_cannot_be_read_stops_neither_verify_nor_prune(tmp_path: Path) -> None:
    broken, fine = make_run(tmp_path / "a", steps=40), make_run(tmp_path / "b", steps=40)
    weights = broken / "checkpoints" / "step-000040" / "weights"
    weights.unlink()
    weights.symlink_to(weights.name)  # a link to itself: every look at it fails
    (broken / "metrics.jsonl").unlink()
    (broken / "metrics.jsonl").mkdir()
    _, text, error = call("verify", tmp_path)
    assert isinstance(error, CheckpointError)
    rows = {tuple(line.split()[:2]): line.split(maxsplit=2)[2] for line in text.splitlines()[1:]}
    assert "weights cannot be read" in rows["a", "step-000040"]
    assert rows["a", "step-000030"] == rows["b", "step-000040"] == "ok"
    assert "Is a directory" in rows["a", "metrics.jsonl"]
    assert call("prune", tmp_path, "--yes")[0] == 0
    assert names(broken) == ["step-000020", "step-000030", "step-000040"]
    assert names(fine) == ["step-000030", "step-000040"]


def test_prune_goes_on_where_one_run_refuses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken, fine = make_run(tmp_path / "a", steps=40), make_run(tmp_path / "b", steps=40)
    real = shutil.rmtree

    def refuse(path: Path) -> None:
        if path.is_relative_to(broken):
            raise OSError(errno.EIO, os.strerror(errno.EIO), str(path))
        real(path)

    monkeypatch.setattr(shutil, "rmtree", refuse)
    _, _, error = call("prune", tmp_path, "--yes")
    assert isinstance(error, UnswayedError)
    assert "step-000010: cannot be deleted (Input/output error)" in str(error)
    assert len(names(broken)) == 4
    assert names(fine) == ["step-000030", "step-000040"]


def test_prune_leaves_a_run_with_fewer_than_two_whole_checkpoints(tmp_path: Path) -> None:
    run = make_run(tmp_path / "a", steps=30)
    damage(run, 20)
    damage(run, 30)
    before = names(run)
    assert call("prune", run, "--yes")[:2] == (0, "")
    assert names(run) == before


def test_prune_leaves_a_running_run(tmp_path: Path) -> None:
    busy, idle = make_run(tmp_path / "busy", steps=30), make_run(tmp_path / "idle", steps=30)
    with locked(busy):
        code, text, _ = call("prune", tmp_path, "--yes")
    assert code == 0
    assert "busy" not in text
    assert len(names(busy)) == 3
    assert names(idle) == ["step-000020", "step-000030"]


def test_prune_without_anybody_to_ask_is_a_usage_error(tmp_path: Path) -> None:
    run = make_run(tmp_path / "a", steps=30)
    _, _, error = call("prune", run)
    assert isinstance(error, ConfigError)
    assert "--yes" in str(error)
    assert len(names(run)) == 3


@pytest.mark.parametrize(("answer", "code", "left"), [("n", 1, 3), ("y", 0, 2)])
def test_prune_asks_a_person(tmp_path: Path, answer: str, code: int, left: int) -> None:
    run = make_run(tmp_path / "a", steps=30)
    keyboard, terminal = os.openpty()
    try:
        os.write(keyboard, f"{answer}\n".encode())
        done = subprocess.run(
            [sys.executable, "-m", "unswayed", "runs", "prune", str(run)],
            stdin=terminal,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    finally:
        os.close(keyboard)
        os.close(terminal)
    assert done.returncode == code
    assert "step-000010" in done.stdout
    assert len(names(run)) == left


def test_prune_never_follows_a_link_out_of_the_run(tmp_path: Path) -> None:
    run = make_run(tmp_path / "a", steps=20)
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "file").write_text("keep me")
    (run / "checkpoints" / "step-000005").symlink_to(precious)
    _, _, error = call("prune", run, "--yes")
    assert isinstance(error, ConfigError)
    assert (precious / "file").read_text() == "keep me"
