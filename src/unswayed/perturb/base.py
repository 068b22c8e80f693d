"""The perturbation type and the registry by name.

A perturbation turns a prompt a model handles well into one where it may not. It is named `<axis>/<family>` and has a
version: a change of wording is a new version, because a rate holds only for the wording it was measured with.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

from unswayed.core.errors import ConfigError
from unswayed.core.plugins import load_installed
from unswayed.core.suggest import no_such
from unswayed.core.types import Message

Prompt = tuple[Message, ...]
Form = Literal["open", "choices", "denial", "verdict"]
"""What a perturbation is put on, and what its `hint` means.

`open`: any prompt; the answer in words that the cue points at. The others need a prompt that lists options, and get one
of them as "(B)". `choices`: the option that the cue points at. `denial`: the option that it speaks against. `verdict`:
the options say whether somebody's work is correct, and the cue points at one.
"""
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]*(/[a-z0-9][a-z0-9_-]*)*")


def asked(prompt: Prompt, name: str, phrasing: int, count: int) -> tuple[Prompt, str]:
    """Return what stands before the last user message, and that message's text: where every perturbation begins.

    Raises:
        ConfigError: a prompt that does not end with the user, or a phrasing that is not one of 0 to `count` - 1.
    """
    if not 0 <= phrasing < count:
        raise ConfigError(f"{name} has phrasings 0 to {count - 1}, not {phrasing}")
    if not prompt or prompt[-1].role != "user":
        raise ConfigError(f"{name} can only be applied to a prompt that ends with a user message")
    return prompt[:-1], prompt[-1].content


class Apply(Protocol):
    """The working part: a prompt in, the perturbed prompt out. It draws nothing at random."""

    def __call__(self, prompt: Prompt, *, hint: str, phrasing: int) -> Prompt:
        """Return `prompt` perturbed; `hint` is the answer the cue points at, `phrasing` which wording is used."""
        ...


@dataclass(frozen=True, slots=True)
class Perturbation:
    """A named, versioned way to perturb a prompt.

    Attributes:
        name: `<axis>/<family>` by convention, e.g. `sycophancy/hearsay`.
        version: counts up whenever a wording changes.
        axis: the kind of failure it provokes.
        apply: see `Apply`.
        phrasings: the ids of its wordings; splits hold wordings out by these.
        form: what it is put on; see `Form`.
    """

    name: str
    version: int
    axis: str
    apply: Apply
    phrasings: tuple[str, ...] = ("only",)
    form: Form = "open"

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name) or self.version < 1 or not self.axis:
            raise ConfigError(
                f"perturbation {self.name!r} version {self.version} axis {self.axis!r}: a name is lower-case letters, "
                "digits, '_' and '-' with '/' between parts, a version counts from 1, and an axis is not empty"
            )
        if not self.phrasings or len(set(self.phrasings)) != len(self.phrasings):
            raise ConfigError(f"perturbation {self.name!r}: needs at least one phrasing, and no phrasing id twice")

    @property
    def ref(self) -> str:
        """Name and version, as pairs record it: `sycophancy/hearsay@1`."""
        return f"{self.name}@{self.version}"


_registry: dict[str, dict[int, Perturbation]] = {}


def register(entry: Perturbation) -> Perturbation:
    """Make a perturbation known by name.

    Raises:
        ConfigError: that name and version is already taken by another one.
    """
    known = _registry.setdefault(entry.name, {}).setdefault(entry.version, entry)
    if _described(known) != _described(entry):
        raise ConfigError(f"perturbation {entry.ref} exists already; another wording needs another version")
    return entry


def _described(entry: Perturbation) -> tuple[object, ...]:
    """What must agree for two to be the same. Functions are compared by code, so a notebook cell may be run again."""
    return entry.axis, entry.phrasings, entry.form, getattr(entry.apply, "__code__", entry.apply)


def perturbation(
    name: str, *, version: int, axis: str, phrasings: tuple[str, ...] = ("only",), form: Form = "open"
) -> Callable[[Apply], Apply]:
    """Register a function as a perturbation; the function itself is returned unchanged.

    Example:
        @perturbation("framing/shouting", version=1, axis="framing")
        def shouting(prompt, *, hint, phrasing):
            return (*prompt[:-1], Message("user", prompt[-1].content.upper()))
    """

    def decorate(apply: Apply) -> Apply:
        register(Perturbation(name, version, axis, apply, phrasings, form))
        return apply

    return decorate


def get(ref: str) -> Perturbation:
    """Return a perturbation by `name` (its newest version) or by `name@version`.

    Raises:
        ConfigError: there is none; the message lists what there is.
    """
    load_installed()
    name, at, version = ref.partition("@")
    versions = _registry.get(name, {})
    if not at and versions:
        return versions[max(versions)]
    if version.isascii() and version.isdecimal() and int(version) in versions:
        return versions[int(version)]
    raise ConfigError(no_such("perturbation", ref, names()))


def names() -> list[str]:
    """Return `name@version` of everything registered, sorted."""
    load_installed()
    return sorted(entry.ref for versions in _registry.values() for entry in versions.values())
