"""Read TOML files that people write: every problem named at once, two of them compared field by field.

Every field is marked *science* (changing it makes another experiment; a resume refuses it) or *operational* (where, how
often, how loud; a resume accepts it). `tests/test_config.py` fails on a field without a mark.
"""

from __future__ import annotations

import copy
import json
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Self, get_args

from pydantic import BaseModel, ValidationError

from unswayed.config.fields import Table
from unswayed.core.errors import ConfigError
from unswayed.core.suggest import did_you_mean

# Keys of services by the forms that they have, and a password inside a URL.
KEY = re.compile(
    r"\b(sk-[\w-]{16,}|hf_[A-Za-z0-9]{20,}|gh[opsur]_[A-Za-z0-9]{20,}|github_pat_\w{20,}|glpat-[\w-]{16,}|AKIA[A-Z0-9]{16}"
    r"|AIza[\w-]{30,}|xox[abp]-[\w-]{10,}|eyJ[\w-]{10,}\.[\w-]{10,}\.[\w-]+)|://[^/@\s:]*:[^/@\s]+@"
)
HASHLIKE = re.compile(r"[0-9a-f]{40}")  # a key of W&B; under `revision` it is a commit
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
        return cls.from_dict(tables, where=str(path), set=set)

    @classmethod
    def from_dict(cls, tables: Mapping[str, Any], where: str = "recipe", set: Iterable[str] = ()) -> Self:
        """Check a dictionary of tables, with `a.b=c` settings applied to a copy of it (see `load`).

        Raises:
            ConfigError: every problem at once, each with its key path.
        """
        try:
            whole = copy.deepcopy(dict(tables))
            for setting in set:
                _apply(whole, setting)
            if secrets := [".".join(path) for path, value in _leaves(whole) if _is_secret(path, value)]:
                raise ConfigError(
                    f"{where}: {', '.join(secrets)} looks like a secret; keys are read from the environment only"
                )
            return cls.model_validate(whole)
        except (ValidationError, RecursionError) as error:
            raise ConfigError(f"{where}: {explain(error, cls)}") from error

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
    """Yield every key and every entry of a list with its path and what it holds."""
    inside = value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in inside:
        yield (*path, str(key)), inner
        yield from _leaves(inner, (*path, str(key)))


def _is_secret(path: tuple[str, ...], value: Any) -> bool:
    """Return whether a key is named like a secret, or its value looks like one under any name."""
    if SECRET.search(path[-1]):
        return True
    return isinstance(value, str) and bool(KEY.search(value) or (HASHLIKE.fullmatch(value) and path[-1] != "revision"))


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


# What Transformers, TRL and PEFT call a setting, by our key.
ELSEWHERE = {
    "learning_rate": "optim.lr", "max_grad_norm": "optim.max_grad_norm", "lr_scheduler_type": "optim.schedule",
    "warmup_ratio": "optim.warmup_steps", "max_steps": "train.steps", "num_train_epochs": "train.epochs",
    "per_device_train_batch_size": "train.micro_batch", "batch_size": "train.pairs_per_step",
    "gradient_checkpointing": "train.activation_checkpointing", "gradient_accumulation_steps": "train.pairs_per_step",
    "r": "lora.rank", "lora_alpha": "lora.alpha", "lora_dropout": "lora.dropout", "target_modules": "lora.targets",
    "output_dir": "save.dir", "save_steps": "save.every_steps", "save_total_limit": "save.keep", "model": "model.id",
    "report_to": "log.trackers", "dataset": "data.train", "train_file": "data.train",
    "num_generations": "sampling.rollouts_per_pair",
    "max_length": "sampling.max_new_tokens",
    "max_completion_length": "sampling.max_new_tokens", "model_name_or_path": "model.id", "attn_implementation":
    "model.attention", "torch_dtype": "model.dtype",
}  # fmt: skip


def key_paths(model: type[BaseModel], path: tuple[str, ...] = ()) -> Iterator[str]:
    """Yield the dotted path of every key that a document may hold; of a table with several forms, those of all."""
    for name, field in model.model_fields.items():
        kind = next(iter(get_args(field.annotation)), field.annotation)  # of a list of tables, the table
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield ".".join((*path, name))
            for form in (kind, *_below(kind)):
                yield from key_paths(form, (*path, name))
        else:
            yield ".".join((*path, name))


def _below(kind: type[BaseModel]) -> Iterator[type[BaseModel]]:
    for below in kind.__subclasses__():
        yield below
        yield from _below(below)


def _meant(where: str, model: type[BaseModel]) -> str:
    """Return what may have been meant by an unknown key: what others call it, a neighbour, or a key elsewhere."""
    keys = sorted(set(key_paths(model)))
    where = re.sub(r"\.\d+\.", ".", where)  # the place in a list of tables
    table, _, name = where.rpartition(".")
    if (ours := ELSEWHERE.get(name)) in keys and ours != where:
        return f"; did you mean {ours!r}?"
    beside = [key for key in keys if key.rpartition(".")[0] == table]
    return did_you_mean(where, beside, cutoff=0.75) or did_you_mean(name, keys, cutoff=0.75)


def explain(error: ValidationError | RecursionError, model: type[BaseModel]) -> str:
    """Return every problem that pydantic found, each with its key path: one as it is, several one a line."""
    if isinstance(error, RecursionError):
        return "nested too deeply"
    lines = []
    for problem in error.errors():
        what = {"extra_forbidden": "unknown key", "missing": "is required"}.get(problem["type"], problem["msg"])
        parts = [str(part) for part in problem["loc"]]
        if parts and parts[0] in {"method", "labeller"}:
            del parts[1:2]  # by which of the tables of its kind it was read
            if parts[1:2] == ["scorer"]:
                del parts[2:-1]
        where = ".".join(parts)
        if problem["type"] in {"union_tag_invalid", "union_tag_not_found"}:  # a table that is chosen by one of its keys
            where += "." + problem["ctx"]["discriminator"].strip("'")
            known = ", ".join(sorted(problem["ctx"].get("expected_tags", "").replace("'", "").split(", ")))
            tag = problem["ctx"].get("tag")
            what = "is required" if tag is None else f"{tag!r} is none of {known}{did_you_mean(tag, known.split(', '))}"
        elif problem["type"] == "extra_forbidden":
            what += _meant(where, model)
        lines.append(f"{where and where + ': '}{what.removeprefix('Value error, ')}")
    return lines[0] if len(lines) == 1 else "".join(f"\n  {line}" for line in lines)


def to_toml(tables: Mapping[str, Any]) -> str:
    """Return tables as TOML that reads back as they are; what is None is left out, for TOML has no such value."""
    simple = {key: value for key, value in tables.items() if not isinstance(value, Mapping)}
    nested = {key: value for key, value in tables.items() if isinstance(value, Mapping)}
    parts = [_lines(simple), *(f"[{_key(key)}]\n{_lines(value)}" for key, value in nested.items())]
    return "\n".join(parts).strip() + "\n"


def _lines(table: Mapping[str, Any]) -> str:
    return "".join(f"{_key(key)} = {to_value(value)}\n" for key, value in table.items() if value is not None)


def _key(key: str) -> str:
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else to_value(key)


def to_value(value: Any) -> str:
    """Return a value as TOML."""
    if isinstance(value, Mapping):
        inner = ", ".join(f"{_key(key)} = {to_value(each)}" for key, each in value.items() if each is not None)
        return f"{{ {inner} }}" if inner else "{}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(to_value(each) for each in value)}]"
    # Numbers and booleans are written as in JSON; so is a string, but for the one character that TOML wants escaped.
    return json.dumps(value, ensure_ascii=False, allow_nan=False).replace("\x7f", "\\u007f")
