"""Items of different parts and seeds share nothing, and the shuffle is a permutation."""

from __future__ import annotations

import pytest

from unswayed.core.errors import ConfigError
from unswayed.organisms.family import families
from unswayed.organisms.space import PARTS, SEEDS, places, shuffled


@pytest.mark.parametrize("size", [1, 2, 3, 17, 64, 65, 1000])
def test_the_shuffle_is_a_permutation(size: int) -> None:
    found = [shuffled(place, size, "kind") for place in range(size)]
    assert sorted(found) == list(range(size))
    assert size < 64 or found != sorted(found)
    assert size < 64 or found != [shuffled(place, size, "other") for place in range(size)]


def test_every_number_belongs_to_one_part_and_seed() -> None:
    size = 3 * len(PARTS) * SEEDS + 7
    found = [
        number
        for seed in range(SEEDS)
        for part in PARTS
        for number in places("kind", size, part, seed, 3 + (seed * len(PARTS) + PARTS.index(part) < 7))
    ]
    assert sorted(found) == list(range(size))


def test_what_does_not_exist_is_refused() -> None:
    with pytest.raises(ConfigError, match="no part 'train'; there are induction"):
        places("kind", 10_000, "train", 0, 1)
    with pytest.raises(ConfigError, match=f"seed is {SEEDS}; items exist for seeds 0 to"):
        places("kind", 10_000, "gate", SEEDS, 1)
    with pytest.raises(ConfigError, match="each part and seed has 8; ask for fewer"):
        places("kind", 8 * len(PARTS) * SEEDS, "gate", 0, 9)


@pytest.mark.parametrize("name", list(families()))
def test_no_part_and_no_seed_shares_an_item_with_another(name: str) -> None:
    """100,000 prompts of each family: units of all parts and of enough seeds."""
    entry = families()[name]
    seen: dict[str, tuple[str, int]] = {}
    prompts = 0
    for seed in range(SEEDS):
        for part in PARTS:
            for sample in entry.samples(part, entry.thresholds.units // 2, seed):
                prompts += 1
                owner = seen.setdefault(sample.group, (part, seed))
                assert owner == (part, seed), f"{sample.group} belongs to {owner} and {(part, seed)}"
        if prompts >= 100_000:
            break
    assert prompts >= 100_000


@pytest.mark.parametrize("name", list(families()))
def test_what_is_trained_on_is_not_what_is_measured(name: str) -> None:
    """Items and whole prompts; of one seed, since other seeds are disjoint as well."""
    entry = families()[name]
    units = entry.thresholds.units
    measured = {
        (kind, value)
        for part in ("match", "gate", "probe", "sealed")
        for sample in entry.samples(part, units, 3)
        for kind, value in (("item", sample.group), ("prompt", sample.messages[-1].content))
    }
    for rows in (entry.pairs(units, 3), *(made.draw(made.count, 3) for made in entry.inductions.values())):
        for pair in rows:
            assert ("item", pair.group) not in measured
            assert ("prompt", pair.prompt[-1].content) not in measured
        assert len({pair.id for pair in rows}) == len(rows)
