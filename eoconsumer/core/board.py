"""What the lanes of one reader hold, and how far they are. No threads: whoever drives it locks."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from eoconsumer.core.lane_effects import Dealt
from eoconsumer.core.lanes import lane_number
from eoconsumer.core.positions import Position
from eoconsumer.message import Message, TopicPartition


class News(NamedTuple):
    """What a lane is told: of partitions that come with the row of the whole, or that go."""

    kind: Literal["assigned", "revoked", "lost"]
    rows: Mapping[TopicPartition, Position]


@dataclass(slots=True)
class Desk:
    """One lane. ``inbox`` is what it has not taken yet; ``waiting`` what it is not done with.

    ``reached`` is up to where it is done, which may lie ahead of what is dealt: by its row.
    ``unread`` is how much news it has not acted upon; ``ended``: it holds nothing, and never will.
    """

    news: deque[News] = field(default_factory=deque)
    unread: int = 0
    ended: bool = False
    inbox: deque[tuple[TopicPartition, Message]] = field(default_factory=deque)
    waiting: dict[TopicPartition, deque[tuple[int, int]]] = field(default_factory=dict)
    reached: dict[TopicPartition, int] = field(default_factory=dict)
    messages: int = 0
    size: int = 0
    full: bool = False

    def tell(self, news: News) -> None:
        """Leave ``news`` for it."""
        self.news.append(news)
        self.unread += 1

    def give(self, key: TopicPartition, message: Message) -> None:
        """Let ``message`` wait in it, unless it is done with that."""
        if message.offset < self.reached[key]:
            return
        size = len(message.raw_value or b"")
        self.inbox.append((key, message))
        self.waiting[key].append((message.offset, size))
        self.messages += 1
        self.size += size

    def begin(self, key: TopicPartition) -> None:
        """Have nothing of a partition that is new here."""
        self.waiting[key] = deque()
        self.reached[key] = -1

    def done(self, key: TopicPartition, upto: int) -> None:
        """Count no more what lies below ``upto``."""
        self.reached[key] = upto
        self._drop(key, upto)

    def forget(self, key: TopicPartition) -> None:
        """Count nothing of a partition any more."""
        self._drop(key, None)
        del self.waiting[key], self.reached[key]

    def _drop(self, key: TopicPartition, upto: int | None) -> None:
        waiting = self.waiting[key]
        while waiting and (upto is None or waiting[0][0] < upto):
            self.size -= waiting.popleft()[1]
            self.messages -= 1


@dataclass(slots=True)
class _Opened:
    """A partition that is in the lanes: under which epoch, and dealt up to where."""

    epoch: int
    dealt: int
    fenced: bool = False


class Board:
    """Deals messages to lanes by key, and knows up to where all of them are done."""

    def __init__(self, lanes: int, messages: int, size: int) -> None:
        """Have so many lanes; each is full with so many messages, or bytes."""
        self.desks = [Desk() for _ in range(lanes)]
        self._bounds = messages, size
        self._opened: dict[TopicPartition, _Opened] = {}

    # --- for the reader -----------------------------------------------------------------------

    def open(self, rows: Mapping[TopicPartition, Position]) -> None:
        """Let the lanes begin with partitions, whose rows these are."""
        for key, row in rows.items():
            self._opened[key] = _Opened(row.epoch, row.next_offset)
        for desk in self.desks:
            for key in rows:
                desk.begin(key)
            desk.tell(News("assigned", rows))

    def deal(self, messages: Mapping[TopicPartition, Sequence[Message]]) -> None:
        """Give each message to its lane."""
        desks = self.desks
        for key, some in messages.items():
            for message in some:
                number = lane_number(message.raw_key, message.offset, len(desks))
                desks[number - 1].give(key, message)
            self._opened[key].dealt = some[-1].offset + 1

    def recall(self, keys: Iterable[TopicPartition], *, lost: bool) -> None:
        """Take back what no lane has begun with, and tell the lanes to let ``keys`` go.

        What they still finish of ``keys`` counts, until these are forgotten.
        """
        going = dict.fromkeys(keys, Position(0, 0))
        for desk in self.desks:
            desk.inbox = deque(entry for entry in desk.inbox if entry[0] not in going)
            desk.tell(News("lost" if lost else "revoked", going))

    def forget(self, keys: Iterable[TopicPartition]) -> None:
        """Count nothing of ``keys`` any more."""
        for key in keys:
            del self._opened[key]
            for desk in self.desks:
                desk.forget(key)

    def standing(self) -> Dealt:
        """Return how the lanes stand."""
        levels = {key: self._level(key, opened) for key, opened in self._opened.items()}
        full: set[TopicPartition] = set()
        messages, size = self._bounds
        for desk in self.desks:
            part = 2 if desk.full else 1  # until half of it is done
            desk.full = desk.messages * part >= messages or desk.size * part >= size
            if desk.full:
                full.update(key for key, waiting in desk.waiting.items() if waiting)
        return Dealt(levels, frozenset(full))

    def _level(self, key: TopicPartition, opened: _Opened) -> int | None:
        """Return where the first message is that waits; a lane in which none does counts not."""
        if opened.fenced:
            return None
        first = (desk.waiting[key][0][0] for desk in self.desks if desk.waiting[key])
        return min(first, default=opened.dealt)

    @property
    def all_have_read(self) -> bool:
        """Whether no lane has news left to act upon."""
        return all(not desk.unread or desk.ended for desk in self.desks)

    # --- for a lane, by its number from 1 -------------------------------------------------------

    def desk(self, number: int) -> Desk:
        """Return the desk of a lane."""
        return self.desks[number - 1]

    def news(self, number: int) -> News | None:
        """Return the next piece of news for a lane, which says when it has acted upon it."""
        news = self.desk(number).news
        return news.popleft() if news else None

    def has_read(self, number: int) -> None:
        """Note that a lane has acted upon a piece of news."""
        self.desk(number).unread -= 1

    def leave(self, number: int) -> None:
        """Note that a lane has ended."""
        self.desk(number).ended = True

    def take(self, number: int, messages: int) -> list[tuple[TopicPartition, Message]]:
        """Return what waits for a lane, at most ``messages``."""
        inbox = self.desk(number).inbox
        return [inbox.popleft() for _ in range(min(messages, len(inbox)))]

    def done(self, number: int, key: TopicPartition, epoch: int, upto: int | None) -> None:
        """Note how far a lane is; of an assignment that is over it is no news any more."""
        opened = self._opened.get(key)
        if opened is None or opened.epoch != epoch:
            return
        if upto is None:
            opened.fenced = True
        else:
            self.desk(number).done(key, upto)
