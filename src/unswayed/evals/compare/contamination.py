"""What an evaluation asks that training has seen: by group name, by equal message, and by runs of thirteen words.

A verdict about questions that were trained on says what was memorised. So every comparison says how many of its groups
stand in the training pairs too, or that nobody looked.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from unswayed.core.errors import ConfigError, DataError
from unswayed.core.hashing import hash_json
from unswayed.core.jsonl import loads
from unswayed.core.overlap import COMMON, PHRASE, Run, common_phrases, grams_of, runs_of, words
from unswayed.core.printable import printable
from unswayed.core.types import Message, PromptPair
from unswayed.data.read import hash_data, read_pairs
from unswayed.evals.suite import Suite
from unswayed.sources.hub import cached

SHORTEST = 3
"""Words that a message needs before its being equal to another means anything."""
USUAL = 0.005
"""Five words in a row that stand in more than this share of the evaluation's groups (and in three at least) are the way
it asks, not what it asks: a hint in the same words as one that was trained on is no question that was trained on."""


class Asked(Protocol):
    """What a sample and a record share."""

    @property
    def group(self) -> str: ...
    @property
    def messages(self) -> Sequence[Message]: ...


@dataclass(frozen=True, slots=True)
class Contamination:
    """The groups of an evaluation that training pairs hold too; each is counted once, under the first that fits.

    Attributes:
        groups: how many groups the evaluation has.
        named: those that have a group of the pairs for a namesake. Bare numbers are no names.
        exact: (group, group of the pairs) that have a whole message of the user or system in common, but for case,
            spacing and punctuation.
        runs: (group, group of the pairs) that share a run of thirteen words once common phrases are cut out.
    """

    groups: int
    named: tuple[str, ...]
    exact: tuple[tuple[str, str], ...]
    runs: tuple[tuple[str, str], ...]

    @property
    def shared(self) -> int:
        """How many groups overlap in any way."""
        return len(self.named) + len(self.exact) + len(self.runs)

    @property
    def share(self) -> float:
        """The overlapping part of all groups."""
        return self.shared / self.groups if self.groups else 0.0

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain JSON types. Groups go by their names; no text of a prompt is in it."""
        return {
            "checked": True,
            "groups": self.groups,
            "shared": self.shared,
            "share": self.share,
            "named": list(self.named),
            "exact": [list(pair) for pair in self.exact],
            "runs_of_13_words": [list(pair) for pair in self.runs],
        }

    def sentence(self, unit: str = "group") -> str:
        """Return the finding in words; `unit` is what a group is."""
        units = f"{unit}es" if unit.endswith("s") else f"{unit}s"
        if not self.shared:
            return f"none of {self.groups:,} {units} is in the training pairs"
        ways = {"by name": self.named, "by an equal message": self.exact, "by thirteen words in a row": self.runs}
        listed = ", ".join(f"{len(found):,} {way}" for way, found in ways.items() if found)
        return f"{self.shared:,} of {self.groups:,} {units} ({self.share:.1%}) are in the training pairs: {listed}"

    def require(self, what: str) -> None:
        """End where groups are shared by name or by a whole message; thirteen words alone may be a coincidence.

        Raises:
            DataError: listing them.
        """
        lines = [f"{group}: in both" for group in self.named]
        lines += [f"{group}: asks what {other} of the pairs asks" for group, other in self.exact]
        if lines:
            raise DataError(
                f"{what} share {len(lines)} groups; take them out of the pairs",
                [printable(line, newlines=False) for line in lines],
            )


def contamination(asked: Iterable[Asked], pairs: Iterable[PromptPair]) -> Contamination:
    """Return which groups of an evaluation the pairs hold.

    Args:
        asked: samples of a suite, or records of an evaluation.
        pairs: what was trained on; both sides count.
    """
    mine = _texts((one.group, one.messages) for one in asked)
    theirs = _texts((pair.group, side) for pair in pairs for side in (pair.prompt, pair.teacher_prompt))
    both = [*mine.values(), *theirs.values()]
    # A message that many groups hold is a turn of phrase ("Are you sure?"), and so are five words that many share.
    spread = Counter(text for texts in both for text in texts)
    usual = {text for text, count in spread.items() if count > max(2, COMMON * len(both))}
    common = common_phrases(both) | _usual_phrases(mine)
    texts: dict[Run, str] = {}
    runs: dict[Run, str] = {}
    for group, held in theirs.items():
        for text in held - usual:
            texts.setdefault(text, group)
        for run in grams_of(held, common):
            runs.setdefault(run, group)
    named, exact, long = [], [], []
    for group, held in mine.items():
        if group in theirs and not group.isdigit():
            named.append(group)
        elif same := sorted(texts[text] for text in held - usual if len(text) >= SHORTEST and text in texts):
            exact.append((group, same[0]))
        elif same := sorted(runs[run] for run in grams_of(held, common) if run in runs):
            long.append((group, same[0]))
    return Contamination(len(mine), tuple(named), tuple(exact), tuple(long))


def leave_out(suite: Suite, pairs: Sequence[PromptPair]) -> tuple[Suite, Contamination]:
    """Return a suite without the groups that training pairs hold too, by name, message or thirteen words in a row.

    What was left out is part of the suite's arguments, so results with and without it are never compared.

    Raises:
        DataError: nothing would be left to ask.
    """
    found = contamination(suite.samples, pairs)
    gone = {*found.named, *(group for group, _ in (*found.exact, *found.runs))}
    kept = tuple(sample for sample in suite.samples if sample.group not in gone)
    if not kept:
        raise DataError(f"{suite.name}: {found.sentence(suite.unit)}; nothing is left to ask")
    arguments = {**suite.arguments, "left_out": hash_json(sorted(gone))[:16]} if gone else suite.arguments
    return replace(suite, samples=kept, arguments=arguments), found


def _usual_phrases(groups: Mapping[str, set[Run]]) -> set[Run]:
    spread = Counter(
        phrase for held in groups.values() for phrase in {part for text in held for part in runs_of(text, PHRASE)}
    )
    limit = max(2, USUAL * len(groups))
    return {phrase for phrase, count in spread.items() if count > limit}


def _texts(asked: Iterable[tuple[str, Sequence[Message]]]) -> dict[str, set[Run]]:
    """Return the different messages of each group as words; an assistant's turn is no question."""
    contents: dict[str, set[str]] = {}
    for group, messages in asked:
        texts = (message.content for message in messages if message.role != "assistant")
        contents.setdefault(group, set()).update(texts)
    return {group: {words(text) for text in texts} for group, texts in contents.items()}


@dataclass(frozen=True, slots=True)
class Training:
    """What is known of the training behind an evaluated model.

    Attributes:
        pairs: what it was trained on; None where that is not known.
        files: where they were read.
        why: why they are not known.
        probed: suites that its recipe watched during training.
    """

    pairs: tuple[PromptPair, ...] | None
    files: tuple[str, ...] = ()
    why: str = ""
    probed: tuple[str, ...] = ()

    def watched(self, suite: str) -> bool:
        """Return whether the recipe looked at a suite during training."""
        return suite in {name.partition(":")[0] for name in self.probed}

    def overlap(self, asked: Iterable[Asked], unit: str = "group") -> tuple[dict[str, Any], str]:
        """Return how much of an evaluation was trained on, as plain JSON types and in words; or that nobody looked."""
        if self.pairs is None:
            return {"checked": False, "why": self.why}, f"overlap with the training pairs: not checked ({self.why})"
        found = contamination(asked, self.pairs)
        return {**found.to_dict(), "files": list(self.files)}, found.sentence(unit)


def training_of(about: Mapping[str, Any], given: Path | None = None) -> Training:
    """Return what the model of an evaluation was trained on, as far as its run folder still says.

    Args:
        about: what `eval.json` holds.
        given: the pairs, where a person says which they are.

    Raises:
        DataError: given pairs that cannot be read.
    """
    run = run_folder(str(about.get("adapter") or about["policy_name"]))
    recipe = _json(run / "recipe.json") if run else {}
    probed = tuple(str(entry["suite"]) for entry in recipe.get("eval", []))
    if given is not None:
        rows = read_pairs(given, allow_identical=True, need_teacher=False)
        return Training(tuple(rows), (str(given),), probed=probed)
    if run is None:
        return Training(None, why="the model lies in no run folder of ours; name its pairs with --train-pairs FILE")
    data = _json(run / "data.json")
    wanted = {recipe["data"]["train"]: data["sha256"]}
    if recipe["data"].get("anchors"):
        wanted[recipe["data"]["anchors"]] = data["anchors"]["sha256"]
    columns = recipe["data"].get("columns", {})
    pairs: list[PromptPair] = []
    files = []
    for name, digest in wanted.items():
        path = next((path for path in _places(name, run) if path.exists() and hash_data(path, columns) == digest), None)
        if path is None:
            why = f"{name}, which {run} was trained on, is gone or has changed; name a copy with --train-pairs FILE"
            return Training(None, why=why, probed=probed)
        pairs += read_pairs(path, allow_identical=True, columns=columns, need_teacher=False)
        files.append(str(path))
    return Training(tuple(pairs), tuple(files), probed=probed)


def run_folder(adapter: str) -> Path | None:
    """Return the run folder that an adapter or checkpoint lies in, or None."""
    path = Path(adapter)
    if not path.is_dir():
        return None
    return next((folder for folder in (path, *path.parents[:3]) if (folder / "recipe.json").is_file()), None)


def _places(name: str, run: Path) -> list[Path]:
    """Return where a recipe's path may point: it began at the working folder of the training."""
    return [*cached(name), Path(name), *(parent / name for parent in run.resolve().parents)]


def _json(path: Path) -> dict[str, Any]:
    try:
        value = loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: cannot be read ({error}); name the pairs with --train-pairs FILE") from error
    if not isinstance(value, dict):
        raise ConfigError(f"{path}: not a JSON object; name the pairs with --train-pairs FILE")
    return value
