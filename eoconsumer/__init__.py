"""Consume Kafka into a transactional database: a message's writes and its offset in one commit."""

import logging

from eoconsumer.consumer import Consumer
from eoconsumer.core.effects import Run
from eoconsumer.core.modes import Mode
from eoconsumer.core.retry import RetryPolicy
from eoconsumer.message import Message, Record, TopicPartition
from eoconsumer.telemetry import Events, Snapshot, Trace

__all__ = [
    "Consumer",
    "Events",
    "Message",
    "Mode",
    "Record",
    "RetryPolicy",
    "Run",
    "Snapshot",
    "TopicPartition",
    "Trace",
]

# A library does not decide where its log goes.
logging.getLogger("eoconsumer").addHandler(logging.NullHandler())
