"""The consumer of the documents on an event loop."""

# --8<-- [start:program]
import asyncio

from pydantic import BaseModel
from pymongo.asynchronous.client_session import AsyncClientSession

from eoconsumer import AsyncConsumer, Message
from eoconsumer.stores.mongo import AsyncMongoStore


class StockMove(BaseModel):
    item: str
    quantity: int


class Ledger(AsyncConsumer[AsyncClientSession]):
    store: AsyncMongoStore
    topics = "stock-moves"
    group = "ledger"
    value_type = StockMove

    async def handle(self, message: Message[StockMove], session: AsyncClientSession) -> None:
        move, shop = message.value, self.store.database
        await shop["ledger"].insert_one(move.model_dump(), session=session)
        added = {"$inc": {"quantity": move.quantity}}
        await shop["stock"].update_one({"_id": move.item}, added, upsert=True, session=session)


async def main() -> None:
    store = AsyncMongoStore.connect("mongodb://localhost:27017/shop?replicaSet=rs0")
    await Ledger("localhost:9092", store).run()


if __name__ == "__main__":
    asyncio.run(main())
# --8<-- [end:program]
