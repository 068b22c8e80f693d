"""Chat messages: ours to Inspect's and back. Text only; whatever else a message holds is refused, never dropped."""

from __future__ import annotations

from inspect_ai.model import ChatMessage, ChatMessageAssistant, ChatMessageSystem, ChatMessageUser

from unswayed.core.errors import ConfigError
from unswayed.core.types import Message

_CLASSES = {"system": ChatMessageSystem, "user": ChatMessageUser, "assistant": ChatMessageAssistant}


def to_inspect(message: Message, id: str | None = None) -> ChatMessage:
    """Return a message of ours as Inspect's; without an id it gets a random one."""
    return _CLASSES[message.role](content=message.content, id=id)


def from_inspect(message: ChatMessage) -> Message:
    """Return a message of Inspect's as ours.

    Raises:
        ConfigError: it belongs to a tool, calls one, or holds anything but text.
    """
    if message.role not in _CLASSES or getattr(message, "tool_calls", None):
        raise ConfigError(f"a message of role {message.role!r} that belongs to a tool: the model takes no tools")
    if isinstance(message.content, str):
        return Message(message.role, message.content)
    other = sorted({part.type for part in message.content} - {"text"})
    if other:
        raise ConfigError(f"a message holds {', '.join(other)}; the model takes text only")
    return Message(message.role, "\n".join(part.text for part in message.content))
