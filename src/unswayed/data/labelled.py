"""A pair with a label that a model wrote: the text is its `target`, the sampled ids lie in `meta` beside it.

Training uses the ids as they were drawn; text decoded and encoded again can become other ids. It falls back to the text
only where the ids would mean something else, and says so.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from unswayed.core.errors import DataError
from unswayed.core.types import Finish, PromptPair

if TYPE_CHECKING:
    from unswayed.chat.render import Chat

KEY = "labelling"


def attach(
    pair: PromptPair, text: str, ids: tuple[int, ...], finish: Finish, chat: Chat, facts: Mapping[str, Any]
) -> PromptPair:
    """Return the pair with its label. The target it had before stays in `meta`, see `given_target`."""
    entry = {**facts, "ids": list(ids), "finish": finish, "tokenizer": chat.identity}
    if (given := given_target(pair)) is not None:
        entry["given_target"] = given
    return replace(pair, target=text, meta={**pair.meta, KEY: entry})


def given_target(pair: PromptPair) -> str | None:
    """Return the right answer that the pair came with, also after it was labelled."""
    entry = pair.meta.get(KEY)
    if isinstance(entry, dict) and "ids" in entry:
        given = entry.get("given_target")
        return given if isinstance(given, str) else None
    return pair.target


def target_ids(chat: Chat, pair: PromptPair) -> tuple[int, ...] | None:
    """Return the ids of a pair's target as training uses them; None where there is no target.

    Raises:
        DataError: a target that cannot be encoded, or ids that are none.
    """
    ids = drawn_ids(chat, pair)
    if ids is not None and why_encoded(chat, pair) is None:
        return ids
    if not pair.target:
        return None
    try:
        encoded = chat.encode_completion(pair.prompt, pair.target)
    except DataError as error:
        raise DataError(f"pair {pair.id}: its target cannot be encoded: {error}") from error
    # A label that was cut at the length limit does not end here, so no stop token is taught.
    return encoded[:-1] if ids is not None and pair.meta[KEY].get("finish") == "length" else encoded


def drawn_ids(chat: Chat, pair: PromptPair) -> tuple[int, ...] | None:
    """Return the ids of a pair's label as they were drawn; None where no model wrote its target.

    Raises:
        DataError: what stands in their place are no ids of this tokenizer.
    """
    entry = pair.meta.get(KEY)
    if not (isinstance(entry, dict) and "ids" in entry):
        return None
    ids = entry["ids"]
    if not isinstance(ids, list) or not all(type(id_) is int and id_ >= 0 for id_ in ids):
        raise DataError(f"pair {pair.id}: meta.{KEY}.ids is no list of token ids; label the pairs again")
    if entry.get("tokenizer") == chat.identity and any(id_ >= chat.vocab_size for id_ in ids):
        raise DataError(
            f"pair {pair.id}: meta.{KEY}.ids holds an id of {chat.vocab_size} or more; label the pairs again"
        )
    return tuple(ids)


def why_encoded(chat: Chat, pair: PromptPair) -> str | None:
    """Return why a label's ids are not used, so that its text is encoded; None where they are, or there are none."""
    ids = drawn_ids(chat, pair)
    if ids is None:
        return None
    if pair.meta[KEY].get("tokenizer") != chat.identity:
        return "was drawn with another tokenizer or chat template"
    return None if chat.decode(ids) == (pair.target or "") else "was changed after it was drawn"


def notes(chat: Chat, pairs: Sequence[PromptPair]) -> list[str]:
    """Return what a person should know about the labels of these pairs, one sentence each."""
    reasons = Counter(why for pair in pairs if (why := why_encoded(chat, pair)))
    found = [
        f"{count} of {len(pairs)} labels are encoded from their text, because the label {why}"
        for why, count in reasons.items()
    ]
    if chat.thinking_marks and pairs and chat.opens_thinking(chat.render(pairs[0].prompt)):
        found.append(
            f"the chat template opens thinking; targets without thinking of their own follow {chat.thinking_marks[1]}"
        )
    return found
