"""A consumer on an event loop with settings that the documents show."""

import asyncio

from async_ledger import Ledger

from eoconsumer.stores.mongo import AsyncMongoStore


# --8<-- [start:lanes]
async def main() -> None:
    store = AsyncMongoStore.connect("mongodb://localhost:27017/shop?replicaSet=rs0")
    await Ledger("localhost:9092", store, readers=2, lanes=50).run()


# --8<-- [end:lanes]


if __name__ == "__main__":
    asyncio.run(main())
