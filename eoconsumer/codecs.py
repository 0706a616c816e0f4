"""From the bytes of a message to the value that a handler sees."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from pydantic import TypeAdapter

from eoconsumer.errors import ConfigurationError
from eoconsumer.message import Message, RawMessage, UndecodedMessage

Form: TypeAlias = Literal["handle", "batch", "writes"]
Decode: TypeAlias = Callable[[Message[Any]], Any]


def model_decoder(value_type: Any) -> Decode:
    """Return a decoder of JSON into ``value_type``: a pydantic model or any type it knows.

    A tombstone (no value) stays None.
    """
    validate = TypeAdapter(value_type).validate_json

    def decode(message: Message[Any]) -> Any:
        raw = message.raw_value
        return None if raw is None else validate(raw)

    return decode


@dataclass(frozen=True, slots=True)
class Route:
    """Which handler gets the messages of which topics, and how their values are decoded."""

    topics: tuple[str, ...]
    form: Form
    call: Callable[..., Any]
    decode: Decode | None = None

    def view(self, raw: Sequence[RawMessage]) -> list[Message[Any]]:
        """Return the messages as the handler sees them."""
        if self.decode is None:
            return [Message(r, r.value()) for r in raw]
        return [self._decoded(r, self.decode) for r in raw]

    @staticmethod
    def _decoded(raw: RawMessage, decode: Decode) -> Message[Any]:
        try:
            return Message(raw, decode(Message(raw, raw.value())))
        except Exception as error:
            return UndecodedMessage(raw, error)


@dataclass
class Routes:
    """The handlers of a consumer, found by the name of a topic; patterns begin with ``^``."""

    routes: list[Route] = field(default_factory=list)
    _found: dict[str, Route] = field(default_factory=dict)

    def add(self, route: Route) -> None:
        """Add ``route``; raises ``ConfigurationError`` where a topic has a handler already."""
        taken = {topic for known in self.routes for topic in known.topics}
        for topic in route.topics:
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
        """All topics and patterns."""
        return [topic for route in self.routes for topic in route.topics]

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
