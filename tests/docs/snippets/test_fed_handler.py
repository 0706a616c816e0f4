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
def ledger() -> Ledger:
    return Ledger("unused:9092", MongoStore(mongomock.MongoClient(), "shop"))


def test_moves_change_ledger_and_stock(ledger: Ledger) -> None:
    fed = feed(ledger, [StockMove(item="tea", quantity=3), {"item": "tea", "quantity": 4}])

    assert len(fed.applied) == 2
    assert ledger.store.database["stock"].find_one() == {"_id": "tea", "quantity": 7}


# --8<-- [end:feed]


# --8<-- [start:failure]
def test_a_move_that_fails_leaves_nothing_behind(ledger: Ledger) -> None:
    stock = ledger.store.database["stock"]
    stock.insert_one({"_id": "tea", "quantity": "many"})

    with pytest.raises(HandlerFailed):
        feed(ledger, [StockMove(item="tea", quantity=3)])

    assert ledger.store.database["ledger"].find_one() is None


# --8<-- [end:failure]


# --8<-- [start:writes]
def writes(message: Message[StockMove]) -> list[object]:
    move = message.value
    added = {"$inc": {"quantity": move.quantity}}
    return [
        InsertOne(move.model_dump(), namespace="shop.ledger"),
        UpdateOne({"_id": move.item}, added, upsert=True, namespace="shop.stock"),
    ]


def test_a_move_is_an_insert_and_an_increment() -> None:
    message = Message(Record("stock-moves", 0, 41), StockMove(item="tea", quantity=3))

    assert writes(message) == [
        InsertOne({"item": "tea", "quantity": 3}, namespace="shop.ledger"),
        UpdateOne({"_id": "tea"}, {"$inc": {"quantity": 3}}, upsert=True, namespace="shop.stock"),
    ]


# --8<-- [end:writes]
