"""Two processes that train together, as forked children of one warm parent: no import is paid twice."""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path

import torch

from unswayed.training import distributed as parallel


def several(program: Callable[[int], object], folder: Path, size: int = 2, seconds: float = 300) -> list[int]:
    """Run `program(rank)` in each process, its stderr in `folder/RANK.txt`; return exit codes, negative for a signal.

    Who is still running after `seconds` is killed: a deadlock is a failed test, not a hanging one.
    """
    folder.mkdir(parents=True, exist_ok=True)
    port = _free_port()
    children = [_child(program, rank, size, port, folder / f"{rank}.txt") for rank in range(size)]
    codes: dict[int, int] = {}
    end = time.monotonic() + seconds
    while len(codes) < size:
        for rank, pid in enumerate(children):
            if rank in codes:
                continue
            if time.monotonic() > end:
                os.kill(pid, signal.SIGKILL)
            done, status = os.waitpid(pid, os.WNOHANG)
            if done:
                codes[rank] = os.waitstatus_to_exitcode(status)
        time.sleep(0.005)
    return [codes[rank] for rank in range(size)]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _child(program: Callable[[int], object], rank: int, size: int, port: int, errors: Path) -> int:
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        sys.stderr = open(errors, "w", encoding="utf-8")  # noqa: SIM115
        os.environ |= {
            "RANK": str(rank), "WORLD_SIZE": str(size), "LOCAL_RANK": str(rank),
            "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port),
        }  # fmt: skip
        parallel.join.cache_clear()
        torch.set_num_threads(1)
        program(rank)
        code = 0
    except BaseException as error:
        code = getattr(error, "exit_code", 1)
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)
