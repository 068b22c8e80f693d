"""`unswayed doctor` tells what is true of this machine, in words and as JSON, and no secret."""

from __future__ import annotations

import builtins
import json
import os
from importlib import metadata
from pathlib import Path

import pytest
import torch
import typer
from typer.testing import CliRunner

from unswayed.cli import doctor as module


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNSWAYED_CACHE", str(tmp_path / "cache"))


def run(*words: str) -> tuple[int, str]:
    app = typer.Typer()
    app.command()(module.doctor)
    done = CliRunner().invoke(app, words, catch_exceptions=False)
    return done.exit_code, done.stdout


def test_what_it_says_is_true(tmp_path: Path) -> None:
    report = json.loads(run("--json")[1])
    assert report["packages"]["torch"]["version"] == metadata.version("torch")
    assert set(report["packages"]) >= {"torch", "transformers", "peft", "accelerate", "safetensors"}
    assert not {"trl", "pytest", "tensorboard"} & set(report["packages"])  # those belong to extras
    assert report["accelerator"]["threads"] == torch.get_num_threads()
    assert report["machine"]["cores"] == os.cpu_count()
    assert 0 < report["machine"]["memory_free_bytes"] <= report["machine"]["memory_bytes"]
    assert report["folders"]["cache"] == {
        "path": str(tmp_path / "cache"),
        "exists": False,
        "writable": True,
        "free_bytes": report["folders"]["cache"]["free_bytes"],
    }
    assert report["models"] == {"smollm2-135m": "not fetched"}
    assert not (tmp_path / "cache").exists()  # looking changes nothing


def test_tokenised_pairs_are_counted(tmp_path: Path) -> None:
    folder = tmp_path / "cache" / "tokens"
    assert json.loads(run("--json")[1])["tokenised_pairs"] == {"path": str(folder), "files": 0, "bytes": 0}
    folder.mkdir(parents=True)
    for name in ("a.safetensors", "b.safetensors", ".tmp-c"):
        (folder / name).write_bytes(bytes(1500))
    assert json.loads(run("--json")[1])["tokenised_pairs"] == {"path": str(folder), "files": 2, "bytes": 3000}
    assert "tokenised pairs: 2 files, " in run()[1]


def test_key_names_are_told_and_their_values_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    canary = "canary-8d1f"
    for name in module.KEYS:
        monkeypatch.setenv(name, f"{canary}-{name}")
    monkeypatch.setenv("HTTPS_PROXY", f"http://user:{canary}@proxy")
    for words in ([], ["--json"]):
        _, out = run(*words)
        assert canary not in out
        assert all(name in out for name in module.KEYS)
    monkeypatch.delenv("ANTHROPIC_API_KEY")
    assert "ANTHROPIC_API_KEY" not in run()[1]


def test_a_missing_or_old_package_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    real = metadata.version
    monkeypatch.setattr(module, "_version", lambda name: {"peft": None, "torch": "1.0"}.get(name, real(name)))
    monkeypatch.setattr(module, "OPTIONAL", ())
    code, out = run()
    assert code == 1
    assert "problem: peft: not installed" in out
    assert "problem: torch: 1.0 is installed, >=" in out
    assert "Not ready: 2 problems" in out


def test_a_torch_that_cannot_be_imported_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def broken(name: str, *rest: object) -> object:
        if name == "torch":
            raise OSError("libcudart.so.13: cannot open shared object file")
        return real(name, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(builtins, "__import__", broken)
    code, out = run()
    assert code == 1
    assert "torch cannot be imported (OSError: libcudart.so.13" in out


def test_a_cache_that_cannot_be_written_is_a_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("UNSWAYED_CACHE", str(tmp_path / "file" / "cache"))
    code, out = run()
    assert code == 1
    assert "set UNSWAYED_CACHE" in out


def test_the_verdict_follows_from_memory_and_dtype(monkeypatch: pytest.MonkeyPatch) -> None:
    gpu = {"name": "NVIDIA X", "memory_bytes": 80_000_000_000, "capability": "9.0"}
    accelerator = {"device": "cuda", "dtype": "bfloat16", "gpus": [gpu], "cuda": "13", "threads": 1,
                   "omp_num_threads": None, "cpu_features": []}  # fmt: skip
    monkeypatch.setattr(module, "_accelerator", lambda: accelerator)
    code, out = run()
    assert code == 0
    assert "on NVIDIA X in bfloat16" in out
    assert "up to about 20 billion parameters" in out  # 80 GB, half of it, 2 bytes each
    accelerator.update(device="cpu", dtype="float32", gpus=[])
    monkeypatch.setattr(module, "_memory", lambda: (16_000_000_000, 9_000_000_000))
    assert "up to about 2.0 billion parameters" in run()[1]


def test_a_terminal_is_not_steered_by_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("UNSWAYED_CACHE", str(tmp_path / "\x1b[31mred"))
    assert "\x1b" not in run()[1]
