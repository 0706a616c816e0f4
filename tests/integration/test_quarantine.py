"""A key in quarantine on real servers: others go on, and a release applies all in order, once."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from consuming import running
from counting import Counting, Each
from pymongo.database import Database
from trial import Document, Fill, Place, effects, eventually, positions

from eoconsumer import Message, RetryPolicy, Selection
from eoconsumer.servers import KafkaBroker
from eoconsumer.stores.mongo import MongoStore

KEYS = 17  # as ``produce`` makes them
ONCE = RetryPolicy(attempts=1)
pytestmark = [pytest.mark.slow, pytest.mark.requirement("N15")]


class Bad:
    """Fails for the first message of a key, until the cause is mended."""

    def __init__(self) -> None:
        self.mended = False

    def __call__(self, message: Message) -> None:
        if message.offset == 0 and not self.mended:
            raise ValueError("the first one")


@pytest.fixture
def bad() -> Bad:
    return Bad()


@pytest.fixture
def consumers(
    kafka_broker: KafkaBroker, store: MongoStore, topic: str, bad: Bad
) -> Iterator[Counting]:
    """A consumer at a time; each is another owner of the one partition."""

    def make() -> Iterator[Counting]:
        while True:
            yield Each(
                kafka_broker.bootstrap_servers,
                store,
                topic,
                bad,
                on_poison="quarantine",
                retry=ONCE,
                readers=1,
            )

    return make()  # type: ignore[return-value]  # an iterator of them


def waiting(store: MongoStore) -> list[int]:
    return [letter.offset for letter in store.letters(Selection(), None, 1000)]


def done(database: Database[Document], places: list[Place]) -> None:
    eventually(lambda: positions(database).get(0), lambda at: at == places[-1][1] + 1)


def applied(database: Database[Document]) -> dict[int, list[int]]:
    """Return the offsets of each key in the order in which they were applied."""
    order: dict[int, list[int]] = {}
    for row in database["effects"].find().sort("handled_at"):
        order.setdefault(row["offset"] % KEYS, []).append(row["offset"])
    return order


def test_a_poison_key_parks_fifty_and_a_release_applies_them_in_order_and_once(
    consumers: Iterator[Counting],
    store: MongoStore,
    topic: str,
    fill: Fill,
    bad: Bad,
    database: Database[Document],
) -> None:
    # Several calls of ``fill`` would begin anew with the first key.
    produced = fill(topic, 25 * KEYS)
    with running(next(consumers)):
        done(database, produced)
    assert waiting(store) == list(range(0, 25 * KEYS, KEYS))
    # Another owner parks what follows: it learns of the quarantine with its claim.
    produced = sorted({*produced, *fill(topic, 26 * KEYS)})
    with running(next(consumers)) as live:
        done(database, produced)
        assert waiting(store) == list(range(0, 51 * KEYS, KEYS))
        assert {offset for _, offset in effects(database)} == {
            offset for _, offset in produced if offset % KEYS
        }

        bad.mended = True
        assert next(consumers).redrive().done == 51

        assert waiting(store) == []
        assert database["eoconsumer_quarantine"].count_documents({}) == 0
        produced = sorted({*produced, *fill(topic, 2 * KEYS)})
        done(database, produced)
        assert live.snapshot().parked == 26
    assert effects(database) == dict.fromkeys(produced, 1)
    assert all(offsets == sorted(offsets) for offsets in applied(database).values())


def test_releases_while_messages_of_the_key_keep_coming_lose_and_double_nothing(
    consumers: Iterator[Counting],
    store: MongoStore,
    topic: str,
    fill: Fill,
    bad: Bad,
    database: Database[Document],
) -> None:
    produced = fill(topic, 2 * KEYS)
    with running(next(consumers)):
        done(database, produced)
        bad.mended = True
        for _ in range(15):
            produced = sorted({*produced, *fill(topic, 2 * KEYS)})
            assert next(consumers).redrive().stayed == 0
        done(database, produced)
        next(consumers).redrive()

    assert waiting(store) == []
    assert database["eoconsumer_quarantine"].count_documents({}) == 0
    assert effects(database) == dict.fromkeys(produced, 1)
    assert all(offsets == sorted(offsets) for offsets in applied(database).values())
