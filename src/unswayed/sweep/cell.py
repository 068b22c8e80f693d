"""One unit of a sweep: a command, everything that decides its bytes, and the folder that this names.

DIR/sweep.json                what was planned, and from which recipe
DIR/cells.jsonl               every cell, those that others need first
DIR/cells/KEY/cell.json       the command, its inputs, and the cells that it needs
              recipe.toml     what the command reads, where it reads a recipe
              LOCK            held by whoever runs the command, and by the command itself
              log.txt         what the command printed
              work/           what it is writing
              out/            what it wrote: `work` under its final name, so it appears whole or not at all
              FAILED.json     how the last attempt ended, if not well
              ran.json        where and how long it ran

Every path in a command is relative to the cell's folder, so a sweep may move, and anyone can run a cell by hand:
`cd DIR/cells/KEY` and what `cell.json` has under `shell`.
"""

from __future__ import annotations

import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from unswayed.core.errors import ConfigError, DataError, Interrupted
from unswayed.core.files import dump_json, fsync_path, jsonl_line, locked, read_jsonl, write_atomic, write_json
from unswayed.core.hashing import hash_json
from unswayed.core.printable import printable

KINDS = ("pairs", "organism", "label", "train", "eval")
PLAN, CELLS = "sweep.json", "cells.jsonl"
ABOUT, LOG, WORK, OUT, FAILED, RAN = "cell.json", "log.txt", "work", "out", "FAILED.json", "ran.json"
TAIL = 20  # last lines of a failed command that are kept
_TAIL_BYTES = 1 << 14


@dataclass(frozen=True)
class Cell:
    """One unit of a sweep.

    Attributes:
        kind: one of `KINDS`.
        name: what people read: `train sycophancy opct seed 0`. The key does not depend on it.
        inputs: everything that decides the bytes of the result, as plain JSON: settings, hashes of data, the version.
        command: the words of the command; `unswayed` as the first one is this installation.
        needs: keys of the cells whose results it reads, at `../KEY/out`.
        files: texts that are put into the folder before the command starts.
        environment: variables that the command gets beside those of its parent.
        axes: where it stands in the matrix: model, family, method, seed, checkpoint.
        cost: what `plan` says it takes: tokens, judge calls, hours.
        devices: accelerators it is given. `memory`: GB it takes, by which a machine is not overfilled.
    """

    kind: str
    name: str
    inputs: Mapping[str, Any]
    command: tuple[str, ...]
    needs: tuple[str, ...] = ()
    files: Mapping[str, str] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    axes: Mapping[str, Any] = field(default_factory=dict)
    cost: Mapping[str, float] = field(default_factory=dict)
    devices: int = 0
    memory: float = 0.0

    @cached_property
    def key(self) -> str:
        """The name of its folder: a hash of its kind, its inputs and the keys of what it needs."""
        return hash_json({"kind": self.kind, "inputs": self.inputs, "needs": self.needs})[:16]

    def to_json(self) -> dict[str, Any]:
        """Return the cell as plain JSON, with the command as a person would type it."""
        return {
            "key": self.key,
            "kind": self.kind,
            "name": self.name,
            "inputs": self.inputs,
            "command": list(self.command),
            "shell": self.shell,
            "needs": list(self.needs),
            "files": self.files,
            "environment": self.environment,
            "axes": self.axes,
            "cost": self.cost,
            "devices": self.devices,
            "memory": self.memory,
        }

    @property
    def shell(self) -> str:
        """The command as a person types it in the cell's folder."""
        settings = [f"{name}={shlex.quote(value)}" for name, value in self.environment.items()]
        return " ".join([*settings, shlex.join(self.command)])

    @classmethod
    def from_json(cls, row: Mapping[str, Any], where: str = CELLS) -> Cell:
        """Return the cell that `to_json` wrote.

        Raises:
            DataError: a field is missing, or its key is not the hash of its inputs.
        """
        try:
            cell = cls(
                **{name: row[name] for name in cls.__dataclass_fields__ if name not in {"command", "needs"}},
                command=tuple(row["command"]),
                needs=tuple(row["needs"]),
            )
            said = row["key"]
        except (KeyError, TypeError) as error:
            raise DataError(f"{where}: not a cell ({error}); the file was changed by something else") from error
        if cell.key != said:
            raise DataError(
                f"{where}: {said} is not the hash of the inputs beside it ({cell.key}); plan the sweep again"
            )
        return cell


def cell_folder(root: Path, key: str) -> Path:
    """Return the folder of a cell."""
    return root / "cells" / key


def is_done(folder: Path) -> bool:
    """Return whether the cell's result is there."""
    return (folder / OUT).is_dir()


def write_cells(root: Path, cells: Sequence[Cell]) -> None:
    """Write the list of cells, whole or not at all."""
    write_atomic(root / CELLS, "".join(jsonl_line(cell.to_json()) for cell in cells))


def read_cells(root: Path) -> list[Cell]:
    """Return the cells of a sweep, those that others need first.

    Raises:
        ConfigError: there is no sweep in the folder.
        DataError: the list was changed by something else.
    """
    path = root / CELLS
    if not path.exists():
        raise ConfigError(
            f"{root}: holds no sweep ({CELLS} is missing); name the folder that `unswayed sweep run` made"
        )
    return [Cell.from_json(row, f"{path}:{number}") for number, row in enumerate(read_jsonl(path), start=1)]


def read_cell(root: Path, key: str) -> Cell:
    """Return one cell of a sweep, without reading the others where its folder has it.

    Raises:
        ConfigError: the sweep has no such cell.
    """
    path = cell_folder(root, key) / ABOUT
    try:
        return Cell.from_json(json.loads(path.read_text(encoding="utf-8")), str(path))
    except (OSError, ValueError):
        found = [cell for cell in read_cells(root) if cell.key == key]
    if not found:
        raise ConfigError(f"{root}: no cell has the key {key!r}; `unswayed sweep status DIR --json` lists them")
    return found[0]


Stop = Callable[[], bool]


def run_cell(
    root: Path,
    cell: Cell,
    *,
    environment: Mapping[str, str] | None = None,
    keep: Sequence[int] = (),
    stop: Stop = lambda: False,
) -> int:
    """Run a cell's command unless its result is there already, and publish what it wrote; return its exit code.

    The command holds the cell's lock too, so no second one starts while it runs, even if this process has died.

    Args:
        root: the sweep's folder.
        cell: what to run.
        environment: variables beside the cell's own, e.g. which device.
        keep: descriptors that the command inherits, e.g. of the lock of its device.
        stop: asked twice a second; once true, the command is sent SIGTERM, so that it saves and ends.

    Raises:
        LockedError: another process runs it.
        ConfigError: what it needs is not there.
    """
    folder = cell_folder(root, cell.key)
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder) as lock:
        if is_done(folder):
            return 0
        missing = [key for key in cell.needs if not is_done(cell_folder(root, key))]
        if missing:
            raise ConfigError(f"{cell.name} ({cell.key}) needs {', '.join(missing)}, which is not done")
        _prepare(folder, cell)
        began = time.monotonic()
        code = _run(folder, cell, {**cell.environment, **(environment or {})}, (lock, *keep), stop)
        ran = {"seconds": round(time.monotonic() - began, 3), "host": socket.gethostname(), "code": code}
        write_json(folder / RAN, ran, durable=False)
        if code == 0:
            os.rename(folder / WORK, folder / OUT)
            fsync_path(folder)
        elif not may_go_on(code):
            write_json(folder / FAILED, {"code": code, "name": cell.name, "lines": last_lines(folder / LOG)})
    return code


def may_go_on(code: int) -> bool:
    """Return whether a command that ended so goes on when it is run again: it saved, or was asked to end."""
    return code in {Interrupted.exit_code, -signal.SIGTERM, -signal.SIGINT, -signal.SIGHUP}


def _prepare(folder: Path, cell: Cell) -> None:
    about = dump_json(cell.to_json())
    try:
        same = (folder / ABOUT).read_text(encoding="utf-8") == about
    except OSError:
        same = False
    if not same:
        write_atomic(folder / ABOUT, about, durable=False)
    for name, text in cell.files.items():
        write_atomic(folder / name, text, durable=False)
    (folder / FAILED).unlink(missing_ok=True)
    (folder / WORK).mkdir(exist_ok=True)


def _run(folder: Path, cell: Cell, environment: Mapping[str, str], keep: Sequence[int], stop: Stop) -> int:
    words = [sys.executable, "-m", "unswayed"] if cell.command[0] == "unswayed" else [cell.command[0]]
    with open(folder / LOG, "ab") as log:
        log.write(f"$ {cell.shell}\n".encode())
        log.flush()
        try:
            process = subprocess.Popen(
                [*words, *cell.command[1:]],
                cwd=folder,
                env={**os.environ, **environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=keep,
                start_new_session=True,  # the terminal's Ctrl-C reaches us alone, and the command gets one signal
            )
        except OSError as error:
            log.write(f"{cell.command[0]}: {error.strerror}\n".encode())
            return 127
        return _wait(process, stop)


def _wait(process: subprocess.Popen[bytes], stop: Stop) -> int:
    asked = False
    while True:
        try:
            return process.wait(None if asked else 0.5)
        except subprocess.TimeoutExpired:
            if stop():
                asked = True
                process.terminate()


def last_lines(path: Path) -> list[str]:
    """Return the last lines of a log, safe to print."""
    try:
        with open(path, "rb") as file:
            file.seek(max(file.seek(0, os.SEEK_END) - _TAIL_BYTES, 0))
            text = file.read().decode("utf-8", "replace")
    except FileNotFoundError:
        return []
    return [printable(line, newlines=False) for line in text.splitlines()[-TAIL:]]
