"""Rows as people have them: formats, names of columns, rows without a teacher, and data of the hub."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import runs
from unswayed.core.errors import ConfigError, DataError
from unswayed.core.types import Message, PromptPair
from unswayed.data.build.manifest import manifest_of
from unswayed.data.build.pairs import build_pairs
from unswayed.data.check import check_file
from unswayed.data.evaluation_only import find_evaluation_only
from unswayed.data.read import hash_data, read_pairs, scan_pairs, write_pairs
from unswayed.questions.items import fact_items
from unswayed.sources import hub
from unswayed.training.prepare import prepare

ROWS: list[dict[str, Any]] = [
    {
        "id": "a",
        "prompt": "I say 4. What is 2 + 3?",
        "teacher_prompt": "What is 2 + 3?",
        "target": "5",
        "topic": "sums",
    },
    {"id": "b", "prompt": "I say Rome. Where is the Louvre?", "teacher_prompt": "Where is the Louvre?"},
]
QUESTIONS = [
    {"key": row["id"], "question": row["prompt"], "teacher_prompt": row["teacher_prompt"], "target": row.get("target")}
    for row in ROWS
]
NAMES = {"prompt": "question", "id": "key"}


def save(folder: Path, kind: str, rows: list[dict[str, Any]]) -> Path:
    """Write rows in one of the formats that are read."""
    import datasets

    path = folder / f"rows.{kind}"
    columns = list(dict.fromkeys(name for row in rows for name in row))
    full = [{name: row.get(name) for name in columns} for row in rows]
    match kind:
        case "jsonl":
            path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        case "json":
            path.write_text(json.dumps(rows, indent=2))
        case "csv":
            with path.open("w", newline="", encoding="utf-8") as file:
                writer = csv.DictWriter(file, columns)
                writer.writeheader()
                writer.writerows(full)
        case "parquet":
            datasets.Dataset.from_list(full).to_parquet(path)
        case "folder":
            datasets.Dataset.from_list(full).save_to_disk(path)
        case "splits":
            datasets.DatasetDict({"train": datasets.Dataset.from_list(full)}).save_to_disk(path)
    return path


# 52: rows in memory


def test_52_rows_in_memory_are_read_as_those_of_a_file(tmp_path: Path) -> None:
    import datasets

    expected = read_pairs(save(tmp_path, "jsonl", ROWS))
    assert read_pairs(ROWS) == expected
    assert read_pairs(iter(ROWS)) == expected
    assert read_pairs(datasets.Dataset.from_list(ROWS)) == expected
    assert read_pairs(expected) == expected


def test_52_prompts_of_pairs_may_be_strings() -> None:
    (pair,) = read_pairs([PromptPair("a", "I say B. Which?", [{"role": "user", "content": "Which?"}])])  # type: ignore[arg-type]
    assert pair == PromptPair("a", (Message("user", "I say B. Which?"),), (Message("user", "Which?"),))


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (["a"], "row 1: is a str, not a pair or a dictionary"),
        ([ROWS[0], ROWS[0]], "row 2: id: 'a' is the id of row 1"),
        ({"train": ROWS}, "train: a dictionary holds no rows"),
        ([], "rows in memory: has no rows"),
        ([{"prompt": "\ud800", "teacher_prompt": "a"}], "row 1: half of a surrogate pair"),
        ([{**ROWS[0], "when": object()}], "row 1: meta: when: cannot be kept as JSON"),
    ],
)
def test_52_rows_that_are_none_are_named(rows: Any, message: str) -> None:
    with pytest.raises(DataError) as error:
        read_pairs(rows)
    assert message in str(error.value)


# 53: rows without a teacher, and equal problems


def test_53_rows_with_targets_need_no_teacher_where_none_is_asked(tmp_path: Path) -> None:
    path = save(tmp_path, "jsonl", [{"prompt": "What is 2 + 3?", "target": "5"}])
    (pair,) = read_pairs(path, need_teacher=False)
    assert (pair.prompt, pair.teacher_prompt, pair.target) == (pair.prompt, pair.prompt, "5")
    with pytest.raises(DataError, match=r"teacher_prompt: missing.*Only sft with method\.source = 'target'"):
        read_pairs(path)
    with pytest.raises(DataError, match="teacher_prompt: missing"):
        read_pairs(save(tmp_path, "jsonl", [{"prompt": "What is 2 + 3?"}]), need_teacher=False)
    report = check_file(path := save(tmp_path, "jsonl", [{"prompt": "What is 2 + 3?", "target": "5"}]))
    assert (report.errors, report.plain, report.identical) == ((), 1, 0)
    assert [warning.partition(" (")[0] for warning in report.warnings] == ["1 pairs have no teacher's prompt"]


def test_53_equal_problems_are_printed_once_with_their_number(tmp_path: Path) -> None:
    path = save(
        tmp_path, "jsonl", [{"prompt": str(number), "target": "5"} for number in range(1200)] + [{"prompt": ""}]
    )
    with pytest.raises(DataError) as error:
        read_pairs(path)
    assert len(error.value.problems) == 1202
    lines = str(error.value).splitlines()
    assert len(lines) == 4
    assert lines[1].startswith(f"  {path}:1: teacher_prompt: missing")
    assert lines[1].endswith(f"(and 1,199 more, to {path}:1200)")


@pytest.mark.parametrize(
    "row",
    [
        {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]},
        {"prompt": "Hi", "completion": "Hello"},
        {"prompt": [{"role": "user", "content": "Hi"}], "completion": [{"role": "assistant", "content": "Hello"}]},
    ],
)
@pytest.mark.parametrize("kind", ["jsonl", "json", "parquet", "folder"])
def test_53_rows_of_trl_are_prompts_with_targets(tmp_path: Path, kind: str, row: dict[str, Any]) -> None:
    path = save(tmp_path, kind, [row])
    (pair,) = read_pairs(path, need_teacher=False)
    assert (pair.prompt, pair.target, pair.meta) == ((Message("user", "Hi"),), "Hello", {})
    with pytest.raises(DataError, match=f"teacher_prompt: missing .*the row has {', '.join(row)}"):
        read_pairs(path)


def test_53_columns_of_trl_beside_both_sides_are_facts_about_the_row(tmp_path: Path) -> None:
    (pair,) = read_pairs([{**ROWS[1], "completion": "Paris", "messages": []}])
    assert (pair.target, pair.meta) == (None, {"completion": "Paris", "messages": []})


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ({"messages": [{"role": "user", "content": "Hi"}]}, "messages: ends with user"),
        ({"messages": [{"role": "assistant", "content": "Hi"}]}, "message 0 is from assistant"),
        ({"messages": ROWS[0]["prompt"], "target": "5"}, "target: given more than once"),
        ({"prompt": "Hi", "completion": ["a"]}, "completion: an array"),
    ],
)
def test_53_rows_of_trl_that_hold_no_answer_are_named(row: dict[str, Any], problem: str) -> None:
    with pytest.raises(DataError, match=problem):
        read_pairs([row], need_teacher=False)


# 57: formats and names of columns


@pytest.mark.parametrize("kind", ["jsonl", "json", "csv", "parquet", "folder", "splits"])
def test_57_every_format_gives_the_same_pairs(tmp_path: Path, kind: str) -> None:
    assert read_pairs(save(tmp_path, kind, ROWS)) == read_pairs(ROWS)
    assert read_pairs(
        save(tmp_path / "q", kind, QUESTIONS) if (tmp_path / "q").mkdir() is None else "", columns=NAMES
    ) == [PromptPair(pair.id, pair.prompt, pair.teacher_prompt, target=pair.target) for pair in read_pairs(ROWS)]


def test_57_a_folder_of_several_splits_names_them(tmp_path: Path) -> None:
    import datasets

    rows = datasets.Dataset.from_list(ROWS)
    datasets.DatasetDict({"train": rows, "test": rows}).save_to_disk(tmp_path / "both")
    with pytest.raises(DataError, match=r"several splits; name one: .*both/test, .*both/train"):
        read_pairs(tmp_path / "both")
    assert read_pairs(tmp_path / "both/test") == read_pairs(ROWS)


def test_57_a_column_map_that_does_not_fit_says_what_was_meant(tmp_path: Path) -> None:
    path = save(tmp_path, "jsonl", QUESTIONS)
    with pytest.raises(ConfigError, match=r"'promt' is none of .*; did you mean 'prompt'"):
        read_pairs(path, columns={"promt": "question"})
    with pytest.raises(ConfigError, match=r"'questoin', and no row has that column; did you mean 'question'"):
        read_pairs(path, columns={"prompt": "questoin"})
    with pytest.raises(DataError, match=r"prompt: is there beside the column 'topic'"):
        read_pairs(save(tmp_path, "jsonl", ROWS[:1]), columns={"prompt": "topic"})


def test_57_the_identity_of_data_covers_their_bytes_and_the_columns_that_are_read(tmp_path: Path) -> None:
    path = save(tmp_path, "jsonl", QUESTIONS)
    folder = save(tmp_path, "folder", ROWS)
    assert (
        len({hash_data(path), hash_data(path, NAMES), hash_data(path, {"prompt": "question"}), hash_data(folder)}) == 4
    )
    before = hash_data(folder)
    (folder / "state.json").write_bytes((folder / "state.json").read_bytes() + b" ")
    assert hash_data(folder) != before


@pytest.mark.parametrize("column", ["taget", "Target", "tagret", "targt", "goup", "perturbaton"])
def test_39_a_column_that_is_nearly_a_known_one_is_named(column: str) -> None:
    with pytest.raises(DataError, match=rf"row 1: {column}: unknown column; did you mean '\w+'\?"):
        read_pairs([{**ROWS[1], column: "5"}])


@pytest.mark.parametrize("column", ["targets", "prompt_id", "source", "category", "score", "question"])
def test_39_other_columns_stay_facts_about_the_row(column: str) -> None:
    assert read_pairs([{**ROWS[0], column: "5"}])[0].meta[column] == "5"


def test_39_a_side_under_a_misspelt_name_is_named() -> None:
    with pytest.raises(DataError, match=r"teacher_prompt: missing .*; did you mean 'teacher_prompt'\?"):
        read_pairs([{"prompt": "a", "techer_prompt": "b"}])


def test_38_values_that_python_cannot_hold_are_named_by_row_and_column(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = tmp_path / "rows.parquet"
    sides = {"prompt": ["a", "b"], "teacher_prompt": ["c", "d"]}
    far = pa.array([0, 10**14], pa.timestamp("s"))
    long = pa.array([1, 2], pa.duration("ns"))
    twice = pa.StructArray.from_arrays([pa.array([1, 2]), pa.array([3, 4])], names=["x", "x"])
    for name, values in (("far", far), ("long", long), ("twice", twice)):
        pq.write_table(pa.table({**sides, name: values}), path)
        with pytest.raises(DataError) as error:
            read_pairs(path)
        assert name in error.value.problems[-1]
        assert error.value.problems[-1].startswith(f"{path}:row 2: ")
        assert all(problem.startswith(f"{path}:row ") for problem in error.value.problems)
    pq.write_table(pa.Table.from_arrays([pa.array(["a"]), pa.array(["b"])], names=["prompt", "prompt"]), path)
    with pytest.raises(DataError, match="a column name comes twice"):
        read_pairs(path)


@pytest.mark.parametrize("name", ["a\0b.jsonl", "x" * 300 + ".jsonl", "y/" * 3000 + "z.csv", "a\0b.parquet", "."])
def test_38_paths_that_cannot_be_are_data_errors(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError) as error:
        read_pairs(name)
    assert len(str(error.value)) < 800


# Data of the hub

COMMIT = "c" * 40


@pytest.fixture
def net(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str | None, str]]:
    """A hub that has one dataset; return what was loaded."""
    import datasets
    import huggingface_hub

    monkeypatch.setenv("UNSWAYED_CACHE", str(tmp_path / "cache"))
    for name in ("UNSWAYED_OFFLINE", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    asked: list[tuple[str, str | None, str]] = []

    def info(_: object, name: str, revision: str | None, files_metadata: bool) -> SimpleNamespace:
        return SimpleNamespace(sha=COMMIT, siblings=[SimpleNamespace(size=10)])

    def load(name: str, revision: str, split: str) -> datasets.Dataset:
        asked.append((name, revision, split))
        if split != "train":
            raise ValueError(f'Unknown split "{split}". Should be one of [train].')
        return datasets.Dataset.from_list(ROWS)

    monkeypatch.setattr(huggingface_hub.HfApi, "dataset_info", info)
    monkeypatch.setattr(datasets, "load_dataset", load)
    return asked


def test_57_a_name_of_the_hub_is_loaded_once_for_each_commit(
    net: list[Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("hub:some/rows", f"hub:some/rows@{COMMIT}", "hub:some/rows@main:train"):
        assert read_pairs(name) == read_pairs(ROWS)
    assert net[0] == ("some/rows", COMMIT, "train")
    monkeypatch.setenv("UNSWAYED_OFFLINE", "1")
    count = len(net)
    assert read_pairs("hub:some/rows") == read_pairs(f"hub:some/rows@{COMMIT}:train") == read_pairs(ROWS)
    for missing in ("hub:some/rows:test", "hub:some/rows@main", "hub:other/rows", f"hub:some/rows@{'d' * 40}"):
        with pytest.raises(ConfigError, match=r"nothing may be downloaded; run `unswayed data fetch hub:.*JSONL"):
            read_pairs(missing)
    assert len(net) == count
    assert check_file("hub:some/rows").errors == ()


def test_57_what_the_hub_does_not_give_says_why(net: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match=r"does not give split 'test' \(ValueError: Unknown split"):
        read_pairs("hub:some/rows:test")
    with pytest.raises(ConfigError, match=r"write hub:OWNER/NAME"):
        read_pairs("hub:rows")
    monkeypatch.setattr(hub, "MOST_BYTES", 9)
    with pytest.raises(ConfigError, match=r"has 10 bytes, more than the 9 that are fetched"):
        read_pairs("hub:some/new")


def test_57_a_set_for_evaluation_only_is_recognised_by_its_name_at_the_hub(net: list[Any]) -> None:
    path = hub.hub_file("hub:Idavidrein/gpqa")
    assert manifest_of(path).exists()
    assert find_evaluation_only(path, read_pairs(path))


def test_53_rows_without_a_teacher_are_written_without_one(tmp_path: Path) -> None:
    scan = scan_pairs([{"id": "a", "prompt": "Hi", "target": "Hello"}, ROWS[0] | {"id": "b"}], need_teacher=False)
    for name in ("pairs.jsonl", "pairs.parquet"):
        write_pairs(tmp_path / name, scan.pairs, plain=scan.plain)
        again = scan_pairs(tmp_path / name, need_teacher=False)
        assert (again.pairs, again.plain) == (scan.pairs, frozenset({"a"}))


# What training makes of them


def test_53_sft_on_targets_prepares_plain_rows_and_other_methods_refuse_them(
    tmp_path: Path, tiny_model_dir: Path
) -> None:
    rows = [{"question": f"what is {number}?", "answer": f"it is {number}"} for number in range(6)]
    path = save(tmp_path, "csv", rows)
    data = {"train": str(path), "columns": {"prompt": "question", "target": "answer"}}
    prepared = prepare(runs.recipe(tmp_path, tiny_model_dir, data=data, method={"name": "sft", "source": "target"}))
    assert all(pair.target_ids for pair in prepared.pairs)
    assert prepared.data_sha256 == hash_data(path, data["columns"]) != hash_data(path)  # type: ignore[arg-type]
    with pytest.raises(DataError, match=r"Only sft with method\.source = 'target' trains without a teacher"):
        prepare(runs.recipe(tmp_path, tiny_model_dir, data=data))


def test_51_training_refuses_swapped_sides_and_warns_of_likely_ones(
    tmp_path: Path, tiny_model_dir: Path, caplog: pytest.LogCaptureFixture
) -> None:
    built = build_pairs(fact_items(["food"])[:4], ["hearsay"], per_item=1)
    sides = [replace(one, prompt=one.teacher_prompt, teacher_prompt=one.prompt) for one in built]
    write_pairs(tmp_path / "pairs.jsonl", sides)
    with pytest.raises(DataError, match="4 of 4 pairs have their sides swapped"):
        prepare(runs.recipe(tmp_path, tiny_model_dir))
    write_pairs(tmp_path / "pairs.jsonl", [replace(one, perturbation="mine/own@1") for one in sides])
    with caplog.at_level("WARNING", logger="unswayed"):
        prepare(runs.recipe(tmp_path, tiny_model_dir))
    assert "the columns are swapped" in caplog.text
