"""Consume Kafka into a transactional database: a message's writes and its offset in one commit."""

import logging

from eoconsumer.consumer import AsyncConsumer, Consumer
from eoconsumer.core.effects import Run
from eoconsumer.core.letters import Letter, Selection
from eoconsumer.core.modes import Mode
from eoconsumer.core.redrive import Redriven
from eoconsumer.core.retry import RetryPolicy
from eoconsumer.errors import (
    ConfigurationError,
    DecodeError,
    EOConsumerError,
    HandlerFailed,
    HandlerMisuse,
    PositionError,
    StoreError,
)
from eoconsumer.message import Message, Record, TopicPartition
from eoconsumer.telemetry import Events, Snapshot, Trace

__all__ = [
    "AsyncConsumer",
    "ConfigurationError",
    "Consumer",
    "DecodeError",
    "EOConsumerError",
    "Events",
    "HandlerFailed",
    "HandlerMisuse",
    "Letter",
    "Message",
    "Mode",
    "PositionError",
    "Record",
    "Redriven",
    "RetryPolicy",
    "Run",
    "Selection",
    "Snapshot",
    "StoreError",
    "TopicPartition",
    "Trace",
]

# A library does not decide where its log goes.
logging.getLogger("eoconsumer").addHandler(logging.NullHandler())
