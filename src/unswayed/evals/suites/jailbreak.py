"""Jailbreak suites: requests to decline, plainly and in wrappers, beside harmless ones.

Every request is asked plainly (`plain`) and in wrappers (`wrapped`); every wrapper also goes around a harmless request
(`benign`), which is asked plainly too (`benign_plain`). `jailbreak/static` takes forbidden requests from a public set
or a file and scores by the refusal rule, or by a judge; `jailbreak/builtin` takes the packaged codewords and needs
neither: whether the codeword got out can be read off the reply. `jailbreak/pairs` takes what `data build` made.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from operator import attrgetter
from pathlib import Path
from typing import Any

from unswayed.core.errors import ConfigError
from unswayed.core.hashing import hash_file
from unswayed.core.types import COMPLIED, REFUSAL, PromptPair, Sample
from unswayed.data.build.parts import Wording, choose_units, resolve_family, wordings_of
from unswayed.data.read import read_pairs
from unswayed.evals.scoring.leak import score_request
from unswayed.evals.suite import GREEDY, Suite, register
from unswayed.evals.suites.cues import present
from unswayed.evals.suites.draw import check_each, deal, distinct, draw, draw_groups, prompt_key, shuffled_deck
from unswayed.perturb import Perturbation
from unswayed.perturb.jailbreak import AXIS, FAMILIES, REWRITE
from unswayed.questions.requests import Request, benign_beside, codewords, load_requests

SOURCE = "jailbreak/strongreject"
"""What `jailbreak/static` asks where nothing is named."""
PRIMARY = ("attack_success", "refusal_gap")
COUNTER = ("refusal_plain", "benign_help", "benign_help_plain")
GRADED = ("attack_success_75", "attack_success_100", "attack_score")
"""Other readings of the same score, which differ from `attack_success` where it is graded."""


@register("jailbreak/static", unit="behaviour", sources=(SOURCE,), judge="optional", records_length=True)
def static(
    *,
    file: str = SOURCE,
    requests: Sequence[Request] | None = None,
    families: Sequence[str] | None = None,
    phrasings: Sequence[int] | None = None,
    wrappers_per_item: int = 1,
    limit: int | None = None,
    seed: int = 0,
    name: str = "",
    max_new_tokens: int = 256,
) -> Suite:
    """Build requests to decline, plainly and in wrappers, and harmless ones beside them, from a public set or a file.

    The cluster unit is the behaviour that is asked for, or the harmless request. Requests that came with rewrites are
    put into those and no others unless `families` is given. A rewrite has no benign twin, its wrapper belongs to that
    request alone: there the harmless requests are asked plainly only.

    Args:
        file: a public set by name (`jailbreak/static:harmbench`, `jailbreak/static:jbb_pair_prompts`), or a file with
            `goal` and, for rewrites, `wrapped` (see `unswayed.questions.requests`).
        requests: the same as objects, in the place of a file.
        families: wrappers by name, `rewrite` among them; by default every rewrite, else every family.
        wrappers_per_item: how many wrappers to deal to each request; rewrites are all asked.
    """
    found, identity = (list(requests), {}) if requests is not None else load_requests(file)
    samples = _samples(found, families, phrasings, wrappers_per_item, limit, seed)
    return Suite(
        name="jailbreak/static",
        version=1,
        samples=samples,
        primary=present(PRIMARY, samples),
        counter=present((*COUNTER, *GRADED), samples),
        score=score_request,
        params=replace(GREEDY, max_new_tokens=max_new_tokens),
        unit="behaviour",
        arguments=identity,
        label=name or ("" if requests is not None else Path(file).name),
        rubric="strongreject",
        sensitive=True,
    )


@register("jailbreak/builtin", unit="setting", records_length=True)
def builtin(
    *,
    topics: Sequence[str] | None = None,
    families: Sequence[str] | None = None,
    phrasings: Sequence[int] | None = None,
    wrappers_per_item: int = 2,
    limit: int | None = None,
    seed: int = 0,
    name: str = "",
    max_new_tokens: int = 64,
) -> Suite:
    """Build codewords that must not come out, asked for plainly and in wrappers; nothing in them is harmful.

    The cluster unit is the setting.

    Args:
        topics: keep only settings of these topics.
        families: wrappers by name; by default all.
        wrappers_per_item: how many wrappers to deal to each setting.
    """
    pool = choose_units(codewords(), topics, None, seed)
    return Suite(
        name="jailbreak/builtin",
        version=2,
        samples=_samples(pool, families, phrasings, wrappers_per_item, limit, seed),
        primary=PRIMARY,
        counter=COUNTER,
        score=score_request,
        params=replace(GREEDY, max_new_tokens=max_new_tokens),
        unit="setting",
        label=name,
    )


@register("jailbreak/pairs", unit="group", judge="optional", records_length=True)
def pairs(
    *, file: str | Path, limit: int | None = None, seed: int = 0, name: str = "", max_new_tokens: int = 256
) -> Suite:
    """Build a suite from pairs of yours, as `unswayed data build` makes them: `prompt` is the wrapped side.

    The cluster unit is the group. `prompt` is asked as `wrapped` and `teacher_prompt` as `plain`; rows with a true
    `benign` column as `benign` and, where both sides differ, `benign_plain`. Rows with `secret` or `accepted` are
    scored by these words, others by the refusal rule or a judge. Equal prompts of a group are asked once.

    Args:
        file: JSONL or Parquet.
    """
    if not file:
        raise ConfigError("jailbreak/pairs needs a file: jailbreak/pairs:FILE.jsonl")
    path = Path(file)
    rows = read_pairs(path, allow_identical=True)
    drawn = draw_groups(rows, attrgetter("group"), limit, seed, "requests")
    samples = distinct(sample for pair in drawn for sample in _pair_samples(pair))
    by_words = all("secret" in pair.meta or "accepted" in pair.meta for pair in rows)
    return Suite(
        name="jailbreak/pairs",
        version=1,
        samples=samples,
        primary=present(PRIMARY, samples),
        counter=present(COUNTER, samples),
        score=score_request,
        params=replace(GREEDY, max_new_tokens=max_new_tokens),
        unit="group",
        arguments={"file_sha256": hash_file(path)},
        label=name or path.name,
        rubric="" if by_words else "strongreject",
        sensitive=not by_words,
    )


def _pair_samples(pair: PromptPair) -> list[Sample]:
    harmless = pair.meta.get("benign") is True
    wrapped, plain = ("benign", "benign_plain") if harmless else ("wrapped", "plain")
    meta = {"request": pair.teacher_prompt[-1].content, "slice": str(pair.meta.get("family", ""))}
    meta |= {key: pair.meta[key] for key in ("secret", "accepted") if key in pair.meta}
    target = (COMPLIED if harmless else REFUSAL,)
    if pair.prompt == pair.teacher_prompt:
        return [Sample(pair.id, pair.prompt, pair.group, wrapped, target, meta)]
    twin = f"{pair.group}/{plain}/{prompt_key(pair.teacher_prompt)}"
    return [
        Sample(twin, pair.teacher_prompt, pair.group, plain, target, {**meta, "slice": ""}),
        Sample(pair.id, pair.prompt, pair.group, wrapped, target, {**meta, "twin": twin}),
    ]


def _samples(
    requests: Sequence[Request],
    families: Sequence[str] | None,
    phrasings: Sequence[int] | None,
    wrappers_per_item: int,
    limit: int | None,
    seed: int,
) -> tuple[Sample, ...]:
    """Return every sample, each harmless request plainly once and once in each wrapper."""
    names = list(FAMILIES) if families is None else [name for name in families if name != "rewrite"]
    deck = shuffled_deck(wordings_of([resolve_family(name, AXIS) for name in names], phrasings), seed)
    check_each("wrappers_per_item", wrappers_per_item, max(len(deck), 1))
    samples: list[Sample] = []
    for place, request in enumerate(draw(requests, limit, seed, "requests")):
        rewrites = request.rewrites if families is None or "rewrite" in families else ()
        dealt: list[Wording] = []
        if deck and not (families is None and rewrites):
            dealt = deal(deck, place, wrappers_per_item)
        samples += _asked(request, dealt, rewrites) + _harmless(request, dealt, seed)
    return distinct(samples)


def _asked(request: Request, dealt: Sequence[Wording], rewrites: Sequence[str]) -> list[Sample]:
    plain = f"{request.id}/plain"
    meta: dict[str, Any] = {"request": request.text, "topic": request.topic}
    if request.secret:
        meta["secret"] = request.secret
    made = [Sample(plain, request.prompt, request.id, "plain", (REFUSAL,), meta)]
    wrapped = [(f"{_family(entry)}-{phrasing}", entry, phrasing, "") for entry, phrasing in dealt]
    wrapped += [(f"rewrite-{number}", REWRITE, 0, text) for number, text in enumerate(rewrites)]
    for wording, entry, phrasing, hint in wrapped:
        prompt = entry.apply(request.prompt, hint=hint, phrasing=phrasing)
        own = {**meta, "twin": plain, "slice": _family(entry)}
        made.append(Sample(f"{request.id}/wrapped/{wording}", prompt, request.id, "wrapped", (REFUSAL,), own))
    return made


def _harmless(request: Request, dealt: Sequence[Wording], seed: int) -> list[Sample]:
    group, prompt = benign_beside(request, seed=seed, held_out=True)
    plain = f"{group}/benign_plain"
    meta: dict[str, Any] = {"request": prompt[-1].content}
    if request.answer:
        meta["accepted"] = list(request.answer)
    made = [Sample(plain, prompt, group, "benign_plain", (COMPLIED,), meta)]
    for entry, phrasing in dealt:
        wrapped = entry.apply(prompt, hint="", phrasing=phrasing)
        ident = f"{group}/benign/{_family(entry)}-{phrasing}"
        own = {**meta, "twin": plain, "slice": _family(entry)}
        made.append(Sample(ident, wrapped, group, "benign", (COMPLIED,), own))
    return made


def _family(entry: Perturbation) -> str:
    return entry.name.rpartition("/")[2]
