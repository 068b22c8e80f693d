"""The child's side: one process for each arm, so that its peak memory is its own. It computes only when told to."""

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

from bench.step.work import OURS, PHASES, PLAIN, TRL, TRL_CHECKPOINTED, TRL_PARTS

PROBE = "probe"
Where = tuple[str, dict[str, Any]]  # the module that has an arm's `run(work, control, **options)`, and the options
ARMS: dict[str, Where] = {
    OURS: ("bench.step.ours", {}),
    TRL: ("bench.step.trl_sdft", {"checkpointing": False, "parts": False}),
    TRL_CHECKPOINTED: ("bench.step.trl_sdft", {"checkpointing": True, "parts": False}),
    TRL_PARTS: ("bench.step.trl_sdft", {"checkpointing": False, "parts": True}),
    PLAIN: ("bench.step.plain", {}),
    PROBE: ("bench.step.probe", {}),
}

Completions = Sequence[Sequence[int]]
Check = Callable[[Completions], dict[str, Any]]


def serve(where: Where, work: Any, pipe: Connection) -> None:
    """Be a child process: everything that libraries print goes to stderr, for stdout is the parent's."""
    os.dup2(2, 1)
    run(where, work, pipe)


def run(where: Where, work: Any, pipe: Connection) -> None:
    """Run one arm to its end; whatever goes wrong is told to the parent."""
    try:
        import torch

        torch.set_num_threads(work.threads)
        module, options = where
        importlib.import_module(module).run(work, Control(pipe), **options)
    except ImportError as error:
        pipe.send(("missing", f"{type(error).__name__}: {error}"))
    except EOFError:
        sys.exit(1)  # the parent is gone
    except Exception:
        pipe.send(("error", traceback.format_exc()))


class Control:
    """The parent's orders, and the clocks of a step."""

    def __init__(self, pipe: Connection) -> None:
        self.pipe = pipe
        self._phases: dict[str, float] = {}
        self._phase = "other"
        self._mark = 0.0

    def ready(self, info: dict[str, Any]) -> None:
        """Say that everything is loaded. From here on memory is the step's."""
        gc.collect()
        self.pipe.send(("ready", {**info, "peak_since_ready": forget_peak(), "ready_rss": rss()}))

    def begin(self) -> None:
        """Wait for the order to take a step, then start its clock."""
        self.pipe.recv()
        self._phases = dict.fromkeys(PHASES, 0.0)
        self._phase, self._mark = "other", time.perf_counter()

    def switch(self, phase: str) -> None:
        """From now on time belongs to this phase, and to no other."""
        now = time.perf_counter()
        if self._phases:
            self._phases[self._phase] += now - self._mark
        self._phase, self._mark = phase, now

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Give the time inside to a phase, except what an inner one takes."""
        outer = self._phase
        self.switch(name)
        try:
            yield
        finally:
            self.switch(outer)

    def timed(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return the function with its time given to a phase."""

        @functools.wraps(function)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            with self.phase(name):
                return function(*args, **kwargs)

        return wrapper

    def end(self, completions: Completions) -> None:
        """Report a finished step. What no phase claimed is `other`."""
        self.switch("other")
        self.report(
            seconds=sum(self._phases.values()),
            phases=dict(self._phases),
            completions=[list(map(int, ids)) for ids in completions],
            peak_rss=peak(),
        )

    def report(self, **facts: Any) -> None:
        """Answer an order."""
        self.pipe.send(("done", facts))

    def finish(self, check: Check) -> None:
        """After the last step: work out the loss of given completions, if asked to, and end."""
        completions = self.pipe.recv()
        if completions is not None:
            self.report(**check(completions))


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
    """Let the kernel count the peak of resident memory anew; False where it cannot."""
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    except OSError:
        return False
    return True


def _status(field: str) -> int | None:
    try:
        lines = Path("/proc/self/status").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{field}:")), None)


def rss() -> int:
    found = _status("VmRSS")
    if found is None:
        import psutil  # type: ignore[import-untyped]

        found = int(psutil.Process().memory_info().rss)
    return found


def peak() -> int:
    """Return the peak of resident memory in bytes."""
    found = _status("VmHWM")
    if found is None:
        found = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return found
