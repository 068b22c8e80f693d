"""Audits of live policies: both arms are asked the same prompts under the same decoders, one model in memory at a time.

Everything is asked through `unswayed.evals.run.evaluate`, so an interrupted audit goes on where it stopped, and each
arm's folder is an evaluation like any other.

OUT/before/greedy/SUITE    one greedy reply a prompt
OUT/before/sampled/SUITE   several at temperature 1, from which the profile and the A/A test are made
OUT/after/...
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from unswayed.audit.formats.ours import read_folder
from unswayed.audit.formats.read import Source
from unswayed.audit.reply import Reply
from unswayed.core.errors import ConfigError
from unswayed.core.hashing import hash_json
from unswayed.core.signals import stop_signals
from unswayed.core.types import TextPolicy
from unswayed.evals.results import EVAL
from unswayed.evals.run import evaluate
from unswayed.evals.suite import Suite
from unswayed.judges.base import Judge

DRAWS = 8
OWN = "own"
"""The decoder of the suite itself: where the other arm is an evaluation that was made before."""


@dataclass(frozen=True)
class Live:
    """How policies are asked.

    Attributes:
        suites: what is asked.
        load: returns the policy that a name stands for.
        draws: replies of each prompt at temperature 1.
        batch_size: prompts at once.
        judge: scores where a suite's rule cannot.
        progress: show how far it is.
    """

    suites: tuple[Suite, ...]
    load: Callable[[str], TextPolicy]
    draws: int = DRAWS
    batch_size: int = 16
    judge: Judge | None = None
    progress: bool = False

    def decoded(self, both: bool) -> dict[str, list[Suite]]:
        """Return the suites by decoder; with one live arm only the suites' own."""
        if not both:
            return {OWN: list(self.suites)}
        choosing = [one for one in self.suites if one.method == "choose"]  # weighs options, decodes nothing
        asked = [one for one in self.suites if one.method != "choose"]
        greedy = [replace(one, params=replace(one.params, temperature=0.0, n=1)) for one in asked]
        drawn = [
            replace(one, params=replace(one.params, temperature=1.0, top_p=1.0, top_k=0, n=self.draws)) for one in asked
        ]
        return {name: some for name, some in (("greedy", greedy + choosing), ("sampled", drawn)) if some}


def is_policy(name: str | Path) -> bool:
    """Return whether an arm has to be asked: neither a file of completions nor a folder of evaluations."""
    path = Path(name)
    if path.is_file():
        return path.suffix == ".gguf"
    return not path.is_dir() or not ((path / EVAL).exists() or any(path.glob(f"*/{EVAL}")))


def identity(name: str, decoded: Mapping[str, Sequence[Suite]]) -> str:
    """Return the hash of what an arm will be asked; it is known before the first sample is drawn."""
    return hash_json([name, {decoder: [one.identity() for one in some] for decoder, some in decoded.items()}])


def ask(arm: str, name: str, live: Live, decoded: Mapping[str, Sequence[Suite]], out: Path) -> Source:
    """Ask a policy everything, and return its replies: each metric under each decoder is a behaviour.

    Raises:
        ConfigError: no suite is named, or the policy cannot be loaded.
    """
    if not live.suites:
        raise ConfigError(f"{name} is a policy: name what it is asked with --suite SUITE (see `unswayed suites`)")
    policy = live.load(name)
    main: list[Reply] = []
    side: list[Reply] = []
    sensitive = False
    with stop_signals:
        for decoder, some in decoded.items():
            for one in some:
                folder = out / arm / decoder / one.key
                evaluate(
                    policy, one, folder, batch_size=live.batch_size, progress=live.progress,
                    judge=live.judge if one.rubric else None,
                )  # fmt: skip
            found, beside, hidden = read_folder(out / arm / decoder)
            main += _under(decoder, found)
            side += _under(decoder, beside)
            sensitive |= hidden
    return Source(name, f"policy {policy.identity}", identity(name, decoded), tuple(main), tuple(side), sensitive)


def _under(decoder: str, replies: Sequence[Reply]) -> list[Reply]:
    if decoder == OWN:
        return list(replies)
    return [replace(reply, behaviour=f"{reply.behaviour} ({decoder})") for reply in replies]


def generation(decoded: Mapping[str, Sequence[Suite]]) -> dict[str, Any]:
    """Return what `audit.json` says of the decoders."""
    return {
        "decoders": {
            name: [{"suite": one.key, **one.identity()["sampling"]} for one in some] for name, some in decoded.items()
        }
    }
