"""Public sets by name: the list itself, where a set is found, and what is refused."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from unswayed.core.errors import ConfigError, DataError
from unswayed.core.hashing import hash_file, hash_json
from unswayed.sources import catalogue as registry
from unswayed.sources import download as downloads
from unswayed.sources.catalogue import locate, read_source, source, sources
from unswayed.sources.source import Source

ROWS = [{"question": "What is 2 + 3?", "answer": "5"}, {"question": "What is 7 - 3?", "answer": "4"}]
TEXT = "".join(json.dumps(row) + "\n" for row in ROWS)
SUMS = Source(
    name="toy/sums",
    home="github.com/somebody/sums",
    revision="a" * 40,
    licence="CC0",
    path="toy/sums.jsonl",
    file="data/sums.jsonl",
    sha256=hashlib.sha256(TEXT.encode()).hexdigest(),
    rows=2,
)
PARTS = {"dev/adding_dev.csv": "What is 1 + 1?,2\n", "test/adding_test.csv": '"What is 2, plus 2?",4\n'}
FOLDER = Source(
    name="toy/parts",
    home="github.com/somebody/parts",
    revision="b" * 40,
    licence="CC0",
    path="parts",
    file="data/parts",
    sha256=hash_json({name: hashlib.sha256(text.encode()).hexdigest() for name, text in PARTS.items()}),
    rows=2,
    members=tuple(PARTS),
    columns=("question", "answer"),
)
HUB = Source(
    name="toy/asked",
    home="huggingface.co/datasets/somebody/asked",
    licence="none stated",
    path="toy/asked.jsonl",
    gated=True,
    evaluation_only=True,
)
NO_HOME = replace(SUMS, name="toy/derived", file="", note="made of the sums")


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that has nothing yet and knows four sets."""
    monkeypatch.setenv("UNSWAYED_CACHE", str(tmp_path / "cache"))
    for name in ("UNSWAYED_DATA", "UNSWAYED_OFFLINE", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(registry, "sources", lambda: (HUB, NO_HOME, FOLDER, SUMS))


@pytest.fixture
def real_list(alone: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sets of the package instead."""
    monkeypatch.setattr(registry, "sources", sources)


@pytest.fixture
def web(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """Serve texts by the end of their URL; return the list of what was asked for."""

    def serve(texts: dict[str, str]) -> list[str]:
        asked: list[str] = []

        def stream(_: str, url: str, **__: Any) -> AbstractContextManager[SimpleNamespace]:
            asked.append(url)
            found = next((text for end, text in texts.items() if url.endswith(end)), None)
            answer = SimpleNamespace(
                status_code=404 if found is None else 200, iter_bytes=lambda: [(found or "").encode()]
            )
            return nullcontext(answer)

        monkeypatch.setattr("huggingface_hub.get_session", lambda: SimpleNamespace(stream=stream))
        return asked

    return serve


# The list


def test_every_set_says_what_it_is_and_where_from() -> None:
    listed = sources()
    assert len({one.name for one in listed}) == len({one.path for one in listed}) == len(listed)
    for one in listed:
        assert re.fullmatch(r"[a-z_]+/[a-z0-9_]+", one.name)
        assert one.licence
        assert not Path(one.path).is_absolute()
        assert ".." not in one.path
        assert one.sha256 is None or re.fullmatch(r"[0-9a-f]{64}", one.sha256)
        if one.home.startswith("github.com/"):
            assert re.fullmatch(r"[0-9a-f]{12}|[0-9a-f]{40}", one.revision or "")
            assert one.rows
            assert one.url == "" or f"/{one.revision}/" in one.url
        else:
            assert one.url == f"https://{one.home}"


def test_what_its_authors_ask_not_to_train_on_is_marked(real_list: None) -> None:
    assert {one.name for one in sources() if one.evaluation_only} == {
        "capability/gpqa", "safety_awareness/sage_eval", "safety_awareness/safe_sage",
    }  # fmt: skip
    assert source("gpqa").gated
    assert source("strongreject").sensitive
    assert source("gpqa").flags == ("evaluation only", "gated")


def test_the_last_part_of_a_name_is_enough_where_it_is_alone(real_list: None, monkeypatch: pytest.MonkeyPatch) -> None:
    assert source("gsm8k") is source("capability/gsm8k")
    with pytest.raises(ConfigError, match=r"no data source 'sm8k'; did you mean 'capability/gsm8k'\? There are bct/"):
        source("sm8k")
    twins = (SUMS, replace(SUMS, name="other/sums"))
    monkeypatch.setattr(registry, "sources", lambda: twins)
    with pytest.raises(ConfigError, match="'sums' may be toy/sums or other/sums"):
        source("sums")


# Where a set is found


def test_a_download_is_checked_and_then_found_without_the_network(
    web: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "unswayed")
    asked = web({"sums.jsonl": TEXT})
    rows, identity = read_source("toy/sums")
    assert rows == ROWS
    assert identity == {
        "source": "toy/sums",
        "home": "github.com/somebody/sums",
        "revision": "a" * 40,
        "sha256": SUMS.sha256,
        "licence": "CC0",
    }
    assert asked == ["https://raw.githubusercontent.com/somebody/sums/" + "a" * 40 + "/data/sums.jsonl"]
    assert "licence: CC0" in caplog.text
    monkeypatch.setenv("UNSWAYED_OFFLINE", "1")
    assert read_source("sums") == (rows, identity)
    assert len(asked) == 1


def test_other_bytes_from_the_home_are_not_kept(web: Callable[..., list[str]], tmp_path: Path) -> None:
    web({"sums.jsonl": TEXT.replace("5", "6")})
    with pytest.raises(DataError, match=r"other bytes than are pinned.*nothing was kept"):
        locate("toy/sums")
    assert not list(tmp_path.rglob("*.jsonl"))


def test_a_folder_is_downloaded_whole_and_its_rows_say_which_part(
    web: Callable[..., list[str]], tmp_path: Path
) -> None:
    web({"adding_dev.csv": PARTS["dev/adding_dev.csv"]})
    with pytest.raises(ConfigError, match="HTTP 404"):
        locate("toy/parts")
    assert not list(tmp_path.rglob("*.csv"))
    web(PARTS)
    rows, identity = read_source("toy/parts")
    assert rows == [
        {"question": "What is 1 + 1?", "answer": "2", "split": "dev", "subject": "adding"},
        {"question": "What is 2, plus 2?", "answer": "4", "split": "test", "subject": "adding"},
    ]
    assert identity["sha256"] == FOLDER.sha256
    assert not list(tmp_path.rglob(".tmp-*"))
    (locate("toy/parts") / "dev/adding_dev.csv").unlink()
    with pytest.raises(DataError, match="lacks 1 of 2 files"):
        locate("toy/parts")


@pytest.mark.parametrize("variable", ["UNSWAYED_OFFLINE", "HF_HUB_OFFLINE"])
def test_offline_nothing_is_asked_for_and_the_error_says_what_to_do(
    variable: str, web: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = web({"sums.jsonl": TEXT})
    monkeypatch.setenv(variable, "1")
    with pytest.raises(
        ConfigError, match=r"unswayed data fetch toy/sums.*toy/sums\.jsonl in the folder.*UNSWAYED_DATA"
    ):
        locate("toy/sums")
    with pytest.raises(ConfigError, match="accept its terms there, and set HF_TOKEN"):
        locate("toy/asked")
    assert asked == []
    monkeypatch.setenv(variable, "0")
    assert locate("toy/sums").is_file()


def test_a_set_without_a_file_at_home_says_how_to_make_it() -> None:
    with pytest.raises(ConfigError, match=r"no such file to download.*made of the sums"):
        locate("toy/derived")


def test_unswayed_data_comes_first_and_must_be_the_pinned_copy(
    web: Callable[..., list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = web({})
    (tmp_path / "data/toy").mkdir(parents=True)
    copy = tmp_path / "data/toy/sums.jsonl"
    copy.write_text(TEXT)
    monkeypatch.setenv("UNSWAYED_DATA", str(tmp_path / "data"))
    assert locate("toy/sums") == copy
    assert read_source("toy/sums")[1]["revision"] == "a" * 40
    copy.write_text(TEXT + "\n")
    with pytest.raises(DataError, match="is not the pinned copy"):
        locate("toy/sums")
    assert asked == []
    monkeypatch.setenv("UNSWAYED_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(ConfigError, match="is no folder"):
        locate("toy/sums")


def test_where_no_bytes_are_pinned_the_rows_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copy = tmp_path / "data/toy/sums.jsonl"
    copy.parent.mkdir(parents=True)
    copy.write_text(TEXT)
    monkeypatch.setenv("UNSWAYED_DATA", str(tmp_path / "data"))
    monkeypatch.setattr(registry, "sources", lambda: (replace(SUMS, sha256=None),))
    rows, identity = read_source("toy/sums")
    assert (rows, identity["sha256"], identity["revision"]) == (ROWS, hash_file(copy), None)
    monkeypatch.setattr(registry, "sources", lambda: (replace(SUMS, sha256=None, rows=3),))
    with pytest.raises(DataError, match="it has 2 rows, not 3"):
        locate("toy/sums")


def test_a_given_file_may_differ_and_is_named_by_its_own_hash(tmp_path: Path) -> None:
    mine = tmp_path / "mine.jsonl"
    mine.write_text(TEXT * 2)
    rows, identity = read_source("toy/sums", mine)
    assert len(rows) == 4
    assert (identity["sha256"], identity["revision"]) == (hash_file(mine), None)
    mine.write_text(TEXT)
    assert read_source("toy/sums", mine)[1]["revision"] == "a" * 40
    with pytest.raises(ConfigError, match="does not exist"):
        read_source("toy/sums", tmp_path / "absent.jsonl")
    with pytest.raises(DataError, match="is a folder"):
        read_source("toy/sums", tmp_path)


def test_a_hub_dataset_is_kept_as_rows_under_the_commit_it_had(monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets
    import huggingface_hub

    commit = "c" * 40
    parts = {"train": datasets.Dataset.from_list(ROWS[:1]), "test": datasets.Dataset.from_list(ROWS[1:])}

    def info(_: object, name: str, revision: str | None) -> SimpleNamespace:
        assert (name, revision) == ("somebody/asked", None)
        return SimpleNamespace(sha=commit)

    monkeypatch.setattr(huggingface_hub.HfApi, "dataset_info", info)
    monkeypatch.setattr(datasets, "load_dataset", lambda name, config, revision: parts)
    rows, identity = read_source("toy/asked")
    assert rows == [{**ROWS[1], "split": "test"}, {**ROWS[0], "split": "train"}]
    assert identity["revision"] == commit
    assert identity["sha256"] == hash_file(locate("toy/asked"))

    def refused(*_: object, **__: object) -> None:
        raise OSError("gated")

    monkeypatch.setattr(huggingface_hub.HfApi, "dataset_info", refused)
    assert read_source("toy/asked") == (rows, identity)
    locate("toy/asked").unlink()
    with pytest.raises(ConfigError, match=r"the hub does not give somebody/asked.*accept its terms"):
        read_source("toy/asked")


def test_a_full_disk_leaves_nothing_behind(
    web: Callable[..., list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import errno

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    web({"sums.jsonl": TEXT, **PARTS})
    monkeypatch.setattr(downloads, "write_atomic", full)
    for name in ("toy/sums", "toy/parts"):
        with pytest.raises(Exception, match="the disk is full") as caught:
            locate(name)
        assert caught.type.__name__ == "UnswayedError"
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


# On the command line


def call(*words: str) -> tuple[int, str, BaseException | None]:
    from typer.testing import CliRunner

    from unswayed.cli.data import app

    result = CliRunner().invoke(app, list(words), env={"COLUMNS": "160"})
    return result.exit_code, result.stdout, None if isinstance(result.exception, SystemExit) else result.exception


def test_the_list_says_what_is_here_and_what_is_not_the_pinned_copy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = tmp_path / "data/toy/sums.jsonl"
    copy.parent.mkdir(parents=True)
    copy.write_text(TEXT)
    monkeypatch.setenv("UNSWAYED_DATA", str(tmp_path / "data"))
    monkeypatch.setattr(registry, "sources", lambda: (HUB, FOLDER, SUMS))
    states = {row["name"]: row["state"] for row in json.loads(call("sources", "--json")[1])}
    assert states == {"toy/asked": "not here", "toy/parts": "not here", "toy/sums": str(copy)}
    lines = {line.split()[0]: line for line in call("sources")[1].splitlines() if line.strip()}
    assert lines["toy/asked"].split()[1:] == ["?", "none", "stated", "evaluation", "only,", "gated", "not", "here"]
    copy.write_text(TEXT * 2)
    states = {row["name"]: row["state"] for row in json.loads(call("sources", "--json")[1])}
    assert states["toy/sums"].startswith(f"not the pinned copy: {copy} (its SHA-256 begins")


def test_fetch_prints_where_each_set_lies_and_knows_every_name_before_it_fetches(web: Callable[..., list[str]]) -> None:
    asked = web({"sums.jsonl": TEXT})
    code, _, error = call("fetch", "sums", "nothing")
    assert code != 0
    assert isinstance(error, ConfigError)
    assert asked == []
    code, out, error = call("fetch", "sums")
    assert (code, error) == (0, None)
    assert out.split() == ["toy/sums", str(locate("toy/sums"))]
