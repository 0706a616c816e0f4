"""The consumer of the README and the tutorial, as a class."""

# --8<-- [start:program]
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel
from pymongo import InsertOne, UpdateOne

from eoconsumer import Consumer, Message
from eoconsumer.stores.mongo import MongoStore


class StockMove(BaseModel):
    item: str
    quantity: int


class Ledger(Consumer):
    topics = "stock-moves"
    group = "ledger"
    mode = "exactly_once"
    value_type = StockMove

    def writes(self, message: Message[StockMove]) -> Iterator[Any]:
        move = message.value
        yield InsertOne(move.model_dump(), namespace="ledger")
        added = {"$inc": {"quantity": move.quantity}}
        yield UpdateOne({"_id": move.item}, added, upsert=True, namespace="stock")


if __name__ == "__main__":
    store = MongoStore.connect("mongodb://localhost:27017/shop?replicaSet=rs0")
    Ledger("localhost:9092", store).run()
# --8<-- [end:program]
