"""Checks of rendered pairs before any weight is loaded: special tokens, dropped messages, openings, lengths.

The student and the teacher must see the same words in the same frame: no text that the tokenizer reads as a turn's end,
no message that the template leaves out, the same opening of the answer on both sides, and room for the completion.
"""

from __future__ import annotations

import re
import statistics
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import get_args

from unswayed.chat.render import Chat
from unswayed.core.errors import DataError
from unswayed.core.printable import excerpt, printable
from unswayed.core.types import Message, PromptPair, Role

THINKING = re.compile(r".*(?:</think>|\[/THINK\])", re.DOTALL)
ROLES = get_args(Role)
SHOWN = 80


@dataclass(frozen=True, slots=True)
class Lengths:
    """Prompt lengths of one side in tokens, generation prompt included. `p95` is the nearest rank."""

    minimum: int
    mean: float
    median: float
    p95: int
    maximum: int

    @classmethod
    def of(cls, lengths: Sequence[int]) -> Lengths:
        """Summarise one length or more."""
        ordered = sorted(lengths)
        rank = -(-95 * len(ordered) // 100) - 1
        return cls(ordered[0], statistics.fmean(ordered), float(statistics.median(ordered)), ordered[rank], ordered[-1])


@dataclass(frozen=True, slots=True)
class ChatReport:
    """What was found in pairs that can be used.

    Attributes:
        pairs: how many were tried.
        prompt, teacher_prompt: lengths of the two sides.
        longest: id of the pair with the longest prompt on either side.
        context_length, max_new_tokens: what the lengths were held against.
        warnings: what is unusual but may be meant, one sentence each.
        ids: both prompts of each pair as `Chat.render` returns them.
    """

    pairs: int
    prompt: Lengths
    teacher_prompt: Lengths
    longest: str
    context_length: int | None
    max_new_tokens: int
    warnings: tuple[str, ...]
    ids: Sequence[tuple[tuple[int, ...], tuple[int, ...]]] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Kind:
    """One way to fail, and what to do about it."""

    what: str
    remedy: str


SPECIAL = Kind(
    "text contains special tokens of the tokenizer, which end or forge a turn",
    "remove them from the text, or allow them if that is the experiment: chat.allow_special_tokens = true in a recipe, "
    "--allow-special-tokens for `unswayed eval`",
)
REFUSED = Kind(
    "the chat template refuses the messages",
    "change the roles in the data, e.g. move system text to the top of the first user message",
)
DROPPED = Kind(
    "the chat template drops or changes a message",
    "the model would not see it: move the text to a role that the template writes, or use another template",
)
TWO_BOS = Kind("the prompt begins with two BOS tokens", "remove one from the text or from the chat template")
NO_ROW = Kind(
    "the prompt has ids without a row in the model's embedding",
    "tokenizer and model do not belong together, or tokens were added without resizing the model",
)
TOO_LONG = Kind(
    "prompt and completion together are longer than the context",
    "lower max_new_tokens (in a recipe sampling.max_new_tokens, for `unswayed eval` -T max_new_tokens=N), shorten the "
    "text, or leave the row out; nothing is ever cut off",
)
OPENING = Kind(
    "the answer opens differently on the two sides",
    "end both sides with the same assistant message (a prefill) or neither, and use one mode (e.g. thinking) for both",
)


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong in one place."""

    kind: Kind
    where: str
    detail: str


@dataclass(frozen=True, slots=True)
class Tried:
    """One prompt after rendering; both fields are empty where the template refused it."""

    ids: tuple[int, ...] = ()
    text: str = ""


class Checker:
    """Tries prompts one by one and keeps what it found.

    Attributes:
        problems: everything that makes a prompt or pair unusable.
        thinking: places where the template leaves out the thinking of an earlier assistant turn, as such templates
            are meant to.
        special: places with special tokens in the text, where they are allowed.
        unknown: places with characters for which the tokenizer has no id but the one for what it does not know.
    """

    def __init__(self, chat: Chat, max_new_tokens: int) -> None:
        self.chat = chat
        self.max_new_tokens = max_new_tokens
        self.problems: list[Problem] = []
        self.thinking: list[str] = []
        self.special: list[str] = []
        self.unknown: list[str] = []
        self._marks = {id_: name for id_, name in chat.added_tokens.items() if name in chat.special_tokens}
        self._unknown = self._marks.pop(chat.unk_id, None) if chat.unk_id is not None else None
        self._written = _any_of(self._marks.values())
        self._forbidden = {
            role: _any_of(chat.special_tokens | (frozenset() if role == "assistant" else chat.frame_tokens))
            for role in ROLES
        }
        self._lost: dict[tuple[str, ...], frozenset[int]] = {}
        self._widths: dict[int, int] = {}

    def prompt(self, where: str, messages: Sequence[Message]) -> Tried:
        """Try one prompt. `where` names it in messages, e.g. `pair q17, student`."""
        chat = self.chat
        for number, message in enumerate(messages, start=1):
            if names := dict.fromkeys(self._forbidden[message.role].findall(message.content)):
                detail = f"message {number} ({message.role}) contains {', '.join(map(excerpt, names))}"
                if chat.allow_special_tokens:
                    self.special.append(where)
                else:
                    self.problems.append(Problem(SPECIAL, where, detail))
        try:
            tried = Tried(*chat.render_both(messages))
        except DataError as error:
            self.problems.append(Problem(REFUSED, where, str(error)))
            return Tried()
        self._dropped(where, messages, tried.text)
        forged = sum(id_ in self._marks for id_ in tried.ids) - len(self._written.findall(tried.text))
        if forged > 0 and not chat.allow_special_tokens:
            self.problems.append(
                Problem(SPECIAL, where, "in a spelling that the tokenizer's normaliser turns into one")
            )
        if self._unknown is not None and tried.ids.count(chat.unk_id) > tried.text.count(self._unknown):
            self.unknown.append(where)
        found = []
        if chat.bos_id is not None and tried.ids[:2] == (chat.bos_id, chat.bos_id):
            found.append((TWO_BOS, f"begins {excerpt(tried.text[:SHOWN])}"))
        if chat.embedding_rows is not None and max(tried.ids, default=0) >= chat.embedding_rows:
            found.append((NO_ROW, f"id {max(tried.ids)} of {chat.embedding_rows} rows"))
        if chat.context_length is not None and len(tried.ids) + self.max_new_tokens > chat.context_length:
            found.append((TOO_LONG, f"{len(tried.ids)} + {self.max_new_tokens} > {chat.context_length} tokens"))
        self.problems.extend(Problem(kind, where, detail) for kind, detail in found)
        return tried

    def pair(self, pair: PromptPair) -> tuple[Tried, Tried]:
        """Try both prompts of a pair, then how the answer opens on the two sides."""
        name = f"pair {printable(pair.id, newlines=False)}"
        student = self.prompt(f"{name}, student prompt", pair.prompt)
        teacher = self.prompt(f"{name}, teacher prompt", pair.teacher_prompt)
        if student.ids and teacher.ids and (detail := self._opens_differently(pair, student, teacher)):
            self.problems.append(Problem(OPENING, name, detail))
        return student, teacher

    def _opens_differently(self, pair: PromptPair, student: Tried, teacher: Tried) -> str:
        prefills = [_prefill(pair.prompt), _prefill(pair.teacher_prompt)]
        if prefills[0] != prefills[1]:
            shown = ["no prefill" if prefill is None else f"prefill {excerpt(prefill)}" for prefill in prefills]
            return f"student has {shown[0]}, teacher has {shown[1]}"
        opening, other = self._opening(pair.prompt, student.text), self._opening(pair.teacher_prompt, teacher.text)
        if opening != other:
            return f"student begins with {excerpt(opening)}, teacher with {excerpt(other)}"
        shared = _shared(student.ids[::-1], teacher.ids[::-1])
        tail = student.ids[len(student.ids) - min(shared, len(opening)) :]
        if sum(map(self._width, tail)) >= len(opening):
            return ""
        return f"{excerpt(opening)} is cut into other tokens; strip white space before it"

    def _width(self, id_: int) -> int:
        """Return how many characters a token is."""
        if id_ not in self._widths:
            self._widths[id_] = sum(map(len, self.chat.tokens([id_])))
        return self._widths[id_]

    def _opening(self, messages: Sequence[Message], text: str) -> str:
        """Return what the template writes because an answer is wanted: generation prompt, or prefill and its header."""
        prefill = _prefill(messages)
        try:
            closed = self.chat.render_text(messages if prefill is None else messages[:-1], generation_prompt=False)
        except DataError:  # nothing is left before the prefill, or nothing that the template takes alone
            return prefill or ""
        return text[len(closed) if text.startswith(closed) else _shared(text, closed) :]

    def _dropped(self, where: str, messages: Sequence[Message], text: str) -> None:
        lost = self._lost_by_role(tuple(message.role for message in messages))
        for number, message in enumerate(messages):
            content = message.content.strip()
            if content in text and number not in lost:
                continue
            if message.role == "assistant" and number not in lost and _without_thinking(content) in text:
                self.thinking.append(where)
                continue
            detail = f"message {number + 1} ({message.role}): {excerpt(content)}"
            self.problems.append(Problem(DROPPED, where, detail))

    def _lost_by_role(self, roles: tuple[Role, ...]) -> frozenset[int]:
        """Return which messages of a role pattern the template never writes, tried with words found nowhere else."""
        if roles not in self._lost:
            words = [f"qwertz{number}uiop" for number in range(len(roles))]
            try:
                text = self.chat.render_text([Message(role, word) for role, word in zip(roles, words, strict=True)])
            except DataError:  # it wants particular words; the real ones went through
                words = []
            self._lost[roles] = frozenset(number for number, word in enumerate(words) if word not in text)
        return self._lost[roles]


def check_pairs(chat: Chat, pairs: Iterable[PromptPair], max_new_tokens: int) -> ChatReport:
    """Try every pair and report every problem at once.

    Raises:
        DataError: counts and remedies by kind, then one line for each problem with pair id and side. `problems` holds
            all of them, ordered so that the first lines show every kind.
    """
    checker = Checker(chat, max_new_tokens)
    ids: list[tuple[tuple[int, ...], tuple[int, ...]]] = []
    longest, most = "", -1
    for pair in pairs:
        student, teacher = checker.pair(pair)
        ids.append((student.ids, teacher.ids))
        if max(map(len, ids[-1])) > most:
            longest, most = pair.id, max(map(len, ids[-1]))
    if not ids:
        raise DataError("there are no pairs to check")
    raise_problems(checker, _count(ids, "pair"))
    return ChatReport(
        pairs=len(ids),
        prompt=Lengths.of([len(student) for student, _ in ids]),
        teacher_prompt=Lengths.of([len(teacher) for _, teacher in ids]),
        longest=longest,
        context_length=chat.context_length,
        max_new_tokens=max_new_tokens,
        warnings=tuple(_warnings(checker)),
        ids=ids,
    )


def check_prompts(chat: Chat, prompts: Iterable[tuple[str, Sequence[Message]]], max_new_tokens: int, of: str) -> None:
    """Try prompts by their names, as `check_pairs` does for each side of a pair.

    Raises:
        DataError: as there; `of` says in what the problems are.
    """
    checker = Checker(chat, max_new_tokens)
    for name, messages in prompts:
        checker.prompt(printable(name, newlines=False), messages)
    raise_problems(checker, of)


def raise_problems(checker: Checker, of: str) -> None:
    """Raise what a checker found, if it found anything."""
    kinds: dict[Kind, list[Problem]] = {}
    for problem in checker.problems:
        kinds.setdefault(problem.kind, []).append(problem)
    if not kinds:
        return
    summary = "".join(f"\n  {len(found)} x {kind.what}: {kind.remedy}" for kind, found in kinds.items())
    in_turn = (problem for row in zip_longest(*kinds.values()) for problem in row if problem is not None)
    raise DataError(
        f"{_count(checker.problems, 'problem')} in {of}:{summary}",
        [f"{problem.where}: {problem.detail}" for problem in in_turn],
    )


def _warnings(checker: Checker) -> Iterator[str]:
    chat = checker.chat
    if checker.thinking:
        yield (
            f"the template leaves out or rewrites the thinking of assistant turns, {_count(checker.thinking, 'time')}, "
            f"first in {checker.thinking[0]}"
        )
    if checker.special:
        yield f"special tokens in {_count(checker.special, 'message')}, allowed as set; first in {checker.special[0]}"
    if checker.unknown:
        yield (
            f"{_count(checker.unknown, 'prompt')} with characters that the tokenizer does not know, which the model "
            f"cannot tell apart; first {checker.unknown[0]}"
        )
    if chat.context_length is None:
        yield "the model's context length is unknown, so no prompt was held against it"
    yield from chat.oddities


def _count(things: Sequence[object], noun: str) -> str:
    return f"{len(things)} {noun}{'' if len(things) == 1 else 's'}"


def _any_of(names: Iterable[str]) -> re.Pattern[str]:
    """Return a pattern for any of the names, the longest first; it matches nothing where there are none."""
    longest_first = sorted(names, key=lambda name: (-len(name), name))
    return re.compile("|".join(map(re.escape, longest_first)) or r"(?!)")


def _prefill(messages: Sequence[Message]) -> str | None:
    return messages[-1].content if messages and messages[-1].role == "assistant" else None


def _without_thinking(content: str) -> str:
    return THINKING.sub("", content).strip()


def _shared(left: Sequence[object], right: Sequence[object]) -> int:
    """Return how many items two sequences share from their beginnings."""
    unequal = (number for number, (a, b) in enumerate(zip(left, right, strict=False)) if a != b)
    return next(unequal, min(len(left), len(right)))
