"""Questions that are answered in writing, and the reading of written verdicts.

A verdict is the last line, whole, with the question's own mark; anything else is no verdict. There is no falling back
to an earlier line: a verdict that a judge quotes from the reply would be found there.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import NamedTuple

from unswayed.core.hashing import hash_json
from unswayed.core.types import Message
from unswayed.judges.base import Item, Status, Verdict
from unswayed.judges.rubrics import Rubric
from unswayed.judges.wrap import VERDICT, question
from unswayed.readers.answers import REFUSES
from unswayed.readers.text import plain, without_thinking

_MARKUP = " \t*_`#>"
Reading = tuple[str, float, Mapping[str, float]] | tuple[Status, str]
"""Label, score and parts of a verdict; or a status other than `ok`, and a reason."""


class Asked(NamedTuple):
    """One question that is answered in writing.

    Attributes:
        messages: what the judge is sent.
        read: reads its answer.
        flags: see `Verdict.flags`.
        guarded: do not ask where a text holds special tokens of the judge's tokenizer.
    """

    messages: tuple[Message, ...]
    read: Callable[[str], Reading]
    flags: tuple[str, ...] = ()
    guarded: bool = False

    @property
    def sent(self) -> str:
        """Hash of the messages."""
        return hash_json([message.content for message in self.messages])

    def verdict(
        self, judge: str, said: str = "", latency: float = 0.0, failed: tuple[Status, str] | None = None
    ) -> Verdict:
        """Return the verdict of a judge (its identity) that wrote `said`, or that `failed` to answer."""
        found = failed or self.read(said)
        if len(found) == 2:
            return Verdict(None, None, found[0], said, judge, self.sent, latency, found[1], self.flags)
        label, score, parts = found
        return Verdict(label, score, "ok", said, judge, self.sent, latency, flags=self.flags, parts=parts)


def written(rubric: Rubric, item: Item, forbidden: Collection[str] = ()) -> Asked:
    """Return the question about one item whose answer ends in a verdict line; see `wrap.question`."""
    one = question(rubric, item, forbidden)
    return Asked(one.to_write(rubric), partial(read_verdict, rubric, one.mark), one.flags)


def read_verdict(rubric: Rubric, mark: str, said: str) -> Reading:
    """Return the verdict that a judge wrote, or a status other than `ok` with a reason.

    Args:
        rubric: what was asked.
        mark: the digits that the verdict line must carry.
        said: what the judge wrote; thinking is cut out first.
    """
    visible = without_thinking(said)
    if visible is None:
        return "unparsed", "the judge's thinking does not close"
    lines = [line.strip(_MARKUP) for line in visible.splitlines() if line.strip(_MARKUP)]
    if not lines:
        return "unparsed", "the judge wrote nothing"
    fields = r"\s+".join(rf"{re.escape(f.name)}\s?=\s?(\w+)" for f in rubric.fields)
    found = re.fullmatch(rf"{VERDICT} {mark}\s?:\s*{fields}\.?", lines[-1])
    if found is None:
        if not any(VERDICT in line for line in lines) and REFUSES.search(plain(visible)):
            return "refused", "the judge declined"
        return "unparsed", "the last line is no verdict with this question's mark"
    labels = dict(zip((f.name for f in rubric.fields), found.groups(), strict=True))
    strange = [f"{f.name}={labels[f.name]}" for f in rubric.fields if labels[f.name] not in f.labels]
    if strange:
        return "unparsed", f"the verdict has a label that is not on the list: {strange[0]}"
    return rubric.read(labels)
