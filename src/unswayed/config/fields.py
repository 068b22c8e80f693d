"""Base classes of TOML tables, and fields marked science or operational."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field


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
