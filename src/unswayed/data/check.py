"""Everything that can be known about pairs without weights: what is in a file, what is wrong, what looks odd."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unswayed.chat import check as chat_check
from unswayed.chat.check import Lengths
from unswayed.core.errors import DataError
from unswayed.core.jsonl import loads
from unswayed.core.overlap import Overlap, find_overlap, normalise, words
from unswayed.core.printable import printable
from unswayed.core.tables import NO_NAMES
from unswayed.core.types import Message, PromptPair
from unswayed.data.build.manifest import manifest_of
from unswayed.data.build.pairs import hint_problem
from unswayed.data.read import hash_data, locate_data, read_pairs, scan_pairs
from unswayed.data.rows import GIVEN_TARGETS
from unswayed.data.sides import side_warnings, swapped_errors
from unswayed.data.split import family_of, topic_of
from unswayed.questions.choices import listed_options
from unswayed.questions.words import mentions

if TYPE_CHECKING:
    from unswayed.chat.render import Chat

# Strings that many chat templates use to end or open a turn. A tokenizer's own list is checked where a model is given.
_TURN = re.compile(r"<\|[^|<>\s]{1,40}\|>|</?s>|\[/?INST\]|<<?/?SYS>>?|<(?:start|end)_of_turn>|<(?:bos|eos)>")


@dataclass(frozen=True, slots=True)
class Report:
    """What a check found.

    Attributes:
        path: the file.
        rows: rows in it; `pairs` of them could be read. `groups` counts the items behind them.
        errors: what makes the file unfit; training on it would not do what it seems to.
        warnings: what may be meant.
        axes, families, topics: pairs by each (the empty name: not given).
        characters, tokens: lengths by side; `tokens` only where a tokenizer was given and could render every pair.
        identical: pairs whose two prompts are equal.
        with_target: pairs with a right answer. `right_hints`: those whose hint is right.
        plain: pairs without a teacher's prompt, which only `sft` on targets trains on.
        overlap: what is shared with another file, where one was given.
    """

    path: str
    rows: int
    pairs: int
    groups: int
    errors: tuple[str, ...]
    warnings: tuple[str, ...]
    axes: dict[str, int]
    families: dict[str, int]
    topics: dict[str, int]
    characters: dict[str, Lengths] = field(default_factory=dict)
    tokens: dict[str, Lengths] = field(default_factory=dict)
    identical: int = 0
    with_target: int = 0
    right_hints: int = 0
    plain: int = 0
    overlap: Overlap | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the report as plain JSON types."""
        return asdict(self)


def check_file(
    path: str | Path,
    *,
    against: str | Path | None = None,
    columns: Mapping[str, str] = NO_NAMES,
    allow_identical: bool = False,
    chat: Chat | None = None,
    max_new_tokens: int = 256,
) -> Report:
    """Check a file of pairs.

    Args:
        path: the file; see `unswayed.data.read.read_pairs`.
        columns: what the file calls a column, by our name for it.
        against: another file of pairs that must share nothing with it, e.g. the held-out part.
        allow_identical: pairs with two equal prompts are no error.
        chat: a tokenizer and its template, to try every pair on (see `unswayed.chat.check`) and to count tokens.
        max_new_tokens: room that a completion needs in the context; used with `chat` only.

    Raises:
        DataError: a file that cannot be read at all, or an `against` with problems of its own.
    """
    path = locate_data(path)
    scan = scan_pairs(path, allow_identical=allow_identical, columns=columns, need_teacher=False)
    others = None if against is None else read_pairs(against, allow_identical=True, need_teacher=False)
    report = check_pairs(
        scan.pairs,
        path=str(path),
        against=others,
        chat=chat,
        max_new_tokens=max_new_tokens,
        plain=scan.plain,
    )
    errors = [*scan.problems, *_manifest_problems(path, scan.rows), *report.errors]
    if not scan.rows:
        errors.insert(0, f"{path}: the file has no rows")
    return replace(report, rows=scan.rows, errors=tuple(errors))


def check_pairs(
    pairs: Iterable[PromptPair],
    *,
    path: str = "pairs",
    against: Iterable[PromptPair] | None = None,
    chat: Chat | None = None,
    max_new_tokens: int = 256,
    plain: Collection[str] = (),
) -> Report:
    """Check pairs that were read or built already; see `check_file`."""
    pairs = tuple(pairs)
    overlap = None if against is None else find_overlap(pairs, against)
    two_sided = [pair for pair in pairs if pair.id not in plain]
    errors = [*_row_errors(pairs), *swapped_errors(two_sided), *_overlap_errors(overlap)]
    warnings = [*_warnings(pairs, overlap, plain), *side_warnings(two_sided)]
    sides = {
        "prompt": [pair.prompt for pair in pairs],
        "teacher_prompt": [pair.teacher_prompt for pair in pairs],
    }
    characters = {
        name: Lengths.of([sum(len(message.content) for message in side) for side in column])
        for name, column in sides.items()
        if column
    }
    tokens: dict[str, Lengths] = {}
    if chat is not None and pairs:
        try:
            tried = chat_check.check_pairs(chat, pairs, max_new_tokens)
        except DataError as error:
            errors.extend(error.problems)
        else:
            tokens = {"prompt": tried.prompt, "teacher_prompt": tried.teacher_prompt}
            warnings.extend(tried.warnings)
    return Report(
        path=path,
        rows=len(pairs),
        pairs=len(pairs),
        groups=len({pair.group for pair in pairs}),
        errors=tuple(errors),
        warnings=tuple(warnings),
        axes=_counts(pair.axis for pair in pairs),
        families=_counts(family_of(pair) for pair in pairs),
        topics=_counts(topic_of(pair) for pair in pairs),
        characters=characters,
        tokens=tokens,
        identical=sum(pair.prompt == pair.teacher_prompt for pair in two_sided),
        plain=len(plain),
        with_target=sum(pair.target is not None for pair in pairs),
        right_hints=sum(pair.meta.get("hint_is_right") is True for pair in pairs),
        overlap=overlap,
    )


def _row_errors(pairs: Sequence[PromptPair]) -> Iterator[str]:
    for pair in pairs:
        name = printable(pair.id, newlines=False)
        if problem := hint_problem(pair):
            yield f"{name}: {problem}"
        if changed := _changed_option(pair):
            yield f"{name}: {changed}"


def _changed_option(pair: PromptPair) -> str | None:
    """Return how a multiple-choice pair's options differ between the sides, where they do."""
    student, teacher = (_options(side) for side in (pair.prompt, pair.teacher_prompt))
    if not student or not teacher:
        return None
    for letter in sorted(student.keys() | teacher.keys()):
        mine, other = student.get(letter), teacher.get(letter)
        if words(mine or "") != words(other or ""):
            texts = [repr(printable(text, newlines=False)) if text else "absent" for text in (mine, other)]
            return f"option {letter} is {texts[0]} in prompt and {texts[1]} in teacher_prompt; a letter means one thing"
    return None


def _options(side: Sequence[Message]) -> dict[str, str]:
    """Return the options as the user lists them; an assistant may repeat them in other words."""
    return listed_options(_text(message for message in side if message.role == "user"))


def _overlap_errors(overlap: Overlap | None) -> Iterator[str]:
    if overlap is None:
        return
    if overlap.groups:
        yield f"{len(overlap.groups)} groups are in both files: {_some(overlap.groups)}"
    if texts := [f"{one} = {other}" for one, other in overlap.texts]:
        yield f"{len(texts)} prompts are in both files (case, spacing and punctuation aside): {_some(texts)}"


def _warnings(pairs: Sequence[PromptPair], overlap: Overlap | None, plain: Collection[str]) -> Iterator[str]:
    """Yield one line for each kind of oddity, with how many pairs show it and the first of them."""
    found: dict[str, list[str]] = {}

    def note(kind: str, pair: PromptPair) -> None:
        found.setdefault(kind, []).append(pair.id)

    exact: set[object] = set()
    close: set[object] = set()
    for pair in pairs:
        text = _text((*pair.prompt, *pair.teacher_prompt))
        key, near = (pair.prompt, pair.teacher_prompt), (normalise(pair.prompt), normalise(pair.teacher_prompt))
        if key in exact:
            note("repeat the two prompts of another pair exactly", pair)
        elif near in close:
            note("repeat another pair but for case, spacing or punctuation", pair)
        exact.add(key)
        close.add(near)
        if printable(text) != text:
            note("contain control, invisible or reordering characters", pair)
        if _TURN.search(text):
            note("contain a string that many chat templates use to mark turns", pair)
        if (pair.prompt[-1].role == "assistant") != (pair.teacher_prompt[-1].role == "assistant"):
            note("end with an assistant prefill on one side only", pair)
        elif pair.prompt[-1].role == "assistant" and pair.prompt[-1] != pair.teacher_prompt[-1]:
            note("end with different assistant prefills on the two sides", pair)
        if _gives_away(pair):
            note("name the target in prompt but not in teacher_prompt", pair)
        if pair.id in plain:
            note(f"have no teacher's prompt ({GIVEN_TARGETS})", pair)
        elif pair.prompt == pair.teacher_prompt:
            note("have two equal prompts (anchors)", pair)
    for kind, ids in found.items():
        yield f"{len(ids)} pairs {kind}: {_some(ids)}"
    if overlap and overlap.grams:
        one, other, gram = overlap.grams[0]
        yield (
            f"{len(overlap.grams)} groups share a run of thirteen words with the other file, "
            f"e.g. {printable(one)!r} and {printable(other)!r}: {printable(gram)!r}"
        )


def _gives_away(pair: PromptPair) -> bool:
    """Whether the student's prompt adds the right answer. Single letters are not looked for: "a" is a word."""
    if pair.target is None or len(pair.target.strip()) < 2 or pair.meta.get("hint_is_right") is True:
        return False
    return mentions(_text(pair.prompt), pair.target) and not mentions(_text(pair.teacher_prompt), pair.target)


def _manifest_problems(path: Path, rows: int) -> Iterator[str]:
    """Yield how a file differs from the manifest beside it, where there is one."""
    manifest = manifest_of(path)
    if not manifest.exists():
        return
    try:
        files = loads(manifest.read_text(encoding="utf-8"))["files"].values()
        entry = next((file for file in files if file["file"] == path.name), None)
        if entry is None:
            yield f"{manifest}: does not name {path.name}; build again"
        elif entry["sha256"] != hash_data(path):
            yield f"{path}: has changed since it was built ({entry['rows']} rows then, {rows} now); build again"
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        yield f"{manifest}: is not a manifest of pairs ({error}); build again, or move it away"


def _text(messages: Iterable[Message]) -> str:
    return "\n".join(message.content for message in messages)


def _some(names: Sequence[str], shown: int = 3) -> str:
    listed = ", ".join(printable(name, newlines=False) for name in names[:shown])
    return f"{listed}, …" if len(names) > shown else listed


def _counts(names: Iterable[str]) -> dict[str, int]:
    return dict(sorted(Counter(names).items()))


def require(report: Report) -> None:
    """End with the report's errors, if it has any.

    Raises:
        DataError: listing them.
    """
    if report.errors:
        raise DataError(f"{report.path}: {len(report.errors)} errors", report.errors)
