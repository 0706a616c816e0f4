"""What the books of the stock ledger have in common, and how they are opened."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Connection, Engine, Table, create_engine, event, inspect
from sqlalchemy.exc import OperationalError
from stock_ledger.books import SPAN, Span
from stock_ledger.books_sql import SQLBooks
from stock_ledger.opening import books_of, open_books

from eoconsumer.errors import ConfigurationError
from eoconsumer.stores.memory import MemoryStore

TABLES = {"ledger", "payables", "holdings", "stages"}


@given(
    seen=st.integers(0, 20_000),
    last=st.none() | st.integers(0, 50_000),
    handled_from=st.none() | st.integers(-1, 20_000),
)
def test_the_steps_of_the_stages_cover_each_offset_once_up_to_the_end_of_the_ledger(
    seen: int, last: int | None, handled_from: int | None
) -> None:
    span = Span.after(seen, last, handled_from)
    assert span.first == (0 if span.anew else seen)
    reached = span.first
    while not span.empty:
        assert reached == span.first <= span.upto <= span.first + SPAN
        reached = span.upto
        if not span.more:
            break
        span = Span.after(reached, last, None)
    assert reached == max(0 if last is None else last + 1, reached)


@pytest.mark.parametrize(("handled_from", "anew"), [(None, False), (4, True), (5, False)])
def test_a_partition_is_folded_anew_only_where_a_message_came_again(
    handled_from: int | None, anew: bool
) -> None:
    assert Span.after(5, 9, handled_from).anew is anew


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    made = create_engine(f"sqlite:///{tmp_path}/shop.db")
    yield made
    made.dispose()


def test_tables_that_another_worker_makes_at_the_same_moment_are_taken_as_they_are(
    engine: Engine,
) -> None:
    made = set[str]()

    def quicker(table: Table, _: Connection, **__: object) -> None:
        if table.name not in made:  # the other one comes here, too
            made.add(table.name)
            table.create(engine)

    books = SQLBooks(engine)
    event.listen(Table, "before_create", quicker)
    try:
        books.setup()
    finally:
        event.remove(Table, "before_create", quicker)
    assert made == TABLES
    assert set(inspect(engine).get_table_names()) == TABLES


def test_tables_that_cannot_be_made_are_tried_once(engine: Engine, tmp_path: Path) -> None:
    engine.connect().close()  # makes the file
    tried: list[str] = []
    read_only = create_engine(f"sqlite:///file:{tmp_path}/shop.db?mode=ro&uri=true")
    event.listen(read_only, "before_cursor_execute", lambda *args: tried.append(args[2]))

    with pytest.raises(OperationalError, match="readonly"):
        SQLBooks(read_only).setup()

    assert len([each for each in tried if "CREATE TABLE" in each]) == 1
    read_only.dispose()


def test_a_store_without_books_is_refused_with_those_that_have_some() -> None:
    with pytest.raises(ConfigurationError, match="mongodb, postgresql, mariadb, mysql or sqlite"):
        open_books("memory://")
    with pytest.raises(ConfigurationError, match="MemoryStore"):
        books_of(MemoryStore())
