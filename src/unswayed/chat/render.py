"""Messages to token ids and back: the only place that renders or tokenises.

One tokenizer, one template, one set of fixed template values. Both prompts of a pair go through the same object, so
they differ only where their messages differ. What could make them differ otherwise, or differ from what the model sees
where it is deployed, is found by `unswayed.chat.check` before any weight is loaded.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from unswayed.chat.model_files import context_length, eos_ids, find_int, read_json
from unswayed.chat.spans import BETWEEN, KNOWN, Tags, fit_thinking, thinking_mask
from unswayed.chat.template import check_values, plain_values, stop_clock
from unswayed.core.deadline import TooLong, deadline
from unswayed.core.errors import ConfigError, DataError
from unswayed.core.hashing import hash_json, hash_tokenizer
from unswayed.core.printable import excerpt, first_line
from unswayed.core.types import Message, Role

PROBE = "qwertzuiop"  # in place of a message's content where the template itself is tried: no template changes letters

MARK = re.compile(r"\W.*\W", re.DOTALL)  # `<think>`, not a word that was added to the vocabulary
# Chats with which the template itself is tried, and whether an answer is asked for.
TRIED: tuple[tuple[tuple[Role, ...], bool], ...] = (
    (("user",), True),
    (("user",), False),
    (("system", "user"), True),
    (("user", "assistant"), False),
)


@dataclass(frozen=True, eq=False)
class Chat:
    """One tokenizer with one template. Build it with `Chat.load`.

    Attributes:
        path: the model folder it came from.
        tokenizer: the transformers tokenizer; nothing outside this module calls it.
        template: the Jinja text in use; with its clock, if it has one, fixed.
        template_kwargs: the fixed values that the template reads.
        allow_special_tokens: whether `check` accepts text with special tokens in it.
        stop_ids: every id that ends an assistant turn: the EOS of the tokenizer, of `config.json` and of
            `generation_config.json`, and the token that the template writes after an assistant's message.
        turn_end_id: what a supervised completion ends with: the token that the template writes after an assistant's
            message, else the tokenizer's EOS; None where there is neither.
        pad_id: fills rectangles and is never compared with; masks come from lengths.
        vocab_size: the tokenizer's largest id plus one. The model's embedding may have more rows; ids from here on
            mean nothing and can never be sampled.
        embedding_rows: rows of the model's embedding by `config.json`, or None where it has none.
        context_length: most tokens of prompt and completion together, or None where the files do not say.
        identity: SHA-256 over tokenizer files, template text, template values and stop ids.
        bos_id, unk_id: the ids of the beginning of a text and of unknown text, where the tokenizer has them.
        added_tokens: id to string for every token that the tokenizer recognises anywhere in a text.
        special_tokens: those of them that no message may contain: the special ones, and what the template writes
            around a user's message.
        frame_tokens: others that the template writes; only an assistant may write one (its thinking, for example, is
            enclosed by two of them).
        oddities: what is unusual about this tokenizer or template but may be meant, one sentence each.
    """

    path: Path
    tokenizer: Any = field(repr=False)
    template: str = field(repr=False)
    template_kwargs: Mapping[str, Any]
    allow_special_tokens: bool
    stop_ids: frozenset[int]
    turn_end_id: int | None
    pad_id: int
    vocab_size: int
    embedding_rows: int | None
    context_length: int | None
    identity: str
    bos_id: int | None
    unk_id: int | None
    added_tokens: Mapping[int, str] = field(repr=False)
    special_tokens: frozenset[str] = field(repr=False)
    frame_tokens: frozenset[str] = field(repr=False)
    oddities: tuple[str, ...]

    @classmethod
    def load(
        cls,
        path: str | Path,
        *,
        template_kwargs: Mapping[str, Any] = {},
        trust_remote_code: bool = False,
        allow_special_tokens: bool = False,
        template: str | None = None,
    ) -> Chat:
        """Load the tokenizer of a model folder; nothing is fetched from anywhere.

        Args:
            path: a folder with tokenizer files and, where there are, `config.json` and `generation_config.json`.
            template_kwargs: fixed values for the template, e.g. `enable_thinking` or `date_string`.
            trust_remote_code: run Python code from the folder. Only ever set from the command line.
            allow_special_tokens: let `check` accept text that contains the tokenizer's special tokens.
            template: Jinja text, or the name of one of the tokenizer's templates, in place of its default one.

        Raises:
            ConfigError: no tokenizer, no chat template, a template value that the template does not read, or a
                template that writes today's date where none is fixed.
        """
        folder = Path(path)
        values = plain_values(template_kwargs)
        tokenizer = _load_tokenizer(folder, trust_remote_code)
        try:
            text = str(tokenizer.get_chat_template(template))
        except ValueError as error:
            missing = "no chat template" if tokenizer.chat_template is None else first_line(error)
            raise ConfigError(
                f"{folder}: {missing}, so messages cannot become a prompt; use the instruct version of the model, or "
                "put the template it was trained with into the folder as chat_template.jinja"
            ) from error
        check_values(text, values)
        text = stop_clock(text, values.get("date_string"))
        added = {id_: token for id_, token in tokenizer.added_tokens_decoder.items() if token.content.strip()}
        frame = _try_template(folder, tokenizer, text, values)
        special = {
            token.content
            for id_, token in added.items()
            if token.special or (id_ in frame.around_user and MARK.fullmatch(token.content))
        }
        special.update(name for name in tokenizer.all_special_tokens if name.strip())
        config, generation = (read_json(folder / name) for name in ("config.json", "generation_config.json"))
        eos, pad = tokenizer.eos_token_id, tokenizer.pad_token_id
        stops = {*eos_ids(config), *eos_ids(generation), *(id_ for id_ in (eos, frame.turn_end) if id_ is not None)}
        return cls(
            path=folder,
            tokenizer=tokenizer,
            template=text,
            template_kwargs=values,
            allow_special_tokens=allow_special_tokens,
            stop_ids=frozenset(stops),
            turn_end_id=eos if frame.turn_end is None else frame.turn_end,
            pad_id=min(stops, default=0) if pad is None else pad,
            vocab_size=1 + max(tokenizer.get_vocab().values()),
            embedding_rows=find_int(config, ("vocab_size",)),
            context_length=context_length(config, tokenizer),
            identity=hash_json(
                {"files": hash_tokenizer(folder), "template": text, "values": values, "stops": sorted(stops)}
            ),
            bos_id=tokenizer.bos_token_id,
            unk_id=tokenizer.unk_token_id,
            added_tokens={id_: token.content for id_, token in added.items()},
            special_tokens=frozenset(special),
            frame_tokens=frozenset(
                token.content
                for id_, token in added.items()
                if MARK.fullmatch(token.content) and (id_ in frame.ids or token.content in text)
            ).difference(special),
            oddities=tuple(_oddities(tokenizer, frame)),
        )

    def render(self, messages: Sequence[Message]) -> tuple[int, ...]:
        """Return the prompt's ids, for the model to continue.

        It ends with the template's own generation prompt. If the last message is the assistant's, it is a prefill:
        the prompt ends inside that message and the completion goes on with it.

        Raises:
            DataError: the template refuses these messages.
        """
        return tuple(_apply(self.tokenizer, self.template, self.template_kwargs, messages, tokenize=True))

    def render_text(self, messages: Sequence[Message], *, generation_prompt: bool = True) -> str:
        """Return the prompt as text with its special tokens, for people to read; same meaning as `render`.

        Raises:
            DataError: the template refuses these messages.
        """
        return str(
            _apply(self.tokenizer, self.template, self.template_kwargs, messages, generation_prompt=generation_prompt)
        )

    def render_both(self, messages: Sequence[Message]) -> tuple[tuple[int, ...], str]:
        """Return what `render` and `render_text` return, at the cost of one of them.

        Raises:
            DataError: the template refuses these messages.
        """
        text = self.render_text(messages)
        # transformers' own `apply_chat_template` encodes the text that it rendered; a tokenizer with another does not.
        return (self._encode(text) if self._encodes_text else self.render(messages)), text

    @cached_property
    def _encodes_text(self) -> bool:
        from transformers import PreTrainedTokenizerBase

        return type(self.tokenizer).apply_chat_template is PreTrainedTokenizerBase.apply_chat_template

    def encode_completion(self, messages: Sequence[Message], text: str, *, ended: bool = True) -> tuple[int, ...]:
        """Return the ids of a given answer to a prompt; if `ended`, as the template ends an assistant's turn.

        It is encoded where the template writes it, after the prompt, so it begins as the model itself would begin it;
        where the template writes a given answer after another opening than it writes for generation, the text follows
        the prompt directly. Where the prompt opens thinking, see `fit_thinking`.

        Raises:
            DataError: the text contains a special token or merges with the prompt, or no token ends a turn.
        """
        if self.turn_end_id is None:
            raise DataError(f"{self.path}: neither tokenizer nor template has a token that ends a turn")
        thinks = {self.added_tokens[id_] for id_ in self._marks} if len(self._marks) == 2 else set()
        forged = next((name for name in sorted(self.special_tokens - thinks) if name in text), None)
        if forged is not None and not self.allow_special_tokens:
            raise DataError(f"the completion {excerpt(text)} contains the special token {forged}; remove it")
        prompt, prompt_text = self.render(messages), self.render_text(messages)
        if self.thinking_marks:
            tail = prompt_text.removeprefix(self.render_text(messages, generation_prompt=False))
            closed = self.thinking_marks[1] in tail and not self.opens_thinking(prompt)
            text = fit_thinking(text, self.thinking_marks, inside=self.opens_thinking(prompt), closed=closed)
        *asked, last = messages
        given = (
            [Message("assistant", last.content + text)]
            if last.role == "assistant"
            else [last, Message("assistant", text)]
        )
        whole = self.render_text([*asked, *given], generation_prompt=False)
        answer = whole[len(prompt_text) :] if whole.startswith(prompt_text) and text.strip() in whole else text
        ids = self._encode(prompt_text + answer)
        if ids[: len(prompt)] != prompt:
            ids = (*prompt, *self._encode(answer))
            if text.strip() not in self.decode(ids[len(prompt) :]):
                raise DataError(f"the completion {excerpt(text)} merges with the prompt; remove white space before it")
        ids = ids[len(prompt) :]
        if self.turn_end_id in ids:
            ids = ids[: len(ids) - 1 - ids[::-1].index(self.turn_end_id)]
        return (*ids, self.turn_end_id) if ended else ids

    def decode(self, ids: Sequence[int]) -> str:
        """Return a completion as text, without its stop token and special tokens other than those around thinking."""
        kept = list(ids[:-1]) if ids and ids[-1] in self.stop_ids else list(ids)
        if self._marks.isdisjoint(kept):
            return self._decode(kept, skip_special_tokens=True)
        special = {id_ for id_, token in self.tokenizer.added_tokens_decoder.items() if token.special}
        return self._decode([id_ for id_ in kept if id_ in self._marks or id_ not in special])

    def tokens(self, ids: Sequence[int]) -> list[str]:
        """Return the text of each id as inside a sentence; part of a character shows as its bytes."""
        anchor = self._encode("a")[-1:]  # without one before it, some tokenizers drop a token's leading space
        start = len(self._decode(anchor))
        return [self._piece(id_, anchor, start) for id_ in ids]

    @cached_property
    def thinking(self) -> Tags | None:
        """Return the ids that open and close the model's thinking, or None where there are no such tokens."""
        ids = {token: (id_,) for id_, token in self.added_tokens.items()}
        known = ((ids.get(a) or self._encode(a), ids.get(b) or self._encode(b)) for a, b in KNOWN)
        return next((tags for tags in known if {tag[0] for tag in tags} <= self.added_tokens.keys()), None)

    @cached_property
    def thinking_marks(self) -> tuple[str, str] | None:
        """Return the two tokens that enclose the model's thinking as text; None where it has none, or uses messages."""
        tags = self.thinking
        if tags is None or max(map(len, tags)) > 1:
            return None
        return self.added_tokens[tags[0][0]], self.added_tokens[tags[1][0]]

    def opens_thinking(self, prompt_ids: Sequence[int]) -> bool:
        """Return whether a prompt ends inside thinking, so that what follows is thinking until it is closed."""
        return self.thinking is not None and thinking_mask(prompt_ids, (self.pad_id,), self.thinking)[0]

    @cached_property
    def _marks(self) -> frozenset[int]:
        """Return the special tokens that delimit thinking in a completion."""
        opens, closes = self.thinking or ((), ())
        ends = [id_ for id_, token in self.added_tokens.items() if token == BETWEEN and len(opens) > 1]
        added = self.tokenizer.added_tokens_decoder
        return frozenset(id_ for id_ in (*opens, *closes, *ends) if id_ in added and added[id_].special)

    @cached_property
    def _bytes(self) -> Mapping[str, int]:
        """Return the byte behind each character of a byte-level tokenizer's raw pieces; empty for other tokenizers."""
        from transformers.convert_slow_tokenizer import bytes_to_unicode

        names = bytes_to_unicode()
        is_byte_level = names[ord(" ")] in self.tokenizer.get_vocab()
        return {name: byte for byte, name in names.items()} if is_byte_level else {}

    def _piece(self, id_: int, anchor: Sequence[int], start: int) -> str:
        if id_ in self.added_tokens:
            return self.added_tokens[id_]
        raw = self.tokenizer.convert_ids_to_tokens(id_) if 0 <= id_ < self.vocab_size else None
        if raw is None:
            return f"[no token {id_}]"
        text = self._decode([*anchor, id_])[start:]
        if text and "\ufffd" not in text:
            return text
        return "".join(f"<0x{self._bytes[char]:02X}>" if char in self._bytes else char for char in raw)

    def _encode(self, text: str) -> tuple[int, ...]:
        """Encode text to which nothing may be added; special tokens in it become their ids."""
        return tuple(self.tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])

    def _decode(self, ids: Sequence[int], *, skip_special_tokens: bool = False) -> str:
        return str(
            self.tokenizer.decode(
                list(ids), skip_special_tokens=skip_special_tokens, clean_up_tokenization_spaces=False
            )
        )


def _load_tokenizer(folder: Path, trust_remote_code: bool) -> Any:
    if not folder.is_dir():
        raise ConfigError(f"{folder}: no such model folder")
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(folder, trust_remote_code=trust_remote_code, local_files_only=True)
    except Exception as error:  # of no narrower kind: a damaged tokenizer.json raises a bare Exception
        raise ConfigError(f"{folder}: cannot load a tokenizer from this folder ({first_line(error)})") from error


def _apply(
    tokenizer: Any,
    template: str,
    values: Mapping[str, Any],
    messages: Sequence[Message],
    *,
    tokenize: bool = False,
    generation_prompt: bool = True,
) -> Any:
    """Call `apply_chat_template`: text, or a list of ids. A last assistant message is left open."""
    from jinja2 import TemplateError

    prefill = bool(messages) and messages[-1].role == "assistant" and generation_prompt
    try:
        with deadline(LONGEST):
            return tokenizer.apply_chat_template(
                [{"role": message.role, "content": message.content} for message in messages],
                chat_template=template,
                add_generation_prompt=generation_prompt and not prefill,
                continue_final_message=prefill,
                tokenize=tokenize,
                return_dict=False,
                tokenizer_kwargs={"verbose": False},
                **values,
            )
    except (TemplateError, ValueError, TypeError, LookupError, AttributeError, ArithmeticError, *ENDLESS) as error:
        roles = ", ".join(message.role for message in messages) or "no message"
        reason = first_line(error)
        raise DataError(f"the chat template refuses the roles {roles}: {reason}") from error


ENDLESS = (RecursionError, MemoryError, TooLong)
LONGEST = 10  # seconds that a template may take for one prompt


class Frame(NamedTuple):
    """What a template writes around messages: all ids, those around a user's message, the one after an assistant's."""

    ids: frozenset[int]
    around_user: frozenset[int]
    turn_end: int | None


def _try_template(folder: Path, tokenizer: Any, template: str, values: Mapping[str, Any]) -> Frame:
    """Render short chats and find what the template writes around their messages.

    Raises:
        ConfigError: the template asks for today's date, or refuses a single user message.
    """
    written: dict[tuple[tuple[str, ...], bool], set[int]] = {}
    turn_end = None
    for roles, generation_prompt in TRIED:
        messages = [Message(role, PROBE * (number + 1)) for number, role in enumerate(roles)]
        try:
            text = str(_apply(tokenizer, template, values, messages, generation_prompt=generation_prompt))
        except DataError as error:
            if "template_kwargs.date_string" in str(error):  # one of the messages of `stop_clock`
                raise ConfigError(f"{folder}: {str(error).partition(': ')[2]}") from error
            if len(roles) == 1:
                raise ConfigError(f"{folder}: the chat template cannot be used: {error}") from error
            continue  # it refuses system messages, for example; `check` reports where the data has one
        written[roles, generation_prompt] = {*tokenizer(text, add_special_tokens=False)["input_ids"]}
        if "assistant" in roles and PROBE in text:
            turn_end = _first_mark(tokenizer, text[text.rfind(PROBE) + len(PROBE) :])
    return Frame(frozenset().union(*written.values()), frozenset(written[("user",), False]), turn_end)


def _first_mark(tokenizer: Any, text: str) -> int | None:
    """Return the first special token of a text, else its first added token, else None."""
    added = {id_: token for id_, token in tokenizer.added_tokens_decoder.items() if token.content.strip()}
    marks = [id_ for id_ in tokenizer(text, add_special_tokens=False)["input_ids"] if id_ in added]
    return next((id_ for id_ in marks if added[id_].special), marks[0] if marks else None)


def _oddities(tokenizer: Any, frame: Frame) -> Iterator[str]:
    """Yield what could be a mistake in the model folder but is intended in some models."""
    if frame.turn_end is None:
        yield "the template writes no token after an assistant's message; only the tokenizer's EOS can end an answer"
    bos = tokenizer.bos_token_id
    if bos is not None and bos in tokenizer(PROBE)["input_ids"] and bos not in frame.ids:
        yield f"the tokenizer begins a text with {tokenizer.bos_token!r}, but the template writes none"
