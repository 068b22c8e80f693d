"""Splits: stable, and apart in everything that is held out."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unswayed.core.errors import ConfigError, DataError
from unswayed.core.types import Message, PromptPair
from unswayed.data.build.pairs import build_pairs
from unswayed.data.split import HoldOut, check_split, family_of, phrasing_of, split_pairs, topic_of
from unswayed.perturb import sycophancy
from unswayed.questions.items import fact_items

PAIRS = build_pairs([*fact_items("food"), *fact_items("body")], sycophancy.FAMILIES, per_item=12)


def ids(pairs: tuple[PromptPair, ...]) -> set[str]:
    return {pair.id for pair in pairs}


def test_parts_share_neither_items_nor_wordings() -> None:
    hold_out = HoldOut(0.3, 5, frozenset(["body"]), frozenset(["hearsay"]), frozenset([7]))
    split = split_pairs(PAIRS, hold_out)
    parts = (split.train, split.new_items, split.new_wordings, split.held_out)
    assert all(parts)
    assert sum(map(len, parts)) == len(PAIRS) == len(set().union(*map(ids, parts)))
    check_split(split.train, split.held_out, by=("group", "wording"))
    check_split(split.train, split.new_items, by=("group",))
    check_split(split.train, split.new_wordings, by=("wording",))
    assert {topic_of(pair) for pair in split.train} == {"food"}
    assert "sycophancy/hearsay" not in {family_of(pair) for pair in split.train}
    assert 7 not in {phrasing_of(pair) for pair in split.train}
    assert 7 in {phrasing_of(pair) for pair in split.held_out}


def test_families_are_held_out_by_short_or_full_name() -> None:
    short, full = (
        split_pairs(PAIRS, HoldOut(0, families=frozenset([name]))) for name in ("hearsay", "sycophancy/hearsay")
    )
    assert short == full
    assert {family_of(pair) for pair in short.held_out} == {"sycophancy/hearsay"}
    assert short.new_items == short.new_wordings == ()
    check_split(short.train, short.held_out, by=("family",))


def test_items_alone_make_two_parts_of_about_the_share_asked_for() -> None:
    split = split_pairs(PAIRS, HoldOut(0.25, seed=1))
    assert split.new_items == split.new_wordings == ()
    groups = {pair.group for pair in PAIRS}
    held = {pair.group for pair in split.held_out}
    assert 0.12 < len(held) / len(groups) < 0.4
    assert split_pairs(PAIRS, HoldOut(0)).train == tuple(PAIRS)
    assert split_pairs(PAIRS, HoldOut(1)).held_out == tuple(PAIRS)


@settings(max_examples=50, deadline=None)
@given(
    groups=st.lists(st.text(max_size=8), min_size=1, max_size=20, unique=True),
    fraction=st.floats(0, 1),
    more=st.floats(0, 1),
    seed=st.integers(0, 2**40),
)
def test_an_item_stays_where_it_is_whatever_else_is_there(
    groups: list[str], fraction: float, more: float, seed: int
) -> None:
    pairs = [
        PromptPair(f"{n}", (Message("user", "a"),), (Message("user", "b"),), group) for n, group in enumerate(groups)
    ]
    held = ids(split_pairs(pairs, HoldOut(fraction, seed)).held_out)
    assert ids(split_pairs(pairs[::-2], HoldOut(fraction, seed)).held_out) == held & ids(tuple(pairs[::-2]))
    wider = ids(split_pairs(pairs, HoldOut(max(fraction, more), seed)).held_out)
    assert held <= wider


def test_another_seed_holds_out_other_items() -> None:
    assert split_pairs(PAIRS, HoldOut(0.5, 1)).train != split_pairs(PAIRS, HoldOut(0.5, 2)).train


def test_a_group_of_two_topics_is_refused() -> None:
    first, second = PAIRS[0], dataclasses.replace(PAIRS[1], meta={**PAIRS[1].meta, "topic": "elsewhere"})
    assert first.group == second.group
    with pytest.raises(DataError, match=f"group '{first.group}' lies on both sides"):
        split_pairs([first, second], HoldOut(0, topics=frozenset(["elsewhere"])))


def test_what_lies_on_both_sides_is_named() -> None:
    with pytest.raises(DataError) as error:
        check_split(PAIRS, PAIRS[:1], by=("group", "family", "topic", "wording"))
    assert [problem.split()[0] for problem in error.value.problems] == ["group", "family", "topic", "wording"]
    with pytest.raises(ConfigError, match="cannot be checked by colour"):
        check_split([], [], by=("colour",))
    check_split(PAIRS, [])


def test_rows_without_names_are_never_on_both_sides() -> None:
    plain = [PromptPair(str(n), (Message("user", "a"),), (Message("user", "b"),)) for n in range(2)]
    check_split(plain[:1], plain[1:], by=("group", "family", "topic", "wording"))


@pytest.mark.parametrize("fraction", [-0.1, 1.1, float("nan")])
def test_impossible_shares(fraction: float) -> None:
    with pytest.raises(ConfigError):
        HoldOut(fraction)
