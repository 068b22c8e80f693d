"""What `test_emulated_device` looks at, in a process of its own: prints one JSON object."""

from __future__ import annotations

import copy
import json
import sys
from pathlib import Path
from typing import Any

import torch

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parent)]
torch.set_num_threads(1)

import emulated  # noqa: E402

LIBRARY = emulated.register()  # before any backward pass: autograd counts the devices once

from safetensors.torch import load_file  # noqa: E402

import runs  # noqa: E402
import tiny  # noqa: E402
import unswayed as uw  # noqa: E402
from unswayed.core.types import SamplingParams  # noqa: E402
from unswayed.engine.decode import sampler  # noqa: E402
from unswayed.engine.hf import load as engine_load  # noqa: E402
from unswayed.engine.policy import LoadedPolicy, load_policy  # noqa: E402
from unswayed.models import load as model_load  # noqa: E402

ROWS, TOKENS = 4, 24


def train_both(folder: Path, work: Path) -> dict[str, Any]:
    """Two whole OPCT steps on either device: sampling, teacher, loss, backward, optimizer, checkpoint, export."""
    found: dict[str, Any] = {}
    adapters = {}
    for device in ("cpu", "emu:0"):
        recipe = runs.recipe(work / device[:3], folder, model={"device": device}, train={"steps": 2})
        with emulated.counted() as count:
            run = uw.train(recipe)
        adapters[device] = load_file(run.adapter / "adapter_model.safetensors")
        rollouts = sorted((run.path / "rollouts").glob("*"))
        found[device] = {
            "losses": [row["loss"] for row in run.metrics()],
            "norms": [row["grad_norm"] for row in run.metrics()],
            "rollouts": [json.loads(line)["completion_ids"] for path in rollouts for line in path.open()],
            "count": dict(count),
        }
    pairs = zip(adapters["cpu"].values(), adapters["emu:0"].values(), strict=True)
    found["adapter"] = max(float((one - other).abs().max()) for one, other in pairs)
    return found


def policies(folder: Path) -> tuple[LoadedPolicy, LoadedPolicy]:
    """The same model on either device."""
    here = load_policy(str(folder), dtype="float32", device="cpu")
    with emulated.counted():  # what is checked at load runs on the device too
        there = LoadedPolicy(emulated.moved(copy.deepcopy(here.model)), here.chat, here.identity, here.name)
    return here, there


def draw_both(folder: Path) -> dict[str, Any]:
    """Greedy and sampled completions, and likelihoods, on either device; what a token costs on the emulated one."""
    here, there = policies(folder)
    prompts = [here.chat.render((uw.Message("user", "why " * (place + 1)),)) for place in range(ROWS)]
    seeds = [[place] for place in range(ROWS)]
    found: dict[str, Any] = {}
    for name, temperature in (("greedy", 0.0), ("sampled", 1.0)):
        params = SamplingParams(temperature=temperature, max_new_tokens=TOKENS)
        wanted = here.draw(prompts, params, seeds)
        with emulated.counted() as count:
            given = there.draw(prompts, params, seeds)
        steps = max(len(draws[0].completion_ids) for draws in given)
        found[name] = {
            "equal": [a[0].completion_ids == b[0].completion_ids for a, b in zip(wanted, given, strict=True)],
            "steps": steps,
            "count": dict(count),
        }
    given_ids = [[tuple(range(5, 9)), (7,)] for _ in prompts]
    with emulated.counted():
        likely = there.logprobs(prompts, given_ids)
    pairs = zip(here.logprobs(prompts, given_ids), likely, strict=True)
    found["likelihood"] = max(abs(a - b) for one, other in pairs for a, b in zip(one, other, strict=True))
    return found


def evaluate_both(folder: Path) -> dict[str, Any]:
    """A suite's rates on either device."""
    here, there = policies(folder)
    suite = uw.suite("sycophancy/suggested_answer", limit=4)
    wanted = uw.evaluate(here, suite)
    with emulated.counted():
        given = uw.evaluate(there, suite)
    return {"equal": wanted.estimates == given.estimates, "n": len(given.records)}


def with_faults(folder: Path) -> dict[str, Any]:
    """The decode loop with one `.item()` too many, and with one CPU tensor left in it."""
    _, there = policies(folder)
    prompt = there.chat.render((uw.Message("user", "why"),))
    params = SamplingParams(temperature=0.0, max_new_tokens=TOKENS)
    original = sampler.choose
    found: dict[str, Any] = {}

    def reading(logits: Any, *args: Any, **kwargs: Any) -> Any:
        logits.sum().item()
        return original(logits, *args, **kwargs)

    def mixing(logits: Any, *args: Any, **kwargs: Any) -> Any:
        return original(logits + torch.zeros(logits.shape[-1]), *args, **kwargs)

    for name, choose in (("none", original), ("item", reading), ("cpu tensor", mixing)):
        sampler.choose = choose
        try:
            with emulated.counted() as count:
                draws = there.draw([prompt], params, [[0]])
            found[name] = count["item"] / max(1, len(draws[0][0].completion_ids))
        except RuntimeError as error:
            found[name] = str(error)
    sampler.choose = original
    return found


def main(work: Path) -> None:
    folder = tiny.save(tiny.llama(), work / "model")
    load_model = engine_load.load_model

    def load(source: Any, *, dtype: str, device: str, attn: str) -> Any:
        model = load_model(source, dtype=dtype, device="cpu", attn=attn)
        return emulated.moved(model) if device.startswith(emulated.NAME) else model

    engine_load.load_model = load
    model_load._check_device = lambda device: None
    parts = (train_both(folder, work), draw_both(folder), evaluate_both(folder), with_faults(folder))
    print(json.dumps(dict(zip(("train", "draw", "evaluate", "faults"), parts, strict=True))))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
