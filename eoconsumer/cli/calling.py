"""A consumer of threads or of asyncio is called to its end, and its store is closed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

from eoconsumer.cli.target import AnyConsumer
from eoconsumer.consumer import AsyncConsumer
from eoconsumer.consumer.signals import signals_stop
from eoconsumer.core.letters import Selection
from eoconsumer.core.redrive import Redriven

T = TypeVar("T")


def run(consumer: AnyConsumer) -> None:
    """Run ``consumer`` until a signal; raises what its ``run`` raises."""
    if isinstance(consumer, AsyncConsumer):
        # The consumer leaves a signal alone that has a handler already, which ours here have. They
        # also hear one that comes before it is at work: it stops as soon as it is.
        with signals_stop(consumer.stop):
            asyncio.run(_closing(consumer, consumer.run()))
        return
    try:
        consumer.run()
    finally:
        consumer.store.close()


def redrive(consumer: AnyConsumer, which: Selection, limit: int | None) -> Redriven:
    """Apply dead letters again; raises what the consumer's ``redrive`` raises."""
    if isinstance(consumer, AsyncConsumer):
        return asyncio.run(_closing(consumer, consumer.redrive(which, limit=limit)))
    try:
        return consumer.redrive(which, limit=limit)
    finally:
        consumer.store.close()


async def _closing(consumer: AsyncConsumer, work: Awaitable[T]) -> T:
    """Await ``work``; the store is closed on the loop that it was used on."""
    try:
        return await work
    finally:
        await consumer.store.close()
