"""What the user names on the command line: `module:Consumer`."""

from __future__ import annotations

import importlib
import sys
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from eoconsumer.consumer import AsyncConsumer, Consumer
from eoconsumer.errors import ConfigurationError, EOConsumerError
from eoconsumer.stores import open_async_store, open_store

#: ``AsyncConsumer``'s store is one of asyncio.
AnyConsumer = Consumer | AsyncConsumer

FORM = "The form is module:Class, as in shop.ledger:Ledger."


class Target(NamedTuple):
    """A consumer by name, and what it is to be made with; it can be sent to another process.

    The name may stand for a subclass of ``Consumer`` or ``AsyncConsumer``, or for one that is made
    already (the form with decorators). A class is made here, from ``bootstrap``, ``store`` (a URL)
    and ``settings`` (arguments of its constructor). A made one has all of that already, so it takes
    none of it: ``typed`` names the options that the user gave for it in vain.
    """

    name: str
    bootstrap: str | None = None
    store: str | None = None
    settings: Mapping[str, Any] = {}
    typed: tuple[str, ...] = ()

    def consumer(self) -> AnyConsumer:
        """Import and return the consumer; raises ``ConfigurationError``. Connects to nothing."""
        found = self._find()
        if isinstance(found, AnyConsumer):
            if self.typed:
                given = ", ".join(f"--{name}" for name in self.typed)
                raise ConfigurationError(
                    f"{self.name} is a consumer with settings of its own, so {given} cannot be "
                    "given; nothing was consumed. Change them where it is made."
                )
            return found
        if not (isinstance(found, type) and issubclass(found, AnyConsumer)):
            raise ConfigurationError(
                f"{self.name} is {found!r}, neither a subclass of Consumer or AsyncConsumer "
                f"nor a consumer; nothing was consumed. {FORM}"
            )
        if self.bootstrap is None or self.store is None:
            raise ConfigurationError(
                f"{self.name} is a class, so it has to be told where Kafka and the database are; "
                "nothing was consumed. Give -b SERVERS and --store URL, or set "
                "EOCONSUMER_BOOTSTRAP_SERVERS and EOCONSUMER_STORE."
            )
        opened = open_async_store if issubclass(found, AsyncConsumer) else open_store
        store: Any = opened(self.store)
        try:
            return found(self.bootstrap, store, **self.settings)
        except EOConsumerError:
            raise
        except Exception as error:
            raise ConfigurationError(
                f"{self.name} could not be made: {_where(error)}. Nothing was consumed."
            ) from error

    def _find(self) -> object:
        module_name, separator, attribute = self.name.partition(":")
        if not (module_name and separator and attribute):
            raise ConfigurationError(f"{self.name!r} names no consumer. {FORM}")
        here = str(Path.cwd())
        if here not in sys.path:  # as `python -m` does
            sys.path.insert(0, here)
        try:
            module = importlib.import_module(module_name)
        except EOConsumerError:
            raise
        except ModuleNotFoundError as error:
            hint = f" in {here} or on sys.path" if error.name == module_name else ""
            raise ConfigurationError(
                f"There is no module {error.name!r}{hint}; nothing was consumed. {FORM}"
            ) from error
        except Exception as error:
            raise ConfigurationError(
                f"Importing {module_name} failed: {_where(error)}. Nothing was consumed."
            ) from error
        try:
            return getattr(module, attribute)
        except AttributeError:
            raise ConfigurationError(
                f"{module_name} has no {attribute!r}; nothing was consumed. {FORM}"
            ) from None


def _where(error: Exception) -> str:
    """Name an error of the user's code, and the line that raised it."""
    place = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {error} ({place.filename}, line {place.lineno})"
