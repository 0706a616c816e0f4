"""Everything that speaks to Kafka; the only place that knows confluent-kafka."""

from eoconsumer.kafka.admin import GroupAdmin
from eoconsumer.kafka.decoding import adapted
from eoconsumer.kafka.settings import client_settings, of_reader
from eoconsumer.kafka.source import KafkaSource

__all__ = ["GroupAdmin", "KafkaSource", "adapted", "client_settings", "of_reader"]
