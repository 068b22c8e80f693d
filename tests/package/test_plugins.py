"""What comes from outside: each example of docs/extending.md used by name, by `--import` and by entry point."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import runs

GUIDE = (Path(__file__).resolve().parents[2] / "docs" / "extending.md").read_text(encoding="utf-8")
FILES = dict(re.findall(r"```python\n# (\w+\.py)\n(.*?)```", GUIDE, re.DOTALL))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A working folder with every file of the guide."""
    for name, code in FILES.items():
        (tmp_path / name).write_text(code, encoding="utf-8")
    return tmp_path


def call(folder: Path, *words: str | Path, code: int = 0) -> str:
    environment = {**os.environ, "UNSWAYED_CACHE": str(folder / "cache")}
    done = subprocess.run(
        [sys.executable, "-P", "-m", "unswayed", *words],
        cwd=folder, env=environment, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_the_guide_has_an_example_of_each_kind() -> None:
    kinds = {"suite", "rule", "perturbation", "method", "judge", "labeller"}
    assert set(FILES) == {f"my_{kind}.py" for kind in kinds}


def test_a_suite_and_a_rule_by_import(folder: Path, tiny_model_dir: Path) -> None:
    assert "mine/capitals" in call(folder, "suites", "--import", "my_suite")
    assert "mine/capitals" not in call(folder, "suites")
    words = ("eval", tiny_model_dir, "mine/capitals", "-T", "shout=true", "-o", "out", "--import", "my_suite")
    call(folder, *words)
    (path,) = (folder / "out").rglob("eval.json")
    identity = json.loads(path.read_text(encoding="utf-8"))["identity"]
    assert identity["suite"]["arguments"] == {"shout": True}
    assert list(identity["plugins"]) == ["my_suite"]
    assert re.fullmatch("[0-9a-f]{64}", identity["plugins"]["my_suite"])
    with open(folder / "my_suite.py", "a", encoding="utf-8") as file:
        file.write("\n# changed\n")
    assert "plugins" in call(folder, *words, code=2)
    call(folder, "eval", tiny_model_dir, "mine/short", "-o", "short", "--import", "my_rule")
    (path,) = (folder / "short").rglob("eval.json")
    assert json.loads(path.read_text(encoding="utf-8"))["identity"]["suite"]["rule"] == "one-word/v1"


def test_a_method_by_import_trains_and_its_run_knows_it(folder: Path, tiny_model_dir: Path) -> None:
    runs.write_pairs(folder / "pairs.jsonl", runs.ROWS)
    recipe = (
        f'name = "own"\n[model]\nid = "{tiny_model_dir}"\ndtype = "float32"\ndevice = "cpu"\n'
        '[data]\ntrain = "pairs.jsonl"\n[method]\nname = "discourage"\nrate = 0.5\n[lora]\nrank = 2\n'
        "[sampling]\nmax_new_tokens = 4\n[train]\nsteps = 2\npairs_per_step = 2\n"
    )
    (folder / "own.toml").write_text(recipe, encoding="utf-8")
    assert "'discourage' is none of act, bct" in call(folder, "train", "own.toml", code=2)
    call(folder, "train", "own.toml", "--import", "my_method")
    run = folder / "runs" / "own"
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [row["step"] for row in rows] == [1, 2]
    assert all(row["loss"] < 0 for row in rows)  # rate times a log-probability
    assert list(json.loads((run / "plugins.json").read_text(encoding="utf-8"))) == ["my_method"]
    with open(folder / "my_method.py", "a", encoding="utf-8") as file:
        file.write("\n# changed\n")
    told = call(folder, "train", "own.toml", "--resume", "--import", "my_method", code=2)
    assert "the plug-in my_method is not the one that this run began with" in told


def test_a_perturbation_by_import_builds_pairs(folder: Path) -> None:
    (folder / "spec.toml").write_text('families = ["postscript"]\nn = 3\n', encoding="utf-8")
    assert "postscript" in call(folder, "data", "build", "spec.toml", "-o", "pairs.jsonl", code=2)
    call(folder, "data", "build", "spec.toml", "-o", "pairs.jsonl", "--import", "my_perturbation")
    rows = [json.loads(line) for line in (folder / "pairs.jsonl").read_text(encoding="utf-8").splitlines()]
    assert len(rows) >= 3
    assert all(row["perturbation"] == "sycophancy/postscript@1" for row in rows)


def test_a_judge_and_a_labeller_by_import(folder: Path, tiny_model_dir: Path) -> None:
    told = call(
        folder, "judge", "check", "length:40", "--rubric", "refusal", "--import", "my_judge", code=10
    )  # it is unfit
    assert "length-40" in told
    assert "is none of: rule, local:MODEL" in call(folder, "judge", "check", "length:40", code=2)
    runs.write_pairs(folder / "pairs.jsonl", runs.ROWS)
    recipe = (
        f'[model]\nid = "{tiny_model_dir}"\ndtype = "float32"\ndevice = "cpu"\n[data]\ntrain = "pairs.jsonl"\n'
        '[labeller]\nname = "warm"\ntemperature = 0.5\n'
    )
    (folder / "label.toml").write_text(f"max_new_tokens = 4\neval_max_new_tokens = 4\n{recipe}", encoding="utf-8")
    call(folder, "label", "label.toml", "-o", "labels.jsonl", "--import", "my_labeller")
    rows = [json.loads(line) for line in (folder / "labels.jsonl").read_text(encoding="utf-8").splitlines()]
    assert len(rows) == len(runs.ROWS)


def test_an_installed_package_is_known_without_a_flag(folder: Path, tiny_model_dir: Path) -> None:
    """Entry points are read from the metadata of a distribution; here one on the path that pip did not write."""
    info = folder / "site" / "mine-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: mine\nVersion: 1.0\n", encoding="utf-8")
    names = ("my_suite", "my_method", "not_there")
    (info / "entry_points.txt").write_text(
        "[unswayed]\n" + "".join(f"{name} = {name}\n" for name in names), encoding="utf-8"
    )
    for name in names[:2]:
        (folder / f"{name}.py").rename(folder / "site" / f"{name}.py")
    program = (
        "import sys; sys.path.insert(0, 'site')\n"
        "from unswayed.cli.main import main\n"
        f"sys.argv = ['unswayed', 'eval', {str(tiny_model_dir)!r}, 'mine/capitals', '-o', 'out']\nmain()"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", program], cwd=folder, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "plug-in not_there (not_there) is left out: ModuleNotFoundError" in done.stderr
    (path,) = (folder / "out").rglob("eval.json")
    # The method's module is installed too, and has no part in this evaluation.
    assert list(json.loads(path.read_text(encoding="utf-8"))["identity"]["plugins"]) == ["my_suite"]


def test_a_module_that_cannot_be_imported_is_named(folder: Path) -> None:
    told = call(folder, "suites", "--import", "nothing_here", code=2)
    assert "--import nothing_here: ModuleNotFoundError" in told
    (folder / "broken.py").write_text("1 / 0", encoding="utf-8")
    assert "--import broken: ZeroDivisionError" in call(folder, "suites", "--import", "broken", code=2)
