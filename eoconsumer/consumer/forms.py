"""The forms of a handler, and how a function is told from one that has to be awaited."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from eoconsumer.codecs import Form

#: The forms of a handler, by the name of the method that a subclass defines.
FORMS: dict[str, Form] = {"handle": "handle", "handle_batch": "batch", "writes": "writes"}


def names_of(topics: Sequence[str] | str) -> tuple[str, ...]:
    """Return the names of one topic or of many."""
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
