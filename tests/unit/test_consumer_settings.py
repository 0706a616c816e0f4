"""Settings: the same as class attributes and as arguments, checked before anything starts."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from eoconsumer import AsyncConsumer, Consumer, Mode, RetryPolicy
from eoconsumer.errors import ConfigurationError
from eoconsumer.stores.memory import MemoryStore
from eoconsumer.stores.memory_async import AsyncMemoryStore


class Ledger(Consumer):
    topics = ("stock-moves",)
    group = "ledger"
    mode = Mode.AT_LEAST_ONCE
    batch_size = 10

    def handle(self, message: Any, session: Any) -> None:
        """Do nothing."""


def ledger(**settings: Any) -> Ledger:
    return Ledger("localhost:9092", MemoryStore(), **settings)


def test_a_class_attribute_and_an_argument_are_the_same_setting_and_the_argument_wins() -> None:
    assert ledger().config.mode is Mode.AT_LEAST_ONCE
    assert ledger().config.batch_size == 10
    given = ledger(mode=Mode.EXACTLY_ONCE, batch_size=20, group="other")
    assert given.config.mode is Mode.EXACTLY_ONCE
    assert given.config.batch_size == 20
    assert given.config.group == "other"
    assert Ledger.batch_size == 10


def test_an_argument_that_is_false_or_nought_wins_as_well() -> None:
    given = ledger(mirror=False, commit_interval=0)
    assert given.config.mirror is False
    assert given.config.commit_interval == 0


@pytest.mark.parametrize("mode", list(Mode))
def test_a_mode_may_be_a_string(mode: Mode) -> None:
    assert ledger(mode=str(mode)).mode is mode


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"mode": "twice"}, r"mode: .*'exactly_once'.*'at_least_once'.*'at_most_once'"),
    ({"start": "somewhere"}, r"start.*'earliest'.*'latest'.*'error'.*'group'"),
    ({"start": datetime(2026, 1, 1)}, "without a time zone"),
    ({"start": -1}, "start: -1 is no start; .*milliseconds since the epoch"),
    ({"start": 2**63}, "start: 9223372036854775808 is no start"),
    ({"on_poison": "ignore"}, r"on_poison: .*'stop'.*'skip'.*'bury'"),
    ({"positions": "file"}, r"positions: .*'store'.*'kafka'"),
    ({"batch_size": 0}, "batch_size: .*greater than or equal to 1"),
    ({"batch_bytes": 0}, "batch_bytes: .*greater than or equal to 1"),
    ({"max_partitions": 0}, "max_partitions: .*greater than or equal to 1"),
    ({"lanes": -1}, "lanes: .*greater than or equal to 0"),
    ({"lanes": 101}, "lanes: .*less than or equal to 100"),
    ({"lanes": 4, "positions": "kafka"}, 'lanes= needs positions="store"'),
    ({"lanes": 4, "max_partitions": 2}, "lanes= and max_partitions= exclude each other"),
    ({"lanes": 4, "applied_log": True}, "lanes= and applied_log=True exclude each other"),
    ({"lanes": 4, "commit_batch": 3}, "commit_batch=3 cannot be shared by 4 lanes"),
    ({"readers": 0}, "readers: .*greater than or equal to 1"),
    ({"commit_batch": 0}, "commit_batch: .*greater than or equal to 1"),
    ({"commit_interval": -1}, "commit_interval: .*greater than or equal to 0"),
    ({"group": ""}, "group: it is missing or empty"),
    ({"group": "ledger "}, "group: it begins or ends with a blank"),
    ({"group": "led\0ger"}, "group: it has a NUL"),
    ({"group": "x" * 256}, "group: it has more than 255 characters"),
    ({"kafka": "fast"}, "kafka: "),
    ({"retry": 3}, "retry: "),
]


@pytest.mark.parametrize(("wrong", "reason"), WRONG, ids=lambda v: str(v) if "{" in str(v) else "")
def test_a_wrong_setting_is_refused_with_its_name_and_what_would_be_right(
    wrong: dict[str, Any], reason: str
) -> None:
    with pytest.raises(ConfigurationError, match=reason) as refused:
        ledger(**wrong)
    assert "Nothing was consumed" in str(refused.value)


def test_all_wrong_settings_are_named_at_once() -> None:
    with pytest.raises(ConfigurationError) as refused:
        ledger(mode="twice", readers=0)
    assert "mode" in str(refused.value)
    assert "readers" in str(refused.value)


def test_positions_in_kafka_cannot_be_exactly_once() -> None:
    with pytest.raises(ConfigurationError, match=r'^positions="kafka" cannot be exactly-once'):
        ledger(mode="exactly_once", positions="kafka")
    assert ledger(mode="at_least_once", positions="kafka").config.positions == "kafka"
    assert ledger(mode="at_most_once", positions="kafka").config.positions == "kafka"


@pytest.mark.parametrize("mode", ["at_least_once", "at_most_once"])
def test_a_quarantine_needs_the_transaction_of_exactly_once(mode: str) -> None:
    with pytest.raises(ConfigurationError, match=r"needs mode=.exactly_once"):
        ledger(mode=mode, on_poison="quarantine")
    given = ledger(mode="exactly_once", on_poison="quarantine")
    assert given.config.on_poison == "quarantine"


def test_no_broker_address_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="bootstrap_servers"):
        Ledger("", MemoryStore())


def test_a_setting_that_does_not_exist_is_refused_by_the_constructor() -> None:
    with pytest.raises(TypeError, match="batchsize"):
        ledger(batchsize=10)


def test_a_start_at_a_moment_is_kept_in_milliseconds() -> None:
    assert ledger(start=datetime(2026, 1, 1, tzinfo=UTC)).config.start == 1_767_225_600_000
    assert ledger(start=1_767_225_600_000).config.start == 1_767_225_600_000


@pytest.mark.parametrize("numbers", [{"attempts": 0}, {"minimum": 9}, {"jitter": 2}])
def test_a_retry_policy_that_makes_no_sense_is_refused(numbers: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match="makes no sense"):
        RetryPolicy(**numbers)


def test_the_default_retries_take_less_than_ten_seconds_in_all() -> None:
    policy = ledger().config.retry
    assert sum(policy.delay(n, 0.0) for n in range(1, policy.attempts)) < 10


# --- the shares of several readers ------------------------------------------------------------


def test_two_readers_are_the_default() -> None:
    assert ledger().config.reader_count == 2


@pytest.mark.requirement("S3-12")
@pytest.mark.parametrize(
    ("k", "readers", "shares"), [(1, 2, [1]), (3, 2, [2, 1]), (5, 3, [2, 2, 1])]
)
def test_max_partitions_is_shared_by_the_readers_and_none_gets_nothing(
    k: int, readers: int, shares: list[int]
) -> None:
    config = ledger(max_partitions=k, readers=readers).config
    assert [config.of_reader(n).max_partitions for n in range(config.reader_count)] == shares


@pytest.mark.requirement("S3-03")
@pytest.mark.parametrize(("batch", "readers"), [(1, 4), (10, 4), (1000, 2)])
def test_the_readers_together_never_have_more_than_commit_batch_messages_open(
    batch: int, readers: int
) -> None:
    config = ledger(commit_batch=batch, readers=readers).config
    shares = [config.of_reader(n).commit_batch for n in range(config.reader_count)]
    assert min(shares) >= 1
    assert sum(shares) <= batch


@pytest.mark.requirement("N2")
def test_lanes_are_refused_with_a_store_that_has_no_rows_for_them() -> None:
    class Plain:
        """A store as it was before there were lanes, or capabilities."""

        transaction_seconds = None
        setup = open = letters = applied = close = lambda *_: None

    with pytest.raises(ConfigurationError, match="Plain has no rows for lanes"):
        Ledger("localhost:9092", Plain(), lanes=4)
    assert Ledger("localhost:9092", Plain()).config.lanes == 0


@pytest.mark.requirement("N2")
def test_lanes_are_refused_on_an_event_loop_with_a_store_that_has_no_rows_for_them() -> None:
    async def nothing(*_: object) -> None: ...

    class Plain:
        """As above."""

        transaction_seconds = None
        setup = open = letters = close = nothing

        def applied(self) -> None: ...

    class Awaited(AsyncConsumer):
        topics = "stock-moves"
        group = "ledger"

        async def handle(self, message: Any, session: Any) -> None:
            """Do nothing."""

    with pytest.raises(ConfigurationError, match="Plain has no rows for lanes"):
        Awaited("localhost:9092", Plain(), lanes=4)
    assert Awaited("localhost:9092", AsyncMemoryStore(), lanes=4).config.lanes == 4
