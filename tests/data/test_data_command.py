"""`unswayed data` as a command line."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from unswayed.cli.data import app
from unswayed.core.errors import ConfigError, DataError
from unswayed.core.types import Message, PromptPair
from unswayed.data.read import read_pairs, write_pairs

SPEC = 'items = ["facts"]\nn = 60\n[split]\nfamilies = ["authority"]\n'


def call(*words: str | Path) -> tuple[int, str, BaseException | None]:
    result = CliRunner().invoke(app, [str(word) for word in words], env={"COLUMNS": "100"})
    return result.exit_code, result.stdout, None if isinstance(result.exception, SystemExit) else result.exception


@pytest.fixture
def built(tmp_path: Path) -> Path:
    (tmp_path / "spec.toml").write_text(SPEC)
    code, out, error = call("build", tmp_path / "spec.toml", "-o", tmp_path / "pairs.jsonl")
    assert (code, error) == (0, None)
    assert [line.split()[0] for line in out.splitlines()] == [
        "train", "new_items", "new_wordings", "held_out", "manifest",
    ]  # fmt: skip
    return tmp_path / "pairs.jsonl"


def test_build_refuses_to_overwrite_and_prints_its_manifest(built: Path) -> None:
    spec = built.with_name("spec.toml")
    code, _, error = call("build", spec, "-o", built)
    assert code == 1
    assert isinstance(error, ConfigError)
    code, out, _ = call("build", spec, "-o", built, "--force", "--json")
    assert code == 0
    assert json.loads(out) == json.loads(built.with_name("pairs.manifest.json").read_text())


def test_check_prints_what_is_in_a_file(built: Path) -> None:
    code, out, error = call("check", built, "--against", built.with_name("pairs.held_out.jsonl"))
    assert (code, error) == (0, None)
    rows = len(read_pairs(built))
    assert out.startswith(f"{built}: {rows} pairs of ")
    assert f"axes: sycophancy {rows}" in out
    assert "shared with the other file: 0 groups, 0 prompts, 0 runs of 13 words" in out
    assert out.rstrip().endswith("no errors")


def test_check_ends_with_a_data_error_and_still_reports(built: Path) -> None:
    code, out, error = call("check", built, "--against", built, "--json")
    assert code == 1
    assert isinstance(error, DataError)
    report = json.loads(out)
    assert len(report["errors"]) == 2
    assert len(report["overlap"]["groups"]) == report["groups"]


def test_check_with_a_model(built: Path, tiny_model_dir: Path) -> None:
    code, out, _ = call("check", built, "--model", tiny_model_dir, "--max-new-tokens", "8", "--json")
    assert code == 0
    assert json.loads(out)["tokens"]["prompt"]["minimum"] > 10
    code, out, _ = call("check", built, "--model", tiny_model_dir)
    assert " tokens\n" in out


def test_show_puts_both_sides_next_to_each_other(built: Path) -> None:
    code, out, error = call("show", built, "-n", "2")
    assert (code, error) == (0, None)
    first, second = read_pairs(built)[:2]
    assert first.id in out
    assert second.id in out
    assert out.count("teacher_prompt") == 2
    assert f"2 of {len(read_pairs(built))} pairs" in out
    assert call("show", built, "--seed", "1") == call("show", built, "--seed", "1")
    assert call("show", built, "--seed", "1") != call("show", built, "--seed", "2")


def test_show_obeys_nothing_that_stands_in_the_data(tmp_path: Path) -> None:
    nasty = "[bold red]x[/bold red] [link=http://x]y[/link] [/] \x1b[2J\x1b]0;t\x07 \u202eabc\u200b"
    path = tmp_path / "pairs.jsonl"
    pair = PromptPair(
        "[red]\x1b[31m", (Message("user", nasty),), (Message("user", "[/oops] clean"),), target="\u202e[b]"
    )
    write_pairs(path, [pair])
    code, out, error = call("show", path)
    assert (code, error) == (0, None)
    assert not {"\x1b", "\x07", "\u202e", "\u200b"} & set(out)
    flat = "".join(out.split())
    assert "[/oops]" in flat
    assert "\\u202e" in flat
    for text in ("[boldred]", "[red]\\x1b[31m"):
        assert text in flat.replace("│", "")


def test_show_cuts_long_messages_and_says_so(tmp_path: Path) -> None:
    path = tmp_path / "pairs.jsonl"
    write_pairs(path, [PromptPair("a", (Message("user", "word " * 20_000),), (Message("user", "b"),))])
    code, out, _ = call("show", path)
    assert code == 0
    assert "98,000" in out
    assert len(out) < 12_000


def test_long_conversations_are_shown_in_no_time(tmp_path: Path) -> None:
    path = tmp_path / "pairs.jsonl"
    turns = tuple(Message("assistant" if n % 2 else "user", f"word {n} " * 400) for n in range(101))
    write_pairs(path, [PromptPair("a", turns, turns[2:])])
    start = time.monotonic()
    assert call("show", path)[0] == 0
    assert time.monotonic() - start < 20  # word by word it would be minutes


def test_bad_files_end_with_exit_code_3_and_no_traceback(tmp_path: Path) -> None:
    path = tmp_path / "pairs.jsonl"
    path.write_text('{"prompt": "a"\n')
    for command in ("check", "show"):
        done = subprocess.run(
            [sys.executable, "-m", "unswayed", "data", command, str(path)], capture_output=True, text=True, check=False
        )
        assert done.returncode == 3
        assert f"{path}:1" in done.stderr
        assert "Traceback" not in done.stderr


def test_the_commands_load_no_torch(tmp_path: Path) -> None:
    (tmp_path / "spec.toml").write_text(SPEC)
    code = (
        "import sys; from typer.testing import CliRunner; from unswayed.cli.data import app\n"
        f"out = {str(tmp_path / 'pairs.jsonl')!r}\n"
        f"for words in (['build', {str(tmp_path / 'spec.toml')!r}, '-o', out], ['check', out], ['show', out]):\n"
        "    result = CliRunner().invoke(app, words); assert result.exit_code == 0, result.output\n"
        "assert not {'torch', 'transformers', 'pyarrow'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
