"""Tables of an older version are changed once, on real servers, by however many start at once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sql_cases import SERVERS, empty_database
from sqlalchemy import create_engine, inspect, text

from eoconsumer.core.lanes import Lane
from eoconsumer.core.positions import Start
from eoconsumer.errors import ConfigurationError
from eoconsumer.message import TopicPartition
from eoconsumer.stores.sql import SQLStore, schema

ORDERS = TopicPartition("orders", 0)
RECORDS = Path(__file__).parents[1] / "unit" / "ddl"
RECORD = {"postgresql": "postgresql", "mariadb": "mysql", "mysql": "mysql"}
ROW = """
INSERT INTO eoconsumer_offsets (group_name, topic, partition_number, lane, next_offset, epoch,
owner, session, formers, handed_over, updated_at)
VALUES ('ledger', 'orders', 0, 0, 42, 7, '', '', '', false, '2026-01-01')
"""


@pytest.fixture(params=SERVERS)
def empty(request: pytest.FixtureRequest) -> str:
    """The URL of an empty database."""
    return empty_database(request.getfixturevalue(request.param))


@pytest.fixture
def url(empty: str) -> str:
    """The URL of a database that has the tables of version 1, and one row."""
    engine = create_engine(empty)
    first = (RECORDS / f"{RECORD[engine.dialect.name]}-1.sql").read_text("utf-8")
    with engine.begin() as connection:
        for statement in [*first.strip().removesuffix(";").split(";\n"), ROW]:
            connection.exec_driver_sql(statement)
    engine.dispose()
    return empty


def test_many_that_start_at_once_make_the_tables_once(empty: str) -> None:
    stores = [SQLStore.connect(empty) for _ in range(6)]

    with ThreadPoolExecutor(len(stores)) as threads:
        list(threads.map(SQLStore.setup, stores))

    for store in stores:
        store.close()


@pytest.mark.requirement("N2", "N14")
def test_many_that_start_at_once_change_the_tables_once_and_keep_the_positions(url: str) -> None:
    stores = [SQLStore.connect(url) for _ in range(6)]

    with ThreadPoolExecutor(len(stores)) as threads:
        list(threads.map(SQLStore.setup, stores))

    store = stores[0]
    with store.engine.connect() as connection:
        versions = connection.execute(text("SELECT version FROM eoconsumer_schema")).all()
    assert versions == [(schema.VERSION,)]
    session = store.open_lane("ledger", "first", Lane(0, 2))
    row = session.claim([ORDERS], {}).positions[ORDERS]
    assert (row.next_offset, row.epoch, row.begun) == (42, 8, 0)
    lane = store.open_lane("ledger", "first:1", Lane(1, 2))
    start = Start(row.next_offset, 0, under=row.epoch, begun=row.begun)
    assert lane.claim([ORDERS], {ORDERS: start}).positions[ORDERS].next_offset == 42
    for each in (session, lane, *stores):
        each.close()


@pytest.mark.parametrize("empty", SERVERS[1:], indirect=True)
def test_a_change_that_was_made_before_a_crash_is_not_made_again(url: str) -> None:
    store = SQLStore.connect(url)
    store.setup()
    with store.engine.begin() as connection:
        connection.execute(text("UPDATE eoconsumer_schema SET version = 1"))

    store.setup()

    names = [column["name"] for column in inspect(store.engine).get_columns("eoconsumer_offsets")]
    assert names.count("begun") == 1
    store.close()


def test_a_change_does_not_wait_for_a_transaction_that_hangs_while_all_wait_for_the_change(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = SQLStore.connect(url)
    quick = {
        name: tuple(s.replace(str(schema.CHANGE_SECONDS), "1") for s in statements)
        for name, statements in schema.MIGRATIONS[1].items()
    }
    monkeypatch.setitem(schema.MIGRATIONS, 1, quick)

    with store.engine.begin() as hanging:
        hanging.execute(text("UPDATE eoconsumer_offsets SET next_offset = 43"))
        with pytest.raises(ConfigurationError, match="could not be made"):
            store.setup()

    store.setup()
    store.close()
