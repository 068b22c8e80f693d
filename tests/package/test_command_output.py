"""What commands print: `--json` beside every table, plain text through one place, no more than 80 columns."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import unswayed.cli
from unswayed.cli.data import app as data_app
from unswayed.cli.eval import _print
from unswayed.cli.main import COMMANDS, load
from unswayed.cli.models import app as models_app
from unswayed.cli.options import echo, print_json
from unswayed.core.types import Completion, Message, Sample, Score
from unswayed.evals.run import evaluate
from unswayed.evals.suite import Suite

FOLDER = Path(unswayed.cli.__file__).parent
# They print no table: where something lies, or how to go on.
PLACES = {
    "audit plan",
    "sweep cell",
    "judge sheet",
    "inspect export",
    "organism push",
    "models fetch",
    "models path",
    "organism pairs",
    "attack serve",
}


def commands() -> Iterator[tuple[str, Any]]:
    """Every command of the tree, groups followed down, by its words."""

    def walk(command: Any, words: str) -> Iterator[tuple[str, Any]]:
        below = getattr(command, "commands", None)
        if below is None:
            yield words, command
        for name, one in (below or {}).items():
            yield from walk(one, f"{words} {name}")

    for name in COMMANDS:
        yield from walk(load(name), name)


def test_every_command_that_prints_a_table_prints_json_too() -> None:
    without = {name for name, command in commands() if not any("--json" in each.opts for each in command.params)}
    assert without <= PLACES, "a command that prints a table takes --json"


def test_36_plain_text_reaches_a_terminal_through_one_place() -> None:
    wrong = []
    for path in sorted(FOLDER.glob("*.py")):
        if path.name in {"options.py", "main.py"}:
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                called = ast.unparse(node.func)
                if called in {"print", "typer.echo", "sys.stdout.write", "dump_json"}:
                    wrong.append(f"{path.name}:{node.lineno}: {called}; use echo or print_json of unswayed.cli.options")
    assert not wrong, "\n".join(wrong)


def test_36_what_is_printed_obeys_nobody(capsys: pytest.CaptureFixture[str]) -> None:
    hostile = "a\x1b[2J\x9b31m\u202eb\u200bc"
    echo(hostile)
    print_json({hostile: hostile})
    plain, _, rest = capsys.readouterr().out.partition("\n")
    assert plain == r"a\x1b[2J\x9b31m\u202eb\u200bc"
    assert json.loads(rest) == {hostile: hostile}
    assert not any(char in rest for char in "\x1b\x9b\u202e\u200b")


def test_36_a_hostile_path_is_written_out(tmp_path: Path, tiny_model_dir: Path) -> None:
    place = tmp_path / "m\x1b[2J"
    place.symlink_to(tiny_model_dir)
    shown = CliRunner().invoke(models_app, ["path", str(place)]).stdout
    assert r"m\x1b[2J" in shown
    assert "\x1b" not in shown
    file = tmp_path / "p\x1b[2J.jsonl"
    file.write_text(json.dumps({"prompt": "a\x9b?", "teacher_prompt": "\u202eb?"}) + "\n", encoding="utf-8")
    for words in (["check", str(file)], ["check", str(file), "--json"], ["show", str(file), "--json"]):
        assert not set("\x1b\x9b\u202e") & set(CliRunner().invoke(data_app, words).stdout), words


class Reads:
    """Answers one question, and says nothing to the others."""

    name, identity = "reads", "reads"

    def complete(self, prompts: Any, params: Any) -> list[Completion]:
        return [Completion("yes" if "1" in prompt[0].content else "", "stop", 1, 3) for prompt in prompts]


def test_55_the_table_of_an_evaluation_fits_80_columns(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    samples = tuple(
        Sample(str(n), (Message("user", f"ask {n}"),), str(n), "wrong_hint", ("yes",), {"hinted": "no"})
        for n in range(1, 40)
    )
    score = lambda sample, completion: (  # noqa: E731
        Score(1.0, "yes") if completion.text else Score(None, None, "empty")
    )
    metrics = ("accuracy_wrong_hint", "over_warning_informed", "emergent_misalignment_coherence")
    result = evaluate(Reads(), Suite("test/wide", 1, samples, metrics, score=score))  # type: ignore[arg-type]
    _print(result, Path("evals/test.wide"))
    lines = capsys.readouterr().out.partition(" is better")[0].splitlines()  # sentences below it wrap where they may
    assert max(map(len, lines)) <= 80, "\n".join(lines)
    assert any("accuracy_wrong_hint ↑" in line for line in lines)
    assert any("if unscored" in line for line in lines)
