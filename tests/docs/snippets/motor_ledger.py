"""The same consumer with a client of motor, which is at the end of its life."""

import asyncio

from async_ledger import Ledger

# --8<-- [start:motor]
from motor.motor_asyncio import AsyncIOMotorClient

from eoconsumer.stores.mongo import AsyncMongoStore


async def main() -> None:
    client: AsyncIOMotorClient[dict[str, object]] = AsyncIOMotorClient(
        "mongodb://localhost:27017/shop?replicaSet=rs0"
    )
    store = AsyncMongoStore(client, client.get_default_database().name)
    await Ledger("localhost:9092", store).run()
    # --8<-- [end:motor]


if __name__ == "__main__":
    asyncio.run(main())
