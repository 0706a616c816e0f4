"""What the rows of lanes tell whoever claims their partition, and how a lane claims under it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import Connection, Row, select

from eoconsumer.core.lanes import Ahead, Lane
from eoconsumer.message import TopicPartition
from eoconsumer.stores.sql.rows import Offsets, Rows, partition_of
from eoconsumer.stores.sql.statements import Starts
from eoconsumer.stores.sql.tables import offsets


def under_their_claim(connection: Connection, rows: Offsets, starts: Starts) -> Starts:
    """Return the starts for partitions that nobody has claimed since the lane's reader.

    Their rows are held until the transaction ends. 1. A reader claims a partition, 2. another one
    claims it, and fences the lanes that it sees, 3. a lane of the first one makes its row. It
    cannot do so between the two steps of 2, and behind them it reads the later epoch here.
    """
    wholes = (
        select(offsets.c.topic, offsets.c.partition_number, offsets.c.epoch)
        .where(rows.wholes(starts))
        .order_by(offsets.c.topic, offsets.c.partition_number)
        .with_for_update(read=True)
    )
    found = {
        TopicPartition(topic, partition): epoch
        for topic, partition, epoch in connection.execute(wholes)
    }
    return {key: start for key, start in starts.items() if found.get(key) == start.under}


def ahead(wholes: Rows, found: Iterable[Row[Any]]) -> dict[TopicPartition, tuple[Ahead, ...]]:
    """Return what lanes have done beyond the positions of ``wholes``.

    ``found`` are the rows of lanes behind their fence, so they move no more.
    """
    told: dict[TopicPartition, tuple[Ahead, ...]] = {}
    for row in found:
        key, lane = partition_of(row), Lane.of_row(row.lane)
        whole = wholes.get(key)
        if whole is None or not lane.number:
            continue
        if row.begun == whole.begun and row.next_offset > whole.next_offset:
            done = Ahead(lane, row.next_offset, row.leader_epoch)
            told[key] = (*told.get(key, ()), done)
    return told
