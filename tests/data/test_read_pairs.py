"""Reading and writing pairs: what is accepted, and how each kind of damage is named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unswayed.core.errors import DataError
from unswayed.core.types import Message, PromptPair
from unswayed.data.read import read_pairs, scan_pairs, write_pairs

ROW = {"prompt": "I say B. Which?", "teacher_prompt": "Which?"}


def user(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


def save(folder: Path, *rows: Any, name: str = "pairs.jsonl") -> Path:
    path = folder / name
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def problems(path: Path) -> tuple[str, ...]:
    """The problems of a file, each without the path."""
    with pytest.raises(DataError) as error:
        read_pairs(path)
    assert error.value.exit_code == 3
    assert all(problem.startswith(f"{path}:") for problem in error.value.problems)
    return tuple(problem.removeprefix(f"{path}:") for problem in error.value.problems)


def one(folder: Path, **row: Any) -> PromptPair:
    (pair,) = read_pairs(save(folder, row))
    return pair


# What is accepted


def test_strings_become_one_user_message_each(tmp_path: Path) -> None:
    pair = one(tmp_path, **ROW)
    assert pair.prompt == (Message("user", "I say B. Which?"),)
    assert pair.teacher_prompt == (Message("user", "Which?"),)
    assert (pair.axis, pair.perturbation, pair.target, pair.meta) == ("", "", None, {})
    assert pair.group == pair.id


def test_message_lists_with_system_turns_and_a_prefill(tmp_path: Path) -> None:
    turns = [{"role": "system", "content": "S"}, user("U"), {"role": "assistant", "content": "Sure,"}]
    pair = one(tmp_path, prompt=turns, teacher_prompt=[user("U")])
    assert [message.role for message in pair.prompt] == ["system", "user", "assistant"]


def test_every_field_is_read_and_unknown_columns_are_kept(tmp_path: Path) -> None:
    pair = one(
        tmp_path,
        **ROW,
        id=7,
        group="q",
        axis="sycophancy",
        perturbation="a/b@1",
        target="Lyon",
        source="web",
        meta={"n": 1},
    )
    assert (pair.id, pair.group, pair.axis, pair.perturbation, pair.target) == ("7", "q", "sycophancy", "a/b@1", "Lyon")
    assert pair.meta == {"source": "web", "n": 1}


@pytest.mark.parametrize(
    ("student", "teacher"),
    [("wrapped", "clean"), ("biased_question", "unbiased_question"), ("variant_messages", "reference_messages"),
     ("biased_messages", "unbiased_messages"), ("prompt_biased", "prompt_unbiased"), ("prompt", "clean")],
)  # fmt: skip
def test_other_names_of_the_two_sides(tmp_path: Path, student: str, teacher: str) -> None:
    pair = one(tmp_path, **{student: [user("a")], teacher: "b"})
    assert (pair.prompt, pair.teacher_prompt) == ((Message("user", "a"),), (Message("user", "b"),))
    assert pair.meta == {}


def test_privileged_context_becomes_the_teachers_system_message(tmp_path: Path) -> None:
    pair = one(tmp_path, prompt="Q", privileged_context="C")
    assert pair.prompt == (Message("user", "Q"),)
    assert pair.teacher_prompt == (Message("system", "C"), Message("user", "Q"))
    with_system = one(tmp_path, prompt=[{"role": "system", "content": "S"}, user("Q")], privileged_context="C")
    assert with_system.teacher_prompt == (Message("system", "S\n\nC"), Message("user", "Q"))
    with_column = one(tmp_path, prompt="Q", privileged_context="C", system="S")
    assert with_column.prompt == (Message("system", "S"), Message("user", "Q"))
    assert with_column.teacher_prompt == with_system.teacher_prompt


def test_a_system_column_goes_before_both_sides(tmp_path: Path) -> None:
    pair = one(tmp_path, **ROW, system="S")
    assert pair.prompt[0] == pair.teacher_prompt[0] == Message("system", "S")
    assert one(tmp_path, **ROW, system="").prompt == (Message("user", ROW["prompt"]),)
    assert one(tmp_path, **ROW, system=None).prompt == (Message("user", ROW["prompt"]),)


def test_message_lists_may_be_json_text(tmp_path: Path) -> None:
    pair = one(tmp_path, prompt=json.dumps([user("a")]), teacher_prompt=" " + json.dumps([user("b")], indent=1))
    assert (pair.prompt, pair.teacher_prompt) == ((Message("user", "a"),), (Message("user", "b"),))


@pytest.mark.parametrize("text", ["[INST] hello", "[1, 2]", '["role"]', "[{}]", "{'role': 'user'}"])
def test_other_text_in_brackets_stays_text(tmp_path: Path, text: str) -> None:
    assert one(tmp_path, prompt=text, teacher_prompt="x").prompt == (Message("user", text),)


def test_ids_from_content_are_stable_and_know_every_column(tmp_path: Path) -> None:
    assert one(tmp_path, **ROW).id == "row-2e2ce7b2e2021581" == one(tmp_path, **dict(reversed(ROW.items()))).id
    assert one(tmp_path, **ROW, extra=None).id == one(tmp_path, **ROW).id
    assert one(tmp_path, **ROW, extra=1).id != one(tmp_path, **ROW).id


def test_bom_crlf_blank_lines_and_line_separators_inside_strings(tmp_path: Path) -> None:
    path = tmp_path / "pairs.jsonl"
    second = json.dumps({"prompt": "a\u2028b\u2029c\u0085d", "teacher_prompt": "x"}, ensure_ascii=False)
    path.write_bytes(b"\xef\xbb\xbf" + f"{json.dumps(ROW)}\r\n\r\n  \n{second}\r\n\n".encode())
    pairs = read_pairs(path)
    assert [pair.prompt[0].content for pair in pairs] == [ROW["prompt"], "a\u2028b\u2029c\u0085d"]


def test_the_last_newline_may_be_missing(tmp_path: Path) -> None:
    path = tmp_path / "pairs.jsonl"
    path.write_text(json.dumps(ROW))
    assert len(read_pairs(path)) == 1


def test_a_line_of_a_megabyte(tmp_path: Path) -> None:
    assert len(one(tmp_path, prompt="x" * 1_000_000, teacher_prompt="y").prompt[0].content) == 1_000_000


def test_equal_prompts_only_where_they_are_allowed(tmp_path: Path) -> None:
    path = save(tmp_path, {"prompt": "a", "teacher_prompt": "a"})
    (problem,) = problems(path)
    assert problem.startswith("1: prompt: equals teacher_prompt")
    assert "allow_identical = true" in problem
    assert len(read_pairs(path, allow_identical=True)) == 1


# What is not


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b'{"prompt": "a", ', "not JSON"),
        (b"[1]", "an array, not a JSON object"),
        (b"null", "null, not a JSON object"),
        (b'"text"', "a string, not a JSON object"),
        (b"{'prompt': 'a'}", "not JSON"),
        (b'{"prompt": "\xff\xfe"}', "not UTF-8: byte 0xff at column 13"),
        (b'\xef\xbb\xbf{"prompt": "a"}', "byte order mark in the middle"),
        (b'{"prompt": NaN}', "NaN is not JSON"),
        (b'{"prompt": -Infinity}', "-Infinity is not JSON"),
        (b'{"prompt": 1e999}', "too large for a float"),
        (b'{"prompt": ' + b"9" * 5000 + b"}", ""),
        (b'{"prompt": "a", "prompt": "b"}', "the key 'prompt' occurs twice"),
        (b'{"meta": {"k": 1, "k": 1}}', "the key 'k' occurs twice"),
        (b'{"prompt": "\\ud800"}', "half of a surrogate pair (\\ud800)"),
        (b'{"prompt": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "nested too deeply"),
        (b'{"prompt": "a\x00b"}', "not JSON"),
        (b'{"a": 1} {"b": 2}', "not JSON"),
    ],
)
def test_a_bad_line_in_the_middle_is_named_and_the_rest_is_read(tmp_path: Path, line: bytes, reason: str) -> None:
    path = tmp_path / "pairs.jsonl"
    good = json.dumps(ROW).encode()
    path.write_bytes(b"\n".join([good, line, json.dumps({**ROW, "id": "other"}).encode(), b""]))
    (problem,) = problems(path)
    assert problem.startswith("2: ")
    assert reason in problem
    assert len(scan_pairs(path).pairs) == 2


def test_a_torn_last_line_is_called_that(tmp_path: Path) -> None:
    path = tmp_path / "pairs.jsonl"
    whole = "".join(json.dumps({**ROW, "id": str(n)}) + "\n" for n in range(3))
    for cut in range(1, 40):
        path.write_bytes(whole.encode()[: -1 - cut])
        (problem,) = problems(path)
        assert problem.startswith("3: the last line is cut off")


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"prompt": "a"}, "teacher_prompt: missing"),
        ({"teacher_prompt": "a"}, "prompt: missing"),
        ({"prompt": "a", "teacher_prompt": None}, "teacher_prompt: missing"),
        ({"messages": []}, "messages: no user message"),
        ({**ROW, "wrapped": "c"}, "prompt: given more than once, as prompt and wrapped"),
        ({**ROW, "clean": "c"}, "teacher_prompt: given more than once, as teacher_prompt and clean"),
        ({**ROW, "privileged_context": "c"}, "given more than once, as privileged_context and teacher_prompt"),
        ({"prompt": "a", "privileged_context": " "}, "privileged_context: empty"),
        ({"prompt": "a", "privileged_context": 1}, "privileged_context: a number"),
        ({**ROW, "prompt": 3}, "prompt: a number, where a string or a list of messages belongs"),
        ({**ROW, "prompt": user("a")}, "prompt: an object"),
        ({**ROW, "prompt": ["a"]}, "prompt[0]: a string, where an object with role and content belongs"),
        ({**ROW, "prompt": []}, "prompt: no user message"),
        ({**ROW, "prompt": ""}, "prompt[0].content: empty"),
        ({**ROW, "prompt": " \n\t"}, "prompt[0].content: empty"),
        ({**ROW, "prompt": [{"role": "human", "content": "a"}]}, "prompt[0].role: 'human' is not one of system, user"),
        ({**ROW, "prompt": [{"role": ["user"], "content": "a"}]}, "prompt[0].role: ['user'] is not one of"),
        ({**ROW, "prompt": [{"role": "user"}]}, "prompt[0].content: null, where a string belongs"),
        ({**ROW, "prompt": [{"role": "user", "content": [{"text": "a"}]}]}, "prompt[0].content: an array"),
        ({**ROW, "prompt": [{**user("a"), "tool_calls": [1]}]}, "prompt[0]: 'tool_calls' would be lost"),
        ({**ROW, "prompt": [{"role": "system", "content": "a"}]}, "prompt: no user message"),
        ({**ROW, "prompt": [{"role": "assistant", "content": "a"}]}, "message 0 is from assistant, where user belongs"),
        ({**ROW, "prompt": [user("a"), user("b")]}, "message 1 is from user, where assistant belongs"),
        ({**ROW, "prompt": [user("a"), {"role": "system", "content": "s"}]}, "message 1 is from system"),
        ({**ROW, "prompt": '[{"role": "user", "content": "a"'}, "prompt: looks like a list of messages, but not JSON"),
        ({**ROW, "prompt": "[{'role': 'user', 'content': 'a'}]"}, "prompt: looks like a list of messages"),
        ({**ROW, "system": 1}, "system: a number"),
        ({"prompt": [{"role": "system", "content": "a"}, user("b")], "teacher_prompt": "c", "system": "s"},
         "system: given as a column and as a message"),
        ({**ROW, "id": 1.5}, "id: a number"),
        ({**ROW, "id": True}, "id: a boolean"),
        ({**ROW, "id": ""}, "id: empty"),
        ({**ROW, "target": ["a"]}, "target: an array"),
        ({**ROW, "axis": 3}, "axis: a number"),
        ({**ROW, "meta": 3}, "meta: a number"),
        ({**ROW, "meta": {"a": 1}, "a": 2}, "meta: holds a, and so does the row itself"),
    ],
)  # fmt: skip
def test_a_bad_row_is_named_by_line_and_field(tmp_path: Path, row: dict[str, Any], expected: str) -> None:
    found = problems(save(tmp_path, row))
    (problem,) = found
    assert problem.startswith("1: ")
    assert expected in problem


def test_every_problem_of_a_row_is_found(tmp_path: Path) -> None:
    path = save(tmp_path, {"prompt": [{"role": "bot", "content": ""}], "teacher_prompt": 1, "target": 1.5})
    assert [problem.split(":")[1].strip() for problem in problems(path)] == [
        "prompt[0].role", "prompt[0].content", "teacher_prompt", "target",
    ]  # fmt: skip


def test_the_first_twenty_are_shown_and_all_are_counted(tmp_path: Path) -> None:
    path = save(tmp_path, *({"prompt": "a", f"column{number}": 1} for number in range(57)))
    with pytest.raises(DataError) as error:
        read_pairs(path)
    lines = str(error.value).splitlines()
    assert len(lines) == 22
    assert len(error.value.problems) == 57
    assert lines[1].strip().startswith(f"{path}:1: teacher_prompt")
    assert "37 more (57 in all)" in lines[-1]


def test_duplicate_ids_name_both_lines(tmp_path: Path) -> None:
    path = save(tmp_path, {**ROW, "id": "a"}, {**ROW, "id": "b"}, {**ROW, "id": "a", "extra": 1})
    (problem,) = problems(path)
    assert problem.startswith("3: id: 'a' is the id of ")
    assert f"{path}:1" in problem
    (repetition,) = problems(save(tmp_path, ROW, ROW))
    assert repetition.startswith("2: id: a repetition of ")


@pytest.mark.parametrize("content", ["", "\n", " \r\n\t\n\n"])
def test_a_file_without_rows(tmp_path: Path, content: str) -> None:
    path = tmp_path / "pairs.jsonl"
    path.write_text(content)
    with pytest.raises(DataError, match="has no rows"):
        read_pairs(path)


def test_files_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="No such file"):
        read_pairs(tmp_path / "absent.jsonl")
    with pytest.raises(DataError, match="is a folder"):
        read_pairs(tmp_path)
    with pytest.raises(DataError, match=r"not from '\.txt'"):
        read_pairs(save(tmp_path, ROW, name="pairs.txt"))
    with pytest.raises(DataError, match="not from YAML"):
        read_pairs(save(tmp_path, ROW, name="pairs.yaml"))
    with pytest.raises(DataError, match="not Parquet"):
        read_pairs(save(tmp_path, ROW, name="pairs.parquet"))
    with pytest.raises(DataError, match="No such file"):
        read_pairs(tmp_path / "absent.parquet")


def test_escapes_in_ids_and_keys_do_not_reach_the_terminal(tmp_path: Path) -> None:
    bad = {**ROW, "prompt": [{"role": "\x1b[2J", "content": "a"}]}
    path = save(tmp_path, {**ROW, "id": "\x1b]0;x"}, {**ROW, "id": "\x1b]0;x"}, bad)
    assert "\x1b" not in "".join(problems(path))


# Writing

TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20).filter(str.strip)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=5,
)


@st.composite
def sides(draw: st.DrawFn) -> tuple[Message, ...]:
    system = [Message("system", draw(TEXT))] if draw(st.booleans()) else []
    turns = draw(st.lists(TEXT, min_size=1, max_size=4))
    return tuple(system + [Message("assistant" if n % 2 else "user", text) for n, text in enumerate(turns)])


@st.composite
def some_pairs(draw: st.DrawFn) -> list[PromptPair]:
    ids = draw(st.lists(TEXT, min_size=1, max_size=4, unique=True))
    names = st.just("") | TEXT
    return [
        PromptPair(
            id_, draw(sides()), draw(sides()), draw(names), draw(names), draw(names), draw(st.none() | TEXT),
            draw(st.dictionaries(TEXT, JSON, max_size=3)),
        )
        for id_ in ids
    ]  # fmt: skip


@settings(max_examples=25, deadline=None)
@given(pairs=some_pairs())
@pytest.mark.parametrize("name", ["pairs.jsonl", "pairs.parquet"])
def test_what_is_written_is_read_back_equal(
    tmp_path_factory: pytest.TempPathFactory, name: str, pairs: list[PromptPair]
) -> None:
    path = tmp_path_factory.mktemp("round") / name
    write_pairs(path, pairs)
    assert read_pairs(path, allow_identical=True) == pairs
    assert [entry.name for entry in path.parent.iterdir()] == [name]


def test_parquet_from_elsewhere(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = tmp_path / "pairs.parquet"
    rows = [
        {"wrapped": "a", "clean": "b", "category": "x", "score": 1.5},
        {"wrapped": "c", "clean": "d", "category": None, "score": None},
    ]
    pq.write_table(pa.Table.from_pylist(rows), path)
    first, second = read_pairs(path)
    assert first.meta == {"category": "x", "score": 1.5}
    assert second.meta == {}
    pq.write_table(pa.Table.from_pylist([*rows, {"wrapped": "e", "clean": None, "score": float("nan")}]), path)
    found = problems(path)
    assert found[0].startswith("row 3: teacher_prompt: missing")
    assert found[1].startswith("row 3: meta: score: cannot be kept as JSON")


@pytest.mark.parametrize(
    ("pair", "reason"),
    [
        (PromptPair("a", (), (Message("user", "x"),)), "no user message"),
        (PromptPair("a", (Message("user", " "),), (Message("user", "x"),)), "content: empty"),
        (PromptPair("a", (Message("user", "y"),), (Message("user", "x"),), meta={"n": float("nan")}), "meta"),
        (PromptPair("a", (Message("user", "y"),), (Message("user", "x"),), meta={"n": object()}), "meta"),
        (PromptPair("a", (Message("user", "\ud800"),), (Message("user", "x"),)), "cannot be written"),
    ],
)
def test_pairs_that_could_not_be_read_again_are_not_written(tmp_path: Path, pair: PromptPair, reason: str) -> None:
    with pytest.raises(DataError, match=reason):
        write_pairs(tmp_path / "pairs.jsonl", [pair])
    assert not list(tmp_path.iterdir())


def test_duplicate_ids_and_unknown_endings_are_not_written(tmp_path: Path) -> None:
    pair = PromptPair("a", (Message("user", "y"),), (Message("user", "x"),))
    with pytest.raises(DataError, match="ids are unique"):
        write_pairs(tmp_path / "pairs.jsonl", [pair, pair])
    with pytest.raises(DataError, match=r"not as '\.csv'"):
        write_pairs(tmp_path / "pairs.csv", [pair])
    assert not list(tmp_path.iterdir())
