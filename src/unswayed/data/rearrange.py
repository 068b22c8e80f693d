"""Files of pairs made from other files of pairs: one split by items, or several merged."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from unswayed.core.errors import ConfigError, DataError
from unswayed.core.overlap import normalise
from unswayed.core.printable import printable
from unswayed.core.tables import NO_NAMES
from unswayed.core.types import PromptPair
from unswayed.data.build.manifest import manifest_of, manifest_sources
from unswayed.data.build.publish import write_parts
from unswayed.data.read import Scan, hash_data, locate_data, scan_pairs, sound
from unswayed.data.split import PARTS, HoldOut, split_pairs


def split_file(
    source: str | Path,
    output: Path,
    hold_out: HoldOut,
    *,
    columns: Mapping[str, str] = NO_NAMES,
    force: bool = False,
) -> dict[str, Any]:
    """Split pairs into parts that share no item and write them; return the manifest.

    Rows belong to one item where they share a `group`, or a prompt but for case, spacing and punctuation. The side
    that an item falls on comes from a hash of its name and the seed, so further items never move others.

    Raises:
        ConfigError: a file in the way, or nothing that is held out.
        DataError: pairs that cannot be read, or an item that lies on both sides.
    """
    path, scan = _read(source, output, columns)
    items = items_of(scan.pairs)
    split = split_pairs((replace(pair, group=items[pair.id]) for pair in scan.pairs), hold_out)
    known = {pair.id: pair for pair in scan.pairs}
    parts = {
        part: [known[pair.id] for pair in rows]
        for part, rows in ((part, getattr(split, part)) for part in PARTS)
        if rows
    }
    if "train" not in parts or len(parts) == 1:
        missing = "is left for training" if "train" not in parts else "is held out"
        count = len(set(items.values()))
        raise ConfigError(f"{path}: of {count:,} items none {missing}; choose another --fraction, or another --seed")
    facts = {name: sorted(value) if isinstance(value, frozenset) else value for name, value in asdict(hold_out).items()}
    return write_parts(
        parts,
        output,
        {"split": facts, "items": len(set(items.values())), **_origin([path], columns)},
        force=force,
        plain=scan.plain,
    )


def merge_files(
    sources: Sequence[str | Path], output: Path, *, columns: Mapping[str, str] = NO_NAMES, force: bool = False
) -> dict[str, Any]:
    """Write the pairs of several files into one, in order; return the manifest.

    `shared_groups` counts groups that more than one file has: their rows count as one item.

    Raises:
        ConfigError: a file in the way.
        DataError: pairs that cannot be read, or an id that more than one file has.
    """
    read = [_read(source, output, columns) for source in sources]
    first: dict[str, tuple[Path, PromptPair]] = {}
    problems = []
    for path, scan in read:
        for pair in scan.pairs:
            where, other = first.setdefault(pair.id, (path, pair))
            if other is not pair:
                same = "the same row" if other == pair else "another row"
                problems.append(f"{path}: id: {printable(pair.id, newlines=False)!r} is that of {same} in {where}")
    if problems:
        raise DataError(
            "nothing was merged; ids are unique. Remove these rows, or give them ids of their own:", problems
        )
    shared = Counter(group for _, scan in read for group in {pair.group for pair in scan.pairs})
    return write_parts(
        {"train": [pair for _, scan in read for pair in scan.pairs]},
        output,
        {
            "merged": {str(path): len(scan.pairs) for path, scan in read},
            "shared_groups": sum(count > 1 for count in shared.values()),
            **_origin([path for path, _ in read], columns),
        },
        force=force,
        plain=frozenset().union(*(scan.plain for _, scan in read)),
    )


def items_of(pairs: Iterable[PromptPair]) -> dict[str, str]:
    """Return the item of each pair by the pair's id: the first name, in order, of the groups that are linked to it."""
    parent: dict[object, object] = {}

    def root(key: object) -> object:
        while parent.setdefault(key, key) != key:
            parent[key] = key = parent[parent[key]]
        return key

    pairs = tuple(pairs)
    for pair in pairs:
        group = ("group", pair.group)
        for text in {normalise(pair.prompt), normalise(pair.teacher_prompt)}:
            parent[root(("text", text))] = root(group)
    names: dict[object, str] = {}
    for pair in pairs:
        key = root(("group", pair.group))
        names[key] = min(names.get(key, pair.group), pair.group)
    return {pair.id: names[root(("group", pair.group))] for pair in pairs}


def _read(source: str | Path, output: Path, columns: Mapping[str, str]) -> tuple[Path, Scan]:
    path = locate_data(source)
    scan = sound(path, scan_pairs(path, allow_identical=True, columns=columns, need_teacher=False))
    if path.absolute() == output.absolute():
        raise ConfigError(f"{path} is read, so nothing can be written to it; choose another file with -o")
    return path, scan


def _origin(paths: Sequence[Path], columns: Mapping[str, str]) -> dict[str, Any]:
    """Return the hash of each file, and the sources that their manifests name: sets for evaluation only stay known."""
    sources = [entry for path in paths for entry in manifest_sources(manifest_of(path))]
    return {"inputs": {str(path): hash_data(path, columns) for path in paths}, "sources": sources}
