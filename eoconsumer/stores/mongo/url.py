"""From a URL to a client of a driver, with settings that notice a hanging primary in time."""

from __future__ import annotations

from typing import Any, TypeVar
from urllib.parse import parse_qsl, urlencode

from pymongo.errors import PyMongoError
from pymongo.uri_parser import split_options

from eoconsumer.errors import ConfigurationError

C = TypeVar("C")

#: With the driver's own settings a primary that hangs is noticed after 30 s; these make it 7 s.
#: And a try without a primary ends after 5 s instead of 30: how long to go on is ours to say.
NOTICE = {
    "heartbeatFrequencyMS": 2_000,
    "connectTimeoutMS": 5_000,
    "serverSelectionTimeoutMS": 5_000,
}

FORM = "Its form is mongodb://host:27017/shop?replicaSet=rs0, where shop is the database."


def client_of(kind: type[C], url: str) -> tuple[C, str]:
    """Return a client for ``url``, which connects at its first use, and the name of the database.

    Raises ``ConfigurationError`` for a URL that cannot be used.
    """
    asked = parse_qsl(url.partition("?")[2], keep_blank_values=True)
    # The driver would only warn: with tls=yes it would go on without TLS.
    wrong = [name for name, value in asked if not _is_taken(name, value)]
    # Behind a "?" and before an "@" may be a password that was not escaped.
    if wrong and "@" not in url.partition("?")[2]:
        raise ConfigurationError(
            f"The MongoDB URL cannot be used: MongoDB's driver does not take {', '.join(wrong)} as "
            "given there. Nothing was consumed. Look for a slip in the name or the value; a file "
            "has to be readable."
        )
    given = {name.lower() for name, _ in asked}
    options: dict[str, Any] = {k: v for k, v in NOTICE.items() if k.lower() not in given}
    options |= {"connect": False, "retryWrites": True, "retryReads": True}
    try:
        client: Any = kind(url, **options)  # type: ignore[call-arg]  # every driver takes these
    except (PyMongoError, ValueError, TypeError, OSError) as error:
        # What the driver says may quote a password that was not escaped.
        said = "user and password must be percent-encoded" if "@" in url else error
        raise ConfigurationError(
            f"The MongoDB URL cannot be used: {said}. Nothing was consumed. {FORM}"
        ) from None
    try:
        return client, client.get_default_database().name
    except PyMongoError:
        raise ConfigurationError(
            f"The MongoDB URL names no database; nothing was consumed. {FORM}"
        ) from None


def _is_taken(name: str, value: str) -> bool:
    try:
        split_options(urlencode({name: value}))
    except (PyMongoError, ValueError, TypeError, OSError):
        return False
    return True
