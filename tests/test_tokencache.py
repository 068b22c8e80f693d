"""Tokenised pairs on disk: the same ids as anew, a key that misses nothing, damage that costs only time."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

import runs
from unswayed.chat.render import Chat
from unswayed.core.errors import DataError
from unswayed.core.types import Message, PromptPair
from unswayed.training import token_cache as tokencache
from unswayed.training.prepare import prepare
from unswayed.training.token_cache import Rendered, obtain, token_folder

PAIRS = [
    PromptPair(f"q{n}", (Message("user", f"a b {n}"),), (Message("user", f"c {n}"),), target=f"t{n}") for n in range(4)
]


@pytest.fixture(autouse=True)
def _small_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNSWAYED_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(tokencache, "FEWEST", 2)


@pytest.fixture(scope="module")
def chat(tiny_model_dir: Path) -> Chat:
    return Chat.load(tiny_model_dir)


class Maker:
    """Renders fixed rows and counts how often it had to."""

    def __init__(self, rendered: Rendered) -> None:
        self.rendered, self.calls = rendered, 0

    def __call__(self) -> Rendered:
        self.calls += 1
        return self.rendered


ROWS = [((1, 2), (3,), None), ((), (4, 5), ()), ((6,), (7,), (8, 9)), ((2**31 - 1,), (0,), None)]


class Messages(logging.Handler):
    """Keeps what is logged."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(record.getMessage())


@contextmanager
def messages() -> Iterator[list[str]]:
    handler = Messages()
    logging.getLogger("unswayed").addHandler(handler)
    yield handler.texts
    logging.getLogger("unswayed").removeHandler(handler)


def ask(
    chat: Chat, make: Callable[[], Rendered], pairs: list[PromptPair] = PAIRS, new: int = 8, targets: bool = True
) -> tuple[Rendered, list[str]]:
    with messages() as texts:
        return obtain(pairs, chat, make, max_new_tokens=new, targets=targets), texts


def test_the_second_time_nothing_is_rendered_and_everything_is_equal(chat: Chat) -> None:
    make = Maker(Rendered(ROWS, ("a note – with a dash",)))
    first, second = ask(chat, make), ask(chat, make)
    assert make.calls == 1
    assert first == second == (make.rendered, [])
    assert [type(ids) for row in second[0].rows for ids in row if ids is not None] == [tuple] * 10


ids = st.lists(st.integers(0, 2**31 - 1), max_size=5).map(tuple)


@settings(deadline=None, max_examples=25)
@given(st.lists(st.tuples(ids, ids, st.none() | ids), min_size=1, max_size=6), st.lists(st.text(), max_size=2))
def test_any_rows_come_back_as_they_were(tmp_path_factory: pytest.TempPathFactory, rows: list, notes: list) -> None:
    path = tmp_path_factory.mktemp("rows") / "one.safetensors"
    rendered = Rendered(rows, tuple(notes))
    tokencache._save(path, rendered)
    assert tokencache._load(path, len(rows)) == rendered


@pytest.mark.parametrize(
    "change",
    [
        lambda c: {"pairs": [*PAIRS[1:], PAIRS[0]]},
        lambda c: {"pairs": [replace(PAIRS[0], prompt=(Message("system", "a b 0"),)), *PAIRS[1:]]},
        lambda c: {"pairs": [replace(PAIRS[0], teacher_prompt=(Message("user", "d"),)), *PAIRS[1:]]},
        lambda c: {"pairs": [replace(PAIRS[0], target="other"), *PAIRS[1:]]},
        lambda c: {"pairs": [replace(PAIRS[0], meta={"labelling": {"ids": [1]}}), *PAIRS[1:]]},
        lambda c: {"new": 9},
        lambda c: {"targets": False},
        lambda c: {"chat": replace(c, identity="another tokenizer or template")},
        lambda c: {"chat": replace(c, context_length=17)},
        lambda c: {"chat": replace(c, embedding_rows=17)},
        lambda c: {"chat": replace(c, allow_special_tokens=True)},
    ],
)
def test_whatever_decides_the_result_is_in_the_key(chat: Chat, change: Callable[[Chat], dict]) -> None:
    make = Maker(Rendered(ROWS, ()))
    ask(chat, make)
    changed = change(chat)
    ask(changed.pop("chat", chat), make, **changed)
    assert make.calls == 2
    ask(chat, make)
    assert make.calls == 2


def test_another_version_of_the_code_or_of_a_library_is_another_key(
    chat: Chat, monkeypatch: pytest.MonkeyPatch
) -> None:
    make = Maker(Rendered(ROWS, ()))
    ask(chat, make)
    monkeypatch.setattr(tokencache, "hash_files", lambda folder, names: "other code")
    ask(chat, make)
    monkeypatch.setattr(tokencache.metadata, "version", lambda name: "0.0")
    ask(chat, make)
    assert make.calls == 3


def the_file() -> Path:
    (path,) = token_folder().glob("*.safetensors")
    return path


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-3])


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def no_facts(path: Path) -> None:
    save_file(load_file(path), path)


def other_rows(path: Path) -> None:
    tokencache._save(path, Rendered(ROWS[:-1], ()))


@pytest.mark.parametrize("damage", [cut, flip, no_facts, other_rows, lambda path: path.write_bytes(b"")])
def test_a_damaged_file_costs_time_and_nothing_else(chat: Chat, damage: Callable[[Path], None]) -> None:
    make = Maker(Rendered(ROWS, ("note",)))
    ask(chat, make)
    damage(the_file())
    rendered, said = ask(chat, make)
    assert (rendered, make.calls) == (make.rendered, 2)
    assert "damaged, tokenising again" in said[0]
    assert ask(chat, make) == (make.rendered, [])
    assert make.calls == 2


def test_a_folder_that_cannot_be_written_is_told_and_the_run_goes_on(chat: Chat, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file where the folder should be")
    make = Maker(Rendered(ROWS, ()))
    rendered, said = ask(chat, make)
    assert rendered == make.rendered
    assert "could not be kept" in said[0]


def test_few_pairs_and_failures_leave_no_file(chat: Chat, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> Rendered:
        raise DataError("no")

    with pytest.raises(DataError):
        ask(chat, refuse)
    monkeypatch.setattr(tokencache, "FEWEST", len(PAIRS) + 1)
    make = Maker(Rendered(ROWS, ()))
    ask(chat, make)
    ask(chat, make)
    assert make.calls == 2
    assert not token_folder().exists()


def test_files_longest_unused_go_first(chat: Chat, monkeypatch: pytest.MonkeyPatch) -> None:
    make = Maker(Rendered(ROWS, ()))
    for new in (1, 2, 3):
        ask(chat, make, new=new)
    size = max(path.stat().st_size for path in token_folder().iterdir())
    monkeypatch.setattr(tokencache, "LARGEST", 3 * size)
    for age, path in enumerate(sorted(token_folder().iterdir(), key=lambda path: path.stat().st_mtime_ns)):
        os.utime(path, (1000 + age, 1000 + age))
    ask(chat, make, new=1)  # used: now the newest
    ask(chat, make, new=4)
    assert make.calls == 4
    ask(chat, make, new=1)
    assert make.calls == 4
    ask(chat, make, new=2)
    assert make.calls == 5, "it was the one longest unused"
    assert sum(path.stat().st_size for path in token_folder().iterdir()) <= 3 * size


@pytest.mark.parametrize("method", [{"name": "opct"}, {"name": "sft", "source": "target"}])
def test_a_run_prepared_from_the_cache_is_the_run(
    tmp_path: Path, tiny_model_dir: Path, method: dict, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [{**row, "target": "blue sky"} for row in runs.ROWS]
    data = runs.write_pairs(tmp_path / "data.jsonl", rows)
    recipe = runs.recipe(tmp_path, tiny_model_dir, method=method, data={"train": str(data)})
    monkeypatch.setattr(tokencache, "FEWEST", 10**9)
    with messages() as first:
        plain = prepare(recipe)
    monkeypatch.setattr(tokencache, "FEWEST", 1)
    with messages() as second:
        written = prepare(recipe)
    monkeypatch.setattr("unswayed.training.prepare.check_pairs", None)
    with messages() as third:
        read = prepare(recipe)
    assert plain.pairs == written.pairs == read.pairs
    assert plain.data_identity == written.data_identity == read.data_identity
    assert first == second == third
    assert all(isinstance(id_, int) for pair in read.pairs for id_ in pair.prompt_ids)
    assert not any(isinstance(id_, np.integer) for pair in read.pairs for id_ in pair.prompt_ids)
