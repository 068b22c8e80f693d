"""Read TOML files that people write: every problem named at once, two of them compared field by field.

Every field is marked *science* (changing it makes another experiment; a resume refuses it) or *operational* (where, how
often, how loud; a resume accepts it). `tests/test_config.py` fails on a field without a mark.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Self

from pydantic import ValidationError

from unswayed.config.fields import Table
from unswayed.core.errors import ConfigError

SECRET = re.compile(r"(api[-_]?keys?|(?<![a-z])token|secrets?|passwords?|credentials?)$", re.IGNORECASE)


def read_toml(path: str | Path, what: str) -> dict[str, Any]:
    """Return the tables of a TOML file that a person wrote; `what` it is is named in the messages.

    Raises:
        ConfigError: it cannot be read, or is no TOML.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, ValueError) as error:  # not UTF-8, or a NUL byte in the path
        raise ConfigError(f"{path}: cannot read the {what} ({error})") from error
    try:
        return tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ConfigError(f"{path}: not valid TOML: {error}") from error


class Document(Table):
    """A whole file: how it is read, and which of its fields may not change between start and resume."""

    @classmethod
    def load(cls, path: str | Path, set: Iterable[str] = ()) -> Self:
        """Read a TOML recipe and apply `a.b=c` settings; `a.b=` takes the file's own value away.

        Raises:
            ConfigError: no such file, broken TOML, an unknown key, a wrong type, or settings that do not fit together.
        """
        tables = read_toml(path, "recipe")
        for setting in set:
            _apply(tables, setting)
        return cls.from_dict(tables, where=str(path))

    @classmethod
    def from_dict(cls, tables: Mapping[str, Any], where: str = "recipe") -> Self:
        """Check a dictionary of tables.

        Raises:
            ConfigError: every problem at once, each with its key path.
        """
        secrets = [".".join(path) for path, _ in _leaves(tables) if SECRET.search(path[-1])]
        if secrets:
            raise ConfigError(
                f"{where}: {', '.join(secrets)} looks like a secret; keys are read from the environment only"
            )
        try:
            return cls.model_validate(dict(tables))
        except (ValidationError, RecursionError) as error:
            raise ConfigError(f"{where}: {explain(error)}") from error

    def to_dict(self) -> dict[str, Any]:
        """Return every value, defaults filled in, as plain JSON types."""
        tables: dict[str, Any] = json.loads(self.model_dump_json())
        return tables

    def science(self) -> dict[str, Any]:
        """Return the science fields, flat: `{"optim.lr": 1e-05, ...}`."""
        return {".".join(path): value for path, value, kind in _marked(self) if kind == "science"}

    def difference(self, other: Mapping[str, Any]) -> list[str]:
        """Return the science fields in which `other` (a `science()` of an earlier run) differs, one line each."""
        mine = self.science()
        return [
            f"{key}: was {json.dumps(other.get(key))}, now {json.dumps(mine.get(key))}"
            for key in sorted(mine.keys() | other.keys())
            if mine.get(key) != other.get(key)
        ]


def _apply(tables: dict[str, Any], setting: str) -> None:
    """Apply one `a.b=c`. The value is TOML where it parses as TOML, else a string; with none, the key is taken away."""
    key, equals, value = setting.partition("=")
    parts = key.strip().split(".")
    if not equals or not all(parts):
        raise ConfigError(f"--set {setting!r}: write it as table.key=value, e.g. --set optim.lr=2e-5")
    table = tables
    for part in parts[:-1]:
        table = table.setdefault(part, {})
        if not isinstance(table, dict):
            raise ConfigError(f"--set {setting!r}: {part!r} is a value, not a table")
    if not value.strip():
        table.pop(parts[-1], None)
        return
    table[parts[-1]] = read_value(value)


def read_value(text: str) -> Any:
    """Return what a command line gives as a value: TOML where it parses as TOML, else the text itself."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except (tomllib.TOMLDecodeError, RecursionError):
        return text


def _leaves(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield (*path, str(key)), None
            yield from _leaves(inner, (*path, str(key)))


def _marked(table: Table, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any, str]]:
    """Yield every leaf field with its JSON value and its mark."""
    for name, info in type(table).model_fields.items():
        value = getattr(table, name)
        if isinstance(value, Table):
            yield from _marked(value, (*path, name))
        else:
            extra = info.json_schema_extra
            kind = str(extra["kind"]) if isinstance(extra, dict) else "unmarked"
            dumped = json.loads(json.dumps(value, default=lambda item: item.model_dump(mode="json")))
            yield (*path, name), dumped, kind


def explain(error: ValidationError | RecursionError) -> str:
    """Return every problem that pydantic found, each with its key path: one as it is, several one a line."""
    if isinstance(error, RecursionError):
        return "nested too deeply"
    lines = []
    for problem in error.errors():
        what = {"extra_forbidden": "unknown key", "missing": "is required"}.get(problem["type"], problem["msg"])
        where = ".".join(str(part) for part in problem["loc"])
        if problem["type"] in {"union_tag_invalid", "union_tag_not_found"}:  # a table that is chosen by one of its keys
            where += "." + problem["ctx"]["discriminator"].strip("'")
            known = ", ".join(sorted(problem["ctx"].get("expected_tags", "").replace("'", "").split(", ")))
            what = f"{problem['ctx']['tag']!r} is none of {known}" if "tag" in problem["ctx"] else "is required"
        lines.append(f"{where and where + ': '}{what.removeprefix('Value error, ')}")
    return lines[0] if len(lines) == 1 else "".join(f"\n  {line}" for line in lines)


def to_toml(tables: Mapping[str, Any]) -> str:
    """Return tables as TOML that reads back as they are; what is None is left out, for TOML has no such value."""
    plain = {key: value for key, value in tables.items() if value is not None}
    simple = [f"{_key(key)} = {_toml(value)}" for key, value in plain.items() if not isinstance(value, Mapping)]
    nested = [
        "\n".join([f"[{_key(key)}]", *(f"{_key(name)} = {_toml(inner)}" for name, inner in value.items() if inner is not None)])
        for key, value in plain.items()
        if isinstance(value, Mapping)
    ]  # fmt: skip
    return "\n\n".join(["\n".join(simple), *nested]).strip() + "\n"


def _key(key: str) -> str:
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else _toml(key)


def _toml(value: Any) -> str:
    if isinstance(value, Mapping):
        inner = ", ".join(f"{_key(key)} = {_toml(each)}" for key, each in value.items() if each is not None)
        return f"{{ {inner} }}" if inner else "{}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(_toml(each) for each in value)}]"
    # Numbers and booleans are written as in JSON; so is a string, but for the one character that TOML wants escaped.
    return json.dumps(value, ensure_ascii=False, allow_nan=False).replace("\x7f", "\\u007f")
