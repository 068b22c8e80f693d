"""What an attacker is: a function of a behaviour and of what was tried on it so far. All of its state is the record.

So a killed attack goes on from its records, and an attacker that sees the same history makes the same next attempt.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from unswayed.core.errors import ConfigError
from unswayed.core.printable import storable
from unswayed.core.types import Finish, Message
from unswayed.questions.requests import Request


@dataclass(frozen=True, slots=True)
class Proposal:
    """One prompt to try.

    Attributes:
        messages: the whole conversation that the target is sent; a last one of the assistant is a prefill.
        session: which of the attacker's sessions it belongs to.
        note: what was tried, e.g. the wrapper.
        tokens: what the attacker spent on it, prompt and completion.
    """

    messages: tuple[Message, ...]
    session: int = 0
    note: str = ""
    tokens: int = 0


@dataclass(frozen=True, slots=True)
class Attempt:
    """One query and what became of it.

    Attributes:
        behaviour, round, place: its address; `place` counts the queries of a behaviour from 0.
        chunk, of: which batch it was asked in, and how many queries that had.
        tokens, attacker_tokens: spent on it, prompts included.
        reward: the grade that the attacker sees; None where there is none. `success`: of the audit.
        reason: why the audit has no grade.
    """

    behaviour: str
    round: int
    place: int
    chunk: int
    of: int
    session: int
    note: str
    messages: tuple[Message, ...]
    reply: str
    finish: Finish
    tokens: int
    attacker_tokens: int
    reward: float | None
    success: bool | None
    reason: str

    def row(self) -> dict[str, Any]:
        """Return the attempt as one JSON object."""
        row = asdict(self)
        row["messages"] = [[message.role, storable(message.content)] for message in self.messages]
        row["reply"] = storable(self.reply)
        return row

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Attempt:
        """Return the attempt that `row` wrote."""
        return cls(**{**row, "messages": tuple(Message(role, content) for role, content in row["messages"])})


@dataclass(frozen=True, slots=True)
class Ask:
    """One behaviour whose next round is wanted.

    Attributes:
        request: the behaviour.
        history: every attempt at it so far, in order.
        round: the number of the round.
        room: queries that are left.
    """

    request: Request
    history: Sequence[Attempt]
    round: int
    room: int


class Attacker(Protocol):
    """Proposes prompts. `settings` is everything that decides what it proposes; it is part of the attack's identity."""

    @property
    def name(self) -> str: ...
    @property
    def settings(self) -> Mapping[str, Any]: ...
    @property
    def adaptive(self) -> bool:
        """Whether it learns from replies: then a behaviour ends with its first success, else all queries are spent."""
        ...

    def quote(self, asks: Sequence[Ask]) -> int:
        """Return the most tokens that `propose` may spend on these."""
        ...

    def propose(self, asks: Sequence[Ask]) -> list[list[Proposal]]:
        """Return the prompts of the next round for each behaviour, at most `room` of them; none ends the behaviour."""
        ...


class Fixed:
    """Base of attackers without a model: their prompts cost no tokens and depend on nothing that was said before."""

    name = ""
    adaptive = False

    @property
    def settings(self) -> Mapping[str, Any]:
        """See `Attacker`."""
        return {}

    def quote(self, asks: Sequence[Ask]) -> int:
        """See `Attacker`."""
        return 0

    def propose(self, asks: Sequence[Ask]) -> list[list[Proposal]]:
        """See `Attacker`. The whole list stands in the first rounds, a few prompts at a time."""
        return [self.prompts(ask)[: ask.room] for ask in asks]

    def prompts(self, ask: Ask) -> list[Proposal]:
        """Return the prompts of one round of one behaviour."""
        raise NotImplementedError


ATTACKERS: dict[str, Callable[..., Attacker]] = {}
"""What builds each attacker, by name: called with `seed` and the attacker's own settings."""


def attacker(name: str) -> Callable[[Callable[..., Attacker]], Callable[..., Attacker]]:
    """Declare an attacker by name.

    Raises:
        ConfigError: another attacker has the name.
    """

    def declare(build: Callable[..., Attacker]) -> Callable[..., Attacker]:
        if ATTACKERS.setdefault(name, build) is not build:
            raise ConfigError(f"attacker {name!r} is declared already; give yours another name")
        return build

    return declare
