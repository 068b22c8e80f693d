"""The child's side of a race: orders from the parent, clocks of a step, and the memory of the process."""

from __future__ import annotations

import functools
import gc
import importlib
import os
import resource
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

Where = tuple[str, dict[str, Any]]  # the module that has an arm's `run(work, control, **options)`, and the options
Completions = Sequence[Sequence[int]]
Check = Callable[[Completions], dict[str, Any]]
OTHER = "other"


def serve(where: Where, work: Any, pipe: Connection) -> None:
    """Run one arm in a process of its own. What libraries print goes to stderr, because stdout is the parent's."""
    os.dup2(2, 1)
    run(where, work, pipe)


def run(where: Where, work: Any, pipe: Connection) -> None:
    """Import an arm's module and call its `run`; send any failure to the parent."""
    module, options = where
    try:
        importlib.import_module(module).run(work, Control(pipe), **options)
    except ImportError as error:
        ours = (error.name or "").partition(".")[0] in {"bench", "unswayed"}
        pipe.send(("error", traceback.format_exc()) if ours else ("missing", f"{type(error).__name__}: {error}"))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return  # the parent closed the pipe: the race is over
    except Exception:
        pipe.send(("error", traceback.format_exc()))


class Clock:
    """Seconds of each phase of a step, and where asked for the peak of resident memory within each.

    Time and memory inside an inner phase are not counted for the outer one. What no phase claims is `other`.
    """

    def __init__(self, *, peaks: bool = False) -> None:
        self.seconds: dict[str, float] = {}
        self.peaks: dict[str, int] | None = {} if peaks else None
        self._phase, self._mark = OTHER, 0.0

    def start(self) -> None:
        """Begin a step."""
        self.seconds = {}
        if self.peaks is not None:
            self.peaks = {}
            forget_peak()
        self._phase, self._mark = OTHER, time.perf_counter()

    def switch(self, phase: str) -> None:
        """Count time for this phase from now on, and for no other."""
        now = time.perf_counter()
        self.seconds[self._phase] = self.seconds.get(self._phase, 0.0) + now - self._mark
        if self.peaks is not None:
            self.peaks[self._phase] = max(self.peaks.get(self._phase, 0), peak())
            forget_peak()
            now = time.perf_counter()
        self._phase, self._mark = phase, now

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Count the time inside for a phase."""
        outer = self._phase
        self.switch(name)
        try:
            yield
        finally:
            self.switch(outer)

    def timed(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return the function with its time counted for a phase."""

        @functools.wraps(function)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            with self.phase(name):
                return function(*args, **kwargs)

        return wrapper

    def time_engine(self, engine: Any) -> None:
        """Count the time of the training engine's `sample` and `score` for `sample` and `teacher`."""
        setattr(engine, "sample", self.timed("sample", engine.sample))  # noqa: B010
        setattr(engine, "score", self.timed("teacher", engine.score))  # noqa: B010


class Control(Clock):
    """The parent's orders, and the answers to them."""

    def __init__(self, pipe: Connection) -> None:
        super().__init__()
        self.pipe = pipe

    def ready(self, **facts: Any) -> None:
        """Report that everything is loaded. From here on memory is the step's."""
        gc.collect()
        self.pipe.send(("ready", {**facts, "peak_since_ready": forget_peak(), "ready_rss": rss()}))

    def orders(self) -> Iterator[Any]:
        """Yield orders until the parent closes the pipe."""
        while True:
            yield self.pipe.recv()

    def begin(self) -> None:
        """Wait for the order to take a step, then start its clock."""
        self.pipe.recv()
        self.start()

    def end(self, completions: Completions) -> None:
        """Report a finished step."""
        self.switch(OTHER)
        self.report(
            seconds=sum(self.seconds.values()),
            phases=dict(self.seconds),
            completions=[list(map(int, ids)) for ids in completions],
            peak_rss=peak(),
        )

    def report(self, **facts: Any) -> None:
        """Answer an order."""
        self.pipe.send(("done", facts))

    def finish(self, check: Check) -> None:
        """After the last step, answer one more order: what the arm computes for the completions in it."""
        self.report(**check(self.pipe.recv()))


def model_facts(model: Any) -> dict[str, Any]:
    """Return what the floor needs to know of a PEFT model: counts of weights, and their bytes."""
    import torch

    base = model.get_base_model()
    config, head = base.config.get_text_config(), base.get_output_embeddings()
    body = [m for m in base.modules() if isinstance(m, torch.nn.Linear) and m is not head]
    frozen = [m for m in body if not m.weight.requires_grad]
    heads = config.num_attention_heads
    width = getattr(config, "head_dim", None) or config.hidden_size // heads
    return {
        "dtype": str(head.weight.dtype).removeprefix("torch."),
        "parameters": sum(p.numel() for p in base.parameters() if not p.requires_grad),
        "weight_bytes": sum(p.numel() * p.element_size() for p in model.parameters()),
        "shape": {
            "body": sum(m.weight.numel() for m in frozen),
            "adapter": sum(p.numel() for p in model.parameters() if p.requires_grad),
            "head": head.weight.numel(),
            "layers": config.num_hidden_layers,
            "attention_width": heads * width,
            "kv_width": (getattr(config, "num_key_value_heads", None) or heads) * width,
            "bytes": head.weight.element_size(),
        },
    }


def add_adapter(model: Any, rank: int) -> Any:
    """Return the model with a new LoRA adapter on all linear layers, without PEFT's deprecation warning."""
    from peft import LoraConfig, get_peft_model

    from unswayed.engine.hf.attach import quiet_peft

    with quiet_peft():
        return get_peft_model(
            model, LoraConfig(r=rank, lora_alpha=2 * rank, target_modules="all-linear", task_type="CAUSAL_LM")
        )


def set_adapter(named: Iterable[tuple[str, Any]]) -> list[tuple[str, Any]]:
    """Write the same small random numbers into any arm's adapter, and return its weights by name in order."""
    import torch

    weights = sorted((name, weight) for name, weight in named if weight.requires_grad)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for _, weight in weights:
            weight.copy_(torch.randn(weight.shape, generator=generator) * 0.02)
    return weights


def gradient(weights: list[tuple[str, Any]]) -> Any:
    """Return the gradient of an adapter as one float32 NumPy vector, in `set_adapter`'s order."""
    import torch

    return torch.cat([weight.grad.flatten().float() for _, weight in weights]).numpy()


def forget_peak() -> bool:
    """Reset the kernel's peak of resident memory; False where it cannot be reset."""
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    except OSError:
        return False
    return True


def rss() -> int:
    """Return resident memory in bytes."""
    import psutil  # type: ignore[import-untyped]

    return int(psutil.Process().memory_info().rss)


def peak() -> int:
    """Return the peak of resident memory in bytes, since `forget_peak` where the kernel can reset it."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    for line in lines:
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
