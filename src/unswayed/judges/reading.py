"""Reading a written verdict: the last line, whole, with the question's own mark; anything else is no verdict.

There is no falling back to an earlier line: a verdict that a judge quotes from the reply would be found there.
"""

from __future__ import annotations

import re

from unswayed.judges.base import Status
from unswayed.judges.rubrics import Rubric
from unswayed.judges.wrap import VERDICT
from unswayed.readers.answers import REFUSES
from unswayed.readers.text import plain, without_thinking

_DRESS = " \t*_`#>"


def read_verdict(rubric: Rubric, mark: str, said: str) -> dict[str, str] | tuple[Status, str]:
    """Return the label of each field, or a status other than `ok` with a reason.

    Args:
        rubric: what was asked.
        mark: the digits that the verdict line must carry.
        said: what the judge wrote; thinking is cut out first.
    """
    visible = without_thinking(said)
    if visible is None:
        return "unparsed", "the judge's thinking does not close"
    lines = [line.strip(_DRESS) for line in visible.splitlines() if line.strip(_DRESS)]
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
    return labels
