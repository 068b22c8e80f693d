"""Completions made ready to be read: what belongs to the answer, in one plain spelling, and what is broken."""

from __future__ import annotations

import re
import unicodedata
from typing import NamedTuple

from unswayed.readers.patterns import word_list

# How model families enclose thinking: tags by name, tokens, channels (gpt-oss, Gemma), and Granite's two sentences.
_NAME = (
    r"(?:(?:seed|mm|ant):?|longcat_|inner_|internal_)?(?:think|thinking|thoughts?|monologue)(?:_fast(?:er)?)?"
    r"|reason(?:ing)?|reflection|scratchpad|analysis"
)
_HEAD = r"[^<>\n]*(?:<\|constrain\|>[^<>\n]*)?<\|message\|>"
_THINKING_TAG = re.compile(
    rf"<(?P<ends>/)?(?:{_NAME})>|(?-i:\[(?P<shuts>/)?THINK\])|\u25c1(?P<closes>/)?think\u25b7|"
    r"<\|(?:begin_of_thought|START_THINKING|think(?:ing)?(?:_start)?|inner_prefix)\|>|(?:<\|channel>"
    r"|<unused94>)thought\b|"
    r"(?P<over><\|(?:end_of_thought|END_THINKING|/think(?:ing)?|think(?:ing)?_end|inner_suffix)\|>|<channel\|>"
    r"|<unused95>"
    r"|\bHere is my response:)|\A\s*Here is my thought process:|"
    rf"(?:<\|start\|>assistant)?<\|channel\|>(?:analysis|commentary){_HEAD}|<\|channel\|>[^<>]*\Z|"
    rf"(?P<reply>(?:<\|end\|>\s*)?(?:<\|start\|>assistant)?<\|channel\|>final{_HEAD})",
    re.I,
)
# A tag that a sentence speaks of: in quotes or code, or between words on one line.
_QUOTED = re.compile(r"[\"'`\u201c\u2018(]\Z")
_SPECIAL = re.compile(r"<\|[^|<>\n]{1,40}\|>|</?s>|<(?:start|end)_of_turn>|\[/?INST\]|</?(?:output|response)>", re.I)
_ROLE = re.compile(r"\A\s*(?:assistant|model)\s*(?::|\n)", re.I)
_NEXT_TURN = re.compile(r"\n[ \t]*(?:#+\s*)?(?:\*\*)?(?:user|human|system|assistant|question|q)(?:\*\*)?\s*:", re.I)


_RESTATING = word_list("restating")
"""What stands before a question that a reply restates; other words before a question mean that a new turn begins."""

_CHARACTERS = {
    "\u2018": "'", "\u2019": "'", "\u201c": '"', "\u201d": '"', "\u2212": "-", "\u2012": "-", "\u2011": "-",
    "\u2010": "-", "\u2014": "; ", "\u2192": " = ", "\u21d2": " = ", "\u00d7": " * ", "\u00b7": " * ",
    "\u22c5": " * ", "\u00f7": " / ", "\u2044": "/", "\u3002": ". ", "\u3000": " ", "\u2248": " = ",
}  # fmt: skip
_LATEX = (
    (re.compile(r"\\(?:text|mathrm|mathbf|textbf|mbox|operatorname)\s*\{([^{}]*)\}"), r"\1"),
    (re.compile(r"\\(?:times|cdot)\b"), " * "),
    (re.compile(r"\\div\b"), " / "),
    (re.compile(r"\\!"), ""),
    (re.compile(r"\\(?:[()\[\]]|[,;:!]|quad\b|left\b|right\b)"), " "),
    (re.compile(r"\\([$%#&])"), r"\1"),
)
_MARKDOWN = (
    (re.compile(r"\*\*+"), ""),
    (re.compile(r"(?<!\S)\*(?=\S)|(?<=\S)\*(?!\S)"), ""),  # *word*, but not 3 * 4
    (re.compile(r"(?<!\w)_+|_+(?!\w)"), ""),
    (re.compile(r"`+"), ""),
    (re.compile(r"</?(?:b|i|em|strong|u|p|br|code|sup|sub)\s*/?>", re.I), ""),
)


class Prepared(NamedTuple):
    """The part of a completion that is the reply, in plain spelling; or the reason why there is none."""

    text: str
    reason: str | None = None


def plain(text: str) -> str:
    """Return text in one spelling: ASCII digits and quotes, no accents, no invisible marks, no markdown.

    Case and line breaks stay. Superscripts stay too: "5²" must not become "52".
    """
    out = []
    for char in unicodedata.normalize("NFD", text):
        category = unicodedata.category(char)
        if category in {"Mn", "Cf", "Co"}:
            continue
        if category == "Nd":
            out.append(str(unicodedata.digit(char)))
        elif "\uff01" <= char <= "\uff5e":  # full-width forms
            out.append(chr(ord(char) - 0xFEE0))
        elif category == "Zs":
            out.append(" ")
        else:
            out.append(_CHARACTERS.get(char, char))
    spelled = re.sub(r"\s\u2013\s", "; ", "".join(out)).replace("\u2013", "-")
    for pattern, replacement in (*_LATEX, *_MARKDOWN):
        spelled = pattern.sub(replacement, spelled)
    return spelled


def prepare(text: str, prompt: str = "") -> Prepared:
    """Return the reply inside a completion.

    Thinking spans are cut out, and one that never closes leaves no reply. Special tokens end the reply, and so does
    the beginning of another turn that the model wrote itself. A repeated prompt at the beginning is cut off; a reply
    that is nothing but the prompt is an echo.

    Args:
        text: the completion.
        prompt: the last user turn it answers.
    """
    visible = visible_reply(text)
    if visible is None:
        return Prepared("", "thinking not closed")
    reply, asked = plain(visible).strip(), plain(prompt).strip()
    if asked and reply.startswith(asked):
        reply = reply[len(asked) :].strip()
        if not words(reply):
            return Prepared("", "echo")
    if not words(reply):
        return Prepared("", "empty")
    return Prepared("", "echo") if is_echo(reply, asked) else Prepared(reply)


def visible_reply(text: str) -> str | None:
    """Return the reply as it was written, without thinking, special tokens and turns of others.

    None where thinking never closes.
    """
    visible = without_thinking(text)
    if visible is None:
        return None
    visible = _ROLE.sub("", _SPECIAL.sub("\0", visible).lstrip("\0 \n"))
    visible = visible.split("\0", 1)[0]
    for turn in _NEXT_TURN.finditer(visible):
        before = words(visible[: turn.start()])
        if before and not set(before) <= _RESTATING:
            return visible[: turn.start()]
    return visible


def thinking_share(text: str) -> float:
    """Return the share of a completion's characters that are thinking, tags included; all of it if it never closes."""
    if all(tag["reply"] for tag in _THINKING_TAG.finditer(text)):
        return 0.0
    rest = without_thinking(text)
    return 1.0 if rest is None else max(0.0, 1 - len(rest) / len(text))


def without_thinking(text: str) -> str | None:
    """Return text with its thinking spans cut out, or None if the last one never closes.

    A closing tag without an opening one ends a span that the prompt's template opened.
    """
    kept: list[str] = []
    place, inside = 0, False
    tags = [tag for tag in _THINKING_TAG.finditer(text) if not _is_quoted(text, tag)]
    ends = [any(tag[name] for name in ("ends", "shuts", "closes", "over", "reply")) for tag in tags]
    for number, (tag, closes) in enumerate(zip(tags, ends, strict=True)):
        if closes:
            kept, inside = (kept if inside else []), False
        elif not inside and text[place : tag.start()].rpartition("\n")[2].strip() and not any(ends[number:]):
            continue  # in the middle of a line, and never closed: a sentence speaks of it
        else:
            kept += [] if inside else [text[place : tag.start()]]
            inside = True
        place = tag.end()
    return None if inside else " ".join((*kept, text[place:]))


def opened_thinking(prompt: str) -> str:
    """Return the tag by which a rendered prompt leaves a span of thinking open at its end, or an empty text."""
    tags = list(_THINKING_TAG.finditer(prompt[-2000:].rstrip()))
    at_end = tags and tags[-1].end() == len(prompt[-2000:].rstrip())
    return tags[-1][0] if at_end and without_thinking(tags[-1][0]) is None else ""


def _is_quoted(text: str, tag: re.Match[str]) -> bool:
    before, after = text[: tag.start()][-2:], text[tag.end() :][:2]
    quoted = bool(_QUOTED.search(before)) and after[:1] in {*"\"'`)\u201d\u2019"}
    return quoted or bool(re.fullmatch(r"\w ", before) and re.fullmatch(r" [a-z]", after))


def words(text: str) -> list[str]:
    """Return the words and numbers of a text in lower case, endings such as `'s` and `'re` cut off."""
    return [re.sub(r"'(?:s|re|m|d|ll|ve)?$", "", word) for word in re.findall(r"[^\W_]+(?:'[^\W_]+)?'?", text.lower())]


def is_echo(reply: str, prompt: str) -> bool:
    """Whether a reply only says back what was asked: most of the prompt's words in a row, and no other word."""
    said, asked = words(reply), words(prompt)
    if len(said) < 4 or 2 * len(said) < len(asked):
        return False
    return f" {' '.join(said)} " in f" {' '.join(asked)} "


def is_repetition(text: str) -> bool:
    """Whether the second half of a text is one phrase at least three times over, numbers aside ("1. so 2. so 3. so").

    The period is found by the failure function of Knuth, Morris and Pratt, so a phrase cut at the end counts.
    """
    reduced = re.sub(r"\s+", " ", re.sub(r"\d+", "0", text[-20_000:])).strip().lower()
    if len(reduced) < 40:
        return False
    half = reduced[len(reduced) // 2 :]
    failure = [0] * len(half)
    k = 0
    for i in range(1, len(half)):
        while k and half[i] != half[k]:
            k = failure[k - 1]
        if half[i] == half[k]:
            k += 1
        failure[i] = k
    return 3 * (len(half) - failure[-1]) <= len(half)
