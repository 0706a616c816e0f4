"""Our own credentials stay out of every text."""

from __future__ import annotations

import pytest

from eoconsumer.config import Config
from eoconsumer.redact import redact_address, redact_url


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("mongodb://alice:geheim@db:27017/shop", "mongodb://***@db:27017/shop"),
        ("mongodb+srv://alice:geheim@db/shop?w=1", "mongodb+srv://***@db/shop?w=1"),
        ("at MONGODB://alice@db, then", "at MONGODB://***@db, then"),
        ("amqp://a:b@x and http://c:d@y", "amqp://***@x and http://***@y"),
        ("mongodb://db:27017/shop", "mongodb://db:27017/shop"),
        ("mail to alice@example.com", "mail to alice@example.com"),
    ],
)
def test_user_and_password_of_every_url_are_hidden_and_nothing_else(text: str, shown: str) -> None:
    assert redact_url(text) == shown


@pytest.mark.parametrize("password", ["ge@heim", "ge:heim", "p%40ss", "a@b@c"])
def test_a_password_with_signs_in_it_is_hidden_whole(password: str) -> None:
    assert redact_url(f"mongodb://alice:{password}@db/shop") == "mongodb://***@db/shop"


def test_a_password_with_a_slash_that_was_not_escaped_is_hidden_too() -> None:
    assert "heim" not in redact_url("mongodb://alice:ge/heim@db/shop")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("alice:geheim@one:9092,two:9092", "***@one:9092,two:9092"),
        ("['alice:geheim@one:9092']", "['***@one:9092']"),
        ("one:9092: Connection refused", "one:9092: Connection refused"),
    ],
)
def test_a_login_in_an_address_of_kafka_is_hidden_and_nothing_else(text: str, shown: str) -> None:
    assert redact_address(text) == shown


@pytest.mark.parametrize("text", ["x" * 10_000_000, "a://" * 20_000])
def test_a_long_text_without_a_password_is_read_once(text: str) -> None:
    assert redact_url(text) == text  # with a pattern that reads on from each letter: in hours


def test_the_settings_of_a_consumer_show_nothing_of_kafkas() -> None:
    kafka = {"sasl.password": "geheim"}
    config = Config.checked({"bootstrap_servers": "b", "group": "g", "kafka": kafka})
    assert "geheim" not in repr(config)
