"""Many answered questions before the request (Anil et al. 2024), more of them from query to query."""

from __future__ import annotations

from unswayed.attacks.attackers.base import Ask, Fixed, Proposal, attacker
from unswayed.perturb.jailbreak.many_shot import many_shot

COUNTS = (1, 2, 4, 8, 16, 32, 64)


@attacker("many_shot")
class ManyShots(Fixed):
    """Asks after 1, 2, 4, ... examples, as turns of the chat and as text in one message."""

    name = "many_shot"

    def __init__(self, *, seed: int = 0) -> None:
        pass

    def prompts(self, ask: Ask) -> list[Proposal]:
        """Return the request after each number of examples."""
        if ask.round > 0:
            return []
        families = [(count, many_shot(count)) for count in COUNTS]
        return [
            Proposal(entry.apply(ask.request.prompt, hint="", phrasing=phrasing), note=f"{shape}-{count}")
            for count, entry in families
            for phrasing, shape in enumerate(("turns", "text"))
        ]
