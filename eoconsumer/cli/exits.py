"""How a command ends when something is wrong: one readable message and an exit code."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import NamedTuple, ParamSpec, TypeVar

import typer

from eoconsumer.cli import FAILED, INTERRUPTED, MISCONFIGURED
from eoconsumer.errors import ConfigurationError, EOConsumerError
from eoconsumer.redact import redact_url

P = ParamSpec("P")
R = TypeVar("R")


class Failure(NamedTuple):
    """What to say, and the exit code."""

    message: str
    code: int


def failure(error: EOConsumerError | TimeoutError) -> Failure:
    """Put an error and what caused it into words, without secrets."""
    if isinstance(error, ConfigurationError):  # its message has the cause already
        return Failure(redact_url(str(error)), MISCONFIGURED)
    lines, cause = [str(error)], error.__cause__
    while cause is not None:
        said = f"{type(cause).__name__}: {cause}"
        if said not in lines[0]:
            lines.append(f"  caused by {said}")
        cause = cause.__cause__
    return Failure(redact_url("\n".join(lines)), FAILED)


def complain(message: str) -> None:
    """Say what is wrong on standard error."""
    typer.echo(f"eoconsumer: {message}", err=True)


def reported(command: Callable[P, R]) -> Callable[P, R]:
    """Decorate a command: its errors end it with a message, never with a stack trace."""

    @functools.wraps(command)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return command(*args, **kwargs)
        except (EOConsumerError, TimeoutError) as error:
            told = failure(error)
            complain(told.message)
            raise typer.Exit(told.code) from None
        except KeyboardInterrupt:
            complain("interrupted; nothing was left running")
            raise typer.Exit(INTERRUPTED) from None

    return wrapped
