"""A store in memory: it defines the meaning of the contract, and serves tests.

Transactions are optimistic: writes are buffered, and what a transaction moved is compared once
more when it commits, so the first committer wins as under snapshot isolation.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Self

from eoconsumer.core.applied import Applied, within
from eoconsumer.core.capabilities import EVERYTHING
from eoconsumer.core.lanes import WHOLE, Lane
from eoconsumer.core.letters import DeadLetter, Letter, Selection
from eoconsumer.core.positions import Claims, Move, Position, Start
from eoconsumer.errors import Fenced, HandlerMisuse, TransientStoreError
from eoconsumer.message import MessageKey, TopicPartition
from eoconsumer.protocols import CommitsOnLeaving
from eoconsumer.stores.memory_letters import LetterChanges, MemoryLetters
from eoconsumer.stores.memory_rows import Claimer, Key, Row, position


class MemorySession:
    """The native session of the in-memory store: lists of values, by name."""

    def __init__(self, tables: dict[str, list[object]]) -> None:
        """Write to ``tables``."""
        self._tables = tables

    def append(self, table: str, value: object) -> None:
        """Add ``value`` to the list called ``table``."""
        self._tables[table].append(value)

    def write(self, writes: Sequence[Any]) -> None:
        """Append what handlers returned: tuples (table, value)."""
        for write in writes:
            if type(write) is not tuple or len(write) != 2 or not isinstance(write[0], str):
                raise HandlerMisuse(
                    f"The handler returned a {type(write).__name__}, which is no write of this "
                    "store; the batch was given up. Return tuples (table, value)."
                )
            self.append(*write)


class MemoryStore:
    """A store in this process's memory; ``tables`` holds what handlers appended."""

    capabilities = EVERYTHING
    claimer = Claimer

    def __init__(self) -> None:
        """Start empty."""
        self.tables: dict[str, list[object]] = defaultdict(list)
        self.rows: dict[Key, Row] = {}
        self.known: dict[tuple[str, str], int] = {}
        self.letters_kept = MemoryLetters()
        self.log: dict[tuple[str, TopicPartition, int, int], Applied] = {}
        self.lock = threading.RLock()
        self.transaction_seconds: float | None = None

    @classmethod
    def connect(cls, url: str) -> Self:  # noqa: ARG003 - the shape of every store's `connect`
        """Start empty, for ``memory://``."""
        return cls()

    def setup(self) -> None:
        """Nothing to make."""

    @property
    def dead_letters(self) -> list[Letter]:
        """All dead letters, in the order in which they were buried."""
        return list(self.letters_kept.letters.values())

    def letters(self, which: Selection, after: Letter | None, limit: int) -> list[Letter]:
        """Return dead letters in their order."""
        with self.lock:
            return self.letters_kept.find(which, after, limit)

    def open(self, group: str, owner: str) -> MemoryStoreSession:
        """Open a session for one reader."""
        return MemoryStoreSession(self, group, owner)

    def open_lane(self, group: str, owner: str, lane: Lane) -> MemoryStoreSession:
        """Open a session for one lane, or for the reader of all (number 0)."""
        return MemoryStoreSession(self, group, owner, lane if lane.number else WHOLE)

    def applied(
        self, group: str, partition: TopicPartition, first: int, upto: int
    ) -> Iterator[Applied]:
        """Read the applied-log."""
        with self.lock:
            log = [line for key, line in self.log.items() if key[:2] == (group, partition)]
        return iter(within(log, first, upto))

    def close(self) -> None:
        """Nothing to close."""

    def ours(self, row: Row, move: Move) -> bool:
        """Whether ``move`` may change ``row``: the fence. Both halves of it matter."""
        return row.epoch == move.epoch and row.next_offset == move.expected

    def apply(self, group: str, moves: Sequence[Move], lane: Lane) -> list[TopicPartition]:
        """Move every row that is still as ``moves`` expect; return the partitions that are not."""
        gone = []
        for move in moves:
            row = self.rows.get(Key(group, move.partition, lane))
            if row is None or not self.ours(row, move):
                gone.append(move.partition)
            else:
                row.next_offset, row.leader_epoch = move.upto, move.leader_epoch
        return gone

    def note(self, group: str, lines: Iterable[Applied]) -> None:
        """Keep ``lines``, each once."""
        for line in lines:
            self.log.setdefault((group, line.partition, line.epoch, line.number), line)


class MemoryStoreSession:
    """One reader's session with a ``MemoryStore``."""

    def __init__(self, store: MemoryStore, group: str, owner: str, lane: Lane = WHOLE) -> None:
        """Open for ``owner`` in ``group``: for the rows of partitions, or of one lane."""
        self._store = store
        self._group = group
        self._owner = owner
        self._lane = lane
        self.session = MemorySession(store.tables)

    def claim(
        self, partitions: Sequence[TopicPartition], starts: Mapping[TopicPartition, Start]
    ) -> Claims:
        """Raise the epochs, own the rows, return the positions; make rows from ``starts``."""
        with self._store.lock:
            claimer = self._store.claimer(self._store.rows, self._group, self._owner)
            if self._lane.number:
                rows = claimer.lanes(self._lane, starts)
            else:
                rows = claimer.wholes(partitions, starts)
                counts = {key.topic: start.partitions for key, start in starts.items()}
                for topic, count in counts.items():
                    if count:
                        self._store.known.setdefault((self._group, topic), count)
            positions = {
                key: replace(position, quarantined=self._quarantined(key))
                for key, position in rows.items()
            }
            known = {t: n for (group, t), n in self._store.known.items() if group == self._group}
        return Claims(positions, known)

    def _key(self, partition: TopicPartition) -> Key:
        return Key(self._group, partition, self._lane)

    def positions(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, Position]:
        """Read the rows."""
        with self._store.lock:
            rows = {p: self._store.rows.get(self._key(p)) for p in partitions}
            return {p: position(row) for p, row in rows.items() if row is not None}

    def all_positions(self) -> dict[TopicPartition, Position]:
        """Read all rows of the group."""
        with self._store.lock:
            return {
                key.partition: position(row)
                for key, row in self._store.rows.items()
                if key.group == self._group and key.lane == self._lane
            }

    def _quarantined(self, partition: TopicPartition) -> frozenset[bytes]:
        keys = (k for group, k in self._store.letters_kept.quarantine if group == self._group)
        return frozenset(k.key for k in keys if k.partition == partition)

    def release(self, moves: Sequence[Move]) -> None:
        """Clear the owner of rows that are still ours."""
        with self._store.lock:
            for move in moves:
                row = self._store.rows.get(self._key(move.partition))
                if row is not None and row.epoch == move.epoch:
                    row.owner = ""

    def write(self, writes: Sequence[Any]) -> None:
        """Append each value to its table; a write is a tuple (table, value)."""
        self.session.write(writes)

    def advance(self, moves: Sequence[Move]) -> None:
        """Move what is still ours; raise ``Fenced`` with the rest."""
        with self._store.lock:
            gone = self._store.apply(self._group, moves, self._lane)
        if gone:
            raise Fenced(gone)

    def bury(self, letters: Sequence[DeadLetter]) -> None:
        """Keep dead letters."""
        with self._store.lock:
            for letter in letters:
                self._store.letters_kept.add(self._group, letter)

    def remove(self, letter: Letter) -> None:
        """Remove a dead letter."""
        with self._store.lock:
            self._store.letters_kept.remove(letter)

    def note_failure(self, letter: Letter, error: BaseException) -> None:
        """Note one more attempt of a dead letter."""
        with self._store.lock:
            self._store.letters_kept.note_failure(letter, error)

    def note_applied(self, lines: Sequence[Applied]) -> None:
        """Keep lines of the applied-log."""
        with self._store.lock:
            self._store.note(self._group, lines)

    def transaction(self) -> MemoryTransaction:
        """Open a transaction."""
        return MemoryTransaction(self._store, self._group, self._lane)

    def translate(self, error: BaseException) -> BaseException:
        """Nothing that happens in memory is transient."""
        return error

    def flush(self) -> None:
        """Nothing is left to write: all is written at once."""

    def culprit(self, error: BaseException, messages: int) -> int | None:  # noqa: ARG002 - the contract
        """No command in memory has more than one write."""
        return None

    def close(self) -> None:
        """Nothing is held."""


class MemoryTransaction(CommitsOnLeaving):
    """Buffered writes that become visible together, or never."""

    def __init__(self, store: MemoryStore, group: str, lane: Lane = WHOLE) -> None:
        """Begin."""
        self._store = store
        self._group = group
        self._lane = lane
        self._tables: dict[str, list[object]] = defaultdict(list)
        self._letters = LetterChanges(store.letters_kept, group)
        self._lines: list[Applied] = []
        self._moves: tuple[Move, ...] = ()
        self._over = False
        self.session = MemorySession(self._tables)

    def write(self, writes: Sequence[Any]) -> None:
        """Append each value to its table once this commits; a write is a tuple (table, value)."""
        self.session.write(writes)

    def advance(self, moves: Sequence[Move]) -> None:
        """Compare now, so that a former owner learns at once; move at the commit."""
        store = self._store
        with store.lock:
            rows = {m: store.rows.get(self._key(m)) for m in moves}
        gone = [m.partition for m, row in rows.items() if row is None or not store.ours(row, m)]
        if gone:
            raise Fenced(gone)
        self._moves = (*self._moves, *moves)

    def bury(self, letters: Sequence[DeadLetter]) -> None:
        """Keep dead letters once this commits."""
        with self._store.lock:
            self._letters.bury(letters)

    def remove(self, letter: Letter) -> None:
        """Remove a dead letter once this commits."""
        with self._store.lock:
            self._letters.remove(letter)

    def lift(self, key: MessageKey) -> bool:
        """End a quarantine once this commits."""
        with self._store.lock:
            return self._letters.lift(key)

    def note_applied(self, lines: Sequence[Applied]) -> None:
        """Keep lines of the applied-log once this commits."""
        self._lines.extend(lines)

    def commit(self) -> None:
        """Compare again and make everything visible; a second call does nothing."""
        store = self._store
        with store.lock:
            if self._over:
                return
            rows = [(m, store.rows.get(self._key(m))) for m in self._moves]
            moved = any(row is None or not store.ours(row, move) for move, row in rows)
            if moved or self._letters.conflict:
                self.abort()
                raise TransientStoreError("Write conflict: another wrote the same meanwhile.")
            self._over = True
            store.apply(self._group, self._moves, self._lane)
            for table, values in self._tables.items():
                store.tables[table].extend(values)
            self._letters.apply()
            store.note(self._group, self._lines)

    def _key(self, move: Move) -> Key:
        return Key(self._group, move.partition, self._lane)

    def abort(self) -> None:
        """Forget everything."""
        self._over = True

    def __enter__(self) -> Self:
        """Begin."""
        if self._over:
            raise HandlerMisuse("This transaction is over; open another one.")
        return self
