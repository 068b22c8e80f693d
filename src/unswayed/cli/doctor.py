"""`unswayed doctor`: what this machine is, what is installed and reachable on it, and what can be run."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import typer

from unswayed._version import __version__
from unswayed.cli.options import Json, echo, print_json
from unswayed.core.cache_root import cache_root
from unswayed.core.errors import UnswayedError
from unswayed.core.printable import printable
from unswayed.core.progress import size
from unswayed.models.gguf.aliases import ALIASES
from unswayed.training.token_cache import token_folder

KEYS = (
    "ANTHROPIC_API_KEY", "AZURE_OPENAI_API_KEY", "DEEPSEEK_API_KEY", "GEMINI_API_KEY", "GOOGLE_API_KEY",
    "GROQ_API_KEY", "HF_TOKEN", "MISTRAL_API_KEY", "OPENAI_API_KEY", "OPENROUTER_API_KEY", "TINKER_API_KEY",
    "TOGETHER_API_KEY", "UNSWAYED_ENDPOINT_KEY", "UNSWAYED_JUDGE_KEY", "WANDB_API_KEY",
)  # fmt: skip
OPTIONAL = (
    "bitsandbytes", "flash-attn", "httpx", "inspect-ai", "kernels", "tensorboard", "tinker", "trackio", "vllm", "wandb",
)  # fmt: skip
FEATURES = ("avx2", "avx512f", "avx512_bf16", "amx_bf16", "asimd", "bf16")
SPARE = 0.5  # share of memory that weights may take: the rest is for activations, caches, adapter and optimizer
BYTES = {"bfloat16": 2, "float16": 2, "float32": 4}


def doctor(as_json: Json = False) -> None:
    """Check this machine: versions, accelerator, memory, disk, models, and which keys are set (names only)."""
    report = examine()
    if as_json:
        print_json(report)
    else:
        echo(render(report), nl=False)
    if report["problems"]:
        raise typer.Exit(UnswayedError.exit_code)


def examine() -> dict[str, Any]:
    """Return everything doctor knows, as plain data. It holds no value of any key."""
    from unswayed.cli.models import describe

    report: dict[str, Any] = {
        "unswayed": __version__,
        "machine": _machine(),
        "python": {"version": platform.python_version(), "executable": sys.executable},
        "packages": _packages(),
        "optional": {name: found for name in OPTIONAL if (found := _version(name))},
        "accelerator": _accelerator(),
        "folders": {"cache": _folder(cache_root()), "current": _folder(Path.cwd())},
        "tokenised_pairs": _tokenised(),
        "models": {alias: describe(ALIASES[alias])["state"] for alias in ALIASES},
        "keys_set": [name for name in KEYS if os.environ.get(name)],
        "offline": [name for name in ("UNSWAYED_OFFLINE", "HF_HUB_OFFLINE") if os.environ.get(name)],
    }
    report["problems"] = _problems(report)
    report["verdict"] = _verdict(report)
    return report


def _machine() -> dict[str, Any]:
    total, free = _memory()
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return {
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "cores": os.cpu_count() or 1,
        "cores_usable": usable,
        "memory_bytes": total,
        "memory_free_bytes": free,
    }


def _memory() -> tuple[int, int | None]:
    """Return memory in all, never more than a container's limit, and what of it is free where the system tells."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    free = None
    try:
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                free = int(line.split()[1]) * 1024
    except OSError:
        return total, None
    try:
        limit = int(Path("/sys/fs/cgroup/memory.max").read_text(encoding="ascii"))
        used = int(Path("/sys/fs/cgroup/memory.current").read_text(encoding="ascii"))
    except (OSError, ValueError):  # no container, or "max": no limit
        return total, free
    return min(total, limit), min(free, max(limit - used, 0)) if free is not None else None


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _packages() -> dict[str, dict[str, Any]]:
    """Return each package that is needed: its version, the range that is asked for, and whether it lies in it."""
    from packaging.requirements import Requirement

    packages = {}
    for line in metadata.requires("unswayed") or ():
        requirement = Requirement(line)
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            continue
        found = _version(requirement.name)
        fits = found is not None and requirement.specifier.contains(found, prereleases=True)
        packages[requirement.name] = {"version": found, "needs": str(requirement.specifier), "fits": fits}
    return packages


def _accelerator() -> dict[str, Any]:
    """Return what torch can compute on. A torch that cannot be imported is a finding, not a crash."""
    from unswayed.models.load import cpu_features, default_dtype

    features = cpu_features()
    found: dict[str, Any] = {"cpu_features": [name for name in FEATURES if name in features]}
    try:
        import torch
    except Exception as error:
        return {**found, "device": None, "error": f"{type(error).__name__}: {error}", "gpus": []}
    gpus = []
    for index in range(torch.cuda.device_count() if torch.cuda.is_available() else 0):
        about = torch.cuda.get_device_properties(index)
        gpus.append(
            {"name": about.name, "memory_bytes": about.total_memory, "capability": f"{about.major}.{about.minor}"}
        )
    device = "cuda" if gpus else "mps" if torch.backends.mps.is_available() else "cpu"
    return {
        **found,
        "device": device,
        "dtype": default_dtype(device),
        "gpus": gpus,
        "cuda": torch.version.cuda,
        "threads": torch.get_num_threads(),
        "omp_num_threads": os.environ.get("OMP_NUM_THREADS"),
    }


def _folder(path: Path) -> dict[str, Any]:
    """Return whether files can be written at or below a path, and the space there. Creates nothing."""
    there = path
    while not there.exists() and there != there.parent:
        there = there.parent
    return {
        "path": str(path),
        "exists": path.is_dir(),
        "writable": there.is_dir() and os.access(there, os.W_OK | os.X_OK),
        "free_bytes": shutil.disk_usage(there).free,
    }


def _tokenised() -> dict[str, Any]:
    """Return what pairs that were tokenised before take on disk."""
    sizes = [path.stat().st_size for path in token_folder().glob("*.safetensors")]
    return {"path": str(token_folder()), "files": len(sizes), "bytes": sum(sizes)}


def _problems(report: dict[str, Any]) -> list[str]:
    """Return what keeps anything from running, each with what to do."""
    problems = []
    for name, package in report["packages"].items():
        if not package["fits"]:
            found = f"{package['version']} is installed" if package["version"] else "not installed"
            problems.append(f"{name}: {found}, {package['needs']} is needed; run `pip install -U unswayed`")
    if report["accelerator"]["device"] is None:
        problems.append(
            f"torch cannot be imported ({report['accelerator']['error']}); install it again for this machine"
        )
    for use, folder in report["folders"].items():
        if not folder["writable"]:
            advice = "set UNSWAYED_CACHE to a folder that can" if use == "cache" else "run elsewhere"
            problems.append(f"{folder['path']} ({use} folder) cannot be written; {advice}")
    for name, state in report["models"].items():
        if state == "damaged":
            problems.append(f"{name} is damaged in the cache; run `unswayed models fetch {name}`")
    return problems


def _verdict(report: dict[str, Any]) -> str:
    """Return in one sentence what can be run here."""
    if report["problems"]:
        many = len(report["problems"])
        return f"Not ready: {many} problem{'s' if many > 1 else ''} to fix first."
    accelerator, machine = report["accelerator"], report["machine"]
    if accelerator["gpus"]:
        memory, where = accelerator["gpus"][0]["memory_bytes"], f"on {accelerator['gpus'][0]['name']}"
    else:
        memory, where = machine["memory_bytes"], "on the Apple GPU" if accelerator["device"] == "mps" else "on the CPU"
    billions = memory * SPARE / BYTES[accelerator["dtype"]] / 1e9
    limit = f"{billions:.0f}" if billions >= 10 else f"{billions:.1f}"
    return (
        f"Ready: LoRA training and evaluation {where} in {accelerator['dtype']}; memory holds the weights of models up "
        f"to about {limit} billion parameters, with half of it kept for everything else."
    )


def render(report: dict[str, Any]) -> str:
    """Return the report as text for people."""
    machine, accelerator = report["machine"], report["accelerator"]
    free = f", {size(machine['memory_free_bytes'])} free" if machine["memory_free_bytes"] is not None else ""
    versions = [f"{name} {package['version'] or 'missing'}" for name, package in report["packages"].items()]
    extras = [f"{name} {version}" for name, version in report["optional"].items()]
    gpus = [f"{gpu['name']} ({size(gpu['memory_bytes'])}, compute {gpu['capability']})" for gpu in accelerator["gpus"]]
    if accelerator["device"] is None:
        compute = "unknown"
    else:
        omp = accelerator["omp_num_threads"]
        threads = f"{accelerator['threads']} threads{f' (OMP_NUM_THREADS={omp})' if omp else ''}"
        compute = f"{accelerator['device']}, {accelerator['dtype']} by default, {threads}"
    folders = [
        f"{folder['path']}: {'writable' if folder['writable'] else 'NOT writable'}, {size(folder['free_bytes'])} free"
        for folder in report["folders"].values()
    ]
    kept = report["tokenised_pairs"]
    rows = [
        ("unswayed", [report["unswayed"]]),
        ("python", [f"{report['python']['version']} at {report['python']['executable']}"]),
        ("machine", [machine["system"], f"{machine['cores_usable']} of {machine['cores']} cores, "
                     f"{size(machine['memory_bytes'])} memory{free}"]),
        ("compute", [compute, *gpus, f"CPU features: {', '.join(accelerator['cpu_features']) or 'none known'}"]),
        ("packages", [", ".join(versions)]),
        ("optional", [", ".join(extras) or "none installed"]),
        ("cache", [folders[0], f"tokenised pairs: {kept['files']} files, {size(kept['bytes'])}"]),
        ("here", [folders[1]]),
        ("models", [f"{name}: {state}" for name, state in report["models"].items()]),
        ("keys set", [", ".join(report["keys_set"]) or "none"]),
        ("offline", [", ".join(report["offline"]) or "no"]),
    ]  # fmt: skip
    lines = [f"{title if not index else '':<10}{text}" for title, texts in rows for index, text in enumerate(texts)]
    lines += ["", *(f"problem: {problem}" for problem in report["problems"]), report["verdict"]]
    return printable("\n".join(lines)) + "\n"
