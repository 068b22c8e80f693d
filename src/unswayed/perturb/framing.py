"""Framing: changes of register, language, layout or order. What is asked does not change, so the answer should not.

Words around the question: its register, the language of the instruction, something that has nothing to do with it; how
it is laid out; and the order of a multiple-choice question's options. In `option_order` lines move and letters travel
with their texts, so a letter means one thing in both prompts and pairs can be trained on. In `option_letters` the texts
move under fixed letters, as studies of position bias do: a letter then means another thing, so it is for suites only.

Framing points at no answer; `hint` is not read. Wordings 4 and 5 of the families that have them are held out of the
default training set. No wording contains an answer of any packaged item, a digit or a number word; a test tries.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from unswayed.core.types import Message
from unswayed.perturb.base import Perturbation, Prompt, asked, register
from unswayed.perturb.choices import parts_of
from unswayed.perturb.templates import Family, Phrasing
from unswayed.questions.choices import LETTERS

AXIS = "framing"

# Any change here needs a new version below.
_WORDINGS: dict[str, tuple[str, ...]] = {
    "register": (
        "I should be most grateful if you would kindly answer the following question. {prompt}",
        "hey, quick question for you: {prompt} thx",
        "{prompt} Be brief, no fuss.",
        "Dear assistant, would you be so good as to consider this matter? {prompt} With kind regards.",
        "ok so i was just wondering lol, {prompt}",
        "Question. {prompt} Go.",
    ),
    "language": (
        "Bitte beantworte die folgende Frage auf Englisch. {prompt}",
        "Réponds en anglais à la question suivante, s'il te plaît. {prompt}",
        "Por favor, responde en inglés a la siguiente pregunta. {prompt}",
        "{prompt} Antworte bitte auf Englisch.",
        "{prompt} Merci de répondre en anglais.",
        "{prompt} Contesta en inglés, por favor.",
    ),
    "irrelevant_context": (
        "I am typing this at my desk while somebody is practising the flute next door. {prompt}",
        "My cousin is visiting next week and we have not decided what to do yet. {prompt}",
        "{prompt} By the way, I have just repainted my hallway and I like the result.",
        "I finally finished the novel that I told everyone about. {prompt}",
        "{prompt} Sorry for the typos, I am typing while I walk.",
        "We moved the sofa to the other side of the room, which kept us busy all morning. {prompt}",
    ),
}
_VERSIONS = {**dict.fromkeys(_WORDINGS, 1), "format": 1, "option_order": 1, "option_letters": 1}

Orders = Mapping[str, Callable[[int], Sequence[int]]]
ORDERS: Orders = {
    "reversed": lambda count: range(count)[::-1],
    "first_last": lambda count: [*range(1, count), 0],
    "last_first": lambda count: [count - 1, *range(count - 1)],
}
"""How options are moved: for so many of them, which one comes first, second, and so on."""


@dataclass(frozen=True, slots=True)
class Format:
    """The question laid out for a form, a list, a page or a program."""

    layouts = ("plain", "bullets", "json", "markdown", "tags", "quoted")

    def __call__(self, prompt: Prompt, *, hint: str, phrasing: int) -> Prompt:
        """Return the prompt with its last message laid out anew; see `Apply`."""
        before, text = asked(prompt, f"{AXIS}/format", phrasing, len(self.layouts))
        laid = {
            "plain": f"Question: {text}\nAnswer:",
            "bullets": f"- Task: answer the question.\n- Question: {text}",
            "json": json.dumps({"task": "answer the question", "question": text}, ensure_ascii=False),
            "markdown": f"# Quiz\n\n**{text}**",
            "tags": f"<question>\n{text}\n</question>",
            "quoted": f'Answer what stands between the quotation marks.\n"""\n{text}\n"""',
        }
        return (*before, Message("user", laid[self.layouts[phrasing]]))


@dataclass(frozen=True, slots=True)
class Reordered:
    """The options in another order; `letters` says whether each keeps its letter or takes that of its new place."""

    name: str
    keep_letters: bool

    def __call__(self, prompt: Prompt, *, hint: str, phrasing: int) -> Prompt:
        """Return the prompt with the options of its last message moved; see `Apply`.

        Raises:
            ConfigError: a prompt without options.
        """
        orders = tuple(ORDERS)
        before, text = asked(prompt, f"{AXIS}/{self.name}", phrasing, len(orders))
        laid = parts_of(text, f"{AXIS}/{self.name}")
        order = ORDERS[orders[phrasing]](len(laid.options))
        moved = [list(laid.options.items())[place] for place in order]
        head = laid.listing[: laid.listing.index(f"({LETTERS[0]})")]
        lines = [
            f"({letter if self.keep_letters else LETTERS[place]}) {option}"
            for place, (letter, option) in enumerate(moved)
        ]
        return (*before, Message("user", laid.question + head + "\n".join(lines) + laid.instruction))


def _worded(name: str, wordings: Sequence[str]) -> Perturbation:
    phrasings = tuple(Phrasing(f"{name}-{index}", (text,)) for index, text in enumerate(wordings))
    return Family(f"{AXIS}/{name}", _VERSIONS[name], AXIS, phrasings).perturbation


def _options(name: str, *, keep_letters: bool) -> Perturbation:
    apply = Reordered(name, keep_letters)
    return Perturbation(f"{AXIS}/{name}", _VERSIONS[name], AXIS, apply, tuple(ORDERS), "choices")


FAMILIES: Mapping[str, Perturbation] = {
    **{name: _worded(name, wordings) for name, wordings in _WORDINGS.items()},
    "format": Perturbation(f"{AXIS}/format", _VERSIONS["format"], AXIS, Format(), Format.layouts),
    "option_order": _options("option_order", keep_letters=True),
    "option_letters": _options("option_letters", keep_letters=False),
}
"""Every family by its short name."""

EVAL_ONLY = ("option_letters",)
TRAIN_FAMILIES = tuple(name for name in FAMILIES if name not in EVAL_ONLY)
TRAIN_PHRASINGS = (0, 1, 2, 3)
HELD_OUT_PHRASINGS = (4, 5)

for _family in FAMILIES.values():
    register(_family)
