"""Self-refinement: a greedy draft, then one draw of the model's own improvement of it. Nothing is compared.

The draft stands where the user's last message stood, together with the question and the request, so system messages and
earlier turns keep their places. A blank draft gives nothing to refine, and the pair is dropped.
"""

from __future__ import annotations

from collections.abc import Sequence

from unswayed.config.labels import SelfRefinementConfig
from unswayed.core.quoting import quoted
from unswayed.core.types import Message, PromptPair
from unswayed.labels.base import (
    GREEDY,
    Candidate,
    Context,
    Decoder,
    Labelled,
    draw,
    labeller,
    mark_of,
    messages_of,
    only,
)


@labeller("self_refinement")
def label(pairs: Sequence[PromptPair], config: SelfRefinementConfig, context: Context) -> list[Labelled]:
    """Draft and refine each pair's answer."""
    drafts = [
        pool[0] for pool in draw(context, [(pair.id, messages_of(pair, config)) for pair in pairs], GREEDY, "draft")
    ]
    places = [place for place, draft in enumerate(drafts) if _usable(draft, context)]
    prompts = [(pairs[place].id, _request(pairs[place], drafts[place].text, config, context)) for place in places]
    decoder = Decoder(config.temperature, config.top_p)
    refined = dict(zip(places, draw(context, prompts, decoder, "refined"), strict=True))
    return [
        only(pair.id, next(iter(refined[place]), None), config, [drafts[place]])
        if place in refined
        else Labelled(pair.id, (drafts[place],), None, dropped="the draft is blank or holds special tokens")
        for place, pair in enumerate(pairs)
    ]


def _usable(draft: Candidate, context: Context) -> bool:
    """Whether a draft can be put into a prompt without ending or forging a turn."""
    return bool(draft.text.strip()) and not any(name in draft.text for name in context.policy.chat.special_tokens)


def _request(pair: PromptPair, draft: str, config: SelfRefinementConfig, context: Context) -> tuple[Message, ...]:
    *before, last = messages_of(pair, config)
    mark = mark_of(context, pair.id)
    text = f"{quoted('question', last.content, mark)}\n\n{quoted('draft', draft, mark)}\n\n{config.request}"
    return (*before, Message(last.role, text))
