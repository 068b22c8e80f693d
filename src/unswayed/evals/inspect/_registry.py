"""The entry point for Inspect: the model API and a task for every suite. Loads no torch."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

from inspect_ai import Task, task
from inspect_ai._util.error import PrerequisiteError
from inspect_ai.model import ModelAPI, modelapi
from rich.markup import escape

from unswayed.core.errors import UnswayedError
from unswayed.core.printable import printable
from unswayed.evals import registry as base
from unswayed.evals.inspect.naming import API, task_name
from unswayed.evals.inspect.tasks import answer, rates, suite_rates, suite_task

__all__ = ["answer", "rates", "suite_rates"]


def _plainly(function: Callable[..., Any]) -> Callable[..., Any]:
    """Turn errors raised on purpose into the kind that Inspect's command line prints without a traceback."""

    @functools.wraps(function)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except UnswayedError as error:
            raise PrerequisiteError(escape(printable(str(error)))) from error

    return wrapped


def _model_api() -> Callable[..., ModelAPI]:
    from unswayed.evals.inspect.provider import UnswayedAPI

    return _plainly(UnswayedAPI)


def _task(suite: str) -> Callable[..., Task]:
    builder = base.builder(suite)

    def build(**arguments: Any) -> Task:
        return suite_task(base.suite(suite, **arguments), arguments)

    build.__name__, build.__doc__ = task_name(suite), builder.__doc__
    build = _plainly(build)
    # Inspect reads from the signature which `-T` arguments there are.
    build.__signature__ = inspect.signature(builder).replace(return_annotation=Task)  # type: ignore[attr-defined]
    return build


unswayed = modelapi(name=API)(_model_api)
tasks = {suite: task(name=task_name(suite))(_task(suite)) for suite in base.suites()}
