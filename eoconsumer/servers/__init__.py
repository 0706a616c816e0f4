"""Real servers for tests, the demo and development, without Docker; on Linux and macOS.

They listen on 127.0.0.1 on free ports, keep their files in temporary folders, and are gone when
the process that started them is gone, also after Ctrl-C and after SIGKILL.
"""

from eoconsumer.servers.kafka import KafkaBroker
from eoconsumer.servers.kafka_cluster import KafkaCluster
from eoconsumer.servers.mock import MockKafka
from eoconsumer.servers.mongo import MongoNode, MongoReplicaSet
from eoconsumer.servers.sql import MariaDBServer, PostgresServer

__all__ = [
    "KafkaBroker",
    "KafkaCluster",
    "MariaDBServer",
    "MockKafka",
    "MongoNode",
    "MongoReplicaSet",
    "PostgresServer",
]
