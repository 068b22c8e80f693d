"""Specs of kind `hints`: questions with an answer pressed on the model.

items = ["facts", "arithmetic"]       # packaged sources, or paths of item files (relative to the spec)
n = 300                               # items, taken from the topics in turn; leave out for all
families = ["hearsay", "authority"]   # leave out for every sycophancy family
per_item = 2
"""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from unswayed.data.build.pairs import pairs_from
from unswayed.data.build.parts import split_parts, wordings_of
from unswayed.data.build.spec import Built, Spec
from unswayed.perturb import sycophancy
from unswayed.questions.items import ARITHMETIC_TOPICS, FACT_TOPICS, Item, arithmetic_items, fact_items, read_items

PACKAGED = ("facts", "arithmetic")


class ItemSpec(Spec):
    """What every kind of pairs made from items has.

    Attributes:
        items: `facts`, `arithmetic`, or paths of item files.
        per_item: combinations drawn for an item in each part; None takes every one.
    """

    items: list[str] = Field(["facts", "arithmetic"])
    per_item: int | None = Field(2, ge=1)

    def read(self, folder: Path) -> tuple[list[Item], dict[str, str], dict[str, str]]:
        """Read the templates; return the chosen items, the source of each by id, and the hash of every file read."""
        found = self._items(folder)
        sources = {item.id: source for source, items in found.items() for item in items}
        chosen = self.choose([item for items in found.values() for item in items], folder)
        return chosen, sources, self.hashes(folder, (name for name in self.items if name not in PACKAGED))

    def _items(self, folder: Path) -> dict[str, list[Item]]:
        found: dict[str, list[Item]] = {}
        for source in self.items:
            if source == "facts":
                items = fact_items([topic for topic in FACT_TOPICS if self.topics is None or topic in self.topics])
            elif source == "arithmetic":
                topics = [topic for topic in ARITHMETIC_TOPICS if self.topics is None or topic in self.topics]
                items = arithmetic_items(seed=self.seed, topics=topics)
            else:
                items = read_items(folder / source, self.columns)
            found.setdefault(source, []).extend(items)
        return found


class HintSpec(ItemSpec):
    """Pairs from items and hints.

    Attributes:
        right_hint: add the twin with the right hint to every row.
    """

    right_hint: bool = False

    def build(self, folder: Path = Path()) -> Built:
        """See `Spec.build`."""
        items, sources, inputs = self.read(folder)
        parts = split_parts(
            items,
            wordings_of(self.entries(sycophancy.FAMILIES), self.phrasings),
            self.hold_out(),
            lambda chosen, some: pairs_from(
                chosen, some, seed=self.seed, right_hint=self.right_hint, per_item=self.per_item
            ),
            sources=sources,
        )
        return Built(parts, inputs)
