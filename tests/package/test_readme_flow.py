"""README's flow, run line by line in an empty folder: the lines are read from README's own code blocks."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

import unswayed
from unswayed.core.files import read_jsonl
from unswayed.evals.compare.contamination import contamination
from unswayed.evals.records import Record
from unswayed.models import ModelSource

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def lines_of(heading: str) -> list[str]:
    """The shell lines of a section, continued lines joined."""
    (section,) = re.findall(rf"^## {heading}\n(.*?)(?=^## )", README, re.MULTILINE | re.DOTALL)
    blocks = re.findall(r"^```bash\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
    return [line for block in blocks for line in block.replace("\\\n", " ").splitlines() if line.strip()]


def follow(folder: Path, change: Callable[[str], str], environment: Mapping[str, str]) -> list[str]:
    """Run every line of the flow as a shell does, in a copy of what a clone holds; return what ran."""
    for name in ("recipes", "examples"):
        shutil.copytree(ROOT / name, folder / name)
    (folder / "bin").mkdir()
    program = folder / "bin" / "unswayed"
    program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m unswayed "$@"\n')
    program.chmod(0o755)
    env = {**os.environ, "PATH": f"{program.parent}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT / "src")}
    ran = [line for line in lines_of("Install") if line.startswith("unswayed")] + lines_of("Use")
    for line in ran:
        done = subprocess.run(
            ["bash", "-ec", change(line)], cwd=folder, env={**env, **environment},
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr
    return ran


def require_nothing_trained_is_asked(folder: Path) -> None:
    """Hold everything that was evaluated against everything that was trained on."""
    (run,) = (folder / "runs").iterdir()
    recipe = json.loads((run / "recipe.json").read_text())
    trained = unswayed.read_pairs(folder / recipe["data"]["train"])
    records = list((folder / "evals").rglob("records.jsonl"))
    assert len(records) >= 2
    for file in records:
        asked = [Record.from_row(row) for row in read_jsonl(file)]
        found = contamination(asked, trained)
        assert asked
        assert found.shared == 0, found.sentence()
        assert not {record.group for record in asked} & {pair.group for pair in trained}


def require_results(folder: Path, ran: list[str]) -> None:
    assert {line.split()[1] for line in ran if line.startswith("unswayed")} >= {
        "doctor", "data", "show", "eval", "train", "compare", "runs"
    }  # fmt: skip
    assert (folder / "runs/opct_sycophancy/adapter/adapter_model.safetensors").exists()
    assert list((folder / "evals").rglob("compare.html"))
    require_nothing_trained_is_asked(folder)


def test_the_readme_flow_ends_with_0_at_every_line(tmp_path: Path, tiny_model_dir: Path) -> None:
    """The small sibling: the same lines with a model made on the spot, two steps and four questions."""

    def change(line: str) -> str:
        small = re.sub(r"--limit \d+", "--limit 4", re.sub(r"\s+#.*$", "", line))
        small = small.replace("smollm2-135m", str(tiny_model_dir)).replace("--set train.steps=8", "")
        settings = f" --set model.id={tiny_model_dir} --set train.steps=2"
        return small + (settings if "recipes/opct" in small else "")

    require_results(tmp_path, follow(tmp_path, change, {}))


@pytest.mark.deep
def test_the_readme_flow_word_for_word(tmp_path: Path, smollm2: ModelSource) -> None:
    require_results(tmp_path, follow(tmp_path, lambda line: line, {}))


def test_45_an_evaluation_can_leave_trained_questions_out(tmp_path: Path) -> None:
    from unswayed.core.errors import DataError
    from unswayed.data.build.run import build_files
    from unswayed.evals.compare.contamination import leave_out

    build_files(ROOT / "recipes/data/sycophancy.toml", tmp_path / "pairs.jsonl")
    pairs = unswayed.read_pairs(tmp_path / "pairs.jsonl")
    whole = unswayed.suite("sycophancy/are_you_sure")
    before = contamination(whole.samples, pairs)
    assert before.shared > 100
    rest, found = leave_out(whole, pairs)
    assert found == before
    assert contamination(rest.samples, pairs).shared == 0
    assert len({sample.group for sample in rest.samples}) == before.groups - before.shared
    assert rest.key != whole.key
    assert leave_out(rest, pairs)[0] == rest
    with pytest.raises(DataError, match="nothing is left to ask"):
        leave_out(unswayed.suite(f"sycophancy/pairs:{tmp_path / 'pairs.jsonl'}"), pairs)
