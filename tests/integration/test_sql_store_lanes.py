"""The rows of lanes in SQL databases: who comes second waits, and siblings live."""

from __future__ import annotations

import pytest
from sql_cases import ORDERS, SERVERS, sql_store
from sqlalchemy import Update, select, update
from sqlalchemy.exc import OperationalError

from eoconsumer.core.lanes import Ahead, Lane
from eoconsumer.core.positions import Position, Start
from eoconsumer.errors import TransientStoreError
from eoconsumer.stores.sql.connection import ReaderConnection
from eoconsumer.stores.sql.rows import Rows
from eoconsumer.stores.sql.session import SQLSession
from eoconsumer.stores.sql.statements import FORMERS, Statements
from eoconsumer.stores.sql.tables import offsets
from eoconsumer.testing.conformance.lanes import Crew, under
from tests.conformance.sql_stores import FreshStore

__all__ = ["sql_store"]

pytestmark = pytest.mark.requirement("N2", "N14")

on_servers = pytest.mark.parametrize("sql_store", SERVERS, indirect=True)


def claim_all(crew: Crew) -> None:
    """Let a reader claim again, and its lanes under it."""
    crew.whole = crew.session.claim([ORDERS], {}).positions[ORDERS]
    for number, session in crew.sessions.items():
        crew.rows[number] = session.claim([ORDERS], {ORDERS: under(crew.whole)}).positions[ORDERS]


def blocked(session: SQLSession) -> None:
    """Let a session meet a row of its handler that somebody holds for too long."""
    error = type("NotAvailable", (Exception,), {"sqlstate": "55P03"})()
    told = session.translate(OperationalError("UPDATE", {}, error))
    assert isinstance(told, TransientStoreError)


@pytest.fixture
def ended(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The marks of the connections that sessions have ended, or tried to."""
    marks: list[str] = []
    end = ReaderConnection.end

    def note(self: ReaderConnection, mark: str, why: str) -> None:
        marks.append(mark)
        end(self, mark, why)

    monkeypatch.setattr(ReaderConnection, "end", note)
    return marks


def test_a_lane_is_not_granted_while_another_reader_is_claiming_its_partition(
    sql_store: FreshStore,
) -> None:
    """1. A reader has claimed, 2. another raises the epoch, and has not committed, 3. a lane."""
    crew = Crew(sql_store, "first", claimed=0)

    with sql_store.engine.begin() as claiming:
        claiming.execute(update(offsets).values(epoch=offsets.c.epoch + 1))
        with pytest.raises(TransientStoreError):
            crew.claim(1)

    assert crew.claim(1) is None


@on_servers
def test_what_a_lane_still_did_before_it_was_fenced_is_told(
    sql_store: FreshStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """1. A claim sees how far the lanes are, 2. one of them commits, 3. the claim fences them."""
    crew = Crew(sql_store, "first")
    fence = Statements.fence_lanes

    def late(self: Statements, wholes: Rows) -> Update:
        crew.advance(1, 7)
        return fence(self, wholes)

    monkeypatch.setattr(Statements, "fence_lanes", late)
    claimed = sql_store.open("ledger", "second").claim([ORDERS], {}).positions[ORDERS]

    assert claimed.ahead == (Ahead(Lane(1, 2), 7),)


@on_servers
@pytest.mark.parametrize("between", [False, True])
def test_lanes_do_not_end_each_other_when_their_reader_claims_again(
    sql_store: FreshStore, ended: list[str], between: bool
) -> None:
    crew = Crew(sql_store, "reader")
    other = sql_store.open("ledger", "other")
    if between:
        other.claim([ORDERS], {})
    claim_all(crew)

    for session in (crew.session, *crew.sessions.values()):
        assert isinstance(session, SQLSession)
        blocked(session)

    assert ended == ([other.connection.mark] * 3 if between else [])


def test_lanes_that_are_claimed_again_and_again_do_not_push_out_one_that_hangs(
    sql_store: FreshStore,
) -> None:
    former = Crew(sql_store, "former")
    crew = Crew(sql_store, "reader")
    for _ in range(FORMERS + 1):
        claim_all(crew)

    with sql_store.engine.connect() as connection:
        rows = connection.execute(select(offsets).where(offsets.c.lane > 0)).all()
    for row in rows:
        hangs = former.sessions[Lane.of_row(row.lane).number]
        assert isinstance(hangs, SQLSession)
        assert hangs.connection.mark in row.formers.split()


def test_rows_of_lanes_whose_partition_has_no_row_are_left_alone(sql_store: FreshStore) -> None:
    Crew(sql_store, "former").advance(1, 7)
    with sql_store.engine.begin() as connection:
        connection.execute(offsets.delete().where(offsets.c.lane == 0))
    session = sql_store.open("ledger", "next")

    assert session.claim([ORDERS], {}).positions == {}


def test_where_one_transaction_writes_at_a_time_a_warning_says_what_lanes_are_worth(
    sql_store: FreshStore, caplog: pytest.LogCaptureFixture
) -> None:
    sql_store.open("ledger", "first")
    assert caplog.messages == []

    sql_store.open_lane("ledger", "first", Lane(0, 2))
    sql_store.open_lane("ledger", "first:1", Lane(1, 2))

    one_writer = sql_store.engine.dialect.name == "sqlite"
    assert len([told for told in caplog.messages if "take turns" in told]) == one_writer


def test_a_store_of_a_url_has_a_connection_for_every_lane(sql_store: FreshStore) -> None:
    session = sql_store.open_lane("ledger", "reader", Lane(0, 30))
    whole = session.claim([ORDERS], {ORDERS: Start(0, 1)}).positions[ORDERS]

    rows: list[Position] = []
    for number in range(1, 31):
        lane = sql_store.open_lane("ledger", f"reader:{number}", Lane(number, 30))
        rows.append(lane.claim([ORDERS], {ORDERS: under(whole)}).positions[ORDERS])

    assert {row.epoch for row in rows} == {whole.epoch}
