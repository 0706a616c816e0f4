"""How a command ends when something is wrong: one readable message and an exit code."""

from __future__ import annotations

import functools
from collections.abc import Callable
from itertools import islice
from typing import NamedTuple, ParamSpec, TypeVar

import typer

from eoconsumer.cli import FAILED, INTERRUPTED, MISCONFIGURED
from eoconsumer.errors import ConfigurationError, DecodeError, EOConsumerError, chain, said
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
        return Failure(redact_url(said(error)), MISCONFIGURED)
    lines = [said(error)]
    above: BaseException = error
    for cause in islice(chain(error), 1, None):
        # A decoder's error often quotes the payload, which has no business here.
        name, hidden = type(cause).__name__, isinstance(above, DecodeError)
        told = name if hidden else f"{name}: {said(cause)}"
        if told not in lines[0]:
            lines.append(f"  caused by {told}")
        above = cause
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
