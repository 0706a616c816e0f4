"""One tree of errors; each says whose fault it is, what was not done and what to do next."""

from __future__ import annotations

import inspect

import pytest

from eoconsumer import errors
from eoconsumer.errors import (
    CommitInDoubt,
    EOConsumerError,
    Fenced,
    QuarantineLifted,
    StoreError,
    WriteFailed,
)
from eoconsumer.message import TopicPartition

TREE = [
    error
    for _, error in inspect.getmembers(errors, inspect.isclass)
    if issubclass(error, EOConsumerError)
]
NOT_DONE = (
    "nothing", "no message", "not committed", "no offset", "rolled back", "did not see",
    "did nothing", "let go", "will tell", "something went wrong",
)  # fmt: skip


@pytest.mark.parametrize("error", TREE)
def test_every_error_can_be_caught_as_one(error: type[EOConsumerError]) -> None:
    with pytest.raises(EOConsumerError):
        raise error


@pytest.mark.parametrize("error", TREE)
def test_the_default_message_says_what_was_not_done(error: type[EOConsumerError]) -> None:
    message = str(error())
    assert message == inspect.cleandoc(error.__doc__ or "")
    assert any(words in message.lower() for words in NOT_DONE)


@pytest.mark.parametrize("error", TREE)
def test_a_message_of_ones_own_replaces_the_default(error: type[EOConsumerError]) -> None:
    names_things = error in (Fenced, QuarantineLifted, WriteFailed)
    one = error([], "mine") if names_things else error("mine")  # type: ignore[call-arg, arg-type]  # these two take them first
    assert str(one) == "mine"


def test_what_the_database_does_is_a_store_error() -> None:
    for error in (errors.TransientStoreError, CommitInDoubt, Fenced):
        assert issubclass(error, StoreError)


def test_what_never_restarts_is_no_store_error() -> None:
    for error in (errors.ConfigurationError, errors.PositionError, errors.HandlerMisuse):
        assert not issubclass(error, StoreError)


def test_a_fence_names_its_partitions() -> None:
    fenced = Fenced([TopicPartition("a", 1), TopicPartition("b", 2)])
    assert fenced.partitions == (("a", 1), ("b", 2))
    assert str(fenced).startswith("a[1], b[2]: Another consumer owns the partition now")
