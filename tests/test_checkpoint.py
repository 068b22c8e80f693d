"""Whole or absent, valid or refused."""

import builtins
import errno
import io
import json
import os
from pathlib import Path

import pytest

from unswayed.core.errors import CheckpointError
from unswayed.core.files import dump_json
from unswayed.training import checkpoint


def _write(folder: Path) -> None:
    (folder / "a.bin").write_bytes(b"0123456789")
    (folder / "b.json").write_text("{}", encoding="utf-8")


def _save(run: Path, step: int, keep: int = 2) -> Path:
    return checkpoint.save(run, step, _write, {"note": step}, keep)


def test_saved_then_found(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = _save(tmp_path, 3)
    assert checkpoint.verify(path) == []
    found = checkpoint.latest_valid(tmp_path)
    assert found is not None
    assert (found.path, found.step, found.info) == (path, 3, {"note": 3})
    assert not caplog.messages


def test_none_yet_is_none(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert checkpoint.latest_valid(tmp_path) is None


def test_order_of_durability(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    real_fsync, real_rename = os.fsync, os.rename
    monkeypatch.setattr(os, "fsync", lambda fd: (calls.append("fsync"), real_fsync(fd)))
    monkeypatch.setattr(os, "rename", lambda a, b: (calls.append("rename"), real_rename(a, b)))
    _save(tmp_path, 1)
    # two files and the manifest, then their folder, then the name, then the folder that holds the name
    assert calls == ["fsync"] * 4 + ["rename", "fsync"]


def test_prunes_the_oldest_and_never_below_two(tmp_path: Path) -> None:
    for step in (1, 2, 3, 4):
        _save(tmp_path, step, keep=2)
    assert [path.name for path in checkpoint.list_checkpoints(tmp_path)] == ["step-000003", "step-000004"]
    assert checkpoint.prune(tmp_path, 1) == []


def test_steps_sort_as_numbers(tmp_path: Path) -> None:
    for step in (999999, 1000000):
        _save(tmp_path, step)
    assert [checkpoint.step_of(path) for path in checkpoint.list_checkpoints(tmp_path)] == [999999, 1000000]


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def _flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))


DAMAGE = {"truncated": _truncate, "bit-flipped": _flip, "deleted": Path.unlink}


@pytest.mark.parametrize("name", ["a.bin", "b.json", checkpoint.MANIFEST])
@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_falls_back_one_and_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str, damage: str
) -> None:
    for step in (5, 10):
        _save(tmp_path, step)
    DAMAGE[damage](tmp_path / "checkpoints" / "step-000010" / name)
    found = checkpoint.latest_valid(tmp_path)
    assert found is not None
    assert found.step == 5
    assert "step-000010 is damaged" in caplog.messages[0]
    assert "5 steps are done again" in caplog.messages[0]
    _save(tmp_path, 10)  # the damaged one no longer blocks its step
    again = checkpoint.latest_valid(tmp_path)
    assert again is not None
    assert again.step == 10


def test_a_file_too_many_is_damage(tmp_path: Path) -> None:
    path = _save(tmp_path, 1)
    (path / "extra.bin").write_bytes(b"")
    assert checkpoint.verify(path) == ["extra.bin is not in the manifest"]


def test_two_files_swapped_is_damage(tmp_path: Path) -> None:
    path = _save(tmp_path, 1)
    a, b = (path / "a.bin").read_bytes(), (path / "b.json").read_bytes()
    (path / "a.bin").write_bytes(b)
    (path / "b.json").write_bytes(a)
    assert len(checkpoint.verify(path)) == 2


def test_another_schema_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "SCHEMA", 99)
        path = _save(tmp_path, 1)
    assert "schema 99" in checkpoint.verify(path)[0]


def test_an_edited_manifest_is_damage(tmp_path: Path) -> None:
    path = _save(tmp_path, 1)
    manifest = json.loads((path / checkpoint.MANIFEST).read_text(encoding="utf-8"))
    (path / checkpoint.MANIFEST).write_text(dump_json(manifest | {"step": 2}), encoding="utf-8")
    assert "damaged" in checkpoint.verify(path)[0]


def test_all_damaged_stops_with_exit_4(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for step in (5, 10):
        _flip(_save(tmp_path, step) / "a.bin")
    with pytest.raises(CheckpointError, match="--fresh") as caught:
        checkpoint.latest_valid(tmp_path)
    assert caught.value.exit_code == 4
    assert len(checkpoint.list_checkpoints(tmp_path)) == 2  # nothing was moved or deleted


def test_a_full_disk_keeps_what_was_there(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    _save(tmp_path, 1)

    def write(folder: Path) -> None:
        _write(folder)
        raise OSError(28, "No space left on device")

    with pytest.raises(CheckpointError, match="No space left"):
        checkpoint.save(tmp_path, 2, write, {}, 2)
    assert [entry.name for entry in (tmp_path / "checkpoints").iterdir()] == ["step-000001"]


def test_a_bug_in_the_writer_is_not_called_a_full_disk(tmp_path: Path) -> None:
    def write(folder: Path) -> None:
        raise KeyError("bug")

    with pytest.raises(KeyError):
        checkpoint.save(tmp_path, 2, write, {}, 2)
    assert list((tmp_path / "checkpoints").iterdir()) == []


@pytest.mark.parametrize("name", ["a.bin", checkpoint.MANIFEST])
@pytest.mark.parametrize("code", [errno.EIO, errno.EACCES])
def test_what_cannot_be_read_falls_back_one_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, name: str, code: int
) -> None:
    for step in (5, 10):
        _save(tmp_path, step)
    newest, real = tmp_path / "checkpoints" / "step-000010", io.open

    def refuse(file: object, *args: object, **kwargs: object) -> object:
        if str(file) == str(newest / name):
            raise OSError(code, os.strerror(code), str(file))
        return real(file, *args, **kwargs)  # type: ignore[call-overload]

    monkeypatch.setattr(io, "open", refuse)
    monkeypatch.setattr(builtins, "open", refuse)
    (problem,) = checkpoint.verify(newest)
    assert name in problem
    assert os.strerror(code) in problem
    found = checkpoint.latest_valid(tmp_path)
    assert found is not None
    assert found.step == 5
    assert f"{newest} is damaged: {problem}" in caplog.messages[0]
    assert not newest.exists()
    assert (newest.parent / "damaged-step-000010-0" / name).exists()


def test_a_damaged_checkpoint_that_cannot_be_renamed_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for step in (5, 10):
        (_save(tmp_path, step) / "a.bin").write_bytes(b"x" * (step == 10) or b"0123456789")

    def refuse(*_: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "rename", refuse)
    with pytest.raises(CheckpointError, match="step-000010: is damaged, and cannot be renamed"):
        checkpoint.latest_valid(tmp_path)
