"""Whole or absent; one writer; deletes stay below their root."""

import json
import multiprocessing
import os
from pathlib import Path

import pytest

from unswayed.core.errors import ConfigError, DataError, LockedError
from unswayed.core.files import (
    append_jsonl,
    check_name,
    dump_json,
    locked,
    read_jsonl,
    remove_temporary,
    remove_tree,
    rewrite_jsonl,
    write_atomic,
    write_jsonl,
)


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file.txt"
    write_atomic(path, "old")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_atomic(path, "new")
    assert path.read_text(encoding="utf-8") == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["file.txt"]


def test_files_are_durable_before_their_name_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    real_fsync, real_rename = os.fsync, os.rename

    def fsync(descriptor: int) -> None:
        calls.append("fsync")
        real_fsync(descriptor)

    def rename(source: Path, target: Path) -> None:
        calls.append("rename")
        real_rename(source, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "rename", rename)
    write_atomic(tmp_path / "file.txt", "text")
    assert calls == ["fsync", "rename", "fsync"]


def test_json_is_canonical_and_refuses_nan() -> None:
    assert dump_json({"b": 1, "a": "ü"}) == '{\n  "a": "ü",\n  "b": 1\n}\n'
    with pytest.raises(ValueError, match="JSON"):
        dump_json({"a": float("nan")})


def test_a_torn_last_line_is_dropped_and_a_torn_middle_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    append_jsonl(path, [{"step": 1}, {"step": 2}])
    with open(path, "a", encoding="utf-8") as file:
        file.write('{"step": 3')
    assert [row["step"] for row in read_jsonl(path)] == [1, 2]
    path.write_text('{"step": 1}\n{"st\n{"step": 3}\n', encoding="utf-8")
    with pytest.raises(DataError, match=r"log.jsonl:2"):
        read_jsonl(path)


def test_rewrite_drops_rows_and_the_torn_line(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    append_jsonl(path, [{"step": step} for step in range(5)])
    with open(path, "a", encoding="utf-8") as file:
        file.write('{"step": 5')
    assert rewrite_jsonl(path, lambda row: row["step"] < 3) == 3
    assert path.read_text(encoding="utf-8") == '{"step": 0}\n{"step": 1}\n{"step": 2}\n'


def test_line_separators_inside_text_do_not_cut_lines(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    write_jsonl(path, [{"text": "a\u2028b\u0085c"}])
    assert read_jsonl(path) == [{"text": "a\u2028b\u0085c"}]


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../x", "/x", "a/b", "a\x00", "-rf", "x" * 101, ".hidden", "a..b", "ä"]
)
def test_names_that_are_no_folder_names(name: str) -> None:
    with pytest.raises(ConfigError):
        check_name(name)


def test_good_names() -> None:
    assert check_name("opct-0.1_b") == "opct-0.1_b"


def _hold(folder: Path, ready: "multiprocessing.synchronize.Event", go: "multiprocessing.synchronize.Event") -> None:
    with locked(folder):
        ready.set()
        go.wait(30)


def test_a_second_process_is_told_who_holds_the_folder(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    ready, go = context.Event(), context.Event()
    holder = context.Process(target=_hold, args=(tmp_path, ready, go))
    holder.start()
    assert ready.wait(30)
    with pytest.raises(LockedError, match=f"pid {holder.pid}"), locked(tmp_path):
        pass
    holder.kill()  # a dead holder's lock is gone with it
    holder.join()
    with locked(tmp_path):
        assert f"pid {os.getpid()}" in (tmp_path / "LOCK").read_text(encoding="utf-8")


def test_deleting_outside_the_root_is_refused(tmp_path: Path) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside"
    root.mkdir()
    outside.mkdir()
    (root / "link").symlink_to(outside)
    for path in (outside, root, root / "link", root / ".." / "outside"):
        with pytest.raises(ConfigError):
            remove_tree(path, root)
    assert outside.is_dir()


def test_temporary_files_go_and_nothing_else_does(tmp_path: Path) -> None:
    (tmp_path / ".tmp-a-1").write_text("x", encoding="utf-8")
    (tmp_path / ".tmp-b-2").mkdir()
    for kept in ("kept", ".tmp-c-3", ".tmp-a-x"):
        (tmp_path / kept).write_text(json.dumps({}), encoding="utf-8")
    remove_temporary(tmp_path, "a", "b*")
    assert sorted(entry.name for entry in tmp_path.iterdir()) == [".tmp-a-x", ".tmp-c-3", "kept"]
