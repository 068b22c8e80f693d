"""Pairs for jailbreaks: the student sees a request in a wrapper, the teacher sees it asked plainly.

As a spec of kind `jailbreak`:

    kind = "jailbreak"
    requests = ["codewords"]                  # the packaged set, public sets by name, or files relative to the spec
    families = ["role_play", "fiction"]       # leave out for every family, and for rewrites where requests have some
    per_item = 4
    benign = "anchor"

A model trained on these pairs alone can learn to decline whatever is wrapped. So each request brings its benign twin:
the same wrapper around a harmless request. As an anchor both sides of the twin are the wrapped request, and training
holds in place what the model said to it before; as `plain` its teacher sees it without the wrapper.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field

from unswayed.core.errors import ConfigError, DataError
from unswayed.core.types import Message, PromptPair
from unswayed.data.build.parts import Wording, in_turns, split_parts, wordings_of
from unswayed.data.build.spec import Built, Spec
from unswayed.perturb.jailbreak import AXIS, FAMILIES, REWRITE
from unswayed.questions.requests import BUILT_IN, Request, benign_beside, is_source, load_requests, merge

Benign = Literal["anchor", "plain", "none"]


def jailbreak_pairs(
    requests: Iterable[Request],
    wordings: Sequence[Wording],
    *,
    seed: int = 0,
    per_item: int | None = None,
    benign: Benign = "anchor",
    held_out: bool = False,
) -> list[PromptPair]:
    """Return pairs of a wrapped request and the plain one, each followed by its benign twin.

    Args:
        requests: what is asked; each is one `group`.
        wordings: wrappers; `REWRITE` stands for every rewrite that a request came with.
        seed: decides which wrappers are drawn where `per_item` limits them, and which harmless request is the twin of
            one that brings none.
        per_item: how many wrappers to draw for a request, families in turn; None takes every one.
        benign: `anchor` gives the twin two equal prompts, `plain` gives its teacher the request without a wrapper,
            `none` leaves twins out. A rewrite has no twin: its wrapper belongs to that request alone. A twin that is
            there already (few harmless requests stand beside many others) is not added again.
        held_out: take harmless requests that no training pair has.

    Returns:
        Pairs in the order of the requests. `meta` holds topic, source, family, phrasing and benign; where it can be
        read off a reply whether it told what it should not, or what it should, also secret or accepted.

    Raises:
        ConfigError: an unknown `benign`, a `per_item` below 1, or a perturbation that is no wrapper.
    """
    if benign not in ("anchor", "plain", "none"):
        raise ConfigError(f"benign is {benign!r}; there are anchor, plain and none")
    if other := next((entry for entry, _ in wordings if entry.axis != AXIS), None):
        raise ConfigError(f"{other.ref} is of the axis {other.axis}; requests are put into wrappers of the axis {AXIS}")
    pairs: list[PromptPair] = []
    twins: set[tuple[Message, ...]] = set()
    for request in requests:
        every = [
            (entry, phrasing, number)
            for entry, phrasing in wordings
            for number in range(len(request.rewrites) if entry == REWRITE else 1)
        ]
        for entry, phrasing, number in in_turns(request.id, every, seed, per_item):
            hint = request.rewrites[number] if entry == REWRITE else ""
            name = f"{entry.name.rpartition('/')[2]}-{number if entry == REWRITE else phrasing}"
            prompt = entry.apply(request.prompt, hint=hint, phrasing=phrasing)
            pairs.append(_pair(f"{request.id}/{name}", request, (entry, phrasing), prompt, request.prompt))
            if benign == "none" or entry == REWRITE:
                continue
            _, plain = benign_beside(request, seed=seed, held_out=held_out)
            wrapped = entry.apply(plain, hint="", phrasing=phrasing)
            if wrapped not in twins:
                twins.add(wrapped)
                teacher = wrapped if benign == "anchor" else plain
                pairs.append(
                    _pair(f"{request.id}/benign/{name}", request, (entry, phrasing), wrapped, teacher, harmless=True)
                )
    return pairs


def _pair(
    ident: str,
    request: Request,
    wording: Wording,
    prompt: tuple[Message, ...],
    teacher: tuple[Message, ...],
    *,
    harmless: bool = False,
) -> PromptPair:
    entry, phrasing = wording
    meta: dict[str, Any] = {
        "topic": request.topic,
        "source": request.source,
        "family": entry.name.rpartition("/")[2],
        "phrasing": phrasing,
        "benign": harmless,
    }
    if request.secret and not harmless:
        meta["secret"] = request.secret
    if request.answer and harmless:
        meta["accepted"] = list(request.answer)
    return PromptPair(ident, prompt, teacher, request.id, AXIS, entry.ref, meta=meta)


class JailbreakSpec(Spec):
    """Pairs from requests and wrappers.

    Attributes:
        requests: `codewords`, public sets by name, or files (see `unswayed.questions.requests`).
        families: wrappers by name, `rewrite` among them; None takes every one. A rewrite has one phrasing.
        per_item: wrappers drawn for a request in each part; None takes every one.
        benign: see `jailbreak_pairs`.
    """

    axis: ClassVar[str] = AXIS
    requests: list[str] = Field([BUILT_IN], min_length=1)
    per_item: int | None = Field(4, ge=1)
    benign: Benign = "anchor"

    def build(self, folder: Path = Path()) -> Built:
        """See `Spec.build`."""
        found = [load_requests(name, folder, read=self.read_source) for name in dict.fromkeys(self.requests)]
        chosen = self.choose(merge(request for requests, _ in found for request in requests), folder)
        hold_out = self.hold_out()

        def make(some: list[Request], cell: list[Wording]) -> list[PromptPair]:
            new = any(hold_out.item(request.id, request.topic, request.source) for request in some)
            return jailbreak_pairs(some, cell, seed=self.seed, per_item=self.per_item, benign=self.benign, held_out=new)

        sources = {request.id: request.source for request in chosen}
        parts = split_parts(chosen, self._wordings(chosen), hold_out, make, sources=sources)
        files = (name for name in self.requests if name != BUILT_IN and not is_source(name))
        return Built(parts, self.hashes(folder, files), [identity for _, identity in found])

    def _wordings(self, requests: Sequence[Request]) -> list[Wording]:
        rewritten = any(request.rewrites for request in requests)
        entries = self.entries([*FAMILIES, *(["rewrite"] if rewritten else [])])
        if REWRITE in entries and not rewritten:
            raise DataError(f"families: {REWRITE.name} is asked for, but no request came with a rewrite")
        wordings = wordings_of([entry for entry in entries if entry != REWRITE], self.phrasings)
        return [*wordings, (REWRITE, 0)] if REWRITE in entries else wordings
