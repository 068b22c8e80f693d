"""How commands end where streams, settings or texts are wrong: a message, the documented code, no traceback."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import runs
from unswayed.config.recipe import Recipe
from unswayed.core.errors import ConfigError
from unswayed.core.jsonl import loads
from unswayed.core.printable import without_passwords


def unswayed(*words: str | Path, shell: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command in a process of its own; `shell` redirects its streams."""
    line = f'exec "$0" -m unswayed "$@" {shell}'
    return subprocess.run(
        ["bash", "-c", line, sys.executable, *map(str, words)],
        capture_output=True, text=True, check=False, env={**os.environ, **environment},
    )  # fmt: skip


@pytest.mark.parametrize("shell", [">&-", "<&- >&- 2>&-", "2>&-"])
def test_37_closed_streams_change_no_end(tmp_path: Path, shell: str) -> None:
    file = runs.write_pairs(tmp_path / "pairs.jsonl")
    before = file.read_bytes()
    done = unswayed("data", "check", file, shell=shell)
    assert done.returncode == 0
    assert "Traceback" not in done.stderr
    assert file.read_bytes() == before
    assert unswayed("data", "check", tmp_path / "none.jsonl", shell=shell).returncode == 3


def test_37_a_full_disk_behind_stdout_is_said() -> None:
    done = unswayed("rules", shell="> /dev/full")
    assert done.returncode == 1
    assert "the output: the disk is full" in done.stderr
    assert "not expected" not in done.stderr


@pytest.mark.parametrize("columns", ["0", "-3", "wide", ""])
def test_37_a_width_that_is_none_hides_nothing(columns: str) -> None:
    assert "capability/gsm8k" in unswayed("data", "sources", COLUMNS=columns).stdout


def test_37_deep_json_is_no_json() -> None:
    with pytest.raises(ValueError, match="nested too deeply"):
        loads("[" * 200_000)
    tables: dict[str, Any] = {"name": "r"}
    inner = tables
    for _ in range(20_000):
        inner["x"] = inner = {}  # type: ignore[assignment]
    with pytest.raises(ConfigError, match="nested too deeply"):
        Recipe.from_dict(tables)


@pytest.mark.parametrize(
    "value",
    [
        "sk-proj-abcdefghijklmnopqrstuvwx", "hf_abcdefghijklmnopqrstuvwxyzABCD", "ghp_" + "a1" * 18,
        "AKIA" + "ABCD" * 4, "0123456789abcdef0123456789abcdef01234567", "https://me:pass@host/v1",
    ],
)  # fmt: skip
def test_41_a_key_under_an_innocent_name_is_refused_and_not_repeated(
    tmp_path: Path, tiny_model_dir: Path, value: str
) -> None:
    for change in ({"log": {"project": value}}, {"chat": {"template_kwargs": {"x": [value]}}}):
        with pytest.raises(ConfigError, match=r"(log.project|chat.template_kwargs.x.0) looks like a secret") as caught:
            runs.recipe(tmp_path, tiny_model_dir, **change)
        assert value not in str(caught.value)
    commit = "0123456789abcdef0123456789abcdef01234567"
    assert runs.recipe(tmp_path, tiny_model_dir, model={"revision": commit}).model.revision == commit


def test_41_a_password_in_a_url_is_not_echoed(tmp_path: Path) -> None:
    done = unswayed("eval", "https://me:hunter2@host/model", "capability/gsm8k", "-o", tmp_path / "out")
    assert done.returncode == 2
    assert "hunter2" not in done.stdout + done.stderr
    assert without_passwords("see http://a:b@c/d and http://e/f@g") == "see http://…@c/d and http://e/f@g"


def test_38_what_the_system_refuses_is_said_with_path_and_advice(tmp_path: Path) -> None:
    file = runs.write_pairs(tmp_path / "pairs.jsonl")
    (tmp_path / "file").write_text("")
    done = unswayed("data", "split", file, "-o", tmp_path / "file" / "train.jsonl")
    assert done.returncode == 2
    assert f"{tmp_path}/file" in done.stderr
    assert "not expected" not in done.stderr
    long = unswayed("runs", "list", "x" * 5000)
    assert (long.returncode, "not expected" in long.stderr) == (2, False)
    recipe = tmp_path / "r.toml"
    for name, value in (("optim.betas", "[1.5, 0.9]"), ("optim.lr", "1e38"), ("train.epochs", "1e308")):
        lines = {"name": "r", "model": {"id": "m"}, "data": {"train": str(file)}, "method": {"name": "opct"}}
        recipe.write_text("\n".join(f"{key} = {json.dumps(v)}" if isinstance(v, str) else
                                    "\n".join(f"{key}.{k} = {json.dumps(w)}" for k, w in v.items())
                                    for key, v in lines.items()))  # fmt: skip
        extra = [] if name == "train.epochs" else ["--set", "train.steps=1"]
        done = unswayed("train", recipe, "--set", f"{name}={value}", *extra, "--dry-run")
        assert (done.returncode, name.split(".")[1] in done.stderr) == (2, True), done.stderr
        assert "not expected" not in done.stderr
