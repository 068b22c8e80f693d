"""Files that data commands write: split, merged, built beside leftovers and on places that refuse; what is shown."""

from __future__ import annotations

import errno
import http.server
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from unswayed.core.errors import ConfigError, DataError, UnswayedError
from unswayed.core.files import remove_leftovers
from unswayed.core.types import Message, PromptPair
from unswayed.data.build.pairs import build_pairs
from unswayed.data.build.run import build_files
from unswayed.data.build.safety import safety_pairs
from unswayed.data.check import check_file
from unswayed.data.evaluation_only import find_evaluation_only
from unswayed.data.read import read_pairs, write_pairs
from unswayed.data.rearrange import items_of, merge_files, split_file
from unswayed.data.sides import side_warnings, swapped_errors
from unswayed.data.split import HoldOut
from unswayed.perturb import sycophancy
from unswayed.questions.items import arithmetic_items, fact_items
from unswayed.questions.safety_facts import safety_facts
from unswayed.sources import download as downloads
from unswayed.sources.source import Source

SMALL = 'items = ["facts"]\nn = 6\nper_item = 1\nfamilies = ["hearsay"]\n'


def pair(name: str, student: str, teacher: str, **fields: Any) -> PromptPair:
    return PromptPair(name, (Message("user", student),), (Message("user", teacher),), **fields)


def call(*words: object) -> tuple[int, str, str]:
    """Run a command in this process and return its exit code, stdout, and what it would print about an error."""
    from typer.testing import CliRunner

    from unswayed.cli.data import app

    result = CliRunner().invoke(app, [str(word) for word in words])
    error = result.exception
    code = error.exit_code if isinstance(error, UnswayedError) else result.exit_code
    assert error is None or isinstance(error, UnswayedError | SystemExit), error
    return code, result.stdout, str(error or "")


# 58: split and merge


def questions(count: int = 60) -> list[PromptPair]:
    """Two rows for each question, without a group."""
    return [
        pair(f"{number}-{form}", f"I say {form}. What is {number} + 1?", f"What is {number} + 1?")
        for number in range(count)
        for form in "AB"
    ]


def test_58_rows_of_one_question_are_one_item_with_and_without_a_group() -> None:
    items = items_of(
        [*questions(2), pair("x", "a", "b", group="0-A"), pair("y", "c", "What is 9?"), pair("z", "b!", "d")]
    )
    assert items == {"0-A": "0-A", "0-B": "0-A", "1-A": "1-A", "1-B": "1-A", "x": "0-A", "y": "y", "z": "0-A"}


def test_58_a_split_shares_no_item_and_further_rows_move_none(tmp_path: Path) -> None:
    write_pairs(tmp_path / "all.jsonl", questions(60))
    manifest = split_file(tmp_path / "all.jsonl", tmp_path / "train.jsonl", HoldOut(0.25, seed=1))
    assert check_file(tmp_path / "train.jsonl", against=tmp_path / "train.held_out.jsonl").errors == ()
    assert check_file(tmp_path / "train.held_out.jsonl").errors == ()
    held = {row.id for row in read_pairs(tmp_path / "train.held_out.jsonl")}
    assert (manifest["items"], manifest["files"]["held_out"]["rows"]) == (60, len(held))
    assert 16 <= len(held) <= 44
    write_pairs(tmp_path / "more.jsonl", questions(90))
    split_file(tmp_path / "more.jsonl", tmp_path / "other.jsonl", HoldOut(0.25, seed=1))
    more = {row.id for row in read_pairs(tmp_path / "other.held_out.jsonl")}
    assert {name for name in more if int(name.partition("-")[0]) < 60} == held


def test_58_a_split_that_holds_nothing_out_says_so(tmp_path: Path) -> None:
    write_pairs(tmp_path / "all.jsonl", questions(2))
    with pytest.raises(ConfigError, match="of 2 items none is held out; choose another --fraction"):
        split_file(tmp_path / "all.jsonl", tmp_path / "train.jsonl", HoldOut(0.0))
    with pytest.raises(ConfigError, match="is read, so nothing can be written"):
        split_file(tmp_path / "all.jsonl", tmp_path / "all.jsonl", HoldOut(0.5), force=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["all.jsonl"]


def test_58_split_and_merge_on_the_command_line(tmp_path: Path) -> None:
    rows = [{"question": f"What is {n} + 1?", "answer": str(n + 1)} for n in range(40)]
    (tmp_path / "sft.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    names = ["--columns", "prompt=question", "--columns", "target=answer"]
    code, out, _ = call("split", tmp_path / "sft.jsonl", "-o", tmp_path / "train.jsonl", *names, "--json")
    assert (code, json.loads(out)["items"]) == (0, 40)
    assert "teacher_prompt" not in (tmp_path / "train.jsonl").read_text()
    code, _, error = call("merge", tmp_path / "train.jsonl", tmp_path / "train.jsonl", "-o", tmp_path / "twice.jsonl")
    assert (code, "is that of the same row in" in error, "give them ids of their own" in error) == (3, True, True)
    parts = [tmp_path / "train.jsonl", tmp_path / "train.held_out.jsonl"]
    code, out, _ = call("merge", *parts, "-o", tmp_path / "again.jsonl")
    assert code == 0
    assert "40 pairs" in out
    ids = sorted(row.id for row in read_pairs(tmp_path / "again.jsonl", need_teacher=False))
    assert ids == sorted(row.id for part in parts for row in read_pairs(part, need_teacher=False))
    assert call("merge", *parts, "-o", tmp_path / "again.jsonl")[0] == 2
    assert call("split", tmp_path / "sft.jsonl", "-o", tmp_path / "b.jsonl", "--columns", "prompt")[0] == 2


def test_58_sets_for_evaluation_only_stay_known(tmp_path: Path) -> None:
    write_pairs(tmp_path / "a.jsonl", questions(30))
    (tmp_path / "a.manifest.json").write_text(json.dumps({"sources": [{"source": "Idavidrein/gpqa"}]}))
    write_pairs(tmp_path / "b.jsonl", [pair("z", "b", "c")])
    merge_files([tmp_path / "b.jsonl", tmp_path / "a.jsonl"], tmp_path / "both.jsonl")
    split_file(tmp_path / "both.jsonl", tmp_path / "train.jsonl", HoldOut(0.3))
    for name in ("both.jsonl", "train.jsonl", "train.held_out.jsonl"):
        assert find_evaluation_only(tmp_path / name, read_pairs(tmp_path / name))


def test_57_items_under_other_names_are_built(tmp_path: Path) -> None:
    item = {
        "key": "a",
        "topic": "t",
        "q": "Which gas do plants take in?",
        "answer": "carbon dioxide",
        "wrong": ["helium"],
    }
    (tmp_path / "items.jsonl").write_text(json.dumps(item) + "\n")
    (tmp_path / "spec.toml").write_text('items = ["items.jsonl"]\nfamilies = ["hearsay"]\n[columns]\nid = "key"\n')
    command = ("build", tmp_path / "spec.toml", "-o", tmp_path / "pairs.jsonl")
    assert call(*command)[0] == 3
    assert call(*command, "--columns", "question=q")[0] == 0
    assert len(read_pairs(tmp_path / "pairs.jsonl")) == 2
    (tmp_path / "spec.toml").write_text('kind = "jailbreak"\n[columns]\nid = "key"\n')
    assert call(*command)[0] == 2


# 51: swapped sides


def swapped(pairs: list[PromptPair], **changes: Any) -> list[PromptPair]:
    from dataclasses import replace

    return [replace(one, prompt=one.teacher_prompt, teacher_prompt=one.prompt, **changes) for one in pairs]


@pytest.mark.parametrize("family", [*sycophancy.FAMILIES, "choice/hearsay", "choice/are_you_sure"])
def test_51_swapped_sides_of_known_families_are_certain(family: str) -> None:
    pairs = build_pairs([*fact_items(["food", "body"])[:8], *arithmetic_items(8)], [family], seed=1, per_item=2)
    assert not list(swapped_errors(pairs))
    assert side_warnings(pairs) == []
    for changes in ({}, {"meta": {}}):
        assert len(list(swapped_errors(swapped(pairs, **changes)))) == len(pairs)


def test_51_a_teacher_that_is_told_a_fact_is_no_swap() -> None:
    pairs = safety_pairs(safety_facts()[:6])
    assert not list(swapped_errors(pairs))
    assert side_warnings(pairs) == []
    assert len(list(swapped_errors(swapped(pairs)))) == len(pairs)


def test_51_sides_of_unknown_perturbations_are_a_warning(tmp_path: Path) -> None:
    pairs = [
        pair(str(n), f"What is {n} + 2?", f"I think it is {n + 30}. What is {n} + 2?", meta={"hinted": str(n + 30)})
        for n in range(10, 20)
    ]
    found = side_warnings(pairs)
    assert [warning.partition(". ")[0] for warning in found] == [
        "10 of 10 pairs name the hinted answer in teacher_prompt but not in prompt",
        "10 of 10 pairs ask in teacher_prompt what they ask in prompt, with text added",
    ]
    assert side_warnings(swapped(pairs)) == []
    assert not list(swapped_errors(pairs))
    write_pairs(tmp_path / "pairs.jsonl", pairs)
    assert set(found) <= set(check_file(tmp_path / "pairs.jsonl").warnings)
    told = [pair(str(n), f"Q{n}", f"The answer is {n + 30}. Which?", target=str(n + 30)) for n in range(4)]
    assert "name the target in teacher_prompt" in side_warnings(told)[0]


def test_51_check_ends_with_a_data_error(tmp_path: Path) -> None:
    write_pairs(tmp_path / "pairs.jsonl", swapped(build_pairs(fact_items(["food"])[:5], ["hearsay"], per_item=1)))
    code, _, error = call("check", tmp_path / "pairs.jsonl")
    assert (code, "the sides are swapped: sycophancy/hearsay@1 put on prompt" in error) == (3, True)


# 36: nothing in the data reaches the terminal


@pytest.mark.parametrize("mark", ["\x9b", "\u202e", "\x1b[2J", "\x7f", "\U000e0041"])
def test_36_control_characters_are_written_out_also_in_json(tmp_path: Path, mark: str) -> None:
    rows = [pair("a", f"I say {mark}x", "y", axis=f"a{mark}", perturbation=f"p{mark}", meta={"topic": f"t{mark}"})]
    write_pairs(tmp_path / "pairs.jsonl", rows)
    for words in (["check"], ["check", "--json"], ["show"], ["show", "--json"]):
        code, out, _ = call(words[0], tmp_path / "pairs.jsonl", *words[1:])
        assert code == 0
        assert mark not in out
        if "--json" in words:  # and a program reads what the file holds
            found = json.loads(out)
            assert (list(found["topics"]) if words[0] == "check" else [found[0]["meta"]["topic"]]) == [f"t{mark}"]


# 38, 42: places that refuse, and what killed writers leave


def test_42_the_next_build_removes_what_a_killed_one_left_and_nothing_else(tmp_path: Path) -> None:
    spec, output = tmp_path / "spec.toml", tmp_path / "pairs.jsonl"
    spec.write_text(SMALL)
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    ours = [tmp_path / f".tmp-{name}-{ended.pid}" for name in ("pairs.jsonl", "pairs.manifest.json")]
    others = [
        tmp_path / name
        for name in (
            f".tmp-pairs.jsonl-{os.getppid()}",
            f".tmp-other.jsonl-{ended.pid}",
            ".tmp-pairs.jsonl-notes",
            ".tmp-x",
        )
    ]
    for path in (*ours, *others):
        path.write_text("half")
    build_files(spec, output)
    assert not any(path.exists() for path in ours)
    assert all(path.exists() for path in others)


def test_42_a_killed_build_is_followed_by_a_whole_one_without_leftovers(tmp_path: Path) -> None:
    spec, output = tmp_path / "spec.toml", tmp_path / "pairs.jsonl"
    spec.write_text(SMALL)
    code = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from unswayed.data.build.run import build_files\n"
        "os.rename = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
        "build_files(Path(sys.argv[1]), Path(sys.argv[2]))\n"
    )
    assert subprocess.run([sys.executable, "-c", code, spec, output], check=False).returncode == -9
    assert len(list(tmp_path.glob(".tmp-*"))) == 1
    build_files(spec, output)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["pairs.jsonl", "pairs.manifest.json", "spec.toml"]


def test_42_a_folder_that_a_killed_fetch_left_is_removed(tmp_path: Path) -> None:
    (tmp_path / ".tmp-set-999999999").mkdir()
    (tmp_path / ".tmp-set-999999999/part").write_text("half")
    remove_leftovers(tmp_path / "set")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("number", "code", "advice"),
    [(errno.ENOSPC, 1, "the disk is full; make room, or choose another file"), (errno.EROFS, 2, "cannot be written"),
     (errno.EACCES, 2, "cannot be written"), (errno.EIO, 2, "cannot be written")],
)  # fmt: skip
def test_38_places_that_refuse_end_with_path_and_advice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, code: int, advice: str
) -> None:
    (tmp_path / "spec.toml").write_text(SMALL)
    write_pairs(tmp_path / "all.jsonl", questions(30))

    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("os.fsync", refuse)
    output = tmp_path / "out.jsonl"
    for words in (
        ["build", tmp_path / "spec.toml"],
        ["split", tmp_path / "all.jsonl"],
        ["merge", tmp_path / "all.jsonl"],
    ):
        ended, _, error = call(*words, "-o", output)
        assert (ended, str(output) in error, advice in error, "-o" in error) == (code, True, True, True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["all.jsonl", "spec.toml"]


@pytest.mark.parametrize("name", ["a\0b.jsonl", "x" * 300 + ".jsonl", "spec.toml/pairs.jsonl", "pairs", "."])
def test_38_outputs_that_cannot_be_are_named(tmp_path: Path, name: str) -> None:
    (tmp_path / "spec.toml").write_text(SMALL)
    with pytest.raises((ConfigError, DataError)) as error:
        build_files(tmp_path / "spec.toml", tmp_path / name)
    assert len(str(error.value)) < 800
    with pytest.raises((ConfigError, DataError)):
        build_files(tmp_path / name / "absent.toml", tmp_path / "pairs.jsonl")
    assert [path.name for path in tmp_path.iterdir()] == ["spec.toml"]


@pytest.mark.parametrize("against", ["a\0b", "x" * 300, "nothing"])
def test_38_what_check_compares_with_may_be_no_path(tmp_path: Path, against: str) -> None:
    write_pairs(tmp_path / "all.jsonl", questions(2))
    code, _, error = call("check", tmp_path / "all.jsonl", "--against", against)
    assert (code, "no such file, and no suite" in error) == (2, True)


@pytest.mark.parametrize(
    "text", ["[]", "{", "[" * 100000, '{"files": 3}', '{"files": {"a": 1}}', "\x00", '{"sources": 1}']
)
def test_38_a_damaged_manifest_is_an_error_of_the_report(tmp_path: Path, text: str) -> None:
    write_pairs(tmp_path / "all.jsonl", questions(30))
    (tmp_path / "all.manifest.json").write_text(text)
    code, _, error = call("check", tmp_path / "all.jsonl")
    assert (code, "is not a manifest of pairs" in error) == (3, True)
    assert find_evaluation_only(tmp_path / "all.jsonl", questions(2)) == {}
    split_file(tmp_path / "all.jsonl", tmp_path / "train.jsonl", HoldOut(0.3))


# 40: servers without an end


class Endless(http.server.BaseHTTPRequestHandler):
    """Sends bytes until the other side has gone."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        slow = self.path.endswith("slow.jsonl")
        try:
            while not (slow and self.server.stop.wait(0.02)):  # type: ignore[attr-defined]
                self.wfile.write(b"x" if slow else b"x" * 65536)
        except OSError:
            pass

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def endless() -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Endless)
    server.daemon_threads = True
    server.stop = threading.Event()  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.stop.set()  # type: ignore[attr-defined]
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize(
    ("file", "most_bytes", "most_seconds", "message"),
    [("fast.jsonl", 10**6, 60.0, "gave more than 1,000,000 bytes"), ("slow.jsonl", 10**6, 0.3, "gave no end in time")],
)
def test_40_an_endless_server_ends_in_an_error_and_nothing_is_kept(
    endless: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str, most_bytes: int, most_seconds: float,
    message: str,
) -> None:  # fmt: skip
    monkeypatch.setenv("UNSWAYED_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("huggingface_hub.constants.is_offline_mode", lambda: False)
    monkeypatch.setattr(downloads, "MOST_BYTES", most_bytes)
    monkeypatch.setattr(downloads, "MOST_SECONDS", most_seconds)
    monkeypatch.setattr(Source, "url", property(lambda self: f"{endless}/{file}"))
    one = Source("toy/endless", "github.com/somebody/endless", "CC0", "toy/endless.jsonl", "a" * 40, file)
    with pytest.raises(ConfigError, match=f"{message}.*nothing was kept; run `unswayed data fetch"):
        downloads.download(one)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
