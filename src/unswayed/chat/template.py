"""Checks and changes of the chat template text: a fixed clock, no ignored values.

Pure text in, text out. Nothing here tokenises; `unswayed.chat.render` does.
"""

from __future__ import annotations

import datetime
import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from unswayed.core.errors import ConfigError

# Arguments of `apply_chat_template` that `Chat` sets itself; a template value of that name would be taken for one.
RESERVED = frozenset({
    "conversation", "messages", "chat_template", "add_generation_prompt", "continue_final_message", "tokenize",
    "padding", "truncation", "max_length", "return_tensors", "return_dict", "return_assistant_tokens_mask",
    "tokenizer_kwargs", "sanitize_control_tokens",
})  # fmt: skip
CLOCK = re.compile(r"\bstrftime_now\b")
CLOCK_FORMAT = re.compile(r"\bstrftime_now\s*\(\s*(?:\"([^\"\\]*)\"|'([^'\\]*)')\s*\)")
NO_DATE = (
    "the chat template writes today's date into the prompt, so a resumed run would train on another prompt; "
    'fix the date with template_kwargs.date_string = "2025-01-31" (any date, kept for the whole run)'
)
NO_FORMAT = (
    "the chat template asks for today's date in a format that it computes, which template_kwargs.date_string cannot "
    "answer; change the template so that it names its format as text"
)


def plain_values(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return template values as JSON types. TOML dates become ISO text: a template would see no date otherwise.

    Raises:
        ConfigError: a value that is no JSON type, or a name that `apply_chat_template` takes for itself.
    """
    taken = sorted(RESERVED & values.keys())
    if taken:
        raise ConfigError(f"template_kwargs.{taken[0]} cannot be set: it is decided by how the prompt is used")
    plain = {key: value.isoformat() if isinstance(value, datetime.date) else value for key, value in values.items()}
    try:
        json.dumps(plain, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"template_kwargs: only text, numbers, booleans, lists and tables ({error})") from error
    return plain


def check_values(template: str, names: Iterable[str]) -> None:
    """Refuse a template value that the template never mentions: Jinja would ignore a misspelt name.

    Raises:
        ConfigError: naming the value.
    """
    for name in names:
        clock = name == "date_string" and CLOCK.search(template)
        if not clock and not re.search(rf"\b{re.escape(name)}\b", template):
            raise ConfigError(
                f"template_kwargs.{name} has no effect: the chat template never reads {name!r}; check the spelling"
            )


def stop_clock(template: str, date_string: str | None) -> str:
    """Return a template whose `strftime_now` always returns the given date, in each format that the template asks for.

    A macro of the same name is put before the template and hides the clock. Without a date, asking for one raises.
    `date_string` itself also reaches the template, for those that read it as it is.

    Args:
        template: Jinja text.
        date_string: an ISO date, or a date in one of the template's own formats.
    """
    if not CLOCK.search(template):
        return template
    formats = sorted({double or single for double, single in CLOCK_FORMAT.findall(template)})
    date = _parse_date(date_string, formats)
    answers = {form: date.strftime(form) for form in formats} if date else {}
    branches = "".join(
        f"{{%- if format == {json.dumps(form)} -%}}{{{{- {json.dumps(answer)} -}}}}{{%- else -%}}"
        for form, answer in answers.items()
    )
    unread = f"template_kwargs.date_string = {date_string!r} is no date; write it as 2025-01-31"
    why = NO_DATE if date_string is None else unread if date is None else NO_FORMAT
    refuse = f"{{{{- raise_exception({json.dumps(why)}) -}}}}"
    closing = "{%- endif -%}" * len(answers)
    # transformers trims the newline after a block, so the template itself begins as it always did.
    return f"{{%- macro strftime_now(format) -%}}{branches}{refuse}{closing}{{%- endmacro %}}\n{template}"


def _parse_date(text: str | None, formats: Iterable[str]) -> datetime.datetime | None:
    for form in ("%Y-%m-%d", *formats) if text is not None else ():
        try:
            return datetime.datetime.strptime(str(text), form)
        except ValueError:
            continue
    return None
