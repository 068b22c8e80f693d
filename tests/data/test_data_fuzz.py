"""Mutated files of pairs: every one is read, or ends in an error with its path; never in anything unexpected."""

from __future__ import annotations

import io
import json
import random
from pathlib import Path
from typing import Any

from unswayed.core.errors import ConfigError, DataError
from unswayed.data.check import check_file
from unswayed.data.read import read_pairs

WORDS: list[Any] = [
    "", " ", "\x00", "\x9b", "\u202e", "a" * 5000, None, True, -1, 1.5, 10**30, [], {}, [[]], [None], ["a"], "[", "[{",
    '[{"role": "user", "content": "a"}]', '[{"role": 1}]', [{"role": "user", "content": "a"}], [{"role": "assistant"}],
    [{"role": "user", "content": None}], {"role": "user", "content": "a"}, "prompt", "5", "sycophancy/hearsay@1",
    "choice/hearsay@1", "jailbreak/payload@1", {"phrasing": 99, "hinted": "a"}, {"phrasing": -1}, {"options": 3},
    {"hinted": "a", "accepted": ["b"], "hint_is_right": True, "options": []}, '{"a": 1, "a": 2}',
]  # fmt: skip
NAMES = ["prompt", "teacher_prompt", "id", "group", "axis", "perturbation", "target", "system", "meta", "messages",
         "completion", "privileged_context", "clean", "taget", "", "x\n", "\x1b", "score"]  # fmt: skip


def row(draw: random.Random) -> dict[str, Any]:
    """Return a row that is usually sound but for one or two of its columns."""
    number = draw.randrange(99)
    made: dict[str, Any] = {"prompt": f"I say A. What is {number}?", "teacher_prompt": f"What is {number}?"}
    if draw.random() < 0.3:
        made |= {"perturbation": draw.choice(WORDS), "meta": draw.choice(WORDS), "target": "ab"}
    for _ in range(draw.choice([0, 0, 0, 1, 2])):
        made[draw.choice(NAMES)] = draw.choice(WORDS)
    if draw.random() < 0.1:
        made.pop(draw.choice(list(made)))
    return made


def as_jsonl(rows: list[dict[str, Any]], draw: random.Random) -> bytes:
    if draw.random() < 0.2:
        return json.dumps(rows).encode()
    return "".join(json.dumps(one, ensure_ascii=draw.random() < 0.5) + "\n" for one in rows).encode()


def as_csv(rows: list[dict[str, Any]], draw: random.Random) -> bytes:
    import csv

    text = io.StringIO()
    names = list(dict.fromkeys(name for one in rows for name in one))
    writer = csv.writer(text)
    writer.writerow(names)
    writer.writerows(
        [json.dumps(one.get(name)) if draw.random() < 0.1 else one.get(name) for name in names] for one in rows
    )
    return text.getvalue().encode()


def as_parquet(rows: list[dict[str, Any]], draw: random.Random) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    odd = [
        pa.array([10**14] * len(rows), pa.timestamp("s")), pa.array([7] * len(rows), pa.duration("ns")),
        pa.array([b"\xff\xfe"] * len(rows)), pa.array([2**31 - 1] * len(rows), pa.date32()),
        pa.array(["a"] * len(rows), pa.dictionary(pa.int8(), pa.string())), pa.nulls(len(rows)),
        pa.StructArray.from_arrays([pa.array([1] * len(rows)), pa.array([2] * len(rows))], names=["role", "role"]),
        pa.array([[("a", 1)]] * len(rows), pa.map_(pa.string(), pa.int64())), pa.array([float("nan")] * len(rows)),
    ]  # fmt: skip
    sides = {
        "prompt": [f"I say A. What is {number}?" for number in range(len(rows))],
        "teacher_prompt": [f"What is {number}?" for number in range(len(rows))],
    }
    table = pa.table(sides)
    for _ in range(draw.randrange(3)):
        table = table.append_column(draw.choice(NAMES), draw.choice(odd))
    buffer = io.BytesIO()
    pq.write_table(table, buffer)
    return buffer.getvalue()


def mutated(content: bytes, draw: random.Random) -> bytes:
    """Return bytes with a few of them changed, cut out, doubled or put elsewhere."""
    made = bytearray(content)
    for _ in range(draw.choice([0, 0, 0, 1, 8])):
        start, length = draw.randrange(len(made) + 1), draw.choice([1, 1, 4, 40])
        match draw.randrange(4):
            case 0:
                made[start : start + length] = draw.randbytes(length)
            case 1:
                del made[start : start + length]
            case 2:
                made[start:start] = made[start : start + length]
            case 3:
                made[start:start] = draw.choice(
                    [b"\x00", b"\xff", b'"', b"{", b"\n", b"\xef\xbb\xbf", b"[" * 3000, b","]
                )
    return bytes(made)


def fuzz(folder: Path, count: int, seed: int) -> dict[str, int]:
    """Read `count` mutated files in every way that people do; return how many ended in which way."""
    ends: dict[str, int] = {}
    for number in range(count):
        draw = random.Random(seed * 1_000_003 + number)
        kind, write = draw.choice([("jsonl", as_jsonl), ("json", as_jsonl), ("csv", as_csv), ("parquet", as_parquet)])
        path = folder / f"rows.{kind}"
        path.write_bytes(mutated(write([row(draw) for _ in range(draw.choice([0, 1, 1, 1, 3]))], draw), draw))
        options: dict[str, Any] = {
            "columns": draw.choice([{}, {}, {"target": "score"}, {"promt": "x"}]),
            "allow_identical": draw.random() < 0.5,
        }
        ended: DataError | ConfigError | None = None
        try:
            report = check_file(path, **options)
            json.dumps(report.to_dict())
            for problem in report.errors:
                assert "\x1b" not in problem, (seed, number, problem)
                assert "\x9b" not in problem, (seed, number, problem)
            read_pairs(path, **options, need_teacher=draw.random() < 0.5)
        except (DataError, ConfigError) as error:
            ended = error
        except Exception as error:
            raise AssertionError(f"seed {seed}, file {number}, {path}: {error!r}") from error
        if isinstance(ended, DataError):
            assert str(path) in str(ended), (seed, number, ended)
            assert all(problem.startswith(f"{path}:") for problem in ended.problems), (seed, number, ended)
        elif ended:
            assert "columns:" in str(ended), (seed, number, ended)
        end = type(ended).__name__ if ended else "read"
        ends[f"{kind} {end}"] = ends.get(f"{kind} {end}", 0) + 1
    return ends


def test_38_mutated_files_end_as_promised(tmp_path: Path) -> None:
    ends = fuzz(tmp_path, 400, seed=1)
    # A fuzzer that reads nothing, or breaks nothing, tests nothing.
    assert min(ends[f"{kind} {end}"] for kind in ("jsonl", "csv", "parquet") for end in ("read", "DataError")) > 3
