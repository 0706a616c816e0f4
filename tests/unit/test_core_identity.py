"""Whether a stored position fits the log: the comparison alone, on values."""

from __future__ import annotations

import pytest
from bench import P0

from eoconsumer.core.identity import Found, Sighting, is_worth_a_look, settled, trouble
from eoconsumer.core.positions import Identity, Position
from eoconsumer.errors import ClusterChanged, LogTruncated, OffsetOutOfRange, TopicRecreated

HERE = Identity("topic-1", "cluster-1")
LOG = Sighting(HERE, low=10, high=20, leader_epoch=3)


def row(position: int = 15, identity: Identity = HERE, leader_epoch: int | None = 3) -> Position:
    return Position(position, 1, identity=identity, leader_epoch=leader_epoch)


def judged(stored: Position, seen: Sighting = LOG, last: Found | None = None) -> object:
    return trouble(P0, stored, seen, last, "ledger")


@pytest.mark.parametrize("position", [10, 15, 20])
def test_a_position_from_the_first_offset_to_the_end_fits(position: int) -> None:
    assert judged(row(position)) is None


@pytest.mark.requirement("N6")
@pytest.mark.parametrize(
    ("stored", "error"),
    [
        (Identity("topic-0", "cluster-1"), TopicRecreated),
        (Identity("topic-0", None), TopicRecreated),
        (Identity("topic-0", "cluster-0"), ClusterChanged),
        (Identity("topic-1", "cluster-0"), ClusterChanged),
    ],
)
def test_another_topic_or_cluster_is_told_apart(stored: Identity, error: type) -> None:
    assert type(judged(row(identity=stored))) is error


@pytest.mark.parametrize("stored", [HERE, Identity(), Identity("topic-1"), Identity(None, "x")])
def test_what_is_not_known_on_either_side_is_no_difference(stored: Identity) -> None:
    seen = Sighting(Identity("topic-1" if stored.topic_id else "any", None), 10, 20, 3)
    assert judged(row(identity=stored), seen) is None
    assert judged(row(), Sighting(Identity(), 10, 20)) is None


@pytest.mark.requirement("N6")
@pytest.mark.parametrize(("position", "missing", "to"), [(3, 7, "earliest"), (26, 6, "latest")])
def test_a_position_outside_the_log_is_told_with_the_range_and_what_is_missing(
    position: int, missing: int, to: str
) -> None:
    error = judged(row(position))
    assert isinstance(error, OffsetOutOfRange)
    assert error.missing == missing
    text = str(error)
    assert all(part in text for part in (f"position {position} ", "from 10 to 20", "moves[0]"))
    assert f"eoconsumer offsets reset --group ledger --topic moves --to-{to} --execute" in text


@pytest.mark.requirement("N6")
def test_a_later_leader_of_the_last_message_handled_means_that_the_log_was_cut() -> None:
    error = judged(row(15, leader_epoch=2), LOG, Found(14, 3))
    assert isinstance(error, LogTruncated)
    assert error.missing == 5
    assert "leader epoch 3" in str(error)


@pytest.mark.parametrize(
    "last",
    [
        None,
        Found(14, 2),  # the same leader
        Found(14, None),
        Found(17, 3),  # a gap where the last message was: compaction
    ],
)
def test_a_gap_or_the_same_leader_proves_nothing(last: Found | None) -> None:
    assert judged(row(15, leader_epoch=2), LOG, last) is None


def test_an_error_names_the_old_and_the_new_id() -> None:
    text = str(judged(row(identity=Identity("topic-0", "cluster-1"))))
    assert "topic-0" in text
    assert "topic-1" in text
    assert "eoconsumer offsets reset --group ledger --topic moves --to-earliest --execute" in text


@pytest.mark.parametrize(("position", "worth"), [(10, False), (11, True)])
def test_at_the_beginning_of_the_log_there_is_no_message_to_look_at(
    position: int, worth: bool
) -> None:
    assert is_worth_a_look(row(position, leader_epoch=2), LOG) is worth


# --- where to go on -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stored", "offset"),
    [
        (row(identity=Identity("topic-0", "cluster-1")), 10),
        (row(3), 10),
        (row(26), 20),
    ],
)
def test_after_an_error_it_goes_on_where_messages_are_next(stored: Position, offset: int) -> None:
    error = trouble(P0, stored, LOG, None, "ledger")
    position = settled(stored, LOG, error)
    assert position is not None
    assert (position.next_offset, position.identity, position.leader_epoch) == (offset, HERE, None)


def test_after_a_truncation_it_goes_on_at_the_end() -> None:
    stored = row(15, leader_epoch=2)
    position = settled(stored, LOG, trouble(P0, stored, LOG, Found(14, 3), "ledger"))
    assert position is not None
    assert position.next_offset == 20


def test_what_fits_is_completed_with_what_kafka_tells() -> None:
    stored = row(identity=Identity("topic-1"))
    assert settled(stored, LOG, None) == row()
    assert settled(row(), Sighting(Identity(), 10, 20), None) == row()


def test_without_the_ends_of_the_log_nothing_is_settled() -> None:
    assert settled(row(), Sighting(HERE), None) is None
