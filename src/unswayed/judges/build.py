"""Building of judges from specs, as on a command line.

rule                          the rule; no model
local:MODEL                   any model the library loads, by the log-probability of its labels
local-written:MODEL           the same model, asked to write a verdict line
openai:MODEL@URL              an OpenAI-compatible endpoint, e.g. openai:gpt-x@https://api.openai.com/v1
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from unswayed.core.errors import ConfigError
from unswayed.core.jsonl import loads
from unswayed.core.plugins import load_installed
from unswayed.core.suggest import did_you_mean
from unswayed.engine.remote.client import key_for
from unswayed.judges.base import Judge
from unswayed.judges.cache import CachedJudge
from unswayed.judges.endpoint import PARAMS, EndpointJudge
from unswayed.judges.local import LocalJudge
from unswayed.judges.rule import RuleJudge

KEY = "UNSWAYED_JUDGE_KEY"

JUDGES: dict[str, Callable[[str], Judge]] = {}


def judge_kind(name: str) -> Callable[[Callable[[str], Judge]], Callable[[str], Judge]]:
    """Declare what builds the judges of a kind: `NAME:REST` is built by calling it with `REST`.

    Raises:
        ConfigError: the kind is there already.
    """

    def declare(build: Callable[[str], Judge]) -> Callable[[str], Judge]:
        if name in {"rule", "local", "local-written", "openai"} or JUDGES.setdefault(name, build) is not build:
            raise ConfigError(f"judge kind {name!r} is declared already; give yours another name")
        return build

    return declare


def build_judge(
    spec: str,
    *,
    cache: Path | None = None,
    params: Mapping[str, Any] | None = None,
    dtype: str = "auto",
    device: str = "auto",
) -> Judge:
    """Return the judge that a spec describes.

    Args:
        spec: see the module.
        cache: folder where verdicts of models are kept; None keeps none.
        params: what an endpoint is sent in place of `temperature` 0 and `max_tokens` 512.
        dtype, device: of a local model.

    Raises:
        ConfigError: no such kind, model or URL.
    """
    load_installed()
    kind, _, rest = spec.partition(":")
    if params is not None and kind != "openai":
        raise ConfigError(f"judge parameters are for endpoints; {spec} is none")
    judge: Judge
    if spec == "rule":
        return RuleJudge()
    if kind in {"local", "local-written"} and rest:
        from unswayed.engine.policy import load_policy

        judge = LocalJudge(load_policy(rest, dtype=dtype, device=device), written=kind == "local-written")
    elif kind == "openai" and "@" in rest:
        model, _, url = rest.rpartition("@")
        judge = EndpointJudge(model, url, key=key_for(url, KEY), params=PARAMS if params is None else params)
    elif kind in JUDGES:
        judge = JUDGES[kind](rest)
    else:
        others = "".join(f", {name}:..." for name in sorted(JUDGES))
        near = did_you_mean(kind, ["rule", "local", "local-written", "openai", *JUDGES])
        raise ConfigError(
            f"judge {spec!r} is none of: rule, local:MODEL, local-written:MODEL, openai:MODEL@https://HOST/v1{others}"
            f"{near}"
        )
    return judge if cache is None else CachedJudge(judge, cache)


def parse_params(text: str | None) -> dict[str, Any] | None:
    """Return what an endpoint is to be sent, from JSON on a command line.

    Raises:
        ConfigError: no JSON object, or one that sets what the judge itself sets.
    """
    if text is None:
        return None
    try:
        value = loads(text)
    except ValueError as error:
        raise ConfigError(f"judge parameters are no JSON: {error}") from error
    if not isinstance(value, dict) or {"model", "messages", "stream", "n"} & value.keys():
        raise ConfigError("judge parameters are a JSON object without model, messages, stream and n")
    return value


def default_cache() -> Path:
    """Return where verdicts are kept: beside the models. They hold what judges wrote, and hashes of what they read."""
    from unswayed.core.cache_root import cache_root

    return cache_root() / "judge"
