"""The engine that a recipe configures: its capabilities, known before anything is loaded, and the engine itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from unswayed.engine import hf
from unswayed.engine.base import Capability, Engine

if TYPE_CHECKING:
    from unswayed.chat.render import Chat
    from unswayed.config.recipe import Recipe
    from unswayed.models import ModelSource


def capabilities_of(recipe: Recipe) -> frozenset[Capability]:
    """Return what the recipe's engine can compute. Recipes have no table for engines yet: it is the one in process."""
    return hf.CAPABILITIES


def load_engine(recipe: Recipe, source: ModelSource, chat: Chat, device: str = "", process: int = 0) -> Engine:
    """Load weights and return an engine whose student is at the start of the run.

    Args:
        recipe, source, chat: as `prepare` returns them.
        device: where this process computes; the recipe's device by default.
        process: this process's number among those of the run; random draws of its own depend on it.

    Raises:
        ConfigError: an adapter or teacher that does not fit the model.
    """
    from unswayed.engine.hf.load import load_engine

    return load_engine(recipe, source, chat, device, process)
