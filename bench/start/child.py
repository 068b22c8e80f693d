"""One `unswayed train` up to the end of its first step, with the time of each part. Run by `bench.startup`:

    python -m bench.start.child JOB.json

JOB.json holds `recipe`, `tokens` (the folder for tokenised pairs), `threads` and `began`, the time of the start. The
parts go to the file beside it, `parts.json`.
"""

from __future__ import annotations

import functools
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

PARTS = (
    "python", "torch", "transformers", "peft", "unswayed", "resolve", "hashes", "read", "tokenizer", "tokenise",
    "weights", "fingerprint", "first sample", "first step",
)  # fmt: skip


class FirstStep(BaseException):
    """The first step is done. No `except Exception` on the way holds it up."""


class Clock:
    """Seconds of each part; what runs inside another part is its own and not the other's."""

    def __init__(self, began: float) -> None:
        self.parts = dict.fromkeys((*PARTS, "other"), 0.0)
        self.running, self.mark = ["other"], time.time()
        self.parts["python"] = self.mark - began

    def lap(self, part: str) -> None:
        """Give the time since the last mark to a part."""
        now = time.time()
        self.parts[part] += now - self.mark
        self.mark = now

    def wrap(self, owner: Any, name: str, part: str) -> None:
        """Give the time of a function to a part from now on."""
        function: Callable[..., Any] = getattr(owner, name)

        @functools.wraps(function)
        def timed(*args: Any, **kwargs: Any) -> Any:
            self.lap(self.running[-1])
            self.running.append(part)
            try:
                return function(*args, **kwargs)
            finally:
                self.lap(self.running.pop())

        setattr(owner, name, timed)


def main(path: Path) -> None:
    """Start, and stop after one step."""
    job = json.loads(path.read_text(encoding="utf-8"))
    clock = Clock(job["began"])
    import torch

    torch.set_num_threads(job["threads"])
    clock.lap("torch")
    import transformers  # noqa: F401

    clock.lap("transformers")
    import peft  # noqa: F401

    clock.lap("peft")
    from unswayed.chat.render import Chat
    from unswayed.config.recipe import Recipe
    from unswayed.engine.hf.engine import HFEngine
    from unswayed.train import loop as trainer
    from unswayed.train import prepare
    from unswayed.train import token_cache as tokencache

    clock.lap("unswayed")
    setattr(tokencache, "token_folder", lambda: Path(job["tokens"]))  # noqa: B010
    for owner, name, part in (
        (prepare, "resolve", "resolve"),
        (prepare, "model_identity", "hashes"),
        (prepare, "hash_file", "hashes"),
        (prepare, "hash_json", "hashes"),
        (prepare, "read_pairs", "read"),
        (prepare, "refuse_evaluation_only", "read"),
        (Chat, "load", "tokenizer"),
        (tokencache, "obtain", "tokenise"),
        (trainer, "load_engine", "weights"),
        (HFEngine, "teacher_fingerprint", "fingerprint"),
        (HFEngine, "sample", "first sample"),
        (HFEngine, "score", "first step"),
        (HFEngine, "forward_backward", "first step"),
        (HFEngine, "optim_step", "first step"),
    ):
        clock.wrap(owner, name, part)
    update = HFEngine.optim_step

    def last(self: Any, *args: Any) -> None:
        update(self, *args)
        raise FirstStep

    setattr(HFEngine, "optim_step", last)  # noqa: B010
    try:
        trainer.train(Recipe.from_dict(job["recipe"]), fresh=True)
    except FirstStep:
        clock.lap(clock.running[-1])
    parts = {**clock.parts, "total": time.time() - job["began"]}
    path.with_name("parts.json").write_text(json.dumps(parts), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
