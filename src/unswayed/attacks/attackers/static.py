"""The wrappers that ship with the package, each wording once, in an order drawn for each behaviour."""

from __future__ import annotations

from unswayed.attacks.attackers.base import Ask, Fixed, Proposal, attacker
from unswayed.core.seeding import rng
from unswayed.perturb.jailbreak import FAMILIES, REWRITE


@attacker("static")
class Static(Fixed):
    """Tries rewrites that came with the request, then every wording of every wrapper, until the budget is spent."""

    name = "static"

    def __init__(self, *, seed: int = 0) -> None:
        self.seed = seed

    def prompts(self, ask: Ask) -> list[Proposal]:
        """Return every rewrite and wrapper of the request."""
        if ask.round > 0:
            return []
        request = ask.request
        found = [
            Proposal(REWRITE.apply(request.prompt, hint=text, phrasing=0), note="rewrite") for text in request.rewrites
        ]
        wordings = [(entry, number) for entry in FAMILIES.values() for number in range(len(entry.phrasings))]
        for place in rng(self.seed, f"attack/static/{request.id}").permutation(len(wordings)):
            entry, number = wordings[place]
            note = f"{entry.name.rpartition('/')[2]}-{number}"
            found.append(Proposal(entry.apply(request.prompt, hint="", phrasing=number), note=note))
        return found
