r"""Train an attacker against one target by group-relative policy optimisation (after Han et al. 2026, section 5.3).

The attacker is a LoRA on a causal model and plays the sessions of `search`: several side by side, a few rounds each,
the reward of a session being the best grade of its rounds. One behaviour of the part `train` a step; nothing held out
is seen. What the published attacker does otherwise, and why it is not done here:

- its KL term is the log-ratio itself, whose gradient is 0 on average; here it is k3 (`unswayed.losses.group_relative`)
- its ratios compare sampling without dropout to learning with it; here there is no dropout, and the log-probabilities
  that ratios are taken to are the learner's own
- its rounds are cut at different lengths and unfinished thinking is graded; here thinking that does not end is no reply
- a grade that failed counts as 0 there; here the session has no reward and teaches nothing

FOLDER/attacker.json  what trains against what           FOLDER/checkpoints/  one each pass over the behaviours
FOLDER/ledger.jsonl   what it spent                      FOLDER/adapter/      the pass with the best mean reward
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from unswayed import losses
from unswayed.attacks.asking import draw_each, tokens_at_most
from unswayed.attacks.attackers.base import Attempt
from unswayed.attacks.attackers.search import STRATEGIES, attacker_prompt, attempt_of
from unswayed.attacks.budget import Budget, Ledger
from unswayed.attacks.grading import RewardOnly
from unswayed.chat.render import Chat
from unswayed.config.recipe import Recipe
from unswayed.core.errors import ConfigError, Interrupted
from unswayed.core.files import dump_json, fsync_path, locked, remove_temporary, write_json
from unswayed.core.hashing import hash_json
from unswayed.core.jsonl import parse
from unswayed.core.progress import Progress
from unswayed.core.seeding import rng, seed_at
from unswayed.core.signals import stop_signals
from unswayed.core.types import Completion, LossOutput, Message, PairedBatch, PairedRow, SamplingParams, TextPolicy
from unswayed.engine.base import Engine, Scored
from unswayed.engine.configured import load_engine
from unswayed.evals.results import differences
from unswayed.losses.group_relative import group_advantages, group_relative
from unswayed.models import load_chat
from unswayed.questions.requests import Request
from unswayed.training import checkpoint

ATTACKER = "attacker.json"
VERSION = 1


@dataclass(frozen=True)
class Learning:
    """How an attacker is trained.

    Attributes:
        model: the attacker's base, by name. dtype, device: of its frozen weights.
        passes: over the behaviours of the part `train`.
        sessions, rounds: of a step's episode.
        rank, alpha, targets: of the LoRA.
        lr, clip, kl_coef: learning rate, ε and β of the loss.
        temperature, max_new_tokens: of the attacker's draws.
    """

    model: str
    dtype: str = "auto"
    device: str = "auto"
    passes: int = 9
    sessions: int = 8
    rounds: int = 3
    rank: int = 16
    alpha: float = 32.0
    targets: str | list[str] = "all-linear"
    lr: float = 1e-5
    clip: float = 0.2
    kl_coef: float = 0.1
    temperature: float = 0.9
    max_new_tokens: int = 256

    def __post_init__(self) -> None:
        if self.passes < 1 or self.sessions < 2 or self.rounds < 1:
            raise ConfigError("grpo: passes and rounds are at least 1, sessions at least 2: rewards are compared")


@dataclass
class _Session:
    """One session of an episode: its turns as ids, and what it has earned."""

    place: int
    turns: list[tuple[tuple[int, ...], tuple[int, ...]]] = field(default_factory=list)
    history: list[Attempt] = field(default_factory=list)

    @property
    def reward(self) -> float | None:
        grades = [one.reward for one in self.history if one.reward is not None]
        return max(grades) if grades else None


def train_attacker(
    target: TextPolicy,
    behaviours: Sequence[Request],
    folder: Path,
    learning: Learning,
    graders: RewardOnly,
    *,
    params: SamplingParams,
    budget: Budget,
    seed: int = 0,
    progress: bool = False,
) -> tuple[Path, int]:
    """Train an attacker, or go on; return the folder of its best adapter and the tokens that were spent.

    Args:
        target: what it learns to break; it must be the one that is attacked afterwards.
        behaviours: of the part `train`.
        folder: where it is kept. The same call continues at the last pass, with the same bits.
        learning: how.
        graders: the reward; the audit's judge never grades what an attacker learns from.
        params: how the target replies.
        budget: its tokens bound the training; a pass that does not fit is not begun.
        seed: of every draw.

    Raises:
        ConfigError: the folder holds another training, or the budget is too small for one pass.
        Interrupted: a signal; the last whole pass is kept.
    """
    source, chat = load_chat(learning.model)
    recipe = Recipe.from_dict(
        {
            "name": "attacker",
            "seed": seed,
            "model": {"id": learning.model, "dtype": learning.dtype, "device": learning.device},
            "data": {"train": "-"},
            "lora": {"rank": learning.rank, "alpha": learning.alpha, "targets": learning.targets},
            "method": {"name": "opct", "teacher": "base"},
            "optim": {"lr": learning.lr, "betas": [0.9, 0.999], "weight_decay": 0.01},
            "train": {"steps": 1},
        }
    )
    identity = {
        "version": VERSION,
        "target": target.identity,
        "learning": {key: value for key, value in vars(learning).items() if key != "device"},
        "behaviours": [request.id for request in behaviours],
        "grading": graders.identity["reward"],
        "sampling": [params.temperature, params.max_new_tokens],
        "tokens": budget.tokens,
        "seed": seed,
    }
    with locked(folder):
        remove_temporary(folder)
        _begin(folder, identity)
        engine = load_engine(recipe, source, chat)
        training = _Training(engine, chat, target, list(behaviours), folder, learning, graders, params, budget, seed)
        return training.go(progress), training.ledger.tokens


def _begin(folder: Path, identity: Mapping[str, Any]) -> None:
    if not (folder / ATTACKER).exists():
        write_json(folder / ATTACKER, identity)
    found = parse((folder / ATTACKER).read_text(encoding="utf-8"))
    wanted = parse(dump_json(identity))
    if found != wanted:
        changes = "\n  ".join(differences(found, wanted))
        raise ConfigError(f"{folder} holds the training of another attacker; choose another folder:\n  {changes}")


@dataclass
class _Training:
    """One process's work on an attacker."""

    engine: Engine
    chat: Chat
    target: TextPolicy
    behaviours: list[Request]
    folder: Path
    learning: Learning
    graders: RewardOnly
    params: SamplingParams
    budget: Budget
    seed: int

    def __post_init__(self) -> None:
        self.ledger = Ledger(self.folder)

    def go(self, progress: bool) -> Path:
        """Make the passes that are left, and publish the best."""
        newest = checkpoint.latest_valid(self.folder)
        done = 0
        if newest is not None:
            self.engine.load(newest.path)
            done = newest.step
        total = self.learning.passes * len(self.behaviours)
        with stop_signals, Progress("training the attacker", total, done * len(self.behaviours), shown=progress) as bar:
            while done < self.learning.passes and self._fits(done):
                rows = []
                order = rng(self.seed, "attack/grpo/order", done).permutation(len(self.behaviours))
                for number, place in enumerate(order):
                    if stop_signals.asked:
                        raise Interrupted(f"stopped in pass {done + 1}; run the same command to go on from its begin")
                    rows.append(self._step(done * len(self.behaviours) + number, self.behaviours[place]))
                    bar.update(done * len(self.behaviours) + number + 1)
                done += 1
                rewards = [row["reward"] for row in rows if row["reward"] is not None]
                mean = sum(rewards) / len(rewards) if rewards else None
                info = {"reward": mean, "tokens": self.ledger.tokens, "steps": rows}
                checkpoint.save(self.folder, done, self.engine.save, info, keep=self.learning.passes)
        return self._publish()

    def _fits(self, done: int) -> bool:
        """Whether another pass, at what the dearest so far has cost, stays within the budget of tokens."""
        if self.budget.tokens is None:
            return True
        spent = [found["info"]["tokens"] for found in self._manifests()]
        cost = max((after - before for before, after in zip([0, *spent], spent, strict=False)), default=0)
        if not spent:
            cost = self._most_of_a_pass()
        fits = self.ledger.tokens + cost <= self.budget.tokens
        if not fits and not done:
            raise ConfigError(
                f"one pass over {len(self.behaviours)} behaviours may cost {cost:,} tokens, more than the budget of "
                f"{self.budget.tokens:,}; give more, or fewer sessions, rounds or behaviours"
            )
        return fits

    def _most_of_a_pass(self) -> int:
        learning = self.learning
        turn = learning.max_new_tokens * 2 + 4 * self.params.max_new_tokens + 512
        return len(self.behaviours) * learning.sessions * learning.rounds * turn

    def _manifests(self) -> list[dict[str, Any]]:
        paths = checkpoint.list_checkpoints(self.folder)
        return [parse((path / checkpoint.MANIFEST).read_text(encoding="utf-8")) for path in paths]

    # ---- one step

    def _step(self, number: int, request: Request) -> dict[str, Any]:
        """Play one episode and learn from it; return what became of it."""
        sessions = [_Session(place) for place in range(self.learning.sessions)]
        for round_ in range(self.learning.rounds):
            self._round(number, request, round_, sessions)
        graded = [session for session in sessions if session.reward is not None]
        rewards = [session.reward for session in graded]
        row: dict[str, Any] = {
            "behaviour": request.id,
            "reward": sum(rewards) / len(rewards) if rewards else None,  # type: ignore[arg-type]
            "graded": len(graded),
        }
        if len(graded) < 2:
            return {**row, "learned": False}
        advantages = group_advantages(torch.tensor(rewards, dtype=torch.float64))
        if advantages is None:
            return {**row, "learned": False}
        batch = self._batch(graded, advantages.tolist())
        sums = self.engine.forward_backward(batch, self._loss)
        norm = self.engine.optim_step(self.learning.lr, float(len(graded)), 1.0)
        self.engine.publish()
        return {**row, "learned": True, "grad_norm": norm, **sums.means()}

    def _round(self, number: int, request: Request, round_: int, sessions: list[_Session]) -> None:
        """Let every session write one attempt, the target reply, and the reward grade it."""
        learning = self.learning
        prompts = [
            self.chat.render(attacker_prompt(request, self._strategy(number, session.place), session.history, None))
            for session in sessions
        ]
        wanted = SamplingParams(temperature=learning.temperature, max_new_tokens=learning.max_new_tokens)
        most = sum(map(len, prompts)) + len(prompts) * learning.max_new_tokens
        reserved = self.ledger.reserve(0, most)
        seeds = [[seed_at(self.seed, "attack/grpo/write", number, round_, session.place)] for session in sessions]
        drawn = [found[0] for found in self.engine.sample([request.id] * len(prompts), prompts, wanted, seeds)]
        self.ledger.settle(reserved, sum(map(len, prompts)) + sum(len(one.completion_ids) for one in drawn))
        for session, prompt, one in zip(sessions, prompts, drawn, strict=True):
            session.turns.append((tuple(prompt), one.completion_ids))
        texts = [attempt_of(Completion(self.chat.decode(one.completion_ids), one.finish, 0, 0)) for one in drawn]
        asked = [(*request.prompt[:-1], Message("user", text or request.text)) for text in texts]
        most = sum(tokens_at_most(self.target, prompt) + self.params.max_new_tokens for prompt in asked)
        reserved = self.ledger.reserve(len(asked), most)
        purpose = f"attack/grpo/target/{number}/{round_}"
        replies = draw_each(self.target, asked, replace(self.params, n=1), self.seed, purpose)
        self.ledger.settle(reserved, min(most, sum(one.tokens + one.prompt_tokens for one in replies)))
        for session, sent, reply in zip(sessions, asked, replies, strict=True):
            grade = self.graders.reward(request, reply)
            session.history.append(_attempt(request, round_, session.place, sent, reply, grade.value))

    def _strategy(self, number: int, session: int) -> str:
        return STRATEGIES[seed_at(self.seed, "attack/grpo/strategy", number, session) % len(STRATEGIES)]

    def _batch(self, sessions: Sequence[_Session], advantages: Sequence[float]) -> PairedBatch:
        """Return one row for each turn, with its advantage and the log-probabilities before this update."""
        rows = [
            PairedRow(str(session.place), prompt, prompt, written, (1.0 / len(written),) * len(written))
            for session in sessions
            for prompt, written in session.turns
        ]
        values = [value for session, value in zip(sessions, advantages, strict=True) for _ in session.turns]
        plain = PairedBatch(tuple(rows))
        own, reference = (
            [_logprobs(scored) for scored in self.engine.score(plain, role)] for role in ("student", "teacher")
        )
        return PairedBatch(
            tuple(
                replace(row, teacher={"own": mine, "reference": other, "advantage": torch.full_like(mine, value)})
                for row, value, mine, other in zip(rows, values, own, reference, strict=True)
            )
        )

    def _loss(self, student: Scored, batch: PairedBatch) -> LossOutput:
        found = losses.token_logprobs(student.hidden_ND, student.head_VD, student.ids_N, **student.head)
        own, reference, advantage = (
            torch.cat([row.teacher[name] for row in batch.rows]) for name in ("own", "reference", "advantage")
        )
        return group_relative(
            found, own, reference, advantage, student.weight_N, clip=self.learning.clip, kl_coef=self.learning.kl_coef
        )

    # ---- the result

    def _publish(self) -> Path:
        """Publish the adapter of the pass with the best mean reward; the earliest of equal ones."""
        found = [one for one in self._manifests() if one["info"]["reward"] is not None]
        final = self.folder / "adapter"
        if not found:
            raise ConfigError(f"{self.folder}: no session could be graded, so nothing was learned")
        best = max(found, key=lambda one: (one["info"]["reward"], -one["step"]))
        if not final.exists():
            temporary = self.folder / f".tmp-adapter-{os.getpid()}"
            temporary.mkdir()
            place = self.folder / "checkpoints" / f"step-{best['step']:06d}"
            for name in ("adapter_model.safetensors", "adapter_config.json"):
                (temporary / name).write_bytes((place / name).read_bytes())
                fsync_path(temporary / name)
            fsync_path(temporary)
            os.rename(temporary, final)
            fsync_path(self.folder)
        return final


def attacker_identity(folder: Path) -> str:
    """Return what a trained attacker is known by: how it was trained, and on what."""
    return hash_json(parse((folder / ATTACKER).read_text(encoding="utf-8")))


def _logprobs(scored: Scored) -> torch.Tensor:
    return losses.token_logprobs(scored.hidden_ND, scored.head_VD, scored.ids_N, **scored.head).detach()


def _attempt(
    request: Request, round_: int, session: int, prompt: tuple[Message, ...], reply: Completion, reward: float | None
) -> Attempt:
    """Return an attempt as `attacker_prompt` reads it; it is part of no record."""
    return Attempt(request.id, round_, 0, 0, 1, session, "", prompt, reply.text, reply.finish, 0, 0, reward, None, "")
