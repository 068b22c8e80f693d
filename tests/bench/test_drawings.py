"""What is committed under `bench/results` can be drawn and printed again, and the docs quote it."""

from __future__ import annotations

import importlib
import json
from xml.etree import ElementTree

import pytest
from bench.command import RESULTS

COMMANDS = {
    **{name: name for name in ("opct_step", "sampler", "loss", "scaling", "methods")},
    **{f"axis_{name}": "axes" for name in ("jailbreak", "safety_awareness", "sycophancy")},
}
DOCS = RESULTS.parents[1] / "docs"


@pytest.mark.parametrize("name", COMMANDS)
def test_the_recorded_drawing_is_what_is_drawn_now(name: str) -> None:
    command = importlib.import_module(f"bench.{COMMANDS[name]}")
    result = json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))
    drawing = command.draw(result)
    assert drawing == (RESULTS / f"{name}.svg").read_text(encoding="utf-8")
    assert ElementTree.fromstring(drawing).tag == "{http://www.w3.org/2000/svg}svg"
    table = "\n".join(command.table(result))
    if COMMANDS[name] == "axes":
        page = (DOCS / "results" / f"{result['axis']}.md").read_text(encoding="utf-8")
        assert table.rstrip() in page
    elif name == "methods":
        rows = [line for line in table.splitlines() if line.startswith("|")]
        assert "\n".join(rows) in (DOCS / "benchmarks.md").read_text(encoding="utf-8")
    else:
        assert result["machine"]["cpu"] in table


def test_arms_stand_in_the_order_of_the_command() -> None:
    from bench import loss

    result = json.loads((RESULTS / "loss.json").read_text(encoding="utf-8"))
    result["arms"] = dict(reversed(result["arms"].items()))
    assert loss.draw(result) == (RESULTS / "loss.svg").read_text(encoding="utf-8")
