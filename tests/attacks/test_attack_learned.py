"""Training an attacker: it learns what its reward pays for, stops within its budget, and resumes to the same bits."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file
from test_attack_run import BEHAVIOURS, REFUSES, Says, refuser, secret_of

from unswayed.attacks import learned
from unswayed.attacks.budget import Budget, Ledger
from unswayed.attacks.compare import compare_attacks
from unswayed.attacks.grading import RewardOnly
from unswayed.attacks.learned import Learning, train_attacker
from unswayed.attacks.publish import attack
from unswayed.attacks.results import success_rate
from unswayed.core.errors import ConfigError
from unswayed.core.types import Completion, Message, SamplingParams
from unswayed.training import checkpoint

PARAMS = SamplingParams(max_new_tokens=8)
TRAIN = BEHAVIOURS[:2]


def pays_for(letter: str) -> Says:
    """Tells the codeword to messages of which at least every sixth character is the letter."""

    def say(prompt: tuple[Message, ...], seed: int) -> str:
        text = prompt[-1].content
        return secret_of(prompt) if text.count(letter) * 6 >= len(text) else REFUSES

    return Says(say, f"pays-for-{letter}")


@pytest.fixture
def learning(tiny_model_dir: Path) -> Learning:
    return Learning(
        str(tiny_model_dir), dtype="float32", device="cpu", passes=3, sessions=4, rounds=2, rank=4, lr=2e-2,
        max_new_tokens=12, kl_coef=0.01,
    )  # fmt: skip


def train(folder: Path, learning: Learning, target: Any = None, **given: Any) -> tuple[Path, int]:
    settings = {"params": PARAMS, "budget": Budget(8), **given}
    return train_attacker(target or pays_for("e"), TRAIN, folder, learning, RewardOnly(), **settings)


def rewards(folder: Path) -> list[float]:
    paths = checkpoint.list_checkpoints(folder)
    return [learned.parse((path / "MANIFEST.json").read_text())["info"]["reward"] for path in paths]


def test_it_learns_what_its_reward_pays_for(tmp_path: Path, learning: Learning) -> None:
    train(tmp_path / "a", replace(learning, passes=12, sessions=8, rounds=1))
    found = rewards(tmp_path / "a")
    assert len(found) == 12
    assert sum(found[-3:]) > sum(found[:3]) + 0.6


def test_interrupted_and_resumed_is_uninterrupted_bit_for_bit(
    tmp_path: Path, learning: Learning, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, _ = train(tmp_path / "whole", learning)
    steps: list[int] = []
    step = learned._Training._step

    def dies(self: Any, number: int, request: Any) -> Any:
        steps.append(number)
        if len(steps) == 4:
            raise KeyboardInterrupt
        return step(self, number, request)

    monkeypatch.setattr(learned._Training, "_step", dies)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "cut", learning)
    cut, _ = train(tmp_path / "cut", learning)
    for name in ("adapter_model.safetensors", "adapter_config.json"):
        assert (cut / name).read_bytes() == (whole / name).read_bytes()
    assert rewards(tmp_path / "cut") == rewards(tmp_path / "whole")
    with pytest.raises(ConfigError, match=r"learning\.lr"):
        train(tmp_path / "cut", replace(learning, lr=0.5))
    with pytest.raises(ConfigError, match="target"):
        train(tmp_path / "cut", learning, refuser())


def test_a_constant_refuser_teaches_nothing(tmp_path: Path, learning: Learning) -> None:
    adapter, _ = train(tmp_path / "a", learning, refuser())
    weights = load_file(adapter / "adapter_model.safetensors")
    assert all(float(value.abs().max()) == 0 for name, value in weights.items() if "lora_B" in name)
    assert rewards(tmp_path / "a") == [0.0, 0.0, 0.0]


def test_what_cannot_be_graded_teaches_nothing(tmp_path: Path, learning: Learning) -> None:
    class Down(Says):
        def complete(self, prompts: Sequence[tuple[Message, ...]], params: SamplingParams) -> list[Completion]:
            return [Completion("", "failed", 0, 0, "no completion: HTTP 500")] * (len(prompts) * params.n)

    with pytest.raises(ConfigError, match="nothing was learned"):
        train(tmp_path / "a", learning, Down(lambda prompt, seed: "", "down"))


def test_a_budget_of_tokens_is_kept_by_whole_passes(tmp_path: Path, learning: Learning) -> None:
    _, free = train(tmp_path / "free", learning)
    _, spent = train(tmp_path / "some", learning, budget=Budget(8, int(free * 0.8)))
    assert spent <= free * 0.8
    assert len(rewards(tmp_path / "some")) in {1, 2}
    assert Ledger(tmp_path / "some").tokens == spent
    with pytest.raises(ConfigError, match="one pass over 2 behaviours may cost"):
        train(tmp_path / "none", learning, budget=Budget(8, 50))


def test_each_arm_has_an_attacker_of_its_own(tmp_path: Path, tiny_model_dir: Path) -> None:
    settings = {"passes": 1, "sessions": 2, "rounds": 1, "rank": 2, "max_new_tokens": 8}
    targets: dict[str, Callable[[], Says]] = {"base": lambda: pays_for("e"), "held": refuser}
    found = {}
    for name, target in targets.items():
        found[name] = attack(
            target(), "codewords", "grpo", tmp_path / name, attacker_model=str(tiny_model_dir), settings=settings,
            budget=["queries=2"], limit=2, dtype="float32", device="cpu",
        )  # fmt: skip
    assert success_rate(found["held"]).value == 0.0
    assert compare_attacks(found["base"], found["held"])["pairs"] == 2
    spent = json.loads((tmp_path / "base" / "results.json").read_text())["spent"]
    assert spent["training_tokens"] == Ledger(tmp_path / "base" / "attacker").tokens > 0
    identities = [one.about["identity"]["attacker"] for one in found.values()]
    assert identities[0]["adapter"] != identities[1]["adapter"]
    stolen = {**found["held"].about["identity"], "attacker": identities[0]}
    with pytest.raises(ConfigError, match="trained on another target"):
        compare_attacks(found["base"], replace(found["held"], about={**found["held"].about, "identity": stolen}))
    with pytest.raises(ConfigError, match="name the behaviours"):
        attack(refuser(), "codewords", "grpo")
    with pytest.raises(ConfigError, match="not wings"):
        attack(
            refuser(), "codewords", "grpo", tmp_path / "x", attacker_model=str(tiny_model_dir), settings={"wings": 2}
        )
