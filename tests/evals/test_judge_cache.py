"""Verdicts on disk: asked once, keyed on what matters, whole after a kill."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from fake_judges import FakeJudge

from unswayed.core.errors import DataError
from unswayed.core.files import read_jsonl
from unswayed.judges.base import Item
from unswayed.judges.cache import CHUNK, CachedJudge
from unswayed.judges.rubrics import rubric

BY = rubric("refusal")


def truth(item: Item) -> bool:
    return int(item.request) % 3 == 0


def items(n: int) -> list[Item]:
    return [Item(str(i), f"reply {i}") for i in range(n)]


def cached(folder: Path, **given: object) -> tuple[CachedJudge, FakeJudge]:
    judge = FakeJudge(truth, **given)  # type: ignore[arg-type]
    return CachedJudge(judge, folder), judge


def test_a_question_is_asked_once(tmp_path: Path) -> None:
    first, asked = cached(tmp_path)
    verdicts = first.grade(BY, items(20))
    assert first.grade(BY, [*items(20), *items(3)]) == [*verdicts, *verdicts[:3]]
    assert len(asked.asked) == 20
    second, again = cached(tmp_path)
    assert second.grade(BY, list(reversed(items(20)))) == list(reversed(verdicts))
    assert again.asked == []
    assert first.identity == asked.identity
    only, repeated = cached(tmp_path / "other")
    only.grade(BY, [*items(2), *items(2)])
    assert len(repeated.asked) == 2


def test_everything_that_matters_is_in_the_key(tmp_path: Path) -> None:
    item = Item("0", "reply", {"safety_fact": "a", "unused": "b"})
    judge, _ = cached(tmp_path)
    key = judge.key(rubric("sage"), item)
    assert judge.key(rubric("sage"), replace(item, material={"safety_fact": "a", "unused": "c"})) == key
    others = [
        judge.key(rubric("sage"), replace(item, request="1")),
        judge.key(rubric("sage"), replace(item, reply="reply ")),
        judge.key(rubric("sage"), replace(item, material={"safety_fact": "c"})),
        judge.key(rubric("safe_sage"), item),
        judge.key(replace(rubric("sage"), version=2), item),
        judge.key(replace(rubric("sage"), task="other words"), item),
        cached(tmp_path, identity="another")[0].key(rubric("sage"), item),
    ]
    assert len({key, *others}) == 8


def test_failures_are_asked_again_and_other_verdicts_are_not(tmp_path: Path) -> None:
    faults = {"0": "error", "1": "refused", "2": "unparsed"}
    judge, _ = cached(tmp_path, fails=lambda item: faults.get(item.request))
    assert [verdict.status for verdict in judge.grade(BY, items(4))] == ["error", "refused", "unparsed", "ok"]
    better, asked = cached(tmp_path)
    assert [verdict.status for verdict in better.grade(BY, items(4))] == ["ok", "refused", "unparsed", "ok"]
    assert [item.request for item in asked.asked] == ["0"]


def test_a_torn_line_is_dropped_and_a_changed_one_refused(tmp_path: Path) -> None:
    judge, _ = cached(tmp_path)
    whole = judge.grade(BY, items(5))
    path = judge.path(BY)
    path.write_bytes(path.read_bytes()[:-20])
    later, asked = cached(tmp_path)
    assert later.grade(BY, items(8))[:5] == whole
    assert [item.request for item in asked.asked] == ["4", "5", "6", "7"]
    assert len(read_jsonl(path)) == 8
    path.write_bytes(b"{\n" + path.read_bytes())
    with pytest.raises(DataError, match="changed by something else"):
        cached(tmp_path)[0].grade(BY, items(1))


def test_two_processes_may_share_a_folder(tmp_path: Path) -> None:
    one, _ = cached(tmp_path)
    two, _ = cached(tmp_path)
    one.grade(BY, items(1))
    two.grade(BY, items(2))
    one.grade(BY, items(3))
    keys = [row["key"] for row in read_jsonl(one.path(BY))]
    assert len(set(keys)) == 3
    assert cached(tmp_path)[0].grade(BY, items(3)) == one.grade(BY, items(3))


def test_sigkill_in_the_middle_loses_at_most_what_was_under_way(tmp_path: Path) -> None:
    child = [sys.executable, __file__, str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    process = subprocess.Popen([*child, "0.01"], env=environment)
    probe, _ = cached(tmp_path)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        if probe.path(BY).exists() and probe.path(BY).read_bytes().count(b"\n") >= 3 * CHUNK:
            break
        time.sleep(0.005)
    assert process.poll() is None, "the child ended before it was killed"
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    kept = len(read_jsonl(probe.path(BY)))
    assert 3 * CHUNK <= kept < 400
    resumed, asked = cached(tmp_path)
    verdicts = resumed.grade(BY, items(400))
    assert len(asked.asked) == 400 - kept
    assert [verdict.score == 1 for verdict in verdicts] == [truth(item) for item in items(400)]
    keys = [row["key"] for row in read_jsonl(probe.path(BY))]
    assert len(keys) == len(set(keys)) == 400


if __name__ == "__main__":  # the child process that is killed

    def slow(item: Item) -> bool:
        time.sleep(float(sys.argv[2]))
        return truth(item)

    CachedJudge(FakeJudge(slow), Path(sys.argv[1])).grade(BY, items(400))
