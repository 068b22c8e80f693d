"""Pairs of every form: hints fan out to every wrong answer, twins agree with the truth, and letters mean one thing."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from unswayed.core.errors import DataError
from unswayed.core.types import Message, PromptPair
from unswayed.data.build.pairs import build_pairs, hint_problem
from unswayed.data.build.poses import poses
from unswayed.data.build.run import build_files
from unswayed.data.check import check_pairs
from unswayed.perturb import names
from unswayed.questions.choices import listed_options
from unswayed.questions.items import Item, arithmetic_items, fact_items

ITEMS = [*fact_items("food")[:4], *arithmetic_items(4)]
FAMILIES = [ref for ref in names() if ref.startswith(("sycophancy/choice/", "sycophancy/feedback/"))]
RECIPES = Path(__file__).parents[2] / "recipes" / "data"


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_builds_pairs_that_pass_every_check(family: str) -> None:
    pairs = build_pairs(ITEMS, [family], right_hint=True)
    assert len({pair.id for pair in pairs}) == len(pairs)
    assert {pair.perturbation for pair in pairs} == {family}
    assert check_pairs(pairs).errors == ()
    assert all(pair.meta["options"][pair.target or ""] for pair in pairs)
    wrong, right = (sum(pair.meta["hint_is_right"] is flag for pair in pairs) for flag in (False, True))
    items, wordings = len(ITEMS), 8
    if "/feedback/" in family:
        assert (wrong, right) == (2 * items * wordings, 2 * items * wordings)
    elif family.partition("@")[0].endswith(("denied_answer", "are_you_sure")):
        assert (wrong, right) == (items * wordings, items * wordings)
    else:
        assert (wrong, right) == (3 * items * wordings, items * wordings)


def test_hints_fan_out_to_every_wrong_option() -> None:
    pairs = build_pairs(ITEMS, ["choice/suggested_answer"], phrasings=[0])
    for item in ITEMS:
        rows = [pair for pair in pairs if pair.group == item.id]
        assert len({pair.meta["hinted"] for pair in rows}) == len(item.wrong) == len(rows)
        assert all(pair.meta["hinted"] != pair.target for pair in rows)
        assert len({pair.teacher_prompt for pair in rows}) == 1


def test_half_of_the_solutions_to_judge_are_right() -> None:
    pairs = build_pairs(ITEMS, ["feedback/liked"], phrasings=[0], right_hint=True)
    judged = Counter((pair.meta["options"][pair.target or ""], pair.meta["hint_is_right"]) for pair in pairs)
    assert judged == {(verdict, right): len(ITEMS) for verdict in ("correct", "incorrect") for right in (True, False)}


def test_open_and_listed_pairs_of_one_family_have_names_of_their_own() -> None:
    pairs = build_pairs(ITEMS[:1], ["authority", "choice/authority"], phrasings=[0], right_hint=True)
    assert {pair.id.rsplit("/", 1)[0].removeprefix(f"{ITEMS[0].id}/") for pair in pairs} == {
        "authority-0", "choice/authority-0",
    }  # fmt: skip
    assert {pair.meta["family"] for pair in pairs} == {"authority", "choice/authority"}


def test_a_denial_is_wrong_where_it_denies_the_right_option() -> None:
    ((wrong, right),) = poses(ITEMS[0], "denial")
    assert (wrong.hinted, wrong.is_right) == (f"NOT {wrong.target}", False)
    assert right.is_right
    assert right.hinted not in {wrong.hinted, right.target}


def pair_of(**changes: object) -> PromptPair:
    (pair, *_) = build_pairs(ITEMS[:1], ["choice/suggested_answer"], phrasings=[2])
    meta = {**pair.meta, **changes}
    return replace(pair, meta=meta)


@pytest.mark.parametrize(
    ("pair", "problem"),
    [
        (pair_of(hinted="E"), "none of the options"),
        (pair_of(hint_is_right=True), "called right, and is not"),
        (pair_of(options={"A": "x", "B": "y", "C": "z", "D": "u"}), "does not list the options"),
        (pair_of(options="none"), "do not go together"),
        (replace(pair_of(), target="Z"), "do not go together"),
        (replace(pair_of(), prompt=pair_of().teacher_prompt), "has no hint"),
        (replace(pair_of(), prompt=(Message("user", "I think it is (A)."),)), "prompt does not list"),
    ],
)
def test_a_pair_with_options_that_do_not_fit_is_named(pair: PromptPair, problem: str) -> None:
    assert hint_problem(pair_of()) is None
    assert problem in str(hint_problem(pair))


def test_an_item_whose_answers_break_the_listing_is_refused() -> None:
    broken = Item("x", "t", "Which?", "one\n\ntwo", ("three",), ("one\n\ntwo",))
    with pytest.raises(DataError, match="x/choice/suggested_answer"):
        build_pairs([broken], ["choice/suggested_answer"])


@pytest.mark.parametrize("name", ["sycophancy_choices", "sycophancy_feedback"])
def test_the_recipes_hold_out_items_and_families(name: str, tmp_path: Path) -> None:
    spec = tmp_path / "spec.toml"
    text = (RECIPES / f"{name}.toml").read_text(encoding="utf-8")
    lines = [f"n = {40}" if line.startswith("n = ") else line for line in text.splitlines()]
    spec.write_text("\n".join(lines), encoding="utf-8")
    manifest = build_files(spec, tmp_path / "pairs.jsonl")
    assert set(manifest["files"]) == {"train", "new_items", "new_wordings", "held_out"}
    assert manifest["groups"] == 40


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("Which?\n(A) one\n(B) two", {"A": "one", "B": "two"}),
        ("Which?\n A. one \n B) two\nC: three", {"A": "one", "B": "two", "C": "three"}),
        ("Which?\n(B) two\n(A) one", {"B": "two", "A": "one"}),
        ("First?\n(A) x\n(B) y\n(C) z\nWhich?\n(A) one\n(B) two", {"A": "one", "B": "two"}),
        ("First?\n(A) x\n(B) y\nWhich?\n(B) two\n(A) one", {"B": "two", "A": "one"}),
        ("Which?\n(A) one\n(B) two\n\n(B) is what I think.", {"A": "one", "B": "two"}),
        ("A. Lincoln was president.", {}),
        ("no options", {}),
    ],
)
def test_options_are_read_in_any_common_layout_and_the_last_list_counts(text: str, options: dict[str, str]) -> None:
    assert listed_options(text) == options
