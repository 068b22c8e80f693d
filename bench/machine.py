"""The machine and the versions, in words that identify neither its owner nor its place."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from unswayed.models.load import cpu_features

FEATURES = (
    "avx2", "fma", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "amx_tile", "asimd", "sve", "sve2", "bf16",
)  # fmt: skip
PACKAGES = ("unswayed", "torch", "transformers", "peft", "accelerate", "trl")


def describe() -> dict[str, Any]:
    """Return processor, cores, memory and system."""
    import psutil  # type: ignore[import-untyped]

    known = cpu_features()
    return {
        "cpu": _cpu(),
        "features": [name for name in FEATURES if name in known],
        "cores": physical_cores(),
        "logical_cores": os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "system": f"{platform.system()} {platform.machine()}",
    }


def physical_cores() -> int:
    """Return how many cores this process may compute on, counting no core twice."""
    import psutil

    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(psutil.cpu_count(logical=False) or usable, usable)


def load() -> float | None:
    """Return how many processes wanted a core over the last minute, where the system tells."""
    try:
        return round(os.getloadavg()[0], 2)
    except OSError:
        return None


def versions() -> dict[str, str]:
    """Return Python and the packages that matter here, as far as they are installed."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def line(result: Mapping[str, Any]) -> str:
    """Return date, machine and versions of a result as one line."""
    machine = result["machine"]
    return (
        f"{result['date']}; {machine['cores']} cores ({', '.join(machine['features']) or 'no known features'}), "
        f"{machine['memory_gib']} GiB, {machine['system']}, load before {machine.get('load_before')}; "
        + ", ".join(f"{name} {version}" for name, version in result["versions"].items())
    )


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    model = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "")
    return model or platform.processor() or platform.machine()
