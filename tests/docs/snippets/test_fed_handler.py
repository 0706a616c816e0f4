"""How a user tests a handler without any server: these are tests, and run with the others."""

# --8<-- [start:feed]
import mongomock
import pytest
from ledger import Ledger, StockMove
from pymongo import InsertOne, UpdateOne

from eoconsumer import Message, Record
from eoconsumer.errors import HandlerFailed
from eoconsumer.stores.mongo import MongoStore
from eoconsumer.testing.feed import feed


@pytest.fixture
def store() -> MongoStore:
    return MongoStore(mongomock.MongoClient(), "shop")


def test_moves_change_ledger_and_stock(store: MongoStore) -> None:
    moves = [StockMove(item="tea", quantity=3), {"item": "tea", "quantity": 4}]

    fed = feed(Ledger("unused:9092", store), moves)

    assert len(fed.applied) == 2
    assert store.database["stock"].find_one() == {"_id": "tea", "quantity": 7}


# --8<-- [end:feed]


# --8<-- [start:failure]
def test_a_move_that_fails_leaves_nothing_behind(store: MongoStore) -> None:
    store.database["stock"].insert_one({"_id": "tea", "quantity": "many"})

    with pytest.raises(HandlerFailed):
        feed(Ledger("unused:9092", store), [StockMove(item="tea", quantity=3)])

    assert store.database["ledger"].find_one() is None


# --8<-- [end:failure]


# --8<-- [start:writes]
def test_a_move_is_an_insert_and_an_increment(store: MongoStore) -> None:
    message = Message(Record("stock-moves", 0, 41), StockMove(item="tea", quantity=3))

    assert list(Ledger("unused:9092", store).writes(message)) == [
        InsertOne({"item": "tea", "quantity": 3}, namespace="ledger"),
        UpdateOne({"_id": "tea"}, {"$inc": {"quantity": 3}}, upsert=True, namespace="stock"),
    ]


# --8<-- [end:writes]
