"""The consumer of the README and the tutorial, as a class."""

# --8<-- [start:program]
from pydantic import BaseModel
from pymongo.client_session import ClientSession

from eoconsumer import Consumer, Message
from eoconsumer.stores.mongo import MongoStore


class StockMove(BaseModel):
    item: str
    quantity: int


class Ledger(Consumer):
    store: MongoStore
    topics = "stock-moves"
    group = "ledger"
    mode = "exactly_once"
    value_type = StockMove

    def handle(self, message: Message[StockMove], session: ClientSession) -> None:
        move, shop = message.value, self.store.database
        shop["ledger"].insert_one(move.model_dump(), session=session)
        added = {"$inc": {"quantity": move.quantity}}
        shop["stock"].update_one({"_id": move.item}, added, upsert=True, session=session)


if __name__ == "__main__":
    store = MongoStore.connect("mongodb://localhost:27017/shop?replicaSet=rs0")
    Ledger("localhost:9092", store).run()
# --8<-- [end:program]
