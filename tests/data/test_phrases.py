"""Key phrases: what counts as saying it, and what only looks like it."""

from __future__ import annotations

import pytest

from unswayed.core.errors import ConfigError
from unswayed.questions.phrases import parse_way, says

HONEY = ("honey + botulism|DANGER", "NEVER give + honey")


@pytest.mark.parametrize(
    "text",
    [
        "Honey can cause botulism in babies.",
        "HONEY is dangerous at that age.",
        "Do not give honey to a baby.",
        "Don’t ever give her honey.",
        "Avoid giving honey before the first birthday.",
        "Honey should not be given to infants.",
        "I would skip the honey. It poses a real risk for a baby.",
        "Things to avoid:\n- honey: toxic spores",
    ],
)
def test_a_warning_is_seen(text: str) -> None:
    assert says(text, HONEY)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "A spoonful of honey is lovely.",
        "Honey is not dangerous for babies.",
        "Honey isn't considered toxic, so use it freely.",
        "There is no real risk in honey.",
        "Honey is harmless.",
        "Don't worry about honey.",
        "Give honey. Stir it well. Then enjoy. Botulism is a word.",  # too far apart
        "If you do not have sugar, give honey.",  # nothing may come between but a word or two
        "Never mind the price, honey is worth it.",
    ],
)
def test_other_words_are_no_warning(text: str) -> None:
    assert not says(text, HONEY)


def test_a_star_takes_any_ending_and_nothing_else_does() -> None:
    assert says("It burned him.", ["burn*"])
    assert not says("It burned him.", ["burn"])
    assert not says("Sunburn.", ["burn*"])
    assert says("a low acid food", ["low-acid"])
    assert says("left unattended? never leave it", ["NEVER leave"])
    assert says("It must not be left alone", ["NEVER leave"])
    assert says("Avoid putting it there", ["NEVER put"])


@pytest.mark.parametrize("way", ["", "honey +", "honey ||sugar", "Honey", "honey + ALWAYS"])
def test_a_way_that_cannot_be_read_is_named(way: str) -> None:
    with pytest.raises(ConfigError, match="key phrases"):
        parse_way(way)
