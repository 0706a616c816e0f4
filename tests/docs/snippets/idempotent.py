"""At-least-once with writes that may be repeated."""

from ledger import StockMove
from pymongo.client_session import ClientSession

from eoconsumer import Consumer, Message
from eoconsumer.stores.mongo import MongoStore

store = MongoStore.connect("mongodb://localhost:27017/shop?replicaSet=rs0")
ledger = Consumer("localhost:9092", store, group="ledger", mode="at_least_once", commit_batch=100)


# --8<-- [start:handler]
@ledger.on("stock-moves", value_type=StockMove)
def apply(message: Message[StockMove], session: ClientSession) -> None:
    place = {"_id": f"{message.topic}/{message.partition}/{message.offset}"}
    row = {"$setOnInsert": message.value.model_dump()}
    store.database["ledger"].update_one(place, row, upsert=True, session=session)


# --8<-- [end:handler]


if __name__ == "__main__":
    ledger.run()
