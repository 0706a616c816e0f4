"""The forms of a handler, and how a function is told from one that has to be awaited."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

from eoconsumer.codecs import Form
from eoconsumer.errors import ConfigurationError

#: The forms of a handler, by the name of the method that a subclass defines.
FORMS: dict[str, Form] = {"handle": "handle", "handle_batch": "batch", "writes": "writes"}

#: What a handler of each form is called with.
ARGUMENTS: dict[Form, tuple[str, ...]] = {
    "handle": ("message", "session"),
    "batch": ("messages", "session"),
    "writes": ("message",),
}


def must_take(function: object, arguments: tuple[str, ...]) -> None:
    """Raise ``ConfigurationError`` where ``function`` cannot be called with ``arguments``.

    Each message would fail, and be skipped or buried, for a mistake that is none of its own.
    """
    try:
        if callable(function):
            inspect.signature(function).bind(*arguments)
            return
    except ValueError:  # a function in C may not tell what it takes
        return
    except TypeError:
        pass
    name = getattr(function, "__qualname__", repr(function))
    raise ConfigurationError(
        f"{name} is called with ({', '.join(arguments)}), which it does not take; nothing was "
        "consumed. Give it these arguments, by position."
    )


def must_not_wait(function: Callable[..., object]) -> None:
    """Raise ``ConfigurationError`` for a coroutine function where nothing is awaited."""
    if is_awaitable(function):
        raise ConfigurationError(
            f"{named(function)} is a coroutine function, and nobody awaits it here; nothing was "
            "consumed. Make it a plain function."
        )


def names_of(topics: Sequence[str] | str) -> tuple[str, ...]:
    """Return the names of one topic or of many; raises ``ConfigurationError`` for neither."""
    if not isinstance(topics, Iterable):
        raise ConfigurationError(
            f"topics={topics!r} is neither a name nor a list of names; nothing was consumed."
        )
    return (topics,) if isinstance(topics, str) and topics else tuple(topics)


def named(function: Callable[..., Any]) -> str:
    """Return how an error calls ``function``."""
    return str(getattr(function, "__qualname__", function))


def is_awaitable(function: Callable[..., object]) -> bool:
    """Whether a call only makes a coroutine."""
    return inspect.iscoroutinefunction(_called(function))


def is_generator(function: Callable[..., object]) -> bool:
    """Whether a call only makes a generator."""
    return inspect.isgeneratorfunction(_called(function))


def is_async_generator(function: Callable[..., object]) -> bool:
    """Whether a call only makes a generator that is awaited."""
    return inspect.isasyncgenfunction(_called(function))


def _called(function: Callable[..., object]) -> Callable[..., object]:
    while isinstance(function, partial):
        function = function.func
    if not inspect.isroutine(function):
        function = getattr(function, "__call__", function)  # noqa: B004 - an object that is called
    return function
