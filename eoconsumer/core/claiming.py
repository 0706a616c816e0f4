"""The claim: rows become ours, are made where there were none, and are checked before the start."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from eoconsumer.core import identity
from eoconsumer.core.effects import (
    Chance,
    Claim,
    CommitGroup,
    Effect,
    Effects,
    Now,
    Release,
    Report,
    Resolve,
    Sleep,
)
from eoconsumer.core.guard import Checked, Guard
from eoconsumer.core.modes import Mode
from eoconsumer.core.positions import Claims, Move, Position, Start
from eoconsumer.errors import ConfigurationError, PositionError, StoreError, TransientStoreError
from eoconsumer.message import TopicPartition

Keys = tuple[TopicPartition, ...]


class Claiming(Guard):
    """How one reader claims, and its patience with the database."""

    def claim(self, keys: Keys) -> Effects[dict[TopicPartition, Position]]:
        """Return the rows of ``keys`` that are ours and fit the log, made where there were none.

        Kafka is asked after the claim, when no former owner moves the rows any more. Raises
        ``PositionError`` where a position does not fit and the settings say to stop.
        """
        claims: Claims = yield from self._ask(Claim(keys, {}))
        rows = dict(claims.positions)
        try:
            self._quarantine_fits(rows)
            starts = yield from self._starts(keys, claims)
            wanted = {key: self._wanted(key, rows.get(key), starts.get(key)) for key in keys}
            found = yield from self.check(wanted)
            found |= yield from self._check_lanes(found, rows, starts)
        except (PositionError, ConfigurationError):
            yield from self._release(rows)
            raise
        rows = {key: row for key, row in rows.items() if key in found}
        writes = {
            key: self._start(rows.get(key), starts.get(key), checked)
            for key, checked in found.items()
            if key in starts or checked.position != wanted[key] or checked.anew
        }
        if writes:
            if self.settings.positions == "kafka":
                # First the group, then the mark that the group is the truth: a crash is safe.
                yield CommitGroup({key: start.next_offset for key, start in writes.items()})
            claims = yield from self._ask(Claim(tuple(writes), writes))
            rows = {key: row for key, row in rows.items() if key not in writes}
            rows |= claims.positions
        # Another claim came between our two and has yet to write what it resolved: not ours.
        in_kafka = self.settings.positions == "kafka"
        rows = {key: row for key, row in rows.items() if row.handed_over == in_kafka}
        yield from self.pass_over({key: found[key] for key in rows})
        return rows

    def _check_lanes(
        self,
        found: Mapping[TopicPartition, Checked],
        rows: Mapping[TopicPartition, Position],
        starts: Mapping[TopicPartition, Start],
    ) -> Effects[dict[TopicPartition, Checked]]:
        """Look whether what lanes have done beyond a position is still in the log.

        The furthest lane tells: a log is cut at its end. Where it was cut, and the settings say to
        go on, all is handled again from the position on.
        """
        tops = {}
        for key, row in rows.items():
            if row.ahead and key in found and key not in starts and not found[key].anew:
                top = max(row.ahead, key=lambda lane: lane.upto)
                tops[key] = replace(row, next_offset=top.upto, leader_epoch=top.leader_epoch)
        if not tops:
            return {}
        checked = yield from self.check(tops)
        return {
            key: replace(found[key], error=each.error, anew=True)
            for key, each in checked.items()
            if each.error is not None
        }

    def _quarantine_fits(self, rows: Mapping[TopicPartition, Position]) -> None:
        """Refuse keys in quarantine without transactions: their order could not be kept."""
        if self.settings.mode is Mode.EXACTLY_ONCE:
            return
        for key, row in rows.items():
            if row.quarantined:
                raise ConfigurationError(
                    f"{key} has {len(row.quarantined)} keys in quarantine, which only "
                    "mode=exactly_once can keep in order; nothing of it was handled. Release them "
                    "with eoconsumer dlq redrive, then change the mode."
                )

    def _wanted(self, key: TopicPartition, row: Position | None, start: Start | None) -> Position:
        """Return from where ``key`` is to start, and what is known of that place."""
        wanted = row or Position(0, 0)
        if start is not None and start.next_offset != wanted.next_offset:
            wanted = replace(wanted, next_offset=start.next_offset, leader_epoch=None)
        if wanted.handed_over:  # by a version that left the identity out: only we may know it
            known = identity.completed(wanted.identity, self.partitions[key].identity)
            wanted = replace(wanted, identity=known)
        return wanted

    def _start(self, row: Position | None, start: Start | None, checked: Checked) -> Start:
        """Return what is to be written: a new row, or another position of ``row``."""
        position = checked.position
        return Start(
            position.next_offset,
            start.partitions if start is not None else 0,
            handed_over=self.settings.positions == "kafka",
            replaces=row.epoch if row is not None else None,
            identity=position.identity,
            leader_epoch=position.leader_epoch,
            goes_on=start is None and not checked.anew,
        )

    def _starts(self, keys: Keys, claims: Claims) -> Effects[dict[TopicPartition, Start]]:
        """Return where partitions start that have no row, and those that are handed over."""
        to_kafka = self.settings.positions == "kafka"
        rows = claims.positions
        group = {
            key: "group"
            for key in keys
            if (
                rows[key].handed_over if key in rows else to_kafka or self.settings.start == "group"
            )
        }
        starts: dict[TopicPartition, Start] = (yield Resolve(group)) if group else {}
        new = {
            key: self._policy(key, claims) for key in keys if key not in rows and key not in starts
        }
        starts |= (yield Resolve(new)) if new else {}
        for key, row in rows.items():
            if key not in starts and (to_kafka or row.handed_over):
                # No commit in the group: the row is all there is.
                starts[key] = Start(row.next_offset, 0)
        return starts

    def _policy(self, key: TopicPartition, claims: Claims) -> str | int:
        """Return where ``key`` starts, which was never claimed and has no commit in the group."""
        known = claims.known.get(key.topic)
        if known is not None and key.partition >= known:
            return "earliest"  # added after this group first saw the topic: nothing may be missed
        if self.settings.start == "error":
            raise PositionError(
                f'{key} has no stored position and start="error". Nothing was consumed. Set '
                'start="earliest" or "latest" once, or check the group and the database.'
            )
        return "earliest" if self.settings.start == "group" else self.settings.start

    def _release(self, rows: dict[TopicPartition, Position]) -> Effects[None]:
        """Give back what was claimed and is not started."""
        moves = [Move(key, r.epoch, r.next_offset, r.next_offset) for key, r in rows.items()]
        if moves:
            yield from self.release(moves)

    def release(self, moves: list[Move]) -> Effects[None]:
        """Note in the rows that they have no live owner any more."""
        try:
            yield Release(tuple(moves))
        except StoreError as error:
            # The next owner claims the row all the same; it only takes a little longer.
            yield Report("release_failed", {"error": error})

    # --- patience with the database ------------------------------------------------------------

    def _ask(self, claim: Claim) -> Effects[Claims]:
        partitions = len(claim.partitions)
        claims: Claims = yield from self.insist(
            claim, f"let us claim {partitions} partitions, and they were not started"
        )
        return claims

    def insist(self, effect: Effect, not_done: str) -> Effects[Any]:
        """Do ``effect``, again while the database asks for it, within ``commit_timeout``.

        Once stop is asked for there is less time, or whoever asked would rather kill us.
        """
        began: float = yield Now()
        limit, tries = self.settings.commit_timeout, 0
        while True:
            try:
                return (yield effect)
            except TransientStoreError as error:
                tries += 1
                now: float = yield Now()
                if now - began >= limit:
                    raise StoreError(
                        f"The database did not {not_done}; we tried for {now - began:.0f} s. Last "
                        f"answer: {error}"
                    ) from error
                yield Report("store_retry", {"error": error, "tries": tries})
                if (yield from self.back_off(tries)):
                    limit = min(limit, self.settings.stop_timeout)

    def back_off(self, tries: int) -> Effects[bool]:
        """Sleep before another try, longer each time; return whether stop was asked for."""
        chance: float = yield Chance()
        stopping: bool | None = yield Sleep(self.settings.patience.delay(tries, chance))
        return bool(stopping)
