"""Base classes of TOML tables, and fields marked science or operational."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache, reduce
from operator import or_
from typing import Annotated, Any, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from unswayed.core.errors import ConfigError
from unswayed.core.plugins import load_installed


def science(default: Any = ..., **options: Any) -> Any:
    """Declare a field that is part of the experiment."""
    return Field(default, json_schema_extra={"kind": "science"}, **options)


def operational(default: Any = ..., **options: Any) -> Any:
    """Declare a field that may change between start and resume."""
    return Field(default, json_schema_extra={"kind": "operational"}, **options)


class StrictModel(BaseModel):
    """A TOML table: frozen, strict about types, closed to unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class Table(StrictModel):
    """A recipe table, whose fields are all marked."""


T = TypeVar("T", bound=Table)


def enter(tables: dict[str, type[T]], table: type[T]) -> None:
    """Make a table known by its literal `name`; one without a name is a base class and stays out.

    Raises:
        ConfigError: another table has this name.
    """
    if "name" not in table.model_fields:
        return
    (name,) = get_args(table.model_fields["name"].annotation)
    if (other := tables.setdefault(name, table)) is not table:
        raise ConfigError(f"{table.__module__}: {name!r} is declared already, in {other.__module__}")


def by_name(tables: Mapping[str, type[T]], base: type[T]) -> Callable[[Any], T]:
    """Return what checks a table by the class that has its name, among those known when it is read."""

    def read(table: Any) -> T:
        if isinstance(table, base):
            return table
        load_installed()
        found: T = _union(*tables.values()).validate_python(table)
        return found

    return read


@cache
def _union(*tables: type[Table]) -> TypeAdapter[Any]:
    union: Any = Annotated[reduce(or_, tables), Field(discriminator="name")]
    return TypeAdapter(union)
