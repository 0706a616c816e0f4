"""What a claim writes: rows made from starts, each of which decides by the row that it finds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Insert,
    String,
    Table,
    Update,
    and_,
    case,
    func,
    update,
)

from eoconsumer.core.positions import Start
from eoconsumer.message import TopicPartition
from eoconsumer.stores.sql.connection import ReaderConnection
from eoconsumer.stores.sql.database import Settle
from eoconsumer.stores.sql.rows import Offsets, Rows
from eoconsumer.stores.sql.tables import now, offsets, topics

#: How many former owners a row remembers, and how long their marks are with a blank each.
FORMERS = 4
MARK = 17

#: A statement has at most 32,766 parameters (SQLite); a row takes 15 of them.
ROWS = 2_000

Starts = Mapping[TopicPartition, Start]


class Statements:
    """The statements of the claims of one owner."""

    def __init__(self, connection: ReaderConnection, rows: Offsets, owner: str) -> None:
        """Claim ``rows`` for ``owner``, who is found by the mark of ``connection``."""
        self._database = connection.database
        self._mark = connection.mark
        self._rows = rows
        self._owner = owner

    def make_wholes(self, starts: Starts) -> Iterator[Insert]:
        """Make the rows that are missing, and move those whose epoch a start ``replaces``.

        The epoch that it replaces comes with the insert: a row that is not there counts as having
        it, and of one that is there, it is compared. It is raised afterwards, with all others.
        """
        made = [
            self._row(key, starts[key])
            | {
                "epoch": starts[key].replaces or 0,
                "begun": 0 if starts[key].goes_on else (starts[key].replaces or 0) + 1,
            }
            for key in sorted(starts)
        ]
        settle = {name: _if_it_fits(name) for name in _FROM_START} | {"begun": _begun_anew}
        yield from self._insert(offsets, made, settle)

    def own_wholes(self, which: ColumnElement[bool]) -> Update:
        """Own the rows of partitions."""
        return self._raised(which, self._owner, self._mark)

    def fence_lanes(self, wholes: Rows) -> Update:
        """Take all lanes of partitions, which were just claimed, from their owners."""
        lanes = offsets.c.lane > self._rows.lane.row
        return self._raised(and_(self._rows.with_lanes(wholes), lanes), "", "")

    def _raised(self, which: ColumnElement[bool], owner: str, mark: str) -> Update:
        """Raise epochs. In this order: MariaDB reads what it has just written."""
        values = [
            (offsets.c.formers, self._formers()),
            (offsets.c.epoch, offsets.c.epoch + 1),
            (offsets.c.owner, owner),
            (offsets.c.session, mark),
            (offsets.c.updated_at, now()),
        ]
        return update(offsets).where(which).ordered_values(*values)

    def take_lanes(self, starts: Starts) -> Iterator[Insert]:
        """Make or take the rows of a lane, for the partitions that are its reader's.

        A row keeps its position where that counts still and is further on. What is compared is
        set last: MariaDB reads what it has just written.
        """
        made = [
            self._row(key, starts[key])
            | {
                "epoch": starts[key].under,
                "begun": starts[key].begun,
                "owner": self._owner,
                "session": self._mark,
            }
            for key in sorted(starts)
        ]
        formers = self._formers()
        settle: dict[str, Settle] = {"formers": lambda _: formers}
        settle |= {name: _unless_further(name) for name in (*_OF_THE_LOG, "next_offset")}
        settle |= dict.fromkeys(
            ("epoch", "begun", "owner", "session", "updated_at"), lambda new: new
        )
        yield from self._insert(offsets, made, settle)

    def note_topics(self, starts: Starts) -> Iterator[Insert]:
        """Note how many partitions topics have that are not known yet."""
        counts = {key.topic: start.partitions for key, start in starts.items() if start.partitions}
        known = [
            {"group_name": self._rows.group, "topic": topic, "partitions": counts[topic]}
            for topic in sorted(counts)
        ]
        if known:
            yield self._database.insert_new(topics, known)

    def _insert(
        self, table: Table, rows: list[dict[str, Any]], settle: Mapping[str, Settle]
    ) -> Iterator[Insert]:
        for first in range(0, len(rows), ROWS):
            yield self._database.insert_or(table, rows[first : first + ROWS], settle)

    def _row(self, key: TopicPartition, start: Start) -> dict[str, Any]:
        return {
            "group_name": self._rows.group,
            "topic": key.topic,
            "partition_number": key.partition,
            "lane": self._rows.lane.row,
            "next_offset": start.next_offset,
            "owner": "",
            "session": "",
            "formers": "",
            "handed_over": start.handed_over,
            "topic_id": start.identity.topic_id,
            "cluster_id": start.identity.cluster_id,
            "leader_epoch": start.leader_epoch,
            "updated_at": now(),
        }

    def _formers(self) -> ColumnElement[str]:
        """Return the owners that did not let go, with the last one; each of them once.

        A reader that claims its own rows again must not push out one that died.
        """
        session, formers = offsets.c.session, offsets.c.formers
        last = " " + session
        others = func.replace(formers, last, "", type_=String)
        more = self._database.last(others + last, FORMERS * MARK)
        return case((session.in_(["", self._mark]), formers), else_=more)


#: The columns that a start fills.
_OF_THE_LOG = ("topic_id", "cluster_id", "leader_epoch")
_FROM_START = ("next_offset", "handed_over", *_OF_THE_LOG)


def _if_it_fits(name: str) -> Settle:
    """Return what sets a column where the row has the epoch that came with the insert."""
    column = offsets.c[name]

    def settle(new: Any) -> Any:
        return case((offsets.c.epoch == new.table.c.epoch, new), else_=column)

    return settle


def _begun_anew(new: Any) -> Any:
    """Set ``begun`` where the position is set and does not go on (0 came with the insert then)."""
    fits = and_(offsets.c.epoch == new.table.c.epoch, new > 0)
    return case((fits, new), else_=offsets.c.begun)


def _unless_further(name: str) -> Settle:
    """Return what sets a column of a lane, unless its row counts and stands further on."""
    column = offsets.c[name]

    def settle(new: Any) -> Any:
        start = new.table.c
        keeps = and_(offsets.c.begun == start.begun, offsets.c.next_offset >= start.next_offset)
        return case((keeps, column), else_=new)

    return settle
