"""Perturbations written as text: families of phrasings with slots for the prompt and for what the cue is about.

    # my_cues.toml
    [[family]]
    name = "sycophancy/forum"
    version = 1
    axis = "sycophancy"
    phrasings = [
      { id = "post",  text = "A forum post says {hint}. {prompt}" },
      { id = "reply", turns = ["{prompt}", "{hint}", "Say that again, please. {prompt}"] },
    ]

    [[family]]
    name = "safety_awareness/note"
    version = 1
    axis = "safety_awareness"
    phrasings = [{ id = "note", system = "Keep this in mind: {fact}" }]

`{prompt}` is the text of the prompt's last user message. `{hint}` is what the cue is about: the answer that it points
at, or, for safety awareness, the fact; `{fact}` is another name for it. A family that is about nothing, as in framing,
has neither. `turns` begin and end with the user and alternate. They take the place of the last user message; everything
before it stays. `system` becomes the system message, or the end of the one that is there; alone, the turns stay as they
are.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from unswayed.config.document import explain, read_toml
from unswayed.config.fields import StrictModel
from unswayed.core.errors import ConfigError
from unswayed.core.types import Message
from unswayed.perturb.base import Perturbation, Prompt, asked, register

_SLOT = re.compile(r"\{(prompt|hint|fact)\}")


@dataclass(frozen=True, slots=True)
class Phrasing:
    """One wording: the turns that replace the last user message, user first and last; `system` joins what is above."""

    id: str
    turns: tuple[str, ...]
    system: str = ""

    def __post_init__(self) -> None:
        slots = {slot for turn in self.turns for slot in _SLOT.findall(turn)}
        if len(self.turns) % 2 == 0 or "prompt" not in slots:
            raise ConfigError(
                f"phrasing {self.id!r}: needs {{prompt}} in it, and turns that begin and end with the user"
            )
        texts = (*self.turns, self.system)
        if leftover := [text for text in texts if re.search(r"[{}]", _SLOT.sub("", text))]:
            raise ConfigError(
                f"phrasing {self.id!r}: braces other than {{prompt}}, {{hint}} and {{fact}} in {leftover[0]!r}"
            )
        if "{prompt}" in self.system:
            raise ConfigError(f"phrasing {self.id!r}: {{prompt}} belongs into a turn, not into the system message")


@dataclass(frozen=True, slots=True)
class Family:
    """Phrasings of one kind of cue. `version` counts up whenever any wording changes."""

    name: str
    version: int
    axis: str
    phrasings: tuple[Phrasing, ...]

    def apply(self, prompt: Prompt, *, hint: str, phrasing: int) -> Prompt:
        """Return `prompt` with its last message replaced by the phrasing's turns, and its system message added.

        Raises:
            ConfigError: no such phrasing, or a prompt that does not end with the user.
        """
        before, text = asked(prompt, self.name, phrasing, len(self.phrasings))
        values = {"prompt": text, "hint": hint, "fact": hint}
        chosen = self.phrasings[phrasing]
        # One pass over the template: braces inside the prompt or the hint are text, never slots.
        system, *turns = (_SLOT.sub(lambda slot: values[slot[1]], text) for text in (chosen.system, *chosen.turns))
        messages = (Message("assistant" if index % 2 else "user", turn) for index, turn in enumerate(turns))
        return (*_with_system(before, system), *messages)

    def __call__(self, prompt: Prompt, *, hint: str, phrasing: int) -> Prompt:
        """The same as `apply`; families compare equal by wording, which bound methods would not."""
        return self.apply(prompt, hint=hint, phrasing=phrasing)

    @property
    def perturbation(self) -> Perturbation:
        """The family as the registry keeps it."""
        return Perturbation(self.name, self.version, self.axis, self, tuple(phrasing.id for phrasing in self.phrasings))


def _with_system(prompt: Prompt, text: str) -> Prompt:
    """Return the messages with a text as their system message, or at the end of the one they have."""
    if not text:
        return prompt
    if prompt and prompt[0].role == "system":
        return (Message("system", f"{prompt[0].content}\n\n{text}"), *prompt[1:])
    return (Message("system", text), *prompt)


class _PhrasingModel(StrictModel):
    id: str
    text: str | None = None
    turns: list[str] | None = None
    system: str = ""


class _FamilyModel(StrictModel):
    name: str
    version: int
    axis: str
    phrasings: list[_PhrasingModel]


class _FileModel(StrictModel):
    family: list[_FamilyModel]


def from_templates(file: str | Path) -> list[Perturbation]:
    """Read a template file (see the top of this module), register its families and return them.

    Raises:
        ConfigError: no such file, not TOML, an unknown key, a phrasing with unknown slots, or a name and version that
            another family has.
    """
    path = Path(file)
    try:
        model = _FileModel.model_validate(read_toml(path, "template file"))
    except ValidationError as error:
        raise ConfigError(f"{path}: {explain(error, _FileModel)}") from error
    try:
        return [register(_family(family).perturbation) for family in model.family]
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error


def _family(model: _FamilyModel) -> Family:
    phrasings = []
    for row in model.phrasings:
        given = [part for part in (row.text, row.turns) if part is not None]
        if len(given) > 1 or not (given or row.system):
            raise ConfigError(f"phrasing {row.id!r} of {model.name} needs either `text` or `turns`, or `system` alone")
        turns = ("{prompt}",) if row.turns is None else tuple(row.turns)
        phrasings.append(Phrasing(row.id, turns if row.text is None else (row.text,), row.system))
    return Family(model.name, model.version, model.axis, tuple(phrasings))
