"""Kill a short run at every file operation, in forked children of one warm parent."""

from __future__ import annotations

import builtins
import hashlib
import json
import os
import shutil
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import safetensors.torch

import unswayed.engine.hf.engine
from unswayed.config.recipe import Recipe
from unswayed.training.loop import train

Operation = Callable[..., Any]


def file_operations() -> Iterator[tuple[Any, str]]:
    """Yield every call through which a run touches the disk."""
    for name in ("rename", "fsync", "makedirs", "mkdir", "unlink"):
        yield os, name
    for name in ("rmtree", "copyfile"):
        yield shutil, name
    yield Path, "unlink"
    yield Path, "write_text"
    yield unswayed.engine.hf.engine, "save_file"


def patch_file_operations(before: Callable[[str, tuple[Any, ...]], None]) -> None:
    """Call `before(name, arguments)` ahead of every file operation of this process."""

    def wrap(holder: Any, name: str) -> None:
        real: Operation = getattr(holder, name)

        def wrapped(*args: Any, **kwargs: Any) -> Any:
            before(name, args)
            return real(*args, **kwargs)

        setattr(holder, name, wrapped)

    for holder, name in file_operations():
        wrap(holder, name)
    real_open = builtins.open

    def counted_open(file: Any, mode: str = "r", *args: Any, **kwargs: Any) -> Any:
        if any(letter in mode for letter in "wa+"):
            before("open", (file,))
        return real_open(file, mode, *args, **kwargs)

    builtins.open = counted_open  # type: ignore[assignment]


def tear(name: str, args: tuple[Any, ...]) -> None:
    """Leave what a kill in the middle of this write would leave: the first half of the file."""
    if name == "save_file":
        tensors, path = args[0], Path(args[1])
        whole = safetensors.torch.save(dict(tensors))
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT), "wb") as file:
            file.write(whole[: len(whole) // 2])


def child(program: Callable[[], None]) -> int:
    """Run `program` in a forked child; return its exit code, negative for a signal."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            program()
            code = 0
        except BaseException as error:
            code = getattr(error, "exit_code", 1)
            traceback.print_exc(file=sys.__stderr__)
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def run(recipe: Recipe, *, kill_at: int | None = None, count_to: Path | None = None) -> None:
    """Train with `--resume`; die at file operation `kill_at`, or write how many there were to `count_to`."""
    seen = 0

    def before(name: str, args: tuple[Any, ...]) -> None:
        nonlocal seen
        seen += 1
        if seen == kill_at:
            tear(name, args)
            os.kill(os.getpid(), signal.SIGKILL)

    patch_file_operations(before)
    train(recipe, resume="auto")
    if count_to is not None:
        os.write(os.open(count_to, os.O_WRONLY | os.O_CREAT), str(seen).encode())


def remains(run_dir: Path) -> dict[str, str]:
    """Return what a finished run left: file to hash, with clock times taken out of the metrics."""
    found = {}
    for path in sorted(run_dir.rglob("*")):
        if path.is_dir() or path.name == "LOCK":
            continue
        content = path.read_bytes()
        if path.name == "metrics.jsonl":
            rows = [json.loads(line) for line in content.splitlines()]
            content = json.dumps([{k: v for k, v in row.items() if k != "seconds"} for row in rows]).encode()
        found[str(path.relative_to(run_dir))] = hashlib.sha256(content).hexdigest()
    return found
