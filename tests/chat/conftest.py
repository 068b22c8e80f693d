"""Chats of the zoo, built once a session."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import zoo

from unswayed.chat.render import Chat


@pytest.fixture(scope="session")
def folder_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Return the model folder of a kind by name. Read-only by convention."""
    root = tmp_path_factory.mktemp("zoo")
    return lambda name: root / name if (root / name).exists() else zoo.build(zoo.KINDS[name], root / name)


@pytest.fixture(scope="session")
def chat_of(folder_of: Callable[[str], Path]) -> Callable[..., Chat]:
    """Load the chat of a kind by name."""
    return lambda name, **options: Chat.load(folder_of(name), **options)
