"""Judging of evaluations: what of a sample a judge sees, and how its verdict becomes a score.

The judge sees the plain request: `meta["request"]` where the suite gives it, else the last user message of the sample's
twin, else of the sample itself; never the wrapper where there is one to be had. Replies that hold nothing to judge are
unscored without being shown, and a sample whose words decide (`meta["secret"]` or `meta["accepted"]`) is scored by the
suite's rule and shown to no judge. A verdict that is not `ok` leaves the completion unscored, with the reason.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from unswayed.core.errors import ConfigError
from unswayed.core.printable import storable
from unswayed.core.types import Completion, Message, Sample, Score, TextPolicy
from unswayed.evals.suite import Suite
from unswayed.judges.base import Item, Judge, Verdict, describe
from unswayed.judges.rubrics import Rubric, rubric
from unswayed.judges.rule import RuleJudge
from unswayed.judges.wrap import is_cut, judged_reply

MATERIAL: Mapping[str, Callable[[Sample], str | None]] = {
    "safety_fact": lambda sample: sample.meta.get("safety_fact") or sample.meta.get("fact"),
    "right_answer": lambda sample: sample.target[0] if sample.target else None,
}
"""Where a sample holds what a rubric shows."""
WORDS = ("secret", "accepted")
"""Fields of a sample's `meta` whose words alone decide the score, by whether they stand in the reply."""
BY_RULE = "by rule"
VERSION = 2
"""Of the way from verdicts to scores, raised by hand whenever a reply may come to be scored otherwise."""


@dataclass(frozen=True)
class Judging:
    """A suite with the judge and the rubric that score it.

    Attributes:
        judge, by: who judges, by what.
        notes: what a reader of the result should know of the judge.
        samples: the suite's, by id, to find twins in.
    """

    judge: Judge
    by: Rubric
    notes: tuple[str, ...]
    samples: Mapping[str, Sample]

    def about(self, facts: Mapping[str, Any]) -> dict[str, Any]:
        """Return what `eval.json` holds, with the judge in it. Results under two judges are two measurements."""
        identity = facts["identity"]
        suite = {**identity["suite"], "judged": {**describe(self.judge, self.by), "scoring": VERSION}}
        judge = {"name": self.judge.name, "notes": list(self.notes)}
        return {**facts, "identity": {**identity, "suite": suite}, "judge": judge}

    def score(
        self, owners: Sequence[Sample], completions: Sequence[Completion], rules: Sequence[Score]
    ) -> list[tuple[Score, dict[str, Any]]]:
        """Return for each completion its score and what the record keeps of the judging.

        Args:
            owners: the sample of each completion.
            completions: what the model wrote.
            rules: what the suite's rule makes of them; kept beside the verdict.
        """
        items: list[Item | None] = []
        reasons: list[str] = []
        for sample, completion in zip(owners, completions, strict=True):
            reply, reason = judged_reply(completion)
            material = {name: MATERIAL[name](sample) or "" for name in self.by.material}
            request = plain_request(sample, self.samples.get(sample.meta.get("twin") or ""))
            if any(sample.meta.get(name) for name in WORDS):
                reason = BY_RULE
            items.append(None if reason else Item(request, reply, material))
            reasons.append(reason or "")
        verdicts = iter(self.judge.grade(self.by, [item for item in items if item is not None]))
        scored = []
        for item, reason, completion, rule in zip(items, reasons, completions, rules, strict=True):
            if item is None and reason == BY_RULE:
                scored.append((rule, {"status": BY_RULE, "rule": rule.value}))
                continue
            if item is None:
                scored.append((Score(None, reason=reason), _kept(None, item, rule)))
                continue
            verdict = next(verdicts)
            cut = completion.finish == "length" or is_cut(self.by, item)
            kept = _kept(verdict, item, rule)
            if item.reply != completion.text.strip():
                kept["flags"].append("thinking cut out")
            scored.append((score_of(self.by, verdict, rule, cut=cut), kept))
        return scored


def judging(suite: Suite, judge: Judge | None, policy: TextPolicy, *, allow_self_judge: bool = False) -> Judging | None:
    """Return how the suite is judged; None where its own rule scores.

    Raises:
        ConfigError: see `check_judge` and `refuse_self`.
    """
    by = check_judge(suite, judge)
    if by is None or judge is None:
        return None
    notes = refuse_self(judge, policy, allow_self_judge)
    return Judging(judge, by, tuple(notes), {sample.id: sample for sample in suite.samples})


def check_judge(suite: Suite, judge: Judge | None) -> Rubric | None:
    """Return the rubric that the judge scores the suite by; None where the suite's own rule scores.

    Raises:
        ConfigError: the suite needs a judge and there is none, a rule cannot judge it, or a sample lacks what the
            rubric shows.
    """
    check_given(suite, judge is not None)
    if judge is None or not suite.rubric or suite.method == "choose":
        return None
    found = rubric(suite.rubric)
    if isinstance(judge, RuleJudge):
        if not suite.needs_judge:
            return None  # the suite's own rule knows more than the judge's
        judge.check(found)
    lacking = [sample.id for sample in suite.samples for name in found.material if not MATERIAL[name](sample)]
    if lacking:
        raise ConfigError(f"{suite.name}: {len(lacking)} samples lack what {found.key} shows, {lacking[0]} among them")
    return found


def check_given(suite: Suite, given: bool) -> None:
    """Check that a suite which needs a judge has one; asked before anything is loaded.

    Raises:
        ConfigError: it has none; or it has no rubric to be judged by.
    """
    if suite.needs_judge and not suite.rubric:
        raise ConfigError(f"suite {suite.name} needs a judge and names no rubric")
    if suite.needs_judge and not given:
        raise ConfigError(
            f"{suite.name} is scored by a judge and by no rule; give one: --judge local:MODEL or "
            "--judge openai:MODEL@URL (in Python: evaluate(..., judge=build_judge(...)))"
        )


def same_model(judge: Judge, policy: TextPolicy) -> str | None:
    """Return `itself` where the judge is the evaluated model, `same base` where only an adapter lies between, or None.

    An endpoint is known by its model's name alone.
    """
    asked = getattr(judge, "judge", judge)
    other = getattr(asked, "policy", None)
    if other is not None:
        mine, theirs = getattr(other, "weights", ()), getattr(policy, "weights", ())
        if other is policy or other.identity == policy.identity or (mine and mine == theirs):
            return "itself"
        return "same base" if mine and theirs and mine[0] == theirs[0] else None
    served = getattr(asked, "model", None)
    return "itself" if isinstance(served, str) and _base(served) == _base(policy.name) else None


def _base(name: str) -> str:
    return name.rstrip("/").rpartition("/")[2].casefold()


def refuse_self(judge: Judge, policy: TextPolicy, allowed: bool) -> list[str]:
    """Return what to note about judge and evaluated model.

    Raises:
        ConfigError: they are the same model and that is not allowed.
    """
    found = same_model(judge, policy)
    if found == "itself" and not allowed:
        raise ConfigError(
            f"{judge.name} would judge itself; take another judge, or allow it with --allow-self-judge "
            "(allow_self_judge=True), which is recorded"
        )
    return {"itself": ["the evaluated model judged itself"], "same base": ["the judge has the same base model"]}.get(
        found or "", []
    )


def plain_request(sample: Sample, twin: Sample | None) -> str:
    """Return what was asked, without what was put around it where the suite says what that is."""
    given = sample.meta.get("request")
    if isinstance(given, str) and given.strip():
        return given
    return last_user((twin or sample).messages)


def last_user(messages: Sequence[Message]) -> str:
    """Return the last message of the user, "" where there is none."""
    return next((message.content for message in reversed(messages) if message.role == "user"), "")


def score_of(by: Rubric, verdict: Verdict, rule: Score, *, cut: bool) -> Score:
    """Return the score that a verdict comes to; unscored where it is not `ok`, or would not hold for a whole reply."""
    if verdict.status != "ok" or verdict.label is None or verdict.score is None:
        return Score(None, reason=f"judge: {verdict.status}")
    labels = dict(pair.split("=", 1) for pair in verdict.label.split(" "))
    if cut and (not by.stands(labels) or rule.reason == "truncated"):  # not even the form of the reply is settled
        return Score(None, reason="truncated")
    answer = rule.answer if by.answer is None else by.answer(labels)
    return Score(verdict.score, answer=answer, parts=verdict.parts)


def _kept(verdict: Verdict | None, item: Item | None, rule: Score) -> dict[str, Any]:
    """Return what a record keeps: no time and no name, so that equal evaluations have equal bytes."""
    kept: dict[str, Any] = {"rule": rule.value}
    if item is not None:
        kept |= {"request": storable(item.request)}
        if item.material:
            kept["material"] = {name: storable(text) for name, text in item.material.items()}
    if verdict is None:
        return {"status": "not asked", **kept}
    return {
        "status": verdict.status,
        "label": verdict.label,
        "raw": storable(verdict.raw),
        "prompt_sha256": verdict.prompt_sha256,
        "flags": list(verdict.flags),
        "reason": verdict.reason,
        **kept,
    }
