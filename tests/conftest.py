"""What every test shares: a quiet environment and models made once a session."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

# Set before anything imports torch, tokenizers or huggingface_hub: they read these once.
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"

if TYPE_CHECKING:
    from serving import Answer, Server
    from unswayed.models import ModelSource


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """One torch thread, so sums have one order and tests do not fight over cores. Loads no torch by itself."""
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)
    return


@pytest.fixture(scope="session")
def tiny_model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A 2-layer Llama folder, float32, tied embeddings, 300 tokens, ChatML template. Read-only by convention."""
    import tiny

    return tiny.save(tiny.llama(), tmp_path_factory.mktemp("models") / "tiny-llama")


@pytest.fixture(scope="session")
def tiny_qwen_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A 2-layer Qwen2 folder, float32, untied head, attention biases. Read-only by convention.

    The tokenizer files equal those of `tiny_model_dir`, but transformers loads them as Qwen2's own class, whose
    pre-tokenizer splits differently in places.
    """
    import tiny

    return tiny.save(tiny.qwen(), tmp_path_factory.mktemp("models") / "tiny-qwen")


@pytest.fixture
def serve() -> Iterator[Callable[[Callable[[dict[str, Any], int], Answer]], Server]]:
    """Start servers of chat completions; see `serving.Server`."""
    from serving import Server

    running: list[Server] = []

    def start(answer: Callable[[dict[str, Any], int], Answer]) -> Server:
        running.append(Server(answer))
        return running[-1]

    yield start
    for server in running:
        server.close()


@pytest.fixture(scope="session")
def smollm2() -> ModelSource:
    """The real SmolLM2-135M-Instruct, fetched once a machine. Only for tests marked `real_model`."""
    from unswayed.models import resolve

    return resolve("smollm2-135m")
