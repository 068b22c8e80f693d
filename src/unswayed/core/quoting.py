"""Quote model text inside a prompt, between marks that the text can neither close nor forge.

`transcript` and `quoted` are the plain parts. `shown` and `disarm` are for text that may be hostile: what draws nothing
is taken out, and whatever looks like one of our marks, or like a turn of a chat template, loses its brackets. Looks are
compared by a skeleton (compatibility forms, accents and invisible marks removed, Cyrillic, Greek and other doubles of
Latin letters replaced), so a closing mark in full-width or Cyrillic letters is caught like a plain one.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Sequence
from functools import lru_cache

from unswayed.core.printable import printable
from unswayed.core.types import Message

_BREAKS = re.compile(r"\r\n?|[\x0b\x0c\x1c-\x1e\x85\u2028\u2029]")
_DOUBLES = str.maketrans(
    {
        **dict(
            zip(
                "аеорсухіјѕԁԛԝһӏєкмтвпг" "νορτυικαεηχγβ" "ѵⅼɩꜱᴇᴘʟʏᴠɪᴅᴄᴛ",
                "aeopcyxijsdqwhlekmtbnr" "voptuikaenxyb" "vliseplyvidct",
                strict=True,
            )
        ),
        "‹": "<", "〈": "<", "⟨": "<", "❮": "<", "˂": "<", "ᐸ": "<", "《": "<", "«": "<", "⟪": "<", "⧼": "<",
        "›": ">", "〉": ">", "⟩": ">", "❯": ">", "˃": ">", "ᐳ": ">", "》": ">", "»": ">", "⟫": ">", "⧽": ">",
        "⁄": "/", "∕": "/", "⧸": "/", "╱": "/", "⟋": "/", "【": "[", "】": "]", "〔": "[", "〕": "]",
        "｜": "|", "∣": "|", "│": "|", "ǀ": "|", "¦": "|", "∶": ":", "꞉": ":", "ː": ":", "＝": "=", "꞊": "=",
    }
)  # fmt: skip
# Turns and special tokens of the common chat templates. A tokenizer would read them as what they look like.
_TURNS = re.compile(
    r"<\s*\|[^|<>\n]{1,40}\|\s*>|<\s*/?\s*s\s*>|<\s*/?\s*(?:start|end)_of_turn\s*>|<<\s*/?\s*sys\s*>>|"
    r"\[\s*/?\s*(?:inst|system_prompt|available_tools)\s*\]|<\s*/?\s*(?:think|thinking|thought|reasoning)\s*>"
)
_BRACKETS = {"<": "(", ">": ")", "[": "(", "]": ")"}


def transcript(messages: Sequence[Message]) -> str:
    """Return a conversation as text: a single user message as it is, anything longer with its roles."""
    if len(messages) == 1:
        return messages[0].content
    return "\n\n".join(f"{message.role.capitalize()}: {message.content}" for message in messages)


def quoted(name: str, text: str, mark: str) -> str:
    """Return text between two marks that nobody who wrote the text could know."""
    return f"<{name} {mark}>\n{text}\n</{name} {mark}>"


def shown(text: str) -> str:
    """Return what a reader sees of a text: what draws nothing is left out, and every line break is a line feed."""
    return "".join(char for char in _BREAKS.sub("\n", text) if _draws(char))


@lru_cache(maxsize=1 << 14)
def _draws(char: str) -> bool:
    return char in "\n\t" or printable(char, newlines=False) == char


@lru_cache(maxsize=1 << 14)
def _fold(char: str) -> str:
    apart = unicodedata.normalize("NFKD", char)
    kept = "".join(part for part in apart if unicodedata.category(part) not in {"Mn", "Me", "Cf"})
    return kept.casefold().translate(_DOUBLES).casefold()


def skeleton(text: str) -> str:
    """Return text as it looks, in plain lower-case Latin letters and ASCII signs where there is a double of one."""
    return "".join(map(_fold, text))


def disarm(text: str, names: Collection[str], forbidden: Collection[str] = ()) -> tuple[str, bool]:
    """Return text in which no mark of ours, no chat turn and no special token is left, and whether there was one.

    Args:
        text: what somebody else wrote.
        names: the names that our marks have (see `quoted`).
        forbidden: strings that may not occur at all, such as a tokenizer's special tokens.
    """
    folded: list[str] = []
    origin: list[int] = []
    for place, char in enumerate(text):
        fold = _fold(char)
        folded.append(fold)
        origin += [place] * len(fold)
    look = "".join(folded)
    marks = re.compile(rf"<\s*/?\s*(?:{'|'.join(map(re.escape, sorted(names)))})\b[^<>\n]{{0,60}}>?") if names else None
    changed = list(text)
    for pattern in (marks, _TURNS):
        for found in pattern.finditer(look) if pattern else ():
            for place in {origin[index] for index in range(*found.span())}:
                changed[place] = _BRACKETS.get(folded[place], changed[place])
    safe = "".join(changed)
    while left := [token for token in forbidden if token.strip() and token in safe]:
        token = max(left, key=len)
        safe = safe.replace(token, f"{token[0]} {token[1:]}" if len(token) > 1 else " ")
    return safe, safe != text
