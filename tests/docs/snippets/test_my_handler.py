"""How a user tests a handler: these are tests, and run with the others."""

# --8<-- [start:handler]
import pytest
from ledger import Ledger, StockMove

from eoconsumer.servers import KafkaBroker, MongoReplicaSet
from eoconsumer.stores.mongo import MongoStore
from eoconsumer.testing.feed import feed


@pytest.fixture
def store(mongo_replica_set: MongoReplicaSet) -> MongoStore:
    fresh = MongoStore.connect(mongo_replica_set.url_for("handler_test"))
    fresh.client.drop_database("handler_test")
    return fresh


def test_a_move_changes_ledger_and_stock(store: MongoStore) -> None:
    feed(Ledger("unused:9092", store), [StockMove(item="tea", quantity=3)])

    assert store.database["ledger"].count_documents({}) == 1
    assert store.database["stock"].find_one() == {"_id": "tea", "quantity": 3}


# --8<-- [end:handler]


# --8<-- [start:whole]
def test_ten_moves_arrive_once(store: MongoStore, kafka_broker: KafkaBroker, topic: str) -> None:
    from confluent_kafka import Producer

    producer = Producer({"bootstrap.servers": kafka_broker.bootstrap_servers})
    for _ in range(10):
        producer.produce(topic, b'{"item": "tea", "quantity": 1}')
    producer.flush()

    consumer = Ledger(kafka_broker.bootstrap_servers, store, topics=[topic], group=topic)
    consumer.run_until(lambda now: now.committed >= 10)

    assert store.database["stock"].find_one() == {"_id": "tea", "quantity": 10}


# --8<-- [end:whole]
