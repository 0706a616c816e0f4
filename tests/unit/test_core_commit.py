"""How positions get into the store, and how a lost answer is resolved."""

from __future__ import annotations

import pytest
from bench import GROUP, P0, P1, Bench, LostReply, messages

from eoconsumer.core import effects as fx
from eoconsumer.core.modes import Mode
from eoconsumer.core.positions import Move
from eoconsumer.errors import BrokerError, CommitInDoubt, Fenced, StoreError, TransientStoreError

# --- a commit in doubt ------------------------------------------------------------------------


@pytest.mark.requirement("S3-19")
@pytest.mark.parametrize("lost", [1, 2, 7])
def test_a_commit_without_an_answer_is_repeated_and_the_body_is_not(lost: int) -> None:
    bench = Bench().own(P0)
    bench.fail(fx.Commit, *[CommitInDoubt() for _ in range(lost)])
    bench.consume({P0: messages(range(4))})
    assert len(bench.all(fx.Handle)) == 1
    assert len(bench.all(fx.Commit)) == lost + 1
    assert bench.effects == [0, 1, 2, 3]
    assert bench.reports("in_doubt_resolved") == [{"committed": True, "tries": lost}]


@pytest.mark.requirement("S3-19")
def test_a_commit_that_happened_and_never_answers_is_recognised_by_its_position() -> None:
    bench = Bench(commit_timeout=5.0).own(P0)
    bench.fail(fx.Commit, *[LostReply(CommitInDoubt()) for _ in range(20)])
    bench.consume({P0: messages(range(4))})
    assert bench.effects == [0, 1, 2, 3]
    assert bench.reports("in_doubt_resolved")[0]["committed"] is True


@pytest.mark.requirement("S3-19")
def test_a_commit_that_did_not_happen_and_never_answers_runs_the_batch_again() -> None:
    bench = Bench(commit_timeout=0.0).own(P0)
    bench.fail(fx.Commit, CommitInDoubt())
    bench.consume({P0: messages(range(4))})
    assert len(bench.all(fx.Handle)) == 2
    assert bench.effects == [0, 1, 2, 3]
    assert bench.reports("in_doubt_resolved")[0]["committed"] is False


@pytest.mark.requirement("S3-19")
def test_a_commit_that_lands_while_the_batch_runs_again_makes_the_second_one_harmless() -> None:
    bench = Bench(commit_timeout=0.0).own(P0)
    bench.fail(fx.Commit, CommitInDoubt())
    handle, begun = bench.handle, []

    def land_late(effect: fx.Handle) -> None:
        if begun:
            begun.pop().commit()  # type: ignore[attr-defined]
        elif len(bench.all(fx.Handle)) == 1:
            begun.append(bench.transaction)  # type: ignore[arg-type]
        handle(effect)

    bench.handle = land_late  # type: ignore[method-assign]
    bench.consume({P0: messages(range(4))})
    assert bench.effects == [0, 1, 2, 3]
    assert bench.stored() == 4


def test_a_late_commit_of_one_partition_is_no_proof_for_the_others_of_the_batch() -> None:
    bench = Bench(commit_timeout=0.0).own(P0, P1)
    bench.fail(fx.Commit, CommitInDoubt(), CommitInDoubt())
    advance, first = bench.advance, []

    # 1. {P0} is in doubt, 2. it is done again as {P0, P1}, 3. the first one lands, 4. the second
    # is in doubt: the position of P0 says nothing about P1.
    def land_late(effect: fx.Advance) -> None:
        advance(effect)
        first.append(bench.transaction)
        if len(first) == 2:
            first[0].commit()

    bench.advance = land_late  # type: ignore[method-assign]
    bench.consume({P0: messages(range(4))}, {P1: messages(range(10, 14), P1)})
    assert bench.effects == [0, 1, 2, 3, 10, 11, 12, 13]
    assert (bench.stored(P0), bench.stored(P1)) == (4, 14)


def test_an_oracle_that_cannot_be_read_ends_the_reader_after_its_deadline() -> None:
    bench = Bench(commit_timeout=3.0).own(P0)
    bench.fail(fx.Commit, *[CommitInDoubt() for _ in range(100)])
    bench.fail(fx.ReadPositions, *[TransientStoreError("no primary") for _ in range(100)])
    with pytest.raises(StoreError, match="no primary") as caught:
        bench.consume({P0: messages(range(4))})
    assert not isinstance(caught.value, TransientStoreError)
    assert bench.clock < 15


# --- outside a transaction --------------------------------------------------------------------


@pytest.mark.parametrize("mode", [Mode.AT_LEAST_ONCE, Mode.AT_MOST_ONCE])
def test_an_advance_whose_answer_was_lost_is_recognised_as_ours(mode: Mode) -> None:
    bench = Bench(mode=mode, commit_batch=4).own(P0)
    bench.fail(fx.Advance, LostReply(TransientStoreError()))
    bench.consume({P0: messages(range(4))})
    assert bench.effects == [0, 1, 2, 3]
    assert not bench.reports("fenced")
    assert bench.stored() == 4


def test_a_position_that_another_owner_stored_is_not_taken_for_ours() -> None:
    bench = Bench(mode=Mode.AT_LEAST_ONCE, commit_batch=4).own(P0)
    other = bench.store.open(GROUP, "other")
    epoch = other.claim([P0], {}).positions[P0].epoch
    other.advance([Move(P0, epoch, 0, 4)])
    bench.consume({P0: messages(range(4))})
    assert [r["partition"] for r in bench.reports("fenced")] == [P0]


def test_a_fence_at_the_interval_is_no_crash() -> None:
    bench = Bench(mode=Mode.AT_LEAST_ONCE, commit_batch=100, commit_interval=1.0).own(P0, P1)
    bench.flow._advance_at = 1.0
    bench.polls.extend([{P0: messages(range(4)), P1: messages(range(10, 14), P1)}, {}])
    polls = bench.poll

    def taken(effect: fx.Poll) -> object:
        if not bench.polls and bench.clock < 2:
            bench.clock = 2.0
            bench.store.open(GROUP, "other").claim([P0], {})
            return {}
        return polls(effect)

    bench.poll = taken  # type: ignore[method-assign]
    bench.run(bench.flow.read())
    assert [r["partition"] for r in bench.reports("fenced")] == [P0]
    assert bench.stored(P1) == 14


def test_an_advance_writes_something_or_is_not_made() -> None:
    bench = Bench(mode=Mode.AT_LEAST_ONCE, commit_batch=100, commit_interval=1.0).own(P0)
    bench.flow._advance_at = 1.0
    polls, lost = bench.poll, []

    def lose(effect: fx.Poll) -> object:
        if bench.effects and not lost:
            lost.append(P0)
            bench.clock = 2.0
            bench.run(bench.flow.revoked([P0], lost=True))
            return {}
        return polls(effect)

    bench.poll = lose  # type: ignore[method-assign]
    bench.consume({P0: messages(range(4))})
    assert all(advance.moves for advance in bench.all(fx.Advance))


@pytest.mark.requirement("S3-02")
def test_at_least_once_stores_what_was_handled_when_it_stops() -> None:
    bench = Bench(mode=Mode.AT_LEAST_ONCE, commit_batch=100, commit_interval=1e9).own(P0)
    bench.flow._advance_at = 1e9
    bench.consume({P0: messages(range(4))})
    assert bench.stored() == 4
    effects = [type(e) for e in bench.seen if isinstance(e, fx.Handle | fx.Advance)]
    assert effects == [fx.Handle, fx.Advance]


@pytest.mark.requirement("S3-11")
@pytest.mark.parametrize("mode", list(Mode))
def test_nothing_is_written_for_a_partition_that_was_lost(mode: Mode) -> None:
    bench = Bench(mode=mode, commit_batch=100, commit_interval=1e9).own(P0)
    bench.flow._advance_at = 1e9
    bench.flow.partitions[P0].add(messages(range(4)))
    bench.run(bench.flow.revoked([P0], lost=True))
    writes = (fx.Advance, fx.Commit, fx.Release, fx.Mirror, fx.CommitGroup)
    assert not [effect for effect in bench.seen if isinstance(effect, writes)]
    assert [r.partitions for r in bench.all(fx.Revoked)] == [(P0,)]


def test_a_drain_that_the_database_refuses_lets_the_partitions_go_all_the_same() -> None:
    bench = Bench(mode=Mode.AT_LEAST_ONCE, commit_batch=100, commit_timeout=1.0).own(P0)
    bench.flow._advance_at = 1e9
    bench.fail(fx.Advance, *[TransientStoreError() for _ in range(100)])
    bench.consume({P0: messages(range(4))})
    assert len(bench.reports("advance_failed")) == 1
    assert bench.flow.partitions == {}


def test_a_drain_that_the_broker_refuses_lets_the_partitions_go_all_the_same() -> None:
    bench = Bench(mode=Mode.AT_LEAST_ONCE, positions="kafka", commit_batch=100).own(P0)
    bench.flow._advance_at = 1e9
    bench.fail(fx.CommitGroup, BrokerError())
    bench.consume({P0: messages(range(4))})
    assert len(bench.reports("advance_failed")) == 1
    assert bench.flow.partitions == {}


def test_a_release_that_fails_is_only_reported() -> None:
    bench = Bench().own(P0)
    bench.fail(fx.Release, TransientStoreError())
    bench.run(bench.flow.revoked([P0]))
    assert len(bench.reports("release_failed")) == 1


def test_an_advance_that_keeps_failing_ends_the_reader_with_a_store_error() -> None:
    bench = Bench(mode=Mode.AT_MOST_ONCE, commit_timeout=5.0).own(P0)
    bench.fail(fx.Advance, *[TransientStoreError("no primary") for _ in range(1_000)])
    with pytest.raises(StoreError, match=r"did not store our positions.* no primary") as caught:
        bench.consume({P0: messages(range(4))})
    assert not isinstance(caught.value, TransientStoreError | Fenced)
    assert bench.effects == []


@pytest.mark.parametrize("mode", [Mode.AT_LEAST_ONCE, Mode.AT_MOST_ONCE])
def test_with_positions_in_kafka_the_group_is_committed_and_the_row_is_not(mode: Mode) -> None:
    bench = Bench(mode=mode, positions="kafka", commit_batch=4).own(P0)
    bench.consume({P0: messages(range(4))})
    assert bench.group == {P0: 4}
    assert not bench.all(fx.Advance)
    assert not bench.all(fx.Mirror)
