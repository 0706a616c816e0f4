"""What may be said to librdkafka, and what is refused, with the reason."""

from __future__ import annotations

import time
from typing import Any

import pytest
from confluent_kafka import Consumer as KafkaConsumer

from eoconsumer import Mode
from eoconsumer.errors import ConfigurationError
from eoconsumer.kafka import client_settings
from eoconsumer.kafka.check import topics
from eoconsumer.kafka.settings import is_incremental
from eoconsumer.kafka.source import KafkaSource

MODES = list(Mode)


def settings(mode: Mode = Mode.EXACTLY_ONCE, **kafka: Any) -> dict[str, Any]:
    user = {name.replace("_", "."): value for name, value in kafka.items()}
    return client_settings("localhost:9092", "ledger", mode, user)


@pytest.mark.requirement("S3-01")
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("value", [True, "true", "TRUE", " True ", "1", 1, "yes", "on", "t"])
@pytest.mark.parametrize("name", ["enable_auto_commit", "auto_commit_enable"])
def test_auto_commit_is_refused_in_every_mode_however_it_is_written(
    mode: Mode, name: str, value: object
) -> None:
    with pytest.raises(ConfigurationError, match="on a timer, whether or not the work is done"):
        settings(mode, **{name: value})


@pytest.mark.requirement("S3-01")
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("enable_auto_offset_store", True, "when the work is done, not when it is read"),
        ("auto_offset_reset", "latest", "use start= instead"),
        ("auto_offset_reset", "error", "use start= instead"),
        ("group_id", "mine", "set group= on the consumer"),
        ("bootstrap_servers", "elsewhere:9092", "the first argument of the consumer"),
        ("metadata_broker_list", "elsewhere:9092", "the first argument of the consumer"),
    ],
)
def test_what_is_ours_to_set_is_refused_in_every_mode_with_the_reason(
    mode: Mode, name: str, value: object, reason: str
) -> None:
    with pytest.raises(ConfigurationError, match=reason) as refused:
        settings(mode, **{name: value})
    assert "Nothing was consumed" in str(refused.value)


@pytest.mark.requirement("S3-01")
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("off", [False, "false", "0"])
def test_auto_commit_that_is_switched_off_is_accepted_and_stays_off(mode: Mode, off: Any) -> None:
    made = settings(mode, enable_auto_commit=off, enable_auto_offset_store=off)
    assert made["enable.auto.commit"] is False
    assert made["enable.auto.offset.store"] is False
    assert made["auto.offset.reset"] == "error"


def test_aborted_transactions_are_never_read_in_exactly_once() -> None:
    with pytest.raises(ConfigurationError, match="messages of aborted transactions"):
        settings(isolation_level="READ_UNCOMMITTED")
    assert settings()["isolation.level"] == "read_committed"


@pytest.mark.parametrize("mode", [Mode.AT_LEAST_ONCE, Mode.AT_MOST_ONCE])
def test_aborted_transactions_may_be_read_on_purpose_in_the_other_modes(mode: Mode) -> None:
    made = settings(mode, isolation_level="read_uncommitted")
    assert made["isolation.level"] == "read_uncommitted"
    assert settings(mode)["isolation.level"] == "read_committed"


def test_everything_else_passes_through_to_librdkafka() -> None:
    made = settings(group_instance_id="one", session_timeout_ms=6000, client_id="ledger-1")
    assert made["group.instance.id"] == "one"
    assert made["session.timeout.ms"] == 6000
    assert made["client.id"] == "ledger-1"


def test_rebalances_are_cooperative_unless_told_otherwise() -> None:
    assert settings()["partition.assignment.strategy"] == "cooperative-sticky"
    assert is_incremental(settings())
    assert not is_incremental(settings(partition_assignment_strategy="range"))
    assert is_incremental(settings(group_protocol="consumer"))


def test_no_assignor_is_named_where_the_broker_assigns() -> None:
    made = settings(group_protocol="consumer")
    assert "partition.assignment.strategy" not in made
    KafkaConsumer(made).close()


@pytest.mark.requirement("S3-12")
def test_what_librdkafka_fetches_ahead_is_bounded_unless_told_otherwise() -> None:
    assert settings()["queued.max.messages.kbytes"] == 16_384
    assert settings(queued_max_messages_kbytes=1024)["queued.max.messages.kbytes"] == 1024


def test_a_secret_is_not_quoted_where_a_setting_is_refused() -> None:
    with pytest.raises(ConfigurationError) as refused:
        settings(bootstrap_servers="alice:geheim@broker:9092")
    assert "geheim" not in str(refused.value)


# --- what librdkafka itself refuses -----------------------------------------------------------

WRONG: list[dict[str, Any]] = [
    {"no.such.setting": 1},
    {"max.poll.interval.ms": "soon"},
    {"session.timeout.ms": "soon"},
    {"security.protocol": "telepathy"},
]


@pytest.mark.parametrize("wrong", WRONG, ids=lambda wrong: next(iter(wrong)))
def test_a_setting_that_librdkafka_does_not_take_is_a_configuration_error(
    wrong: dict[str, Any],
) -> None:
    made = client_settings("localhost:9092", "ledger", Mode.EXACTLY_ONCE, wrong)
    with pytest.raises(ConfigurationError, match="librdkafka refused the settings"):
        KafkaSource(made)


def test_a_wrong_setting_is_not_taken_for_a_missing_broker() -> None:
    with pytest.raises(ConfigurationError, match=r"refused the settings.*no\.such\.setting"):
        topics(settings(no_such_setting=1), seconds=0.1)


def test_where_no_broker_answers_it_is_said_at_which_address() -> None:
    with pytest.raises(ConfigurationError, match=r"answered at 127\.0\.0\.1:1 within") as no:
        topics({"bootstrap.servers": "127.0.0.1:1"}, seconds=0.2)
    assert "Check the address" in str(no.value)


@pytest.mark.parametrize("servers", ["me:geheim@127.0.0.1:1", "a:1,me:geheim@127.0.0.1:1"])
def test_no_login_is_quoted_where_no_broker_answers(servers: str) -> None:
    with pytest.raises(ConfigurationError, match=r"\*\*\*@127") as no:
        topics({"bootstrap.servers": servers}, seconds=0.2)
    assert "geheim" not in str(no.value)


def test_the_check_at_the_start_uses_the_callback_that_gets_a_token() -> None:
    asked: list[str] = []

    def token(_: str) -> tuple[str, float]:
        asked.append("token")
        return "a.b.c", time.time() + 3600

    made = settings(security_protocol="SASL_PLAINTEXT", sasl_mechanism="OAUTHBEARER")
    with pytest.raises(ConfigurationError):
        topics({**made, "bootstrap.servers": "127.0.0.1:1", "oauth_cb": token}, seconds=0.5)
    assert asked
