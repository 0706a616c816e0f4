"""The consumer of the tutorial on a SQL database, for asyncio."""

import asyncio

from pydantic import BaseModel
from sqlalchemy import Column, Integer, MetaData, String, Table, insert
from sqlalchemy.ext.asyncio import AsyncSession

from eoconsumer import AsyncConsumer, Message
from eoconsumer.stores.sql import AsyncSQLStore

tables = MetaData()
ledger = Table("ledger", tables, Column("item", String(50)), Column("quantity", Integer))


class StockMove(BaseModel):
    item: str
    quantity: int


# --8<-- [start:program]
class Ledger(AsyncConsumer):
    topics = "stock-moves"
    group = "ledger"
    value_type = StockMove

    async def handle(self, message: Message[StockMove], session: AsyncSession) -> None:
        await session.execute(insert(ledger), message.value.model_dump())


async def main() -> None:
    store = AsyncSQLStore.connect("postgresql://localhost/shop")
    async with store.engine.begin() as connection:
        await connection.run_sync(tables.create_all)
    await Ledger("localhost:9092", store).run()


# --8<-- [end:program]
if __name__ == "__main__":
    asyncio.run(main())
