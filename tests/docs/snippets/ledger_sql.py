"""The consumer of the tutorial on a SQL database."""

# --8<-- [start:program]
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel
from sqlalchemy import Column, Integer, MetaData, String, Table, insert
from sqlalchemy.orm import Session

from eoconsumer import Consumer, Message
from eoconsumer.stores.sql import SQLStore

tables = MetaData()
ledger = Table("ledger", tables, Column("item", String(50)), Column("quantity", Integer))
ADD = insert(ledger)  # made once: equal statements are sent together


class StockMove(BaseModel):
    item: str
    quantity: int


class Ledger(Consumer):
    topics = "stock-moves"
    group = "ledger"
    value_type = StockMove

    def handle(self, message: Message[StockMove], session: Session) -> None:
        session.execute(ADD, message.value.model_dump())


# --8<-- [end:program]
# --8<-- [start:writes]
class FastLedger(Consumer):
    topics = "stock-moves"
    group = "ledger"
    value_type = StockMove

    def writes(self, message: Message[StockMove]) -> Iterator[tuple[Any, dict[str, Any]]]:
        yield ADD, message.value.model_dump()


# --8<-- [end:writes]
# --8<-- [start:run]
if __name__ == "__main__":
    store = SQLStore.connect("postgresql+psycopg://localhost/shop")
    tables.create_all(store.engine)
    Ledger("localhost:9092", store).run()
# --8<-- [end:run]
