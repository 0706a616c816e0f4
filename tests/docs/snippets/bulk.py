"""A handler of whole runs."""

# --8<-- [start:batch]
from collections import Counter
from collections.abc import Sequence

from ledger import StockMove
from pymongo import UpdateOne
from pymongo.client_session import ClientSession

from eoconsumer import Consumer, Message
from eoconsumer.stores.mongo import MongoStore


class BulkLedger(Consumer):
    store: MongoStore
    topics = "stock-moves"
    group = "ledger"
    value_type = StockMove

    def handle_batch(self, messages: Sequence[Message[StockMove]], session: ClientSession) -> None:
        rows = [message.value.model_dump() for message in messages]
        self.store.database["ledger"].insert_many(rows, session=session)

        added: Counter[str] = Counter()
        for message in messages:
            added[message.value.item] += message.value.quantity
        writes = [
            UpdateOne({"_id": item}, {"$inc": {"quantity": quantity}}, upsert=True)
            for item, quantity in added.items()
        ]
        self.store.database["stock"].bulk_write(writes, session=session)


# --8<-- [end:batch]


if __name__ == "__main__":
    store = MongoStore.connect("mongodb://localhost:27017/shop?replicaSet=rs0")
    BulkLedger("localhost:9092", store).run()
