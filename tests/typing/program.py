"""A user's program: both forms of a consumer. It is checked, not run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel

from eoconsumer import Consumer, Message, Mode, RetryPolicy, TopicPartition
from eoconsumer.stores.mongo import MongoStore


class StockMove(BaseModel):
    item: str
    quantity: int


store = MongoStore.connect("mongodb://localhost:27017/shop?replicaSet=rs0")


class Ledger(Consumer):
    topics = ["stock-moves"]  # noqa: RUF012 - as the documentation writes it
    group = "ledger"
    mode = Mode.EXACTLY_ONCE

    def handle(self, message: Message[StockMove], session: Any) -> None:
        move: StockMove = message.value
        store.database["ledger"].insert_one({"item": move.item}, session=session)

    def after_commit(self, messages: Sequence[Message[Any]]) -> None:
        last: int = messages[-1].offset
        store.database["seen"].insert_one({"topic": messages[-1].topic, "last": last})

    def on_assigned(self, partitions: list[TopicPartition]) -> None: ...

    def on_revoked(self, partitions: list[TopicPartition]) -> None: ...


class Bulk(Consumer):
    topics = "^stock-.*"
    group = "bulk"
    mode = "at_least_once"

    def decode(self, message: Message[Any]) -> dict[str, int]:
        return {"bytes": len(message.raw_value or b"")}

    def handle_batch(self, messages: Sequence[Message[dict[str, int]]], session: Any) -> None:
        rows = [{"key": m.key, "headers": list(m.headers), **m.value} for m in messages]
        store.database["sizes"].insert_many(rows, session=session)


Ledger("localhost:9092", store, start="earliest").run()
Bulk("localhost:9092", store, on_poison="bury", retry=RetryPolicy(attempts=5)).stop()

ledger = Consumer("localhost:9092", store, group="ledger", kafka={"client.id": "shop"})


@ledger.on("stock-moves", value_type=StockMove)
def apply(message: Message[StockMove], session: Any) -> None:
    quantity: int = message.value.quantity
    store.database["stock"].update_one({}, {"$inc": {"quantity": quantity}}, session=session)


@ledger.on("returns", form="batch")
def take_back(messages: Sequence[Message[bytes | None]], session: Any) -> None:
    values: list[bytes | None] = [message.value for message in messages]
    store.database["returns"].insert_many([{"raw": v} for v in values], session=session)


reached = ledger.run_until(lambda snapshot: snapshot.committed >= 100)
following: int = reached.positions[TopicPartition("stock-moves", 0)]
