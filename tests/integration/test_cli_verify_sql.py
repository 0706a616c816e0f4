"""`eoconsumer verify` finds in tables what was lost, doubled or reordered."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from consuming import committed
from sqlalchemy import BigInteger, Column, Engine, MetaData, String, Table, text
from sqlalchemy.orm import Session
from test_cli_verify import Verify
from trial import QUICK, Fill

from eoconsumer import Consumer, Message
from eoconsumer.core.verify import Marker
from eoconsumer.message import TopicPartition
from eoconsumer.servers import KafkaBroker
from eoconsumer.stores.sql import SQLStore, marks
from tests.integration.sql_cases import ALL, url_of

pytestmark = [pytest.mark.slow, pytest.mark.requirement("N1", "N8")]

FIELDS = ("--topic-field", "topic", "--partition-field", "part", "--offset-field", "position")
MARKS = ("--collection", "Marked", *FIELDS, "--line-field", "line", "--order-field", "handled_at")
MESSAGES = 40

#: A name that has to be quoted, and an offset that needs 64 bits.
marked = Table(
    "Marked",
    MetaData(),
    Column("topic", String(200)),
    Column("part", BigInteger),
    Column("position", BigInteger),
    Column("line", String(10)),
    Column("handled_at", BigInteger),
)


class Marking(Consumer):
    """Writes two lines for each message."""

    kafka = QUICK

    def handle(self, message: Message, session: Session) -> None:
        place = {"topic": message.topic, "part": message.partition, "position": message.offset}
        for line in ("debit", "credit"):
            row = {**place, "line": line, "handled_at": time.monotonic_ns()}
            session.execute(marked.insert(), row)


@pytest.fixture(params=ALL)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return url_of(request.param, request, tmp_path)


@pytest.fixture
def engine(url: str) -> Iterator[Engine]:
    """A database with the empty table."""
    store = SQLStore.connect(url)
    marked.drop(store.engine, checkfirst=True)
    marked.create(store.engine)
    yield store.engine
    marked.drop(store.engine)
    store.close()


@pytest.fixture
def verify(url: str, engine: Engine, kafka_broker: KafkaBroker, topic: str, fill: Fill) -> Verify:
    """The command for a group that has handled all messages."""
    fill(topic, MESSAGES)
    store = SQLStore.connect(url)
    consumer = Marking(
        kafka_broker.bootstrap_servers, store, topics=topic, group=topic, applied_log=True
    )
    consumer.run_until(committed(MESSAGES))
    store.close()
    return Verify(kafka_broker.bootstrap_servers, url, topic, engine)


PLANTED = (
    ("delete from {t} where position = 7", "lost"),
    ("insert into {t} select * from {t} where position = 7 and line = 'debit'", "doubled"),
    ("update {t} set handled_at = 0 where position = 7", "out_of_order"),
)


def test_a_right_table_is_right_and_each_planted_fault_is_found(
    verify: Verify, engine: Engine
) -> None:
    name = engine.dialect.identifier_preparer.format_table(marked)
    assert verify() == (0, {"applied": MESSAGES}, {})  # by the applied-log
    assert verify(*MARKS) == (0, {"applied": MESSAGES}, {})
    with engine.connect() as connection:
        rows = [dict(row) for row in connection.execute(marked.select()).mappings()]
    for statement, kind in PLANTED:
        with engine.begin() as connection:
            connection.execute(text(statement.format(t=name)))
        assert verify(*MARKS)[::2] == (3, {kind: [(0, 7)]}), statement
        with engine.begin() as connection:
            connection.execute(marked.delete())
            connection.execute(marked.insert(), rows)
    for arguments, complaint in {
        ("--collection", "marked_down"): "has no table 'marked_down'",
        ("--collection", "nowhere.Marked"): "has no table 'nowhere.Marked'",
        (*MARKS, "--offset-field", "ofset"): "has no column ofset",
    }.items():
        code, _, said = verify.call(*arguments)
        assert (code, complaint in said) == (78, True), said


def test_offsets_of_64_bits_are_read_in_order_and_page_by_page(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(marks, "PAGE", 3)
    offsets = [2**40 + n for n in range(10)]
    with engine.begin() as connection:
        for topic in ("moves", "other"):
            rows: list[dict[str, Any]] = [
                {"topic": topic, "part": 0, "position": offset, "line": "debit"}
                for offset in reversed(offsets)
            ]
            connection.execute(marked.insert(), rows)
    marker = Marker("Marked", "topic", "part", "position")
    found = marks.find(engine, marker, TopicPartition("moves", 0), offsets[2], offsets[8])

    assert [mark.offset for mark in found] == offsets[2:8]
