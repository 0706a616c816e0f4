"""Dead letters on the bench: a redrive over the in-memory store, as a whole or step by step."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from bench import GROUP, P0

from eoconsumer.core import effects as fx
from eoconsumer.core.effects import Effects, Run, RunFailed
from eoconsumer.core.letters import EVERY_LETTER, DeadLetter, Selection
from eoconsumer.core.modes import Mode
from eoconsumer.core.redrive import STEPS, Redrive, Redriven, Steps
from eoconsumer.errors import EOConsumerError
from eoconsumer.message import PAYLOAD, Message, RawMessage, Record, TopicPartition
from eoconsumer.runner.recording import Recording
from eoconsumer.runner.redrive import Redriver
from eoconsumer.stores.memory import MemorySession, MemoryStore

KEY, OTHER = b"key", b"other"


def bury(
    store: MemoryStore,
    offsets: Iterable[int],
    key: bytes | None = KEY,
    partition: TopicPartition = P0,
) -> None:
    letters = [
        DeadLetter(Message(Record(*partition, o, b"", key), None), ValueError("no"), 3)
        for o in offsets
    ]
    store.open(GROUP, "burier").bury(letters)


class Handler:
    """Writes offsets to "effects"; ``poison`` are those for which it fails."""

    def __init__(self, poison: Mapping[int, Exception]) -> None:
        self.poison = poison
        self.recording = Recording()
        self.called: list[int] = []

    def view(self, raw: RawMessage) -> Message:
        return Message(raw, raw[PAYLOAD])

    def handle(self, run: Run, session: MemorySession, **_: Any) -> None:
        (message,) = run.live
        self.called.append(message.offset)
        session.append("effects", message.offset)
        if message.offset in self.poison:
            raise RunFailed(run.partition, message.offset) from self.poison[message.offset]

    def write(self, scope: object, **_: Any) -> None:
        """The handler has written already."""

    def after_commit(self, runs: Iterable[Run]) -> None:
        """There are no stages."""


class Redriving:
    """One redrive; ``fault`` is asked before each effect what is to be thrown instead."""

    def __init__(
        self,
        store: MemoryStore,
        poison: Mapping[int, Exception] | None = None,
        *,
        steps: Steps = STEPS[Mode.EXACTLY_ONCE],
        which: Selection = EVERY_LETTER,
        limit: int | None = None,
        applied_log: bool = False,
    ) -> None:
        self.handler = Handler(poison or {})
        redriver = Redriver(store, store.open(GROUP, "redriver"), self.handler)  # type: ignore[arg-type]  # it stands for the user's
        self.clock = 0.0
        self.carry_out = redriver.carry_out
        self.effects: Effects[Redriven] = Redrive(
            steps, GROUP, which, limit, applied_log=applied_log
        ).run()
        self.fault: Callable[[fx.Effect], EOConsumerError | None] = lambda _: None
        self.result = Redriven()

    def run(self) -> Redriven:
        for _ in self.steps():
            pass
        return self.result

    def steps(self) -> Iterator[fx.Effect]:
        """Yield each effect before it is done."""
        try:
            effect = next(self.effects)
            while True:
                yield effect
                try:
                    fault = self.fault(effect)
                    if fault is not None:
                        raise fault
                    result = self._do(effect)
                except EOConsumerError as error:
                    effect = self.effects.throw(error)
                else:
                    effect = self.effects.send(result)
        except StopIteration as end:
            self.result = end.value

    def _do(self, effect: fx.Effect) -> Any:
        if isinstance(effect, fx.Sleep):
            self.clock += effect.seconds
            return None
        if isinstance(effect, fx.Now):
            return self.clock
        return self.carry_out(effect)
