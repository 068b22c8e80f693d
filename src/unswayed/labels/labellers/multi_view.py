"""Multi-view: one question asked in three ways; the plain greedy answer is kept where it agrees with the others.

The label is always the plain greedy completion. What this labeller decides is which prompts survive. A view in which no
answer can be read (a broken JSON object, say) counts neither for nor against; with none readable the pair is dropped.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from unswayed.config.labels import MultiViewConfig
from unswayed.core.jsonl import loads
from unswayed.core.types import Message, PromptPair, Score
from unswayed.judges.base import Verdict
from unswayed.labels.base import (
    GREEDY,
    Candidate,
    Context,
    Labelled,
    draw,
    item_of,
    judged,
    labeller,
    messages_of,
    unfit,
    unscored,
)

_ANSWER = re.compile(r"^\W*(?:final )?answer[\s*_`]*[:=][\s*_`]*(\S.*)$", re.IGNORECASE | re.MULTILINE)


@labeller("multi_view")
def label(pairs: Sequence[PromptPair], config: MultiViewConfig, context: Context) -> list[Labelled]:
    """Ask each pair's question in three ways and keep the plain answers that agree."""
    assert context.judge is not None
    plain = [(pair.id, messages_of(pair, config)) for pair in pairs]
    ways = {
        "plain": plain,
        "reasoning": [(id_, with_cue(messages, config.reasoning_cue)) for id_, messages in plain],
        "json": [(id_, with_cue(messages, config.json_cue)) for id_, messages in plain],
    }
    drawn = {view: draw(context, prompts, GREEDY, view) for view, prompts in ways.items()}
    read = {
        (place, view): read_view(view, pool[0].text)
        for view in ("reasoning", "json")
        for place, pool in enumerate(drawn[view])
        if pool and unfit(drawn["plain"][place][0], config) is None
    }
    asked = [(place, view, answer) for (place, view), answer in read.items() if answer is not None]
    items = [item_of(context, *plain[place], answer, first=drawn["plain"][place][0].text) for place, _, answer in asked]
    verdicts = {
        (place, view): verdict for (place, view, _), verdict in zip(asked, context.judge.grade(items), strict=True)
    }
    labelled = []
    for place, pair in enumerate(pairs):
        views = [_compared(drawn[view][place], verdicts.get((place, view)), view) for view in ("reasoning", "json")]
        others = [candidate for pool in views for candidate in pool]
        labelled.append(_decide(pair.id, drawn["plain"][place][0], others, config))
    return labelled


def with_cue(messages: Sequence[Message], cue: str) -> tuple[Message, ...]:
    """Return the conversation with the cue at the end of its last message."""
    *before, last = messages
    return (*before, Message(last.role, f"{last.content}\n\n{cue}"))


def read_view(view: str, text: str) -> str | None:
    """Return the answer inside a view's reply, or None where there is none to read.

    Reasoning: what follows the last `Answer:`, else the whole reply. JSON: the value of `answer` in
    the outermost braces.
    """
    if not text.strip():
        return None
    if view == "reasoning":
        found = _ANSWER.findall(text)
        return str(found[-1]) if found else text
    start, end = text.find("{"), text.rfind("}")
    try:
        value = loads(text[start : end + 1])["answer"] if 0 <= start < end else None
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    readable = isinstance(value, str | int | float) and not isinstance(value, bool) and str(value).strip()
    return str(value) if readable else None


def _compared(pool: Sequence[Candidate], verdict: Verdict | None, view: str) -> list[Candidate]:
    """Return a view's candidate with its verdict: 1 where it agrees with the plain answer."""
    missing = f"no answer to read in the {view} view"
    return [unscored(each, missing) if verdict is None else judged(each, verdict) for each in pool]


def _decide(pair_id: str, plain: Candidate, views: Sequence[Candidate], config: MultiViewConfig) -> Labelled:
    values = [view.score.value for view in views if view.score is not None and view.score.value is not None]
    if reason := unfit(plain, config):
        score, dropped = Score(None, reason=reason), reason
    elif not values:
        score, dropped = Score(None, reason="no view can be read"), "no view can be read"
    else:
        score = Score(sum(values) / len(values))
        kept = any(values) if config.agree == "any" else all(values)
        dropped = "" if kept else "the views disagree"
    candidates = (replace(plain, score=score), *views)
    if dropped:
        return Labelled(pair_id, candidates, None, dropped=dropped)
    return Labelled(pair_id, candidates, 0, (0,))
