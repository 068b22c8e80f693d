"""`unswayed show`: what a pair becomes before the model sees it, token by token."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from unswayed.chat.spans import span_weights
from unswayed.cli.options import Json, Trust, print_json
from unswayed.config.methods import CompletionConfig, MethodConfig
from unswayed.core.errors import ConfigError, DataError
from unswayed.core.printable import printable
from unswayed.data.labelled import target_ids

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.text import Text

    from unswayed.chat.render import Chat
    from unswayed.config.recipe import Recipe
    from unswayed.core.types import Message, PromptPair

ANSWERS = ("completion", "response", "answer")  # columns of a pairs file that hold text to show as a completion
NEAR = 12  # prompt tokens shown before the boundary
SPECIAL, TRAINED, GIVEN, DIFFERENT = "bold magenta", "bold green", "dim", "yellow"


@dataclass(frozen=True, slots=True)
class Side:
    """One rendered prompt: its text with special tokens, its ids and the piece of text of each."""

    text: str
    ids: tuple[int, ...]
    tokens: list[str]


@dataclass(frozen=True, slots=True)
class Answer:
    """A completion to look at, as it would be trained.

    Attributes:
        source: where the text is from, e.g. `target`.
        ids, tokens: with the token that ends the turn.
        loss_mask: the weight of each token in the loss.
    """

    source: str
    ids: tuple[int, ...]
    tokens: list[str]
    loss_mask: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class View:
    """A pair as the model sees it. `shared_start` and `shared_end` count tokens that both prompts have in common."""

    id: str
    perturbation: str
    prompt: Side
    teacher_prompt: Side
    shared_start: int
    shared_end: int
    completion: Answer | None


def show(
    recipe: Annotated[
        Path | None, typer.Argument(help="A recipe in TOML; or give --pairs and --model.", metavar="RECIPE.toml")
    ] = None,
    *,
    pair: Annotated[list[str] | None, typer.Option("--pair", help="Id of a pair. Repeatable.", metavar="ID")] = None,
    number: Annotated[int, typer.Option("-n", min=1, help="How many pairs, from the first.", metavar="N")] = 1,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", help="Change a field, e.g. --set chat.template_kwargs.x=1.", metavar="A.B=C"),
    ] = None,
    pairs: Annotated[Path | None, typer.Option("--pairs", help="A pairs file, in place of the recipe's.")] = None,
    model: Annotated[str | None, typer.Option("--model", help="A model, in place of the recipe's.")] = None,
    completion: Annotated[
        str | None, typer.Option("--completion", help="Text to show as the completion.", metavar="TEXT")
    ] = None,
    every: Annotated[
        bool, typer.Option("--all", help="List every prompt token, not only those before the boundary.")
    ] = False,
    trust_remote_code: Trust = False,
    as_json: Json = False,
) -> None:
    """Show both prompts as the model sees them, where the completion begins, and which tokens carry the loss.

    Loads the tokenizer only. Pairs that training would refuse are shown as far as they can be, then refused.

    Example: unswayed show recipes/opct.toml --pair q17 --completion "Yes."
    """
    from unswayed.data.read import read_data
    from unswayed.models import load_chat

    plan = _plan(recipe, pairs, model, set_ or [])
    _, rows = read_data(plan.data, plan.seed, need_teacher=not plan.method.trains_on_targets)
    chosen = _choose(rows, pair or [], number, plan.data.train)
    _, chat = load_chat(
        plan.model.id, revision=plan.model.revision, **plan.chat.model_dump(), trust_remote_code=trust_remote_code
    )
    refused: DataError | None = None
    warnings: Iterable[str] = ()
    from unswayed.chat.check import check_pairs

    try:
        warnings = check_pairs(chat, chosen, plan.sampling.max_new_tokens).warnings
    except DataError as error:
        refused = error
    views = []
    for row in chosen:
        try:
            views.append(view(chat, row, *_answer_text(row, completion), plan.method))
        except DataError as error:
            refused = refused or error
            with suppress(DataError):  # the prompts may be fine
                views.append(view(chat, row))
    if as_json:
        print_json(_facts(chat, plan, views, warnings))
    else:
        from rich.console import Console

        console = Console(highlight=False, soft_wrap=True)
        console.print(_head(chat, plan, warnings))
        for each in views:
            _print_view(console, chat, each, plan, every)
    if refused is not None:
        raise refused


def view(
    chat: Chat, pair: PromptPair, text: str | None = None, source: str = "", method: MethodConfig | None = None
) -> View:
    """Return a pair as token ids and text, with `text` as its completion, weighted as `method` weighs its tokens.

    Raises:
        DataError: the template refuses a prompt, or the completion cannot follow it.
    """
    student, teacher = _side(chat, pair.prompt), _side(chat, pair.teacher_prompt)
    answer = None
    if text is not None:
        drawn = target_ids(chat, pair) if text == pair.target else None
        ids = drawn or chat.encode_completion(pair.prompt, text)
        weighted = method if isinstance(method, CompletionConfig) else None
        thinking, rest = (weighted.thinking_weight, weighted.answer_weight) if weighted else (1.0, 1.0)
        weights = span_weights(student.ids, ids, chat.thinking, thinking=thinking, answer=rest)
        answer = Answer(source, ids, chat.tokens(ids), weights)
    return View(
        id=pair.id,
        perturbation=pair.perturbation,
        prompt=student,
        teacher_prompt=teacher,
        shared_start=_shared(student.ids, teacher.ids),
        shared_end=_shared(student.ids[::-1], teacher.ids[::-1]),
        completion=answer,
    )


def _plan(recipe: Path | None, pairs: Path | None, model: str | None, settings: Sequence[str]) -> Recipe:
    """Return the recipe to show, made of `--pairs` and `--model` where none is given."""
    from unswayed.config.recipe import Recipe

    given = [f"data.train={json.dumps(str(pairs))}"] if pairs is not None else []
    given += [f"model.id={json.dumps(model)}"] if model is not None else []
    if recipe is not None:
        return Recipe.load(recipe, set=[*given, *settings])
    if len(given) < 2:
        raise ConfigError("nothing to show: give a recipe, or --pairs FILE and --model ID")
    # An empty file, so that settings are read and checked by the one who reads recipes.
    return Recipe.load(os.devnull, set=["name=show", "method.name=opct", "train.steps=1", *given, *settings])


def _choose(rows: Sequence[PromptPair], ids: Sequence[str], number: int, where: str) -> list[PromptPair]:
    by_id = {row.id: row for row in rows}
    missing = [id_ for id_ in ids if id_ not in by_id]
    if missing:
        known = ", ".join(row.id for row in rows[:5])
        raise ConfigError(f"--pair {missing[0]}: no such id among the {len(rows)} pairs of {where}, e.g. {known}")
    return [by_id[id_] for id_ in ids] or list(rows[:number])


def _side(chat: Chat, messages: Sequence[Message]) -> Side:
    ids = chat.render(messages)
    return Side(chat.render_text(messages), ids, chat.tokens(ids))


def _answer_text(pair: PromptPair, completion: str | None) -> tuple[str | None, str]:
    if completion is not None:
        return completion, "--completion"
    if pair.target is not None:
        return pair.target, "the pair's target"
    column = next((name for name in ANSWERS if isinstance(pair.meta.get(name), str)), None)
    return (pair.meta[column], f"the pair's {column}") if column else (None, "")


def _shared(left: Sequence[int], right: Sequence[int]) -> int:
    unequal = (number for number, (a, b) in enumerate(zip(left, right, strict=False)) if a != b)
    return next(unequal, min(len(left), len(right)))


def _facts(chat: Chat, plan: Recipe, views: Sequence[View], warnings: Iterable[str]) -> dict[str, Any]:
    return {
        "model": plan.model.id,
        "chat": chat.identity,
        "context_length": chat.context_length,
        "stop_ids": dict(zip(map(str, sorted(chat.stop_ids)), chat.tokens(sorted(chat.stop_ids)), strict=True)),
        "max_new_tokens": plan.sampling.max_new_tokens,
        "warnings": list(warnings),
        "pairs": [asdict(each) for each in views],
    }


# For people


def _line(*parts: tuple[str, str]) -> Text:
    from rich.text import Text

    return Text.assemble(*((printable(text), style) for text, style in parts))


def _head(chat: Chat, plan: Recipe, warnings: Iterable[str]) -> Text:
    stops = sorted(chat.stop_ids)
    names = ", ".join(f"{token} ({id_})" for id_, token in zip(stops, chat.tokens(stops), strict=True))
    context = "of unknown length" if chat.context_length is None else f"{chat.context_length} tokens"
    parts = [
        (plan.model.id, "bold"),
        (f"   context {context}, of which completions take at most {plan.sampling.max_new_tokens}", ""),
        (f"\nends a turn: {names}", ""),
        *((f"\nnote: {warning}", DIFFERENT) for warning in warnings),
    ]
    return _line(*parts)


def _print_view(console: Console, chat: Chat, pair: View, plan: Recipe, every: bool) -> None:
    console.print()
    console.print(_line((f"pair {pair.id}", "bold underline"), (f"   {pair.perturbation}", GIVEN)))
    for name, side in (("student prompt", pair.prompt), ("teacher prompt", pair.teacher_prompt)):
        console.print()
        console.print(_line((name, "bold"), (f"   {len(side.ids)} tokens", GIVEN)))
        console.print(_marked(chat, side.text))
    console.print()
    console.print(
        _line((f"both begin with the same {pair.shared_start} tokens and end with the same {pair.shared_end}", ""))
    )
    console.print(_about(pair.completion, plan))
    console.print(_table(chat, pair, every))


def _about(answer: Answer | None, plan: Recipe) -> Text:
    """Say what the completion is, and what it will be in training."""
    if plan.method.compares:
        return _line((f"no completion: {plan.method.compares} are compared", GIVEN))
    role = plan.method.samples_from
    writer = f"; in training the {role} writes its own" if role else ""
    if answer is None:
        return _line(
            (f"no completion to show{writer or ': the pair has no target'}; --completion TEXT shows one", GIVEN)
        )
    trained = sum(1 for weight in answer.loss_mask if weight)
    parts = [(f"completion from {answer.source}: {len(answer.ids)} tokens, {trained} trained{writer}", "")]
    limit = plan.sampling.max_new_tokens
    if writer and len(answer.ids) > limit:
        parts.append(
            (f"\na sampled one this long is cut off after {limit} tokens, without the end of its turn", DIFFERENT)
        )
    return _line(*parts)


def _marked(chat: Chat, text: str) -> Text:
    """Return a rendered prompt with its special tokens coloured."""
    names = sorted(chat.special_tokens | chat.frame_tokens, key=len, reverse=True)
    pieces = re.split(f"({'|'.join(map(re.escape, names))})", text) if names else [text]
    return _line(*((piece, SPECIAL if number % 2 else "") for number, piece in enumerate(pieces)))


def _table(chat: Chat, pair: View, every: bool) -> RenderableType:
    """Lay both sequences side by side, aligned where the completion begins."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("", "id", "student sees", "", "id", "teacher sees", "loss"):
        table.add_column(name, justify="left" if "sees" in name else "right", overflow="fold")
    longest = max(len(pair.prompt.ids), len(pair.teacher_prompt.ids))
    first = longest if every else min(longest, NEAR)
    if first < longest:
        hidden = [max(0, len(side.ids) - first) for side in (pair.prompt, pair.teacher_prompt)]
        notes = [(f"… {count} before" if count else "", GIVEN) for count in hidden]
        table.add_row(*_line_cells([("", ""), ("", ""), notes[0], ("", ""), ("", ""), notes[1]]))
    for distance in range(first, 0, -1):  # 1 is the last token of the prompt
        style = GIVEN if distance <= pair.shared_end else DIFFERENT
        cells = [*_cells(chat, pair.prompt, distance, style), *_cells(chat, pair.teacher_prompt, distance, style)]
        table.add_row(*_line_cells([*cells, ("0", GIVEN)]))
    table.add_section()
    answer = pair.completion
    for number, (id_, token, weight) in enumerate(
        zip(answer.ids, answer.tokens, answer.loss_mask, strict=True) if answer else ()
    ):
        style = TRAINED if weight else GIVEN
        places = [len(side.ids) + number for side in (pair.prompt, pair.teacher_prompt)]
        cells = [cell for place in places for cell in ((str(place), GIVEN), (str(id_), style), (_piece(token), style))]
        table.add_row(*_line_cells([*cells, (f"{weight:g}", style)]))
    return table


def _cells(chat: Chat, side: Side, distance: int, style: str) -> Iterator[tuple[str, str]]:
    place = len(side.ids) - distance
    if place < 0:
        yield from [("", "")] * 3
        return
    known = side.tokens[place] in chat.special_tokens | chat.frame_tokens
    yield from ((str(place), GIVEN), (str(side.ids[place]), style))
    yield _piece(side.tokens[place]), SPECIAL if known else style


def _line_cells(cells: Iterable[tuple[str, str]]) -> list[Text]:
    return [_line(cell) for cell in cells]


def _piece(token: str) -> str:
    """Return a token on one line, with its spaces visible."""
    return printable(token, newlines=False).replace(" ", "·")
