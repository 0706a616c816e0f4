"""From the bytes of a message to the value that a handler sees."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any, Literal, TypeAlias

from pydantic import PydanticUserError, TypeAdapter

from eoconsumer.errors import ConfigurationError
from eoconsumer.message import PAYLOAD, Message, Messages, RawMessage, Undecoded

Form: TypeAlias = Literal["handle", "batch", "writes"]
Decode: TypeAlias = Callable[[Message[Any]], Any]


class JsonDecoder:
    """Decodes JSON into one type; a tombstone (no value) stays None."""

    def __init__(self, parse: Callable[[bytes], Any]) -> None:
        """``parse`` takes the bytes of a value, and raises where they do not fit."""
        self.parse = parse

    def __call__(self, message: Message[Any]) -> Any:
        """Return the decoded value of ``message``."""
        raw = message.raw_value
        return None if raw is None else self.parse(raw)


def model_decoder(value_type: Any) -> JsonDecoder:
    """Return a decoder of JSON into ``value_type``: a pydantic model or any type it knows.

    A plain ``dict`` is read by orjson, and a ``msgspec.Struct`` by msgspec, where installed.
    """
    if value_type is dict and (loads := _orjson_loads()) is not None:
        return JsonDecoder(_checked(loads))
    msgspec = sys.modules.get("msgspec")  # imported already, if there is such a type
    if msgspec is not None and isinstance(value_type, type(msgspec.Struct)):
        return JsonDecoder(msgspec.json.Decoder(value_type).decode)
    if isinstance(value_type, str):  # pydantic would look for it with each message
        raise ConfigurationError(
            f"value_type={value_type!r} is the name of a type; nothing was consumed. Give the type."
        )
    try:
        return JsonDecoder(TypeAdapter(value_type).validate_json)
    except PydanticUserError as error:
        raise ConfigurationError(
            f"value_type={value_type!r} cannot be validated by pydantic "
            f"({error.message.partition('. ')[0]}); nothing was consumed. Give a model or another "
            "type that it knows, or define decode(self, message)."
        ) from error


def _orjson_loads() -> Callable[[bytes], Any] | None:
    try:
        from orjson import loads
    except ImportError:
        return None
    return loads


def _checked(loads: Callable[[bytes], Any]) -> Callable[[bytes], Any]:
    def parse(raw: bytes) -> Any:
        value = loads(raw)
        if type(value) is not dict:
            raise ValueError("the value is JSON, but no object")
        return value

    return parse


@dataclass(frozen=True, slots=True)
class Route:
    """Which handler gets the messages of which topics, and how their values are decoded."""

    topics: tuple[str, ...]
    form: Form
    call: Callable[..., Any]
    decode: Decode | None = None

    def view(self, raw: Sequence[RawMessage]) -> Messages[Any]:
        """Return the messages as the handler sees them."""
        decode = self.decode
        if decode is None:
            return Messages(raw, [*map(itemgetter(PAYLOAD), raw)])
        if isinstance(decode, JsonDecoder):
            return Messages(raw, _parsed(raw, decode.parse))
        return Messages(raw, [_decoded(each, decode) for each in raw])


def _decoded(raw: RawMessage, decode: Decode) -> Any:
    try:
        return decode(Message(raw, raw[PAYLOAD]))
    except Exception as error:
        return Undecoded(error)


def _parsed(raw: Sequence[RawMessage], parse: Callable[[bytes], Any]) -> list[Any]:
    """Return parsed values, without a look at each as a message before."""
    values: list[Any] = []
    for message in raw:
        value = message[PAYLOAD]
        try:
            values.append(None if value is None else parse(value))
        except Exception as error:
            values.append(Undecoded(error))
    return values


@dataclass
class Routes:
    """The handlers of a consumer, found by the name of a topic; patterns begin with ``^``."""

    routes: list[Route] = field(default_factory=list)
    _found: dict[str, Route] = field(default_factory=dict)

    def add(self, route: Route) -> None:
        """Add ``route``; raises ``ConfigurationError`` where a topic has a handler already."""
        taken = {topic for known in self.routes for topic in known.topics}
        for topic in route.topics:
            if not isinstance(topic, str) or not topic:
                raise ConfigurationError(
                    f"{topic!r} is no name of a topic; nothing was consumed. Give a string."
                )
            if topic in taken:
                raise ConfigurationError(
                    f"The topic {topic!r} has a handler already; nothing was consumed. One "
                    "handler for each topic: join the two, or use another group."
                )
            if topic.startswith("^"):
                try:
                    re.compile(topic)
                except re.error as error:
                    raise ConfigurationError(
                        f"{topic!r} is no regular expression ({error}); nothing was consumed."
                    ) from error
        self.routes.append(route)

    @property
    def topics(self) -> list[str]:
        """All topics and patterns, each once: librdkafka refuses one that is there twice."""
        return list(dict.fromkeys(topic for route in self.routes for topic in route.topics))

    def of(self, topic: str) -> Route:
        """Return the route of ``topic``: its own, or that of the first pattern that matches.

        Raises ``ConfigurationError`` where no pattern of Python's matches what Kafka's did.
        """
        route = self._found.get(topic)
        if route is None:
            exact = (r for r in self.routes if topic in r.topics)
            matching = (
                r for r in self.routes for t in r.topics if t[0] == "^" and re.match(t, topic)
            )
            found = next(exact, None) or next(matching, None)
            if found is None:
                raise ConfigurationError(
                    f"Kafka takes {topic!r} for one of our topics and Python does not: a regular "
                    "expression means different things to them. Nothing of it was handled. Write "
                    "the pattern without classes such as [[:alpha:]], or name the topics."
                )
            route = self._found[topic] = found
        return route
