"""The best loop that we could write by hand for exactly this work: the limit.

It has nothing that a service needs: no group, no fence against a former owner that is told to
anybody, no retry, no answer for a message that fails, none for a commit whose answer was lost.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import orjson
from bson.int64 import Int64
from confluent_kafka import Consumer, KafkaException, Message, TopicPartition
from pymongo import MongoClient, UpdateOne
from pymongo.client_session import ClientSession
from pymongo.database import Database
from pymongo.read_concern import ReadConcern
from pymongo.read_preferences import ReadPreference
from pymongo.write_concern import WriteConcern

from eoconsumer.cli.bench.meter import Meter
from eoconsumer.cli.bench.task import Task

THREADS, BATCH, EPOCH = 2, 5_000, 1
#: What one consumer of librdkafka may hold ready; as in the library.
QUEUE_KBYTES = 16_384

Poll = Callable[[Consumer], list[Message]]


def limit(task: Task, meter: Meter) -> None:
    """Read as much as there is in 50 ms, 5,000 messages at most, into one transaction."""
    _run(task, meter, lambda consumer: consumer.consume(BATCH, 0.05))


def eager(task: Task, meter: Meter) -> None:
    """Commit whatever has been polled: the same loop, made for latency."""
    _run(task, meter, _whatever_is_there)


def _whatever_is_there(consumer: Consumer) -> list[Message]:
    first = consumer.consume(1, 0.05)
    return first + consumer.consume(BATCH - 1, 0) if first else first


def _run(task: Task, meter: Meter, poll: Poll) -> None:
    client = MongoClient[dict[str, Any]](task.store)
    database = client.get_default_database()
    rows = [{"_id": p, "epoch": EPOCH, "next_offset": 0} for p in range(task.partitions)]
    database["positions"].insert_many(rows)
    failures: list[BaseException] = []

    def work(mine: Sequence[int]) -> None:
        try:
            _Loop(task, database, mine, meter).run(poll)
        except BaseException as error:
            failures.append(error)

    shares = [range(number, task.partitions, THREADS) for number in range(THREADS)]
    threads = [threading.Thread(target=work, args=(share,)) for share in shares if share]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    client.close()
    if failures:
        raise failures[0]


class _Loop:
    """One thread with a consumer and partitions of its own."""

    def __init__(
        self, task: Task, database: Database[dict[str, Any]], mine: Sequence[int], meter: Meter
    ) -> None:
        self._database, self._meter = database, meter
        self._timed = bool(task.settings.get("latency"))
        self._next = dict.fromkeys(mine, 0)
        self._left = sum(len(range(p, task.messages, task.partitions)) for p in mine)
        self._consumer = Consumer(
            {
                "bootstrap.servers": task.bootstrap,
                "group.id": task.group,
                "enable.auto.commit": False,
                "enable.auto.offset.store": False,
                "auto.offset.reset": "error",
                "queued.max.messages.kbytes": QUEUE_KBYTES,
            }
        )
        self._consumer.assign([TopicPartition(task.topic, p, 0) for p in mine])

    def run(self, poll: Poll) -> None:
        """Work until the share of this thread is done."""
        self._meter.ready()
        with self._database.client.start_session() as session:
            while self._left:
                messages = poll(self._consumer)
                began = time.perf_counter()
                if messages:
                    documents = self._commit(messages, session)
                    self._meter.committed(len(messages), began)
                    if self._timed:
                        self._meter.produced_at(document["at"] for document in documents)
                    self._left -= len(messages)
        self._consumer.close()

    def _commit(self, messages: list[Message], session: ClientSession) -> list[dict[str, Any]]:
        documents, upto = [], dict[int, int]()
        loads = orjson.loads
        for message in messages:
            if error := message.error():
                raise KafkaException(error)
            documents.append(loads(message.value() or b""))
            upto[message.partition() or 0] = (message.offset() or 0) + 1
        moves = [
            UpdateOne(
                {"_id": p, "epoch": EPOCH, "next_offset": self._next[p]},
                {"$set": {"next_offset": Int64(offset)}, "$currentDate": {"updated_at": True}},
            )
            for p, offset in upto.items()
        ]
        with session.start_transaction(
            ReadConcern("snapshot"), WriteConcern("majority", j=True), ReadPreference.PRIMARY
        ):
            # The command does not raise on errors of single writes.
            insert = {"insert": "ledger", "documents": documents}
            reply = self._database.command(insert, session=session)
            if reply["n"] != len(documents) or reply.get("writeErrors"):
                raise RuntimeError(f"not all was inserted: {reply}")
            positions = self._database["positions"]
            if positions.bulk_write(moves, ordered=False, session=session).matched_count != len(
                moves
            ):
                raise RuntimeError("a position was moved by somebody else")
        self._next |= upto
        return documents
