"""Hub models are fetched at one commit, without anything that can run. The hub here is a server on this machine."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar
from urllib.parse import unquote, urlsplit

import pytest

COMMIT = "c0ffee" + "0" * 34
RESOLVE = """
import json, sys
from unswayed.core.errors import UnswayedError
from unswayed.models import resolve
try:
    source = resolve(sys.argv[1], **json.loads(sys.argv[2]))
except UnswayedError as error:
    print(json.dumps({"error": str(error), "code": error.exit_code}))
else:
    files = sorted(path.name for path in source.path.iterdir())
    print(json.dumps({"revision": source.revision, "kind": source.kind, "reference": source.reference,
                      "files": files, "torch": "torch" in sys.modules}))
"""


class Hub(BaseHTTPRequestHandler):
    """As much of the hub's interface as fetching a model takes."""

    files: ClassVar[dict[str, dict[str, bytes]]] = {}
    asked: ClassVar[list[str]] = []

    def log_message(self, *_: object) -> None: ...

    def answer(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def say(self, value: object) -> None:
        self.answer(200, json.dumps(value).encode(), Content_Type="application/json")

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path)
        self.asked.append(path)
        words = path.strip("/").split("/")
        repo = "/".join(words[2:4] if words[0] == "api" else words[:2])
        if repo == "org/gated":
            self.answer(403, b"{}", X_Error_Code="GatedRepo")
        elif repo not in self.files:
            self.answer(404, b"{}", X_Error_Code="RepoNotFound")
        elif words[0] == "api":
            self.about(repo, words[4:])
        elif words[2] == "resolve" and "/".join(words[4:]) in self.files[repo]:
            body = self.files[repo]["/".join(words[4:])]
            self.answer(200, body, ETag=f'"{hashlib.sha1(body).hexdigest()}"', X_Repo_Commit=COMMIT)
        else:
            self.answer(404, b"{}", X_Error_Code="EntryNotFound")

    do_HEAD = do_GET

    def about(self, repo: str, words: list[str]) -> None:
        if len(words) > 1 and words[1] not in {"main", "v1", COMMIT}:
            self.answer(404, b"{}", X_Error_Code="RevisionNotFound")
        elif words[:1] == ["tree"]:
            rows = [
                {"type": "file", "path": name, "size": len(body), "oid": hashlib.sha1(body).hexdigest()}
                for name, body in self.files[repo].items()
            ]
            self.say(rows)
        else:
            self.say({"id": repo, "sha": COMMIT, "siblings": [{"rfilename": name} for name in self.files[repo]]})


@pytest.fixture(scope="module")
def endpoint(tiny_model_dir: Path) -> Iterator[str]:
    """A hub with one good model, and several that must be refused."""
    good = {path.name: path.read_bytes() for path in tiny_model_dir.iterdir()}
    extra = {"README.md": b"#", "evil.py": b"raise SystemExit", "pytorch_model.bin": b"pickle", "original/w.pth": b"x",
             "onnx/config.json": b"{}", "consolidated.safetensors": b"same again"}  # fmt: skip
    pickled = {**{name: body for name, body in good.items() if name != "model.safetensors"}, "model.bin": b"pickle"}
    config = json.loads(good["config.json"]) | {"auto_map": {"AutoModelForCausalLM": "evil.Model"}}
    coded = {**good, "config.json": json.dumps(config).encode(), "evil.py": b"raise SystemExit"}
    Hub.files = {"org/good": {**good, **extra}, "org/pickled": pickled, "org/coded": coded, "org/empty": {"a.txt": b""}}
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()


def resolve(endpoint: str, home: Path, id: str, *, offline: bool = False, **options: object) -> dict[str, object]:
    """Resolve in a fresh process: the hub's client reads its settings once."""
    env = {**os.environ, "HF_ENDPOINT": endpoint, "HF_HOME": str(home), "HF_HUB_OFFLINE": str(int(offline)),
           "HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_DISABLE_XET": "1", "NO_PROXY": "127.0.0.1"}  # fmt: skip
    env.pop("HF_HUB_CACHE", None)
    command = [sys.executable, "-c", RESOLVE, id, json.dumps(options)]
    done = subprocess.run(command, capture_output=True, text=True, env=env, cwd=home.parent, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return {**json.loads(done.stdout), "stderr": done.stderr}


def test_only_text_and_safetensors_are_fetched_at_a_commit(endpoint: str, tmp_path: Path, tiny_model_dir: Path) -> None:
    home = tmp_path / "hf"
    found = resolve(endpoint, home, "org/good")
    assert found["files"] == sorted(path.name for path in tiny_model_dir.iterdir())
    assert (found["revision"], found["kind"], found["reference"]) == (COMMIT, "hub", "org/good")
    assert found["torch"] is False
    assert not [name for name in Hub.asked if name.endswith((".bin", ".pth", ".py"))]
    # What is here is used offline, by flag, by environment, and when the hub does not answer.
    for again in (
        resolve(endpoint, home, "org/good", offline=True),
        resolve(endpoint, home, "org/good", revision=COMMIT, offline=True),
        resolve("http://127.0.0.1:9", home, "org/good"),
    ):
        assert {key: again[key] for key in ("revision", "files")} == {key: found[key] for key in ("revision", "files")}
    assert "the hub does not answer (ConnectError); using commit c0ffee" in str(again["stderr"])


def test_a_tag_is_recorded_as_its_commit(endpoint: str, tmp_path: Path) -> None:
    assert resolve(endpoint, tmp_path / "hf", "org/good", revision="v1")["revision"] == COMMIT


@pytest.mark.parametrize(
    ("id", "options", "says"),
    [
        ("org/pickled", {}, "only in model.bin"),
        ("org/empty", {}, "no safetensors"),
        ("org/gated", {}, "set HF_TOKEN"),
        ("org/nothing", {}, "neither a folder here nor a model on the hub"),
        ("org/good", {"revision": "v9"}, "has no revision 'v9'"),
        ("org/coded", {}, "auto_map"),
        ("org/coded", {"trust_remote_code": True}, "full commit hash"),
        ("org/coded", {"trust_remote_code": True, "revision": "main"}, "full commit hash"),
    ],
)
def test_what_is_refused_says_why(
    endpoint: str, tmp_path: Path, id: str, options: dict[str, object], says: str
) -> None:
    found = resolve(endpoint, tmp_path / "hf", id, **options)
    assert found["code"] == 2
    assert says in str(found["error"])


def test_code_is_fetched_only_when_it_is_allowed_at_a_commit(endpoint: str, tmp_path: Path) -> None:
    allowed = resolve(endpoint, tmp_path / "hf", "org/coded", trust_remote_code=True, revision=COMMIT)
    assert "evil.py" in allowed["files"]  # type: ignore[operator]


def test_offline_and_not_here(endpoint: str, tmp_path: Path) -> None:
    asked = len(Hub.asked)
    found = resolve(endpoint, tmp_path / "hf", "org/good", offline=True)
    assert found["code"] == 2
    assert "not whole on this machine, and nothing may be downloaded" in str(found["error"])
    assert len(Hub.asked) == asked
    unreachable = resolve("http://127.0.0.1:9", tmp_path / "hf", "org/good")
    assert "the hub does not answer" in str(unreachable["error"])
