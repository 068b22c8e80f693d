"""Run an attack: rounds of queries within a budget, every one of them a record; the same call goes on where it stopped.

FOLDER/attack.json     what attacks what: written before anything is sent
FOLDER/ledger.jsonl    what was reserved and spent (see `unswayed.attacks.budget`)
FOLDER/attempts.jsonl  one line for each query, appended as each batch is graded
FOLDER/replays.jsonl   each first success once more, with other draws
FOLDER/controls.jsonl  what the audit says of harmless replies: its rate of false successes
FOLDER/results.json    the figures; it exists once the attack is complete

Behaviours are attacked round by round, all of them before the next round, so that a budget of tokens that runs out
leaves each with about as many queries. What an attacker does depends on records alone, and a batch is recorded whole or
not at all, so an interrupted attack makes the same attempts as an unbroken one, unless its budget was spent by the
queries that were lost.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from unswayed._version import __version__
from unswayed.attacks.asking import draw_each, tokens_at_most
from unswayed.attacks.attackers.base import Ask, Attacker, Attempt, Proposal
from unswayed.attacks.budget import LEDGER, Budget, Ledger
from unswayed.attacks.grading import THRESHOLD, Graders, success
from unswayed.core.errors import ConfigError, Interrupted
from unswayed.core.files import (
    append_jsonl,
    drop_torn,
    locked,
    read_jsonl,
    remove_temporary,
    write_json,
    write_jsonl,
)
from unswayed.core.jsonl import parse
from unswayed.core.progress import Progress
from unswayed.core.signals import stop_signals
from unswayed.core.types import Completion, Message, SamplingParams, TextPolicy
from unswayed.engine.remote.endpoint import EndpointPolicy
from unswayed.evals.results import differences
from unswayed.judges.base import Judge
from unswayed.questions.requests import Request, benign_beside

ATTACK, ATTEMPTS, REPLAYS, CONTROLS = "attack.json", "attempts.jsonl", "replays.jsonl", "controls.jsonl"
FORMAT = 1
TARGET = SamplingParams(temperature=1.0, max_new_tokens=256)
"""How the target replies unless told otherwise."""
REPLAYED = 5
"""Draws of each first success."""
BATCH = 32


@dataclass(frozen=True)
class Attack:
    """A finished attack: what `attack.json` holds, every attempt, replays and controls in order."""

    about: dict[str, Any]
    attempts: tuple[Attempt, ...]
    replays: tuple[dict[str, Any], ...]
    controls: tuple[dict[str, Any], ...]
    spent: dict[str, int]

    @property
    def behaviours(self) -> tuple[str, ...]:
        """Ids of everything that was to be attacked."""
        return tuple(self.about["identity"]["behaviours"]["behaviours"])

    def of(self, behaviour: str) -> list[Attempt]:
        """Return the attempts at one behaviour, in order."""
        return [one for one in self.attempts if one.behaviour == behaviour]

    @classmethod
    def load(cls, folder: Path) -> Attack:
        """Read an attack's folder, finished or not.

        Raises:
            ConfigError: there is no attack in it.
        """
        if not (folder / ATTACK).is_file():
            raise ConfigError(f"{folder} holds no attack: there is no {ATTACK}")
        about = parse((folder / ATTACK).read_text(encoding="utf-8"))
        ledger = Ledger(folder)
        return cls(
            about,
            tuple(Attempt.from_row(row) for row in _rows(folder / ATTEMPTS)),
            tuple(_rows(folder / REPLAYS)),
            tuple(_rows(folder / CONTROLS)),
            {"queries": ledger.queries, "tokens": ledger.tokens, "lost": ledger.lost},
        )


def run_attack(
    target: TextPolicy,
    behaviours: Sequence[Request],
    attacker: Attacker,
    out: Path | str | None = None,
    *,
    identity: dict[str, Any] | None = None,
    budget: Budget | None = None,
    judge: Judge | None = None,
    params: SamplingParams = TARGET,
    seed: int = 0,
    progress: bool = False,
) -> Attack:
    """Attack a policy and return what became of it.

    Args:
        target: what is attacked.
        behaviours: what an attacker tries to get, e.g. from `load_behaviours`.
        attacker: who tries; see `build_attacker`.
        out: folder of the attack; None keeps everything in memory.
        identity: where the behaviours come from, as `load_behaviours` says.
        budget: what may be spent; by default 24 queries of each behaviour.
        judge: grades the audit where no word decides it.
        params: how the target replies; `seed` and `n` are the attack's.
        seed: of the target's draws.
        progress: show a bar on stderr.

    Raises:
        ConfigError: the folder holds another attack; the message names the difference. Or no judge where one is
            needed, or a prefill for a target whose prompts are not rendered here.
        LockedError: another process works in the folder.
        Interrupted: SIGINT, SIGTERM or SIGHUP; finished batches are kept.
    """
    graders, budget = Graders(behaviours, judge), budget or Budget()
    about = _about(target, behaviours, attacker, identity, budget, graders, params, seed)
    if out is None:
        return _Run(target, behaviours, attacker, None, budget, graders, params, seed, about).go(progress)
    folder = Path(out)
    with locked(folder):
        remove_temporary(folder)
        if not (folder / ATTACK).exists():
            if any((folder / name).exists() for name in (ATTEMPTS, LEDGER)):
                raise ConfigError(f"{folder} has records of an attack but no {ATTACK}; choose another folder")
            write_json(folder / ATTACK, about)
        found = Attack.load(folder).about
        if found["identity"] != about["identity"]:
            changes = "\n  ".join(differences(found["identity"], about["identity"]))
            raise ConfigError(
                f"{folder} holds another attack; choose another folder, or the same settings:\n  {changes}"
            )
        return _Run(target, behaviours, attacker, folder, budget, graders, params, seed, found).go(progress)


def _about(
    target: TextPolicy,
    behaviours: Sequence[Request],
    attacker: Attacker,
    identity: dict[str, Any] | None,
    budget: Budget,
    graders: Graders,
    params: SamplingParams,
    seed: int,
) -> dict[str, Any]:
    ids = [request.id for request in behaviours]
    if not ids or len(set(ids)) < len(ids):
        raise ConfigError("an attack needs behaviours, each with an id of its own")
    return {
        "format": FORMAT,
        "target": target.name,
        "adaptive": attacker.adaptive,
        "identity": {
            "target": target.identity,
            "attacker": {"name": attacker.name, **attacker.settings},
            "behaviours": {**(identity or {}), "behaviours": ids},
            "budget": budget.to_dict(),
            "grading": graders.identity,
            "sampling": {key: getattr(params, key) for key in ("temperature", "top_p", "top_k", "max_new_tokens")},
            "seed": seed,
            "unswayed": __version__,
        },
    }


class _Run:
    """One process's work on an attack."""

    def __init__(
        self,
        target: TextPolicy,
        behaviours: Sequence[Request],
        attacker: Attacker,
        folder: Path | None,
        budget: Budget,
        graders: Graders,
        params: SamplingParams,
        seed: int,
        about: dict[str, Any],
    ) -> None:
        self.target, self.attacker, self.folder, self.graders = target, attacker, folder, graders
        self.requests = {request.id: request for request in behaviours}
        self.budget, self.params, self.seed, self.about = budget, replace(params, n=1), seed, about
        self.ledger = Ledger(folder)
        self.attempts = _whole_chunks(folder)
        self.histories: dict[str, list[Attempt]] = {name: [] for name in self.requests}
        for one in self.attempts:
            self.histories[one.behaviour].append(one)
        self.ended: set[str] = set()
        self.out_of_tokens = False

    def go(self, progress: bool) -> Attack:
        """Attack until every behaviour has ended or the budget is spent, then replay and control."""
        label = f"{self.attacker.name} on {self.target.name}"
        with stop_signals, Progress(label, len(self.requests), 0, shown=progress) as bar:
            for number in self._rounds():
                for chunk in self._chunks(number):
                    if stop_signals.asked:
                        raise Interrupted(f"stopped after {len(self.attempts)} queries; run the same command to go on")
                    self._ask(chunk)
                    bar.update(sum(self._done(name) for name in self.requests))
            replays = self._extra(REPLAYS, self._replayed())
            controls = self._extra(CONTROLS, self._controlled())
        spent = {"queries": self.ledger.queries, "tokens": self.ledger.tokens, "lost": self.ledger.lost}
        return Attack(self.about, tuple(self.attempts), tuple(replays), tuple(controls), spent)

    def _rounds(self) -> Iterator[int]:
        """Yield the number of each round in which somebody is left."""
        while not self.out_of_tokens:
            waiting = [name for name in self.requests if not self._done(name)]
            if not waiting:
                return
            yield min(self._round_of(name) for name in waiting)

    def _round_of(self, name: str) -> int:
        history = self.histories[name]
        return history[-1].round + 1 if history else 0

    def _done(self, name: str) -> bool:
        history = self.histories[name]
        won = self.attacker.adaptive and any((one.reward or 0.0) >= THRESHOLD and one.success for one in history)
        return name in self.ended or won or len(history) >= self.budget.queries

    def _chunks(self, number: int) -> Iterator[list[tuple[Ask, list[Proposal]]]]:
        """Yield the round's proposals in batches; their attacker tokens are reserved and settled here."""
        waiting = [name for name in self.requests if not self._done(name) and self._round_of(name) == number]
        size = max(1, BATCH // max(1, getattr(self.attacker, "sessions", BATCH)))
        for start in range(0, len(waiting), size):
            asks = [self._next(name, number) for name in waiting[start : start + size]]
            quote = self.attacker.quote(asks)
            if not self._fits(quote):
                return
            reserved = self.ledger.reserve(0, quote) if quote else None
            proposals = self.attacker.propose(asks)
            if reserved is not None:
                self.ledger.settle(reserved, sum(one.tokens for own in proposals for one in own))
            for ask, own in zip(asks, proposals, strict=True):
                if not own:
                    self.ended.add(ask.request.id)
            found = [(ask, own[: ask.room]) for ask, own in zip(asks, proposals, strict=True) if own]
            if found:
                yield found

    def _next(self, name: str, number: int) -> Ask:
        history = self.histories[name]
        return Ask(self.requests[name], tuple(history), number, self.budget.queries - len(history))

    def _fits(self, tokens: int) -> bool:
        """Whether so many tokens are left; where they are not, the attack ends."""
        if self.budget.tokens is not None and self.ledger.tokens + tokens > self.budget.tokens:
            self.out_of_tokens = True
        return not self.out_of_tokens

    def _ask(self, chunk: list[tuple[Ask, list[Proposal]]]) -> None:
        """Send one batch, grade it and record it."""
        flat = [(ask, one) for ask, own in chunk for one in own]
        prompts = [one.messages for _, one in flat]
        self._check_prefill(prompts)
        most = sum(tokens_at_most(self.target, prompt) + self.params.max_new_tokens for prompt in prompts)
        if not self._fits(most):
            return
        reserved = self.ledger.reserve(len(flat), most)
        number, round_ = self.attempts[-1].chunk + 1 if self.attempts else 0, flat[0][0].round
        purpose = f"attack/target/{round_}"
        drawn = [_whole_reply(one, prompt) for one, prompt in zip(self._draw(prompts, purpose), prompts, strict=True)]
        requests = [ask.request for ask, _ in flat]
        rewards = [self.graders.reward(request, one) for request, one in zip(requests, drawn, strict=True)]
        audits = self.graders.audit(requests, drawn)
        places = {ask.request.id: len(ask.history) for ask, _ in chunk}
        made = []
        for (ask, proposal), one, reward, audit in zip(flat, drawn, rewards, audits, strict=True):
            name = ask.request.id
            spent = one.tokens + one.prompt_tokens
            made.append(
                Attempt(
                    name, ask.round, places[name], number, len(flat), proposal.session, proposal.note,
                    proposal.messages, one.text, one.finish, spent, proposal.tokens,
                    reward.value, success(audit), audit.reason or "",
                )
            )  # fmt: skip
            places[name] += 1
        if self.folder is not None:
            append_jsonl(self.folder / ATTEMPTS, (one.row() for one in made))
        self.ledger.settle(reserved, min(most, sum(one.tokens for one in made)))
        self.attempts += made
        for attempt in made:
            self.histories[attempt.behaviour].append(attempt)

    def _draw(self, prompts: Sequence[tuple[Message, ...]], purpose: str) -> list[Completion]:
        """Return the target's replies; a prompt that its context cannot hold has none, and says so."""
        too_long = getattr(self.target, "too_long", None)
        long = too_long(prompts, self.params.max_new_tokens) if too_long is not None else {}
        fits = [place for place in range(len(prompts)) if place not in long]
        drawn = draw_each(self.target, [prompts[place] for place in fits], self.params, self.seed, purpose)
        found = dict(zip(fits, drawn, strict=True))
        for place, tokens in long.items():
            reason = f"a prompt of {tokens} tokens does not fit the context"
            found[place] = Completion("", "failed", 0, 0, reason)
        return [found[place] for place in range(len(prompts))]

    def _check_prefill(self, prompts: Sequence[tuple[Message, ...]]) -> None:
        if isinstance(self.target, EndpointPolicy) and any(prompt[-1].role == "assistant" for prompt in prompts):
            raise ConfigError(
                f"{self.target.name}: a reply that was begun for it is rendered by the server in its own way; attack "
                "the model in this process with --attacker prefill"
            )

    def _replayed(self) -> Iterator[dict[str, Any]]:
        """Yield each behaviour's first success, drawn and graded again; a greedy target replies at temperature 1."""
        params = replace(self.params, temperature=self.params.temperature or 1.0)
        for name, history in self.histories.items():
            first = next((one for one in history if one.success), None)
            if first is None:
                continue
            prompts = [first.messages] * REPLAYED
            drawn = draw_each(self.target, prompts, params, self.seed, "attack/replay")
            whole = [_whole_reply(one, first.messages) for one in drawn]
            grades = [success(score) for score in self.graders.audit([self.requests[name]] * REPLAYED, whole)]
            yield {"behaviour": name, "place": first.place, "successes": grades}

    def _controlled(self) -> Iterator[dict[str, Any]]:
        """Yield for each behaviour what the audit says of the reply to a harmless request: a success is an error."""
        for name, request in self.requests.items():
            _, prompt = benign_beside(request, seed=self.seed, held_out=True)
            drawn = draw_each(self.target, [prompt], self.params, self.seed, "attack/control")
            yield {"behaviour": name, "success": success(self.graders.audit([request], drawn)[0])}

    def _extra(self, file: str, rows: Iterator[dict[str, Any]]) -> list[dict[str, Any]]:
        """Return the rows of a file, made and written whole where it is not there yet."""
        path = None if self.folder is None else self.folder / file
        if path is not None and path.exists():
            return read_jsonl(path)
        made = []
        for row in rows:
            if stop_signals.asked:
                raise Interrupted(f"stopped before {file} was whole; run the same command to go on")
            made.append(row)
        if path is not None:
            write_jsonl(path, made)
        return made


def _whole_reply(drawn: Completion, prompt: Sequence[Message]) -> Completion:
    """Return a completion with the beginning that it was given: what a user sees is both."""
    if prompt[-1].role != "assistant" or drawn.finish == "failed":
        return drawn
    return replace(drawn, text=prompt[-1].content + drawn.text)


def _whole_chunks(folder: Path | None) -> list[Attempt]:
    """Return the attempts of whole batches; what a killed process left of another is dropped from the file."""
    if folder is None or not (folder / ATTEMPTS).exists():
        return []
    drop_torn(folder / ATTEMPTS)
    rows = read_jsonl(folder / ATTEMPTS)
    last = [row for row in rows if row["chunk"] == rows[-1]["chunk"]] if rows else []
    if last and len(last) < last[0]["of"]:
        rows = rows[: -len(last)]
        write_jsonl(folder / ATTEMPTS, rows)
    return [Attempt.from_row(row) for row in rows]


def _rows(path: Path) -> list[dict[str, Any]]:
    return read_jsonl(path) if path.exists() else []
