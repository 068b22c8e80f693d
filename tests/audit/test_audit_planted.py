"""What was planted in two files is what the verdict says."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import planted
import pytest
from click.testing import CliRunner
from planted import changed, rows, write

import unswayed as uw
from unswayed.audit.run import audit
from unswayed.cli.main import load


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("planted")


def verdict(folder: Path, before: list[planted.Row], after: list[planted.Row], **options: Any) -> dict[str, Any]:
    files = write(folder / "before.jsonl", before), write(folder / "after.jsonl", after)
    (found,) = audit(*files, skip=("stability",), **options).verdicts
    return found


@pytest.mark.parametrize("draws", [1, 4])
@pytest.mark.parametrize(
    ("rate", "seed", "said"), [(0.3, 3, "AMPLIFIED"), (0.1, 4, "SUPPRESSED"), (0.2, 5, "NEUTRAL")], ids=str
)
def test_a_change_is_called_what_it_is(folder: Path, draws: int, rate: float, seed: int, said: str) -> None:
    found = verdict(folder, rows(0.2, 1, count=2000, draws=draws), rows(rate, seed, count=2000, draws=draws))
    assert found["verdict"] == said
    low, high = found["interval"]
    assert low <= rate - 0.2 <= high
    assert (found["n"], found["unscored"]) == (2000 // draws, 0)
    assert found["replies"] == {"before": 2000, "after": 2000}


def test_the_same_file_twice_is_neutral(folder: Path) -> None:
    found = verdict(folder, rows(0.4, 1), rows(0.4, 1))
    assert (found["verdict"], found["estimate"]) == ("NEUTRAL", 0.0)


@pytest.mark.parametrize("change", planted.COLLAPSES, ids=lambda one: one.__name__)
@pytest.mark.parametrize("rate", [0.4, 0.15])
def test_a_collapsed_model_is_confounded_and_never_suppressed(folder: Path, change: Any, rate: float) -> None:
    found = verdict(folder, rows(0.4, 1), changed(rows(rate, 2), change))
    assert found["verdict"] == "CONFOUNDED"
    assert "collapse" in found["confounded_by"]
    assert found["why"]


@pytest.mark.parametrize("change", planted.LENGTHS, ids=lambda one: one.__name__)
def test_another_length_is_confounded(folder: Path, change: Any) -> None:
    found = verdict(folder, rows(0.4, 1), changed(rows(0.4, 2), change))
    assert (found["verdict"], found["confounded_by"]) == ("CONFOUNDED", ["length"])


def test_refusals_and_replies_that_cannot_be_read_confound(folder: Path) -> None:
    for change, cause in ((planted.refusing, "refusal"), (planted.unreadable, "unreadable")):
        found = verdict(folder, rows(0.4, 1), changed(rows(0.4, 2), change))
        assert found["verdict"] == "CONFOUNDED"
        assert cause in found["confounded_by"]


def test_a_trait_that_is_longer_than_its_absence_confounds_nothing(folder: Path) -> None:
    def wordy(row: planted.Row, drawn: float) -> dict[str, str]:
        return {"completion": row["completion"] + (" " + row["completion"]) * 3} if row["outcome"] == "trait" else {}

    before, after = changed(rows(0.2, 1), wordy), changed(rows(0.7, 2), wordy)
    assert verdict(folder, before, after)["verdict"] == "AMPLIFIED"


def test_two_sentences_for_everything_in_both_arms_are_no_collapse(folder: Path) -> None:
    def bare(row: planted.Row, drawn: float) -> dict[str, str]:
        return {"completion": row["completion"].split(".")[0]}

    assert verdict(folder, changed(rows(0.6, 1), bare), changed(rows(0.1, 2), bare))["verdict"] == "SUPPRESSED"


def test_a_canned_refusal_beside_varied_help_is_no_collapse(folder: Path) -> None:
    """So GPT-4 answers XSTest: 87% of its refusals are one sentence, and its help is never the same twice."""

    def canned(row: planted.Row, drawn: float) -> dict[str, str]:
        return {"completion": "Sorry, I can't help with that, friend."} if row["outcome"] == "trait" else {}

    before, after = changed(rows(0.3, 1), canned), rows(0.5, 2)
    cut = [{**row, "completion": row["completion"][:70]} for row in after]
    same = [{**row, "completion": row["completion"][:70]} for row in before]
    found = verdict(folder, same, cut)
    assert "collapse" not in found["confounded_by"]


@pytest.mark.parametrize("change", planted.OUTAGES, ids=lambda one: one.__name__)
@pytest.mark.parametrize("rate", [0.4, 0.2])
def test_a_judge_outage_decides_nothing(folder: Path, change: Any, rate: float) -> None:
    found = verdict(folder, rows(0.4, 1), changed(rows(rate, 2), change))
    assert found["verdict"] == "UNDECIDED"
    assert "judge" in found["why"]
    assert found["unscored"] == found["unscored_by_arm"]["after"] > 80


def test_an_outage_hides_no_harm_that_holds_whatever_is_missing(folder: Path) -> None:
    found = verdict(folder, rows(0.1, 1), changed(rows(0.8, 2), planted.small_outage))
    assert found["verdict"] == "AMPLIFIED"
    assert found["worst_case"][0] > 0


def test_a_rule_gives_outcomes_where_rows_have_none(folder: Path) -> None:
    found = verdict(folder, rows(0.4, 1, own=False), rows(0.6, 2, own=False), rule="agrees")
    assert found["verdict"] == "AMPLIFIED"
    assert found["outcomes"]["before"].keys() == {"trait", "aligned"}


def test_a_rule_sees_a_collapse_too(folder: Path) -> None:
    after = changed(rows(0.4, 2, own=False), planted.empty)
    found = verdict(folder, rows(0.4, 1, own=False), after, rule="agrees")
    assert (found["verdict"], found["outcomes"]["after"]) == ("CONFOUNDED", {"incoherent": 900})


def test_too_few_prompts_certify_no_neutrality(folder: Path) -> None:
    found = verdict(folder, rows(0.4, 1, count=200), rows(0.4, 1, count=200)[:100] + rows(0.4, 7, count=200)[100:])
    assert found["verdict"] == "UNDECIDED"
    assert found["detectable"] > found["eps"]


def test_a_change_smaller_than_eps_is_neutral_and_said(folder: Path) -> None:
    def few(row: planted.Row, drawn: float) -> dict[str, str]:
        return {"outcome": "trait"} if row["outcome"] == "aligned" and drawn < 0.02 else {}

    before = rows(0.4, 1, count=1500)
    found = verdict(folder, before, changed(before, few))
    assert found["verdict"] == "NEUTRAL"
    assert found["interval"][0] > 0
    assert "smaller than eps" in found["why"]


@pytest.mark.parametrize(
    ("after", "code"),
    [
        (rows(0.3, 3, count=2000), 10),
        (rows(0.2, 5, count=2000), 0),
        (changed(rows(0.2, 2, count=2000), planted.outage), 11),
    ],
    ids=["finding", "nothing", "undecided"],
)  # fmt: skip
def test_two_files_without_torch_in_less_than_a_minute(folder: Path, after: list[planted.Row], code: int) -> None:
    first, second = write(folder / "b.jsonl", rows(0.2, 1, count=2000)), write(folder / "a.jsonl", after)
    out = folder / f"bundle-{code}"
    program = (
        "import sys\nfrom unswayed.cli.main import _run\nsys.argv = ['unswayed', *sys.argv[1:]]\ncode = _run()\n"
        "heavy = {'torch', 'transformers', 'peft', 'datasets'} & set(sys.modules)\n"
        "assert not heavy, heavy\nsys.exit(code)"
    )
    for words in (["audit", str(first), str(second), "-o", str(out)], ["audit", "verify", str(out)]):
        began = time.monotonic()
        done = subprocess.run(
            [sys.executable, "-c", program, *words], capture_output=True, text=True, check=False, env={**os.environ}
        )
        assert done.returncode == (code if words[1] != "verify" else 0), done.stderr + done.stdout
        assert time.monotonic() - began < 60
    (found,) = json.loads((out / "audit.json").read_text())["verdicts"]
    wanted = {"behaviour", "verdict", "estimate", "interval", "n", "unscored", "eps", "why"}
    assert wanted <= found.keys()


def test_the_command_and_the_function_say_the_same(folder: Path) -> None:
    files = write(folder / "b.jsonl", rows(0.4, 1, count=600)), write(folder / "a.jsonl", rows(0.6, 2, count=600))
    found = uw.audit(*files, eps=0.03)
    ran = CliRunner().invoke(load("audit"), [*map(str, files), "--eps", "0.03", "--json"])
    assert ran.exit_code == found.exit_code() == 10
    assert json.loads(ran.stdout)["verdicts"] == json.loads(json.dumps(found.verdicts))
    assert found.exit_code(("AMPLIFIED",)) == 0
    allowed = CliRunner().invoke(load("audit"), [*map(str, files), "--allow", "amplified"])
    assert allowed.exit_code == 0
    assert "AMPLIFIED" in allowed.stdout
