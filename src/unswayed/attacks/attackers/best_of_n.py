"""Best-of-N jailbreaking (Hughes et al. 2024, arXiv 2412.03556): the request with random noise in its spelling.

Each attempt is an independent draw: words scrambled inside, random capitals, and characters moved by one code point,
with the probabilities of the paper's text augmentation (0.6, 0.6, 0.06). Attempts being exchangeable, the rate of
success at any smaller number is known without bias.
"""

from __future__ import annotations

import numpy as np

from unswayed.attacks.attackers.base import Ask, Fixed, Proposal, attacker
from unswayed.core.seeding import rng
from unswayed.core.types import Message

SCRAMBLE, CAPITAL, NOISE = 0.6, 0.6, 0.06


@attacker("best_of_n")
class BestOfN(Fixed):
    """Spells the request anew for each query."""

    name = "best_of_n"

    def __init__(self, *, seed: int = 0) -> None:
        self.seed = seed

    def prompts(self, ask: Ask) -> list[Proposal]:
        """Return as many spellings of the request as there is room for."""
        if ask.round > 0:
            return []
        *before, last = ask.request.prompt
        texts = [
            augmented(last.content, rng(self.seed, f"attack/best_of_n/{ask.request.id}", place))
            for place in range(ask.room)
        ]
        return [Proposal((*before, Message(last.role, text)), note="augmented") for text in texts]


def augmented(text: str, draws: np.random.Generator) -> str:
    """Return a text with its words scrambled, in random capitals, and with characters replaced by neighbours."""
    words = [_scrambled(word, draws) if draws.random() < SCRAMBLE else word for word in text.split(" ")]
    return "".join(_noisy(char, draws) for char in " ".join(words))


def _scrambled(word: str, draws: np.random.Generator) -> str:
    """Return a word of four letters or more with those between first and last in random order."""
    if len(word) < 4:
        return word
    middle = [word[1 + place] for place in draws.permutation(len(word) - 2)]
    return word[0] + "".join(middle) + word[-1]


def _noisy(char: str, draws: np.random.Generator) -> str:
    """Return a character, perhaps in capitals, perhaps its neighbour; only printable ASCII is changed."""
    if draws.random() < CAPITAL and char.isalpha():
        char = char.upper() if draws.random() < 0.5 else char.lower()
    if draws.random() < NOISE and 33 <= ord(char) <= 125:
        return chr(ord(char) + (1 if draws.random() < 0.5 or ord(char) == 33 else -1))
    return char
