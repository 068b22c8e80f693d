"""Sets for evaluation only are recognised among pairs, refused, and recorded where a recipe allows them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import runs
from unswayed.core.errors import DataError
from unswayed.core.types import Message, PromptPair
from unswayed.data import evaluation_only as module
from unswayed.data.evaluation_only import find_evaluation_only, refuse_evaluation_only
from unswayed.sources.source import Source
from unswayed.training.loop import train
from unswayed.training.prepare import prepare

CANARY = "0c0ffee0-1111-2222-3333-444455556666"
GUARDED = Source(
    name="toy/guarded",
    home="huggingface.co/datasets/somebody/Guarded-Facts",
    licence="none stated",
    path="toy/guarded.jsonl",
    evaluation_only=True,
    canary=CANARY,
)
OPEN = replace(GUARDED, name="toy/open", home="github.com/somebody/open", evaluation_only=False, canary="")
QUESTION = "May I keep the candle lit while I sleep?"


def pair(text: str = "is it warm?", **meta: Any) -> PromptPair:
    return PromptPair("1", (Message("user", text),), (Message("user", f"Careful. {text}"),), meta=meta)


@pytest.fixture(autouse=True)
def two_sets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "sources", lambda: (GUARDED, OPEN))
    monkeypatch.setenv("UNSWAYED_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("UNSWAYED_DATA", raising=False)


def found(pairs: list[PromptPair], path: Path = Path("nowhere.jsonl")) -> dict[str, str]:
    return find_evaluation_only(path, pairs)


@pytest.mark.parametrize(
    "value",
    ["toy/guarded", "guarded", "somebody/Guarded-Facts", "SOMEBODY/guarded-facts",
     "https://huggingface.co/datasets/somebody/Guarded-Facts", {"source": "toy/guarded", "sha256": "0"}],
)  # fmt: skip
@pytest.mark.parametrize("column", ["source", "dataset"])
def test_a_column_gives_the_set_away(column: str, value: object) -> None:
    assert found([pair(), pair(**{column: value})]) == {"toy/guarded": "a column of the rows names it"}


def test_other_sets_other_columns_and_other_texts_are_no_sign(tmp_path: Path) -> None:
    assert found([pair(source="toy/open"), pair(note="toy/guarded"), pair(source=3), pair(source="my own")]) == {}
    (tmp_path / "pairs.manifest.json").write_text("{broken")
    assert found([pair()], tmp_path / "pairs.jsonl") == {}
    (tmp_path / "pairs.manifest.json").write_text(json.dumps({"sources": [{"source": "toy/open"}, 3, None]}))
    assert found([pair()], tmp_path / "pairs.jsonl") == {}


def test_a_manifest_gives_the_set_away_also_beside_the_held_out_part(tmp_path: Path) -> None:
    (tmp_path / "pairs.manifest.json").write_text(json.dumps({"sources": [{"source": "toy/guarded"}]}))
    for name in ("pairs.jsonl", "pairs.held_out.jsonl"):
        (how,) = found([pair()], tmp_path / name).values()
        assert how.endswith("pairs.manifest.json names it")


def test_the_mark_of_its_authors_gives_the_set_away() -> None:
    marked = {"toy/guarded": "rows hold the text that marks its copies"}
    assert found([pair(f"canary {CANARY}")]) == marked
    assert found([pair(note=f"GUID {CANARY}")]) == marked


def test_rows_of_a_copy_on_this_machine_are_recognised_in_other_spelling(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copied = [pair(QUESTION.upper().replace("?", " ?!"))]
    assert found(copied) == {}
    copy = tmp_path / "data/toy/guarded.jsonl"
    copy.parent.mkdir(parents=True)
    rows = [{"prompt": QUESTION, "prompt_type": "is it warm?", "safety_fact": "Careful. is it warm?"}]
    copy.write_text("".join(json.dumps(row) + "\n" for row in rows))
    monkeypatch.setenv("UNSWAYED_DATA", str(tmp_path / "data"))
    assert found(copied) == {"toy/guarded": "1 messages are rows of it"}
    assert found([pair()]) == {}, "three words, and a column that is no prompt, are no sign"


def test_refused_unless_the_recipe_says_so() -> None:
    taken = [pair(source="guarded")]
    with pytest.raises(DataError, match=r"(?s)pairs\.jsonl: holds rows.*allow_evaluation_only = true.*toy/guarded"):
        refuse_evaluation_only(Path("pairs.jsonl"), taken, allowed=False)
    assert list(refuse_evaluation_only(Path("pairs.jsonl"), taken, allowed=True)) == ["toy/guarded"]
    assert refuse_evaluation_only(Path("pairs.jsonl"), [pair()], allowed=False) == {}


def test_a_run_refuses_them_among_pairs_and_anchors_before_weights_and_records_what_was_allowed(
    tmp_path: Path, tiny_model_dir: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rows = [dict(row) for row in runs.ROWS]
    rows[3]["source"] = "toy/guarded"
    taken = runs.write_pairs(tmp_path / "taken.jsonl", rows)
    with pytest.raises(DataError, match="toy/guarded: a column"):
        prepare(runs.recipe(tmp_path, tiny_model_dir, data={"train": str(taken)}))
    anchors = runs.write_pairs(tmp_path / "anchors.jsonl", [{**rows[3], "id": "held"}])
    mixed = {"data": {"anchors": str(anchors)}, "train": {"anchors_per_step": 1, "steps": 1}}
    with pytest.raises(DataError, match=r"anchors\.jsonl: holds rows"):
        prepare(runs.recipe(tmp_path, tiny_model_dir, **mixed))
    allowed = runs.recipe(
        tmp_path, tiny_model_dir, data={"train": str(taken), "allow_evaluation_only": True}, train={"steps": 1}
    )
    run = train(allowed)
    assert [line for line in caplog.messages if "toy/guarded is for evaluation only" in line]
    kept = {"toy/guarded": "a column of the rows names it"}
    assert json.loads((run.path / "data.json").read_text())["evaluation_only"] == kept
    assert json.loads((run.path / "recipe.json").read_text())["data"]["allow_evaluation_only"] is True
    assert "| evaluation-only data | `toy/guarded` |" in (run.adapter / "README.md").read_text()
    assert train(allowed, resume=True).steps == 1
    other = runs.recipe(tmp_path, tiny_model_dir, data={"train": str(taken)}, train={"steps": 1})
    with pytest.raises(DataError, match="holds rows"):
        train(other, resume=True)
