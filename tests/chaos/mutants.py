"""Ways to break the library, for ``--mutant``: each function takes one guard out.

A function takes no arguments and is called in a worker before it starts. ``MUTANTS`` says which
check must see it, and in which scene it bites soonest. What harms only where the position is not
compared is broken together with that; ``CAUGHT`` are the same alone, which harm nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from pymongo import ReadPreference, UpdateOne, WriteConcern
from pymongo.client_session_shared import TransactionOptions

from eoconsumer.core import identity, modes
from eoconsumer.core.batching import Batch
from eoconsumer.core.commit import Commits
from eoconsumer.core.effects import Advance, AfterCommit, Begin, Commit, Effects, Handle
from eoconsumer.core.modes import Mode, Step, Work
from eoconsumer.core.ownership import Ownership
from eoconsumer.core.positions import Claims, Start
from eoconsumer.errors import CommitInDoubt, TransientStoreError
from eoconsumer.message import TopicPartition
from eoconsumer.stores.mongo import guard, rows
from eoconsumer.stores.mongo.rows import Rows
from eoconsumer.stores.mongo.session import MongoSession


class Mutant(NamedTuple):
    """The scene that shows it, the check that must be red, and a part of what that says."""

    scene: str
    check: str
    says: str


def _advance_compares(*, epoch: bool, position: bool, upsert: bool = False) -> None:
    """Leave out of the write of a position what it compares."""
    kept = {"_id", *["epoch"] * epoch, *["next_offset"] * position}

    def update(wanted: Mapping[str, Any], change: Mapping[str, Any], **options: Any) -> UpdateOne:
        if "next_offset" in change.get("$set", {}):  # not a release
            wanted = {name: value for name, value in wanted.items() if name in kept}
            options["upsert"] = upsert
        return UpdateOne(wanted, change, **options)

    rows.UpdateOne = update  # type: ignore[assignment, misc]


# --- the fence ----------------------------------------------------------------------------------


def position_not_compared() -> None:
    """The position is written if the epoch is ours."""
    _advance_compares(epoch=True, position=False)


def epoch_not_compared() -> None:
    """The position is written if it stands where we left it."""
    _advance_compares(epoch=False, position=True)


def nothing_compared() -> None:
    """The position is just set."""
    _advance_compares(epoch=False, position=False)


def upsert() -> None:
    """The position is set, and the row made where there is none."""
    _advance_compares(epoch=False, position=False, upsert=True)


def upsert_alone() -> None:
    """No match is a duplicate key: an error, and not a fence."""
    _advance_compares(epoch=True, position=True, upsert=True)


# --- the transaction ----------------------------------------------------------------------------


def batch_again_alone() -> None:
    """After an unknown commit the whole batch is done again, and nobody asks the position."""

    def commit(self: Commits, batch: Batch) -> Effects[None]:
        del self, batch
        try:
            yield Commit()
        except CommitInDoubt as doubt:
            raise TransientStoreError from doubt

    Commits.commit = commit  # type: ignore[method-assign]


def batch_again() -> None:
    """The same, and the position is not compared."""
    batch_again_alone()
    position_not_compared()


def one_node() -> None:
    """A commit is confirmed by one node."""
    options = guard.TRANSACTION
    guard.TRANSACTION = TransactionOptions(  # type: ignore[attr-defined]
        options.read_concern, WriteConcern(w=1), options.read_preference
    )


def offset_afterwards() -> None:
    """The position is written in a transaction of its own, after that of the effects."""

    def steps(work: Work) -> list[Step]:
        handle, advance = map(Handle, work.runs), Advance(work.moves)
        own = [Begin(), advance, Commit(), AfterCommit(work.runs)]
        return [Begin(), *handle, Commit(), *own]

    modes.STEPS[Mode.EXACTLY_ONCE] = steps


def offset_first() -> None:
    """The position is written in a transaction of its own, before that of the effects."""

    def steps(work: Work) -> list[Step]:
        handle, advance = map(Handle, work.runs), Advance(work.moves)
        own: list[Step] = [Begin(), advance, Commit()]
        return [*own, Begin(), *handle, Commit(), AfterCommit(work.runs)]

    modes.STEPS[Mode.EXACTLY_ONCE] = steps


# --- taking over, and letting go ----------------------------------------------------------------


def revoke_not_heeded_alone() -> None:
    """What was fetched of a revoked partition is handled all the same."""

    def revoked(
        self: Ownership, keys: Sequence[TopicPartition], *, lost: bool = False
    ) -> Effects[None]:
        del self, keys, lost
        yield from ()

    Ownership.revoked = revoked  # type: ignore[method-assign]


def revoke_not_heeded() -> None:
    """The same, and nothing is compared."""
    revoke_not_heeded_alone()
    nothing_compared()


def starts_at_earliest() -> None:
    """A claim starts at the beginning of the log, whatever is stored."""
    claim = MongoSession.claim

    def claimed(
        self: MongoSession,
        partitions: Sequence[TopicPartition],
        starts: Mapping[TopicPartition, Start],
    ) -> Claims:
        claims = claim(self, partitions, starts)
        reset = {key: replace(row, next_offset=0) for key, row in claims.positions.items()}
        return replace(claims, positions=reset)

    MongoSession.claim = claimed  # type: ignore[method-assign]


def reads_a_secondary() -> None:
    """Positions are read from a secondary."""
    documents = Rows.documents

    def read(self: Rows, keys: Sequence[Any], session: Any) -> Any:
        if not session.in_transaction:
            there = self.collection.with_options(read_preference=ReadPreference.SECONDARY)
            self = Rows(there, self.group)
        return documents(self, keys, session)

    Rows.documents = read  # type: ignore[method-assign]


def topic_id_ignored() -> None:
    """A position is taken for that of any topic of the same name."""

    def changed(*_: object) -> None:
        return None

    identity.changed = changed


MUTANTS: Mapping[str, Mutant] = {
    "position_not_compared": Mutant("late_commit", "effects", "is doubled"),
    "epoch_not_compared": Mutant("two_owners", "protocol", "by another than the claimer"),
    "nothing_compared": Mutant("two_owners", "effects", "is doubled"),
    "upsert": Mutant("two_owners", "order", "came after"),
    "batch_again": Mutant("unknown_commit", "effects", "is doubled"),
    "one_node": Mutant("restart", "concerns", "not committed to the majority"),
    "offset_afterwards": Mutant("killed_when_committed", "effects", "is doubled"),
    "offset_first": Mutant("killed_when_committed", "skipped", "was skipped without a trace"),
    "revoke_not_heeded": Mutant("revoked_in_trouble", "effects", "is doubled"),
    "starts_at_earliest": Mutant("restart", "recovery", "until progress"),
    "topic_id_ignored": Mutant("topic_recreated", "skipped", "was skipped without a trace"),
    "reads_a_secondary": Mutant("restart", "concerns", "not from the primary"),
}

#: Broken alone, these do no harm in their scenes.
CAUGHT: Mapping[str, str] = {
    "upsert_alone": "two_owners",
    "batch_again_alone": "unknown_commit",
    "revoke_not_heeded_alone": "revoked_in_trouble",
}
