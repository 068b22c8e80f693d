"""The whole path of a GPU on a device that only pretends to be one: the numbers of the CPU, and what a token costs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SCENARIOS = Path(__file__).with_name("emulated_scenarios.py")
SYNCS, UPLOADS = 1, 3
"""Reads of the host and copies to the device for each token of a batch. A static loop would need one read every 16
tokens and no copy."""


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """One process for all: the device is registered with torch for good."""
    work = tmp_path_factory.mktemp("emulated")
    done = subprocess.run([sys.executable, str(SCENARIOS), str(work)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_two_opct_steps_give_the_numbers_of_the_cpu(found: Any) -> None:
    cpu, emulated = found["train"]["cpu"], found["train"]["emu:0"]
    assert emulated["rollouts"] == cpu["rollouts"]
    assert emulated["losses"] == pytest.approx(cpu["losses"], abs=3e-5)
    assert emulated["norms"] == pytest.approx(cpu["norms"], rel=1e-4)
    assert found["train"]["adapter"] < 2e-4
    assert emulated["count"]["ops"] > 1000
    assert emulated["count"]["dynamic"] == 0
    assert cpu["count"] == {}


@pytest.mark.parametrize("kind", ["greedy", "sampled"])
def test_completions_are_those_of_the_cpu_and_a_token_costs_what_is_stated(found: Any, kind: str) -> None:
    drawn = found["draw"][kind]
    assert all(drawn["equal"])
    assert drawn["count"]["item"] <= SYNCS * drawn["steps"] + 4
    assert drawn["count"]["from_cpu"] <= UPLOADS * drawn["steps"] + 4
    assert drawn["count"]["to_cpu"] == 0
    assert drawn["count"]["dynamic"] == 0


def test_likelihoods_and_rates_are_those_of_the_cpu(found: Any) -> None:
    assert found["draw"]["likelihood"] < 1e-5
    assert found["evaluate"] == {"equal": True, "n": 12}


def test_one_more_read_or_one_cpu_tensor_in_the_loop_is_seen(found: Any) -> None:
    assert found["faults"]["none"] <= SYNCS + 0.2
    assert found["faults"]["item"] >= found["faults"]["none"] + 0.9
    assert "a CPU tensor (300,) among tensors of emu" in found["faults"]["cpu tensor"]
