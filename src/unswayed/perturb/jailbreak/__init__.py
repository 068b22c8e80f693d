"""Jailbreak wrappers: a request the model declines when asked plainly is asked in another shape.

Each family is one well-known public kind of wrapper in plain wordings of our own, and is a function of any request. So
the same wrapper goes around harmless requests too, where the right behaviour is to help: those are the benign twins
that show a model which has learned to refuse wrappers instead of what they hold.

Four families and two wordings of each are held out of the default training set. `REWRITE` is for requests that come
with rewrites of their own, as PAIR files do: its `hint` is the rewrite.
"""

from __future__ import annotations

from collections.abc import Mapping

from unswayed.core.errors import ConfigError
from unswayed.core.types import Message
from unswayed.perturb.base import Perturbation, Prompt, asked, register
from unswayed.perturb.jailbreak import encodings, many_shot, payload_split, words
from unswayed.perturb.jailbreak.axis import AXIS, WORDINGS

FAMILIES: Mapping[str, Perturbation] = {
    entry.name.removeprefix(f"{AXIS}/"): register(entry)
    for entry in (*words.FAMILIES, *payload_split.FAMILIES, *encodings.FAMILIES, *many_shot.FAMILIES)
}
"""Every wrapper by its short name; none needs a hint."""

HELD_OUT_FAMILIES = ("past_tense", "rot13", "leetspeak", "many_shot")
TRAIN_FAMILIES = tuple(name for name in FAMILIES if name not in HELD_OUT_FAMILIES)
TRAIN_PHRASINGS = (0, 1, 2, 3)
HELD_OUT_PHRASINGS = (4, 5)


def _rewrite(prompt: Prompt, *, hint: str, phrasing: int) -> Prompt:
    """Return the prompt with the rewrite `hint` in the place of its request."""
    before, _ = asked(prompt, f"{AXIS}/rewrite", phrasing, count=1)
    if not hint.strip():
        raise ConfigError(f"{AXIS}/rewrite needs the rewritten request as its hint")
    return (*before, Message("user", hint))


REWRITE = register(Perturbation(f"{AXIS}/rewrite", 1, AXIS, _rewrite, ("given",)))
"""A rewrite that came with the request."""

__all__ = [
    "AXIS", "FAMILIES", "HELD_OUT_FAMILIES", "HELD_OUT_PHRASINGS", "REWRITE", "TRAIN_FAMILIES", "TRAIN_PHRASINGS",
    "WORDINGS",
]  # fmt: skip
