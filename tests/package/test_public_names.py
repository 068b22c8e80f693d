"""The names a user may import from `unswayed`, frozen: adding or removing one is a decision, seen in this file."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path

import pytest

import unswayed

PUBLIC = {
    "ACT", "BCT", "BCTSoft", "Callback", "OPCT", "SFT", "Run", "train", "Recipe",
    "read_pairs", "write_pairs", "perturbation", "load_policy",
    "evaluate", "suite", "attack", "compare", "losses", "errors", "organisms", "sweep",
    "Message", "PromptPair", "SamplingParams", "Rollout", "Sample", "Score", "Completion", "Estimate", "Effect",
    "TextPolicy",
    "UnswayedError", "ConfigError", "LockedError", "DataError", "CheckpointError", "OutOfMemoryError", "NotFiniteError",
    "Interrupted", "__version__",
}  # fmt: skip


def test_the_list_is_frozen_and_sorted() -> None:
    assert set(unswayed.__all__) == PUBLIC
    assert len(unswayed.__all__) == len(PUBLIC)
    assert dir(unswayed) == sorted(unswayed.__all__)


@pytest.mark.parametrize("name", sorted(PUBLIC))
def test_every_name_resolves_and_is_documented(name: str) -> None:
    value = getattr(unswayed, name)
    if name == "__version__":
        assert value.count(".") == 2
    elif name in {"losses", "errors", "organisms", "sweep"}:
        assert inspect.ismodule(value)
    else:
        assert value.__name__ == name
        assert (value.__doc__ or "").strip()
        assert getattr(unswayed, name) is value


def test_type_checkers_see_the_names_that_run_time_resolves() -> None:
    """The TYPE_CHECKING imports and the table of homes say the same."""
    tree = ast.parse(Path(unswayed.__file__).read_text(encoding="utf-8"))
    (guarded,) = [node for node in tree.body if isinstance(node, ast.If)]
    imported = {
        alias.name: node.module
        for node in guarded.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if node.module not in {"unswayed", "unswayed.core"}
    }
    assert imported == unswayed._HOME


def test_other_names_are_attribute_errors() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = unswayed.nonsense
