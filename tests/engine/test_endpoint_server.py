"""A policy behind a real server (`transformers serve`) writes what the same model writes in this process."""

from __future__ import annotations

import importlib.util
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from unswayed.core.types import SamplingParams
from unswayed.engine.named import load_policy
from unswayed.evals.registry import suite
from unswayed.models import ModelSource

NEEDS = ("fastapi", "uvicorn", "openai")
MISSING = [name for name in NEEDS if importlib.util.find_spec(name) is None]
pytestmark = [
    pytest.mark.deep,
    pytest.mark.real_model,
    pytest.mark.skipif(bool(MISSING), reason=f"transformers serve needs {', '.join(MISSING)}"),
]


@pytest.fixture
def url(smollm2: ModelSource, tmp_path: Path) -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [str(Path(sys.executable).with_name("transformers")), "serve", str(smollm2.path)]
    command += ["--device", "cpu", "--dtype", "float32", "--host", "127.0.0.1", "--port", str(port)]
    with open(tmp_path / "serve.log", "wb") as log, subprocess.Popen(command, stdout=log, stderr=log) as server:
        try:
            for _ in range(600):
                with socket.socket() as probe:
                    if probe.connect_ex(("127.0.0.1", port)) == 0:
                        break
                assert server.poll() is None, (tmp_path / "serve.log").read_text()
                time.sleep(0.2)
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            server.terminate()


def test_greedy_replies_of_a_real_server_are_those_of_the_local_model(url: str, smollm2: ModelSource) -> None:
    prompts = [sample.messages for sample in suite("sycophancy/suggested_answer", limit=34).samples][:100]
    params = SamplingParams(temperature=0.0, max_new_tokens=24)
    there = load_policy(f"endpoint:{url}#{smollm2.path}").complete(prompts, params)
    here = load_policy("smollm2-135m", dtype="float32", device="cpu").complete(prompts, params)
    equal = sum(one == other for one, other in zip(here, there, strict=True))
    assert equal >= 98  # rounding may decide a tie otherwise; all 100 were equal when this was written
    assert not any(one.reason for one in there)
