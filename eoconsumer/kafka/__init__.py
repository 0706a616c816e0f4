"""Everything that speaks to Kafka; the only place that knows confluent-kafka."""

from eoconsumer.kafka.settings import client_settings
from eoconsumer.kafka.source import KafkaSource

__all__ = ["KafkaSource", "client_settings"]
