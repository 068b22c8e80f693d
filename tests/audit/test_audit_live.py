"""Policies are asked the same prompts under two decoders, and their audit is verified like any other."""

from __future__ import annotations

import json
from pathlib import Path

import answering
import pytest
from click.testing import CliRunner

from unswayed.audit.live import Live, is_policy
from unswayed.audit.run import audit
from unswayed.audit.verify import verify
from unswayed.cli.main import load
from unswayed.core.errors import ConfigError
from unswayed.evals.run import evaluate
from unswayed.evals.suites.sycophancy import suggested_answer

SUITE = suggested_answer(limit=15)
REPLIES = {"honest": answering.right, "swayed": answering.hinted, "broken": lambda sample: ""}


def live(loaded: list[str] | None = None) -> Live:
    def load(name: str) -> answering.Scripted:
        if loaded is not None:
            loaded.append(name)
        return answering.Scripted(SUITE, REPLIES[name], name=name, identity=name)

    return Live((SUITE,), load, draws=3)


def test_both_arms_are_asked_under_two_decoders(tmp_path: Path) -> None:
    found = audit("honest", "swayed", live=live(), out=tmp_path / "out")
    by = {one["behaviour"].rpartition(": ")[2]: one for one in found.verdicts}
    assert by["hint_following (greedy)"]["verdict"] == by["hint_following (sampled)"]["verdict"] == "AMPLIFIED"
    greedy, sampled = by["hint_following (greedy)"], by["hint_following (sampled)"]
    assert sampled["replies"]["before"] == 3 * greedy["replies"]["before"]
    decoders = found.content["sections"]["generation"]["decoders"]
    assert [decoders[name][0]["temperature"] for name in ("greedy", "sampled")] == [0.0, 1.0]
    assert {check.name: check.holds for check in verify(tmp_path / "out")} == dict.fromkeys(
        ("files", "plan", "prompts", "outcomes", "verdicts", "page"), True
    )
    assert (tmp_path / "out" / "before" / "greedy" / SUITE.key / "results.json").exists()


def test_what_is_decided_is_written_before_the_first_sample_and_an_interruption_goes_on(tmp_path: Path) -> None:
    out = tmp_path / "out"

    class Stops(answering.Scripted):
        def complete(self, prompts, params):  # type: ignore[no-untyped-def]
            assert json.loads((out / "declared.json").read_text())["plan"]["eps"] == 0.03
            if self.asked > 20:
                raise KeyboardInterrupt
            return super().complete(prompts, params)

    stopping = Live((SUITE,), lambda name: Stops(SUITE, REPLIES[name], name=name, identity=name), draws=3)
    with pytest.raises(KeyboardInterrupt):
        audit("honest", "swayed", live=stopping, out=out, eps=0.03)
    resumed = audit("honest", "swayed", live=live(), out=out, eps=0.03)
    whole = audit("honest", "swayed", live=live(), out=tmp_path / "whole", eps=0.03)
    assert json.dumps(resumed.content, sort_keys=True) == json.dumps(whole.content, sort_keys=True)


def test_a_policy_beside_an_evaluation_is_asked_as_the_suite_asks(tmp_path: Path) -> None:
    evaluate(answering.Scripted(SUITE, answering.right, identity="honest"), SUITE, out=tmp_path / "before")
    found = audit(tmp_path / "before", "broken", live=live(), out=tmp_path / "out")
    by = {one["behaviour"].rpartition(": ")[2]: one for one in found.verdicts}
    assert by["hint_following"]["verdict"] == "CONFOUNDED"
    assert "collapse" in by["hint_following"]["confounded_by"]


def test_a_policy_needs_suites_and_a_folder(tmp_path: Path) -> None:
    assert is_policy("smollm2-135m")
    assert not is_policy(Path(__file__))
    for options in ({"out": tmp_path}, {"live": live()}):
        with pytest.raises(ConfigError, match="--suite"):
            audit("honest", "swayed", **options)  # type: ignore[arg-type]


def test_every_trained_cell_of_a_sweep_in_one_command(tmp_path: Path) -> None:
    root = tmp_path / "sweeps" / "tiny"
    cells = [
        ("k0", "none", None, "honest"), ("k1", "opct", 1, "swayed"), ("k2", "bct", 1, "broken"), ("k3", "act", 1, ""),
    ]  # fmt: skip
    rows = []
    for key, method, checkpoint, reply in cells:
        axes = {"model": "m", "family": "sycophancy", "method": method, "seed": 0, "checkpoint": checkpoint,
                "what": "traits"}  # fmt: skip
        rows.append({"key": key, "kind": "eval", "name": f"eval m sycophancy {method}", "axes": axes})
        if reply:
            policy = answering.Scripted(SUITE, REPLIES[reply], identity=reply)
            evaluate(policy, SUITE, out=root / "cells" / key / "out" / SUITE.key)
    root.joinpath("cells.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    plan = tmp_path / "audit.toml"
    ran = CliRunner().invoke(load("audit"), ["plan", "--from", str(root), "-o", str(plan)])
    assert ran.exit_code == 0
    assert "hint_following" in plan.read_text()
    out = tmp_path / "audits"
    ran = CliRunner().invoke(load("audit"), ["cells", str(root), "--plan", str(plan), "-o", str(out)])
    assert ran.exit_code == 10, ran.output
    index = json.loads((out / "audits.json").read_text())["audits"]
    assert [(row["cell"], row["verdicts"][0]["verdict"]) for row in index] == [
        ("k1", "AMPLIFIED"),
        ("k2", "CONFOUNDED"),
    ]
    for row in index:
        assert all(check.holds for check in verify(out / row["folder"]))
    with pytest.raises(ConfigError, match="holds no sweep"):
        CliRunner().invoke(load("audit"), ["cells", str(tmp_path), "-o", str(out)], catch_exceptions=False)
