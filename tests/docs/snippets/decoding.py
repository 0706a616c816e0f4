"""Other ways from bytes to a value."""

# --8<-- [start:decode]
import json
from typing import Any

from pymongo.client_session import ClientSession

from eoconsumer import Consumer, Message
from eoconsumer.stores.mongo import MongoStore


class Ledger(Consumer):
    store: MongoStore
    topics = "stock-moves"
    group = "ledger"

    def decode(self, message: Message[bytes | None]) -> dict[str, Any]:
        return {"source": message.offset, **json.loads(message.raw_value or b"{}")}

    def handle(self, message: Message[dict[str, Any]], session: ClientSession) -> None:
        self.store.database["ledger"].insert_one(message.value, session=session)


# --8<-- [end:decode]


if __name__ == "__main__":
    store = MongoStore.connect("mongodb://localhost:27017/shop?replicaSet=rs0")
    Ledger("localhost:9092", store).run()
