"""The request itself, asked again with other draws: what every other attacker has to beat."""

from __future__ import annotations

from unswayed.attacks.attackers.base import Ask, Fixed, Proposal, attacker


@attacker("direct")
class Direct(Fixed):
    """Asks plainly, as often as the budget lets it. With greedy decoding one query says everything."""

    name = "direct"

    def __init__(self, *, seed: int = 0) -> None:
        pass

    def prompts(self, ask: Ask) -> list[Proposal]:
        """Return the plain request, as often as there is room."""
        return [Proposal(ask.request.prompt, note="plain")] * ask.room if ask.round == 0 else []
