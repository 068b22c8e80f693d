"""`unswayed suites`: what is said of a suite before it is built is what it is once it is built."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from unswayed.cli.suites import suites as command
from unswayed.core.errors import ConfigError
from unswayed.evals.arguments import arguments_of, read_arguments
from unswayed.evals.catalogue import catalogue, describe
from unswayed.evals.registry import builder, suite, suites
from unswayed.sources.catalogue import source

BUILT_IN = [row["name"] for row in catalogue() if row["data"].startswith("built in")]


def test_every_suite_says_in_one_line_what_it_asks() -> None:
    rows = catalogue()
    assert [row["name"] for row in rows] == suites()
    lines = [row["asks"] for row in rows if row["name"].partition("/")[0] not in {"tests", "toy"}]
    assert len(set(lines)) == len(lines)
    for line in lines:
        assert 20 < len(line) < 120
        assert line[0].isupper()
        assert "cluster unit" not in line


def test_there_are_suites_without_data_on_every_axis() -> None:
    assert {name.partition("/")[0] for name in BUILT_IN} >= {
        "sycophancy", "jailbreak", "safety_awareness", "consistency",
    }  # fmt: skip


@pytest.mark.parametrize("name", BUILT_IN)
def test_what_is_said_of_a_suite_holds_once_it_is_built(name: str) -> None:
    row, made = describe(name), suite(name, 2)
    assert row["unit"] == made.unit
    assert row["judge"] == ("required" if made.needs_judge else "optional" if made.rubric else "no")
    assert made.name == name


def test_judges_and_sources_of_suites_on_public_sets() -> None:
    rows = {row["name"]: row for row in catalogue()}
    assert {name for name, row in rows.items() if row["judge"] == "required"} == {
        "organisms/broad_probes", "safety_awareness/sage", "safety_awareness/safe_sage",
    }  # fmt: skip
    assert all(source(one).name == one for row in rows.values() for one in row["sources"])
    assert len(rows["sycophancy/bct"]["sources"]) == 8
    assert rows["capability/gpqa"]["data"] == "capability/gpqa (evaluation only, gated)"
    assert rows["capability/ifeval"]["data"].endswith("extra capability")
    assert rows["sycophancy/pairs"]["data"] == "your file"


def test_sets_that_need_no_judge_are_scored_by_a_rule(tmp_path: Path) -> None:
    file = tmp_path / "sage.jsonl"
    file.write_text(json.dumps({"safety_fact": "Bees sting.", "prompt": "May I pat a bee?"}) + "\n")
    made = suite(f"safety_awareness/sage:{file}")
    assert (made.needs_judge, made.unit) == (True, describe("safety_awareness/sage")["unit"])


@pytest.mark.parametrize("name", suites())
def test_every_argument_of_every_suite_is_described(name: str) -> None:
    made = builder(name)
    text = inspect.getdoc(made) or ""
    if name.endswith("_choose"):  # the arguments of the suite that it is a form of
        assert "Arguments as for `" in text
        text += inspect.getdoc(builder(name.removesuffix("_choose"))) or ""
    lines = [line.partition(": ")[0].strip().split(", ") for line in text.splitlines() if ": " in line]
    described = {each for names in lines for each in names}
    assert set(inspect.signature(made).parameters) <= described


def test_only_what_text_can_say_is_an_argument() -> None:
    assert list(arguments_of("sycophancy/multiple_choice")) == [
        "topics", "families", "phrasings", "hints_per_item", "every_wrong", "cot", "name", "max_new_tokens",
    ]  # fmt: skip
    letters = arguments_of("capability/mmlu_choose")
    assert list(letters) == ["file", "split", "subjects", "by", "normalisation", "shuffle"]
    assert list(arguments_of("capability/gpqa_choose")) == ["file", "normalisation"]
    given = read_arguments(["capability/mmlu_choose"], ["by=text", "subjects=anatomy", "shuffle=1"])
    assert given == {"by": "text", "subjects": ["anatomy"], "shuffle": True}
    with pytest.raises(ConfigError, match="'letter' or 'text'"):
        read_arguments(["capability/mmlu"], ["by=sound"])


def test_the_command_lists_all_and_tells_of_one(capsys: pytest.CaptureFixture[str]) -> None:
    command()
    out = capsys.readouterr().out
    assert all(f"\n{row['name']} " in out and row["asks"] in out for row in catalogue())
    command("sycophancy/mmlu")
    out = capsys.readouterr().out
    assert "every_wrong: a sample for every wrong option" in out
    assert "cot=False" in out
    command("sycophancy/mmlu", as_json=True)
    (row,) = json.loads(capsys.readouterr().out)
    assert row["arguments"]["every_wrong"] is False
    with pytest.raises(ConfigError, match="no suite"):
        command("sycophancy/nope")


def test_the_command_loads_neither_torch_nor_statistics() -> None:
    program = (
        "import sys, json; from unswayed.cli.suites import suites; suites(as_json=True); "
        "print(json.dumps(sorted({name.split('.')[0] for name in sys.modules})), file=sys.stderr)"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    loaded: set[Any] = set(json.loads(ended.stderr.splitlines()[-1]))
    assert not loaded & {"torch", "transformers", "scipy", "statsmodels", "datasets", "matplotlib"}
    assert json.loads(ended.stdout)
