"""The consumer of the README, as a decorated function."""

from pydantic import BaseModel
from pymongo.client_session import ClientSession

from eoconsumer import Consumer, Message
from eoconsumer.stores.mongo import MongoStore

store = MongoStore.connect("mongodb://localhost:27017/shop?replicaSet=rs0")


class StockMove(BaseModel):
    item: str
    quantity: int


# --8<-- [start:consumer]
ledger = Consumer("localhost:9092", store, group="ledger")


@ledger.on("stock-moves", value_type=StockMove)
def apply(message: Message[StockMove], session: ClientSession) -> None:
    store.database["ledger"].insert_one(message.value.model_dump(), session=session)


if __name__ == "__main__":
    ledger.run()
# --8<-- [end:consumer]
