"""How a consumer starts, stops, and says why it does not start."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from consuming import Keep, claimed, committed, kept, running, within
from trial import DEADLINE, Fill, eventually

from eoconsumer import Message, RetryPolicy, Snapshot, TopicPartition
from eoconsumer.errors import ConfigurationError, HandlerFailed
from eoconsumer.servers import KafkaBroker
from eoconsumer.servers.mongo import MongoNode
from eoconsumer.stores.memory import MemoryStore
from eoconsumer.stores.mongo import MongoStore

pytestmark = pytest.mark.slow


class Make:
    """Make consumers of ``topic``; the group has the name of the topic."""

    def __init__(self, broker: KafkaBroker, topic: str) -> None:
        self.bootstrap, self.topic = broker.bootstrap_servers, topic
        self.store: Any = MemoryStore()

    def __call__(self, kind: type[Keep] = Keep, **settings: Any) -> Keep:
        settings = {"topics": [self.topic], "group": self.topic} | settings
        return kind(self.bootstrap, self.store, **settings)


@pytest.fixture
def make(kafka_broker: KafkaBroker, topic: str) -> Make:
    return Make(kafka_broker, topic)


# --- stopping -----------------------------------------------------------------------------------


def test_run_until_shows_counters_and_positions_and_returns_the_last_look(
    make: Make, fill: Fill
) -> None:
    fill(make.topic, 10)
    looks: list[Snapshot] = []

    def enough(seen: Snapshot) -> bool:
        looks.append(seen)
        return committed(10)(seen)

    last = make().run_until(enough)
    assert looks[0].committed == 0
    assert last.committed == 10
    assert last.positions == {TopicPartition(make.topic, 0): 10}
    assert last.claims >= 1


def test_an_error_in_the_predicate_ends_the_run_and_comes_out(make: Make) -> None:
    consumer = make()
    with pytest.raises(ZeroDivisionError):
        consumer.run_until(lambda _: bool(1 / 0))
    consumer.run_until(claimed())


def test_stop_from_another_thread_ends_the_run(make: Make) -> None:
    with running(make()) as consumer:
        eventually(lambda: consumer.snapshot().claims)


def test_stop_while_the_consumer_still_starts_counts(make: Make) -> None:
    class Slow(MemoryStore):
        def setup(self) -> None:
            consumer.stop()

    make.store = Slow()
    consumer = make()
    thread = threading.Thread(target=consumer.run, daemon=True)
    thread.start()
    thread.join(DEADLINE)
    assert not thread.is_alive()
    assert consumer.snapshot() == Snapshot()


def test_stop_from_the_handler_ends_the_run_and_what_is_in_hand_is_finished(
    make: Make, fill: Fill
) -> None:
    class Stopping(Keep):
        def handle(self, message: Message, session: Any) -> None:
            super().handle(message, session)
            self.stop()

    produced = fill(make.topic, 5)
    make(Stopping).run()
    assert len(kept(make.store)) in range(1, len(produced) + 1)
    [row] = make.store.rows.values()
    assert row.next_offset == len(kept(make.store))
    assert row.owner == ""


def test_a_second_run_after_the_first_goes_on_where_that_ended(make: Make, fill: Fill) -> None:
    consumer = make()
    for upto in (3, 6):
        fill(make.topic, 3)
        assert consumer.run_until(committed(3)).committed == 3
        assert len(kept(make.store)) == upto


def test_a_consumer_with_more_readers_than_partitions_is_back_at_once_after_a_stop(
    make: Make,
) -> None:
    settings: dict[str, Any] = {"readers": 3, "kafka": {"session.timeout.ms": 200_000}}
    make(**settings).run_until(claimed())
    began = time.monotonic()
    make(**settings).run_until(claimed())
    assert time.monotonic() - began < 150  # less than a session


def test_two_runs_at_once_are_refused(make: Make) -> None:
    consumer = make()
    refused: list[Exception] = []
    barrier = threading.Barrier(4)

    def run() -> None:
        barrier.wait(DEADLINE)
        try:
            consumer.run_until(lambda _: len(refused) == 3)
        except ConfigurationError as error:
            refused.append(error)

    threads = [threading.Thread(target=run, daemon=True) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(DEADLINE)
    assert len(refused) == 3
    assert all("running already" in str(error) for error in refused)


def test_no_signal_handler_is_installed_outside_the_main_thread(make: Make) -> None:
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    with running(make()) as consumer:
        eventually(lambda: consumer.snapshot().claims)
        assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before


def test_the_signal_handlers_of_before_are_back_after_a_run(make: Make) -> None:
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    during: list[object] = []
    make().run_until(lambda _: bool(during.append(signal.getsignal(signal.SIGTERM)) or True))
    assert during[0] != before[0]
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before


# --- a process of its own -------------------------------------------------------------------------

PROGRAM = """
import os, sys, threading, time
from pathlib import Path
from eoconsumer import Consumer
from eoconsumer.stores.memory import MemoryStore

bootstrap, topic, scene = sys.argv[1:]
seen = open(f"{scene}.seen", "a", buffering=1)
asked = threading.Event()

class Ledger(Consumer):
    topics, group = [topic], topic

    def stop(self):
        asked.set()
        super().stop()

    def handle(self, message, session):
        if scene == "fork" and (child := os.fork()) == 0:
            raised = []
            for call in (self.stop, self.run, self.snapshot):
                try:
                    call()
                except Exception as error:
                    raised.append(type(error).__name__)
            os._exit(len([name for name in raised if name == "ForkError"]))
        if scene == "fork":
            seen.write(f"child {os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])}\\n")
            self.stop()
        seen.write("handling\\n")
        while scene == "signal" and not (asked.is_set() and Path("go").exists()):
            time.sleep(0.01)
        seen.write("handled\\n")

store = MemoryStore()
Ledger(bootstrap, store, readers=1, batch_size=1).run()
[row] = store.rows.values()
seen.write(f"position {row.next_offset}\\n")
"""


@pytest.fixture
def program(make: Make, tmp_path: Path) -> Any:
    """Start ``PROGRAM``; it writes what it does to a file."""

    def start(scene: str) -> tuple[subprocess.Popen[str], Path]:
        command = [sys.executable, "-c", PROGRAM, make.bootstrap, make.topic, scene]
        pipe = subprocess.PIPE
        process = subprocess.Popen(command, cwd=tmp_path, stdout=pipe, stderr=pipe, text=True)
        started.append(process)
        return process, tmp_path / f"{scene}.seen"

    started: list[subprocess.Popen[str]] = []
    yield start
    for process in started:
        process.kill()
        process.communicate()


def said(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


@pytest.mark.parametrize(
    "numbers",
    [[signal.SIGTERM], [signal.SIGINT], [signal.SIGTERM, signal.SIGTERM]],
    ids=["term", "int", "term twice"],
)
def test_a_signal_lets_the_message_in_hand_finish_and_ends_the_process_in_silence(
    make: Make, fill: Fill, program: Any, numbers: list[signal.Signals], tmp_path: Path
) -> None:
    fill(make.topic, 50)
    process, path = program("signal")
    eventually(lambda: said(path))
    for number in numbers:
        os.kill(process.pid, number)
    (tmp_path / "go").touch()
    printed, complained = process.communicate(timeout=DEADLINE)
    assert process.returncode == 0
    assert (printed, complained) == ("", "")
    assert said(path) == ["handling", "handled", "position 1"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_child_that_was_forked_gets_a_clear_error_at_each_call_and_the_parent_goes_on(
    make: Make, fill: Fill, program: Any
) -> None:
    fill(make.topic, 1)
    process, path = program("fork")
    _, complained = process.communicate(timeout=DEADLINE)
    assert said(path) == ["child 3", "handling", "handled", "position 1"], complained


SILENT = """
import sys
from functools import partial
from eoconsumer import Consumer
from eoconsumer.errors import ConfigurationError
from eoconsumer.kafka import check
from eoconsumer.stores.memory import MemoryStore

class Ledger(Consumer):
    topics, group = ["moves"], "ledger"

    def handle(self, message, session): ...

check.topics = partial(check.topics, seconds=1.0)  # by default it waits for longer
try:
    Ledger("127.0.0.1:1", MemoryStore()).run()
except ConfigurationError as error:
    sys.exit(0 if "No broker answered at 127.0.0.1:1" in str(error) else str(error))
"""


def test_without_a_broker_the_start_fails_with_the_address_and_prints_nothing() -> None:
    command = [sys.executable, "-c", SILENT]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_broker_that_does_not_take_the_login_is_told_without_a_word_of_its_password(
    make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    login = {
        "security.protocol": "SASL_PLAINTEXT",
        "sasl.mechanism": "PLAIN",
        "sasl.username": "ledger",
        "sasl.password": "canary-in-the-mine",
    }
    consumer = make(kafka=login)
    with caplog.at_level(logging.DEBUG), pytest.raises(ConfigurationError) as refused:
        consumer.run()
    told = "".join([*traceback.format_exception(refused.value), repr(consumer.config)])
    assert "TLS or the login failed" in str(refused.value)
    assert "sasl.*" in str(refused.value)
    assert "canary" not in told + caplog.text


# --- what is missing at the start ----------------------------------------------------------------


def test_a_missing_topic_is_named_at_the_start_with_what_to_do(make: Make) -> None:
    with pytest.raises(ConfigurationError, match="'no-such-topic' does not exist") as missing:
        make(topics=[make.topic, "no-such-topic"]).run()
    assert "--create --topic no-such-topic" in str(missing.value)
    assert make.store.rows == {}


@pytest.mark.requirement("S3-20")
def test_a_standalone_mongod_is_refused_at_the_start_with_how_to_make_a_replica_set(
    make: Make, standalone: MongoNode
) -> None:
    make.store = MongoStore.connect(f"mongodb://127.0.0.1:{standalone.port}/shop")
    with pytest.raises(ConfigurationError, match="replica set") as refused:
        make().run()
    assert "--replSet" in str(refused.value)
    make.store.close()


@pytest.fixture
def standalone() -> Iterator[MongoNode]:
    with MongoNode(replica_set=None) as node:
        yield node


def test_a_database_that_nobody_serves_is_refused_at_the_start(make: Make) -> None:
    store = MongoStore.connect("mongodb://alice:geheim@127.0.0.1:1/shop?replicaSet=rs0")
    with pytest.raises(ConfigurationError) as refused:
        Keep(make.bootstrap, store, topics=[make.topic], group=make.topic).run()
    assert "geheim" not in str(refused.value)
    assert "127.0.0.1:1" in str(refused.value)
    store.close()


def test_what_librdkafka_refuses_ends_the_start_with_its_reason(make: Make) -> None:
    for wrong in ({"no.such.setting": 1}, {"session.timeout.ms": "soon"}):
        with pytest.raises(ConfigurationError, match="librdkafka refused the settings"):
            make(kafka=wrong).run_until(within(lambda _: False))


def test_a_reader_that_fails_ends_the_others_as_well(make: Make, fill: Fill) -> None:
    class Failing(Keep):
        def handle(self, message: Message, session: Any) -> None:  # noqa: ARG002 - it fails
            raise ValueError("no")

    fill(make.topic, 1)
    with pytest.raises(HandlerFailed, match="ValueError: no"):
        make(Failing, readers=3, retry=RetryPolicy(1)).run_until(within(lambda _: False))
    names = [t.name for t in threading.enumerate() if t.name.startswith("eoconsumer")]
    assert [name for name in names if make.topic in name] == []
