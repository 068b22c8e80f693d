"""examples/quickstart.ipynb runs from an empty folder, and its stored outputs are of a whole and successful run."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import nbformat
import pytest

ROOT = Path(__file__).resolve().parents[1]
RATE = re.compile(r"^(\w+) +(\d+\.\d)% \[", re.MULTILINE)


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("notebook", ROOT / "scripts" / "notebook.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def printed(notebook: Any) -> str:
    """Everything that the cells printed."""
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    assert not [output for output in outputs if output.output_type == "error"]
    return "".join(output.get("text", "") for output in outputs)


def test_the_stored_outputs_are_of_a_whole_run(script: ModuleType) -> None:
    notebook = nbformat.read(script.NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    text = printed(notebook)
    assert {"hint_following", "accuracy_right_hint"} <= {name for name, _ in RATE.findall(text)}
    assert "loss" in text
    assert not re.search(r"/(home|root|tmp|work|Users)/", text), "a path of the machine"
    assert any("image/png" in output.get("data", {}) for cell in code for output in cell.outputs)


@pytest.mark.real_model
@pytest.mark.slow
def test_the_notebook_runs(script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUICKSTART_STEPS", "2")
    monkeypatch.setenv("QUICKSTART_QUESTIONS", "4")
    text = printed(script.execute(tmp_path))
    assert len(re.findall(r"^step +\d+ +divergence 0\.\d+ nats", text, re.MULTILINE)) == 2
    assert "points [" in text
    assert (tmp_path / "quickstart" / "runs" / "opct" / "adapter" / "adapter_config.json").exists()
