"""A consumer on the event loop of a web application."""

import asyncio
import signal

# --8<-- [start:lifespan]
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from async_ledger import Ledger

from eoconsumer.stores.mongo import AsyncMongoStore

store = AsyncMongoStore.connect("mongodb://localhost:27017/shop?replicaSet=rs0")

ledger = Ledger("localhost:9092", store)


@asynccontextmanager
async def consuming(_app: object) -> AsyncIterator[None]:
    running = asyncio.create_task(ledger.run())
    try:
        yield
    finally:
        ledger.stop()
        await running  # drains, leaves the group; raises what ended the consumer


# --8<-- [end:lifespan]


async def serve() -> None:
    """Stand in for the framework: run until SIGINT."""
    over = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGINT, over.set)
    async with consuming(None):
        await over.wait()


if __name__ == "__main__":
    asyncio.run(serve())
