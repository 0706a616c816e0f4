"""One transaction for each message: the plain design, and the floor."""

from __future__ import annotations

import threading
import time
from typing import Any

import orjson
from confluent_kafka import Consumer, KafkaException
from pymongo import MongoClient
from pymongo.client_session import ClientSession
from pymongo.read_concern import ReadConcern
from pymongo.read_preferences import ReadPreference
from pymongo.write_concern import WriteConcern

from eoconsumer.cli.bench.meter import Meter
from eoconsumer.cli.bench.task import Task

THREADS = 6


def one_by_one(task: Task, meter: Meter) -> None:
    """Six threads, members of one group; each message and its position in one transaction."""
    client = MongoClient[dict[str, Any]](task.store)
    database = client.get_default_database()
    rows = [{"_id": p, "next_offset": 0} for p in range(task.partitions)]
    database["positions"].insert_many(rows)
    failures: list[BaseException] = []

    def work() -> None:
        consumer = Consumer(
            {
                "bootstrap.servers": task.bootstrap,
                "group.id": task.group,
                "enable.auto.commit": False,
                "auto.offset.reset": "earliest",
            }
        )
        consumer.subscribe([task.topic], on_assign=lambda *_: meter.ready())
        try:
            with client.start_session() as session:
                while not meter.done and not failures:
                    message = consumer.poll(0.1)
                    began = time.perf_counter()
                    if message is None:
                        continue
                    if error := message.error():
                        raise KafkaException(error)
                    document = orjson.loads(message.value() or b"")
                    place = {"_id": message.partition(), "next_offset": message.offset()}
                    commit(session, document, place)
                    meter.committed(1, began)
        except BaseException as error:
            failures.append(error)
        finally:
            consumer.close()

    def commit(session: ClientSession, document: Any, place: dict[str, Any]) -> None:
        with session.start_transaction(
            ReadConcern("snapshot"), WriteConcern("majority", j=True), ReadPreference.PRIMARY
        ):
            database["ledger"].insert_one(document, session=session)
            moved = database["positions"].update_one(
                place, {"$inc": {"next_offset": 1}}, session=session
            )
            if moved.matched_count != 1:
                raise RuntimeError("a position was moved by somebody else")

    threads = [threading.Thread(target=work) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    client.close()
    if failures:
        raise failures[0]
