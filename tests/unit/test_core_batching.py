"""What goes into one batch, how big it may get, and how long to wait after a failure."""

from __future__ import annotations

from math import inf

import pytest
from bench import P0, P1, P2, Bench, messages
from hypothesis import given
from hypothesis import strategies as st

from eoconsumer.core import effects as fx
from eoconsumer.core.batching import Bounds, Pace, gather
from eoconsumer.core.partition import Partition
from eoconsumer.core.positions import Position
from eoconsumer.core.retry import RetryPolicy
from eoconsumer.core.settings import Settings
from eoconsumer.errors import ConfigurationError
from eoconsumer.message import TopicPartition


def owned(key: TopicPartition, count: int, size: int = 1) -> Partition:
    partition = Partition(key)
    partition.claimed(Position(0, 1))
    partition.add(messages(range(count), key, size))
    return partition


@given(
    counts=st.lists(st.integers(1, 20), min_size=1, max_size=6),
    limit=st.integers(1, 60),
    size=st.integers(1, 600),
    most=st.one_of(st.none(), st.integers(1, 6)),
)
def test_a_batch_keeps_its_bounds(counts: list[int], limit: int, size: int, most: int) -> None:
    partitions = [owned(TopicPartition("t", n), count, 10) for n, count in enumerate(counts)]
    runs = gather(partitions, Bounds(limit, size, most))
    assert runs
    assert sum(map(len, runs)) <= limit
    assert sum(run.size for run in runs) < size + 10, "at most the last message goes over"
    assert len(runs) <= (most or inf)
    assert len({run.partition for run in runs}) == len(runs)


@pytest.mark.requirement("S3-12")
def test_no_more_partitions_are_worked_on_at_once_than_max_partitions_and_none_starves() -> None:
    bench = Bench(max_partitions=2).own(P0, P1, P2)
    polls = [
        {key: messages(range(n * 3, n * 3 + 3), key) for key in (P0, P1, P2)} for n in range(4)
    ]
    bench.consume(*polls)
    at_once, most = 0, 0
    for effect in bench.seen:
        at_once = 0 if isinstance(effect, fx.Begin) else at_once + isinstance(effect, fx.Handle)
        most = max(most, at_once)
    assert most == 2
    assert [bench.stored(key) for key in (P0, P1, P2)] == [12, 12, 12]


@pytest.mark.requirement("S3-12")
def test_what_waits_is_bounded_by_the_batch_size() -> None:
    bench = Bench(batch_size=10).own(P0)
    fed = iter(range(1_000))
    worst = 0

    def feed(poll: fx.Poll) -> object:
        nonlocal worst
        got = messages([offset for offset, _ in zip(fed, range(poll.messages), strict=False)])
        worst = max(worst, len(bench.flow.partitions[P0].pending) + len(got))
        return {P0: got} if got else None

    bench.flow.pace.limit = 1  # a slow handler
    bench.poll = feed  # type: ignore[method-assign]
    bench.run(bench.flow.read())
    assert worst <= 11


def test_a_suspect_comes_alone() -> None:
    partitions = [owned(P0, 4), owned(P1, 4)]
    run = partitions[1].take(4, 100)
    assert run is not None
    partitions[1].blame(None, run)
    (alone,) = gather(partitions, Bounds(100, 100))
    assert (alone.partition, len(alone)) == (P1, 2)


def test_the_pace_aims_at_the_time_a_transaction_should_take() -> None:
    pace = Pace(0.5, 50_000)
    for _ in range(10):
        pace.measured(pace.limit, pace.limit / 10_000)  # 10,000 messages a second
    assert pace.limit == 5_000


@given(st.lists(st.tuples(st.integers(1, 9_000), st.floats(1e-6, 60))))
def test_the_pace_grows_at_most_sixteenfold_and_never_falls_below_one(
    batches: list[tuple[int, float]],
) -> None:
    pace = Pace(0.5, 50_000)
    for count, seconds in batches:
        before = pace.limit
        pace.measured(count, seconds)
        assert 1 <= pace.limit <= max(before, 16 * count)


def test_a_batch_that_ran_out_of_time_cuts_the_pace_to_an_eighth_of_it() -> None:
    pace = Pace(0.5, 50_000)
    pace.too_slow(800)
    assert pace.limit == 100
    pace.too_slow(3)
    assert pace.limit == 1


@given(
    minimum=st.floats(0, 10),
    more=st.floats(0, 100),
    jitter=st.floats(0, 1),
    tries=st.integers(1, 5_000),
    chance=st.floats(0, 1, exclude_max=True),
)
def test_a_wait_is_bounded_and_jittered(
    minimum: float, more: float, jitter: float, tries: int, chance: float
) -> None:
    policy = RetryPolicy(9, minimum, minimum + more, jitter)
    full = min(minimum + more, minimum * 2.0 ** min(tries - 1, 30))
    delay = policy.delay(tries, chance)
    assert 0 <= delay <= full
    assert delay >= full * (1 - jitter) - 1e-9


@pytest.mark.requirement("S3-24")
def test_the_default_retries_are_over_in_ten_seconds() -> None:
    policy = RetryPolicy()
    assert sum(policy.delay(tries, 0.0) for tries in range(1, policy.attempts)) < 10


@pytest.mark.parametrize(
    "wrong", [{"attempts": 0}, {"minimum": -1}, {"minimum": 9, "maximum": 1}, {"jitter": 2}]
)
def test_a_policy_that_makes_no_sense_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigurationError, match="makes no sense"):
        RetryPolicy(**wrong)  # type: ignore[arg-type]


@pytest.mark.requirement("N7")
def test_the_pace_keeps_the_operations_of_a_transaction_within_their_budget() -> None:
    pace = Pace(10.0, operations=1_000)
    pace.measured(250, 0.1, operations=2_500)
    assert pace.limit == 100


@pytest.mark.requirement("N7")
def test_a_batch_that_the_database_refuses_halves_the_pace() -> None:
    pace = Pace(0.5, 50_000)
    pace.refused()
    assert pace.limit == 125
    for _ in range(20):
        pace.refused()
    assert pace.limit == 1


@pytest.mark.requirement("N7")
@pytest.mark.parametrize(
    ("transaction", "poll", "target"),
    [(45.0, 300.0, 1.0), (None, 300.0, 1.0), (1.0, 300.0, 0.25), (45.0, 1.0, 0.25)],
)
def test_a_batch_fits_the_life_of_a_transaction_and_the_interval_of_polls(
    transaction: float | None, poll: float, target: float
) -> None:
    assert Settings().within(transaction, poll).target_commit_time == target
