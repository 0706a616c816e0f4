"""From a URL to an engine, for threads and for asyncio."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from sqlalchemy import Engine, QueuePool, make_url
from sqlalchemy.exc import ArgumentError, InvalidRequestError, NoSuchModuleError
from sqlalchemy.ext.asyncio import AsyncEngine

from eoconsumer.errors import ConfigurationError

E = TypeVar("E", Engine, AsyncEngine)

#: The driver where the URL names none.
DRIVERS = {"postgresql": "psycopg", "mysql": "pymysql", "mariadb": "pymysql", "sqlite": "pysqlite"}
ASYNC_DRIVERS = DRIVERS | {"mysql": "asyncmy", "mariadb": "asyncmy", "sqlite": "aiosqlite"}

#: What the drivers are told where the URL does not say otherwise: to notice within seconds that
#: nobody is there any more. The default of the system is two hours.
NOTICE: dict[str, dict[str, int]] = {
    "psycopg": {
        "connect_timeout": 5,
        "keepalives_idle": 5,
        "keepalives_interval": 2,
        "keepalives_count": 3,
        "tcp_user_timeout": 10_000,
    },
    "pymysql": {"connect_timeout": 5},
    "asyncmy": {"connect_timeout": 5},
}

FORM = (
    "Its form is postgresql+psycopg://user@host/shop, mariadb+pymysql://user@host/shop or "
    "sqlite:///shop.db."
)


def engine_of(make: Callable[..., E], url: str, drivers: Mapping[str, str]) -> E:
    """Return the engine that ``make`` makes for ``url``; ``drivers`` where it names none.

    Raises ``ConfigurationError`` for a URL that cannot be used.
    """
    try:
        made = make_url(url)
    except (ArgumentError, ValueError):
        # What SQLAlchemy says quotes the URL, and with it a password.
        raise ConfigurationError(
            f"The database URL cannot be used; nothing was consumed. {FORM}"
        ) from None
    if not made.database:
        raise ConfigurationError(
            f"The database URL names no database; nothing was consumed. {FORM}"
        )
    if "+" not in made.drivername and made.drivername in drivers:
        made = made.set(drivername=f"{made.drivername}+{drivers[made.drivername]}")
    driver = made.drivername.partition("+")[2]
    told: dict[str, Any] = {k: v for k, v in NOTICE.get(driver, {}).items() if k not in made.query}
    try:
        dialect: Any = made.get_dialect()
        pooled = issubclass(dialect.get_pool_class(made), QueuePool)
        # Each reader and lane keeps a connection; their number is set elsewhere.
        bounds: dict[str, Any] = {"max_overflow": -1} if pooled else {}
        # Parameters are payloads, and have no business in logs.
        engine = make(made, connect_args=told, hide_parameters=True, **bounds)
    except NoSuchModuleError:
        raise ConfigurationError(
            f"SQLAlchemy has no driver {made.drivername}; nothing was consumed. {FORM}"
        ) from None
    except InvalidRequestError:
        raise ConfigurationError(
            f"The driver {made.drivername} blocks the event loop; nothing was consumed. Leave it "
            "out of the URL, or use SQLStore with a Consumer."
        ) from None
    except ModuleNotFoundError as error:
        name = made.get_backend_name()
        ours = f"'eoconsumer[{name}]'" if driver == drivers.get(name) else error.name
        raise ConfigurationError(
            f"The driver {error.name!r} is not installed; nothing was consumed. "
            f"Run: pip install {ours}"
        ) from error
    return engine
