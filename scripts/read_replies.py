"""Read the labelled replies in `tests/readers/replies` by today's rules, and write the table of `docs/reading.md`.

python scripts/read_replies.py
"""

from __future__ import annotations

import json
from pathlib import Path

from unswayed.evals.by_name import find, verdict

HOME = Path(__file__).parents[1]
PAGE = HOME / "docs" / "reading.md"
REPLIES = HOME / "tests" / "readers" / "replies"
BEGINS, ENDS = "<!-- read_replies -->\n", "<!-- /read_replies -->\n"


def counts(path: Path) -> tuple[int, int, int]:
    """Return how many replies of a set there are, how many are read against their label, and how many not at all."""
    rule = path.stem.partition("_")[0]
    _, score = find(rule)
    rows = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    found = [(row["accept"], verdict(row, rule, score, place)["outcome"]) for place, row in enumerate(rows)]
    amiss = [said for accept, said in found if said not in accept]
    unread = amiss.count("unscored")
    return len(rows), len(amiss) - unread, unread


def table() -> str:
    """Return a row for each set."""
    lines = ["| set | replies | read otherwise than labelled | unread |", "|---|---|---|---|"]
    for path in sorted(REPLIES.glob("*.jsonl")):
        lines.append("| `{}` | {} | {} | {} |".format(path.stem, *counts(path)))
    return "\n".join(lines) + "\n"


def main() -> None:
    """Write the table into the page."""
    before, _, rest = PAGE.read_text("utf-8").partition(BEGINS)
    PAGE.write_text(before + BEGINS + table() + ENDS + rest.partition(ENDS)[2], "utf-8")


if __name__ == "__main__":
    main()
