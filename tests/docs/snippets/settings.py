"""Consumers with settings that the documents show; made, and checked by that."""

from ledger import Ledger

from eoconsumer.stores.mongo import MongoStore

store = MongoStore.connect("mongodb://localhost:27017/shop?replicaSet=rs0")

# --8<-- [start:readers]
Ledger("localhost:9092", store, readers=4, max_partitions=8)
# --8<-- [end:readers]

# --8<-- [start:lanes]
Ledger("localhost:9092", store, readers=2, lanes=8)
# --8<-- [end:lanes]

# --8<-- [start:static]
Ledger(
    "localhost:9092",
    store,
    readers=1,
    kafka={"group.instance.id": "ledger-1", "session.timeout.ms": 60_000},
)
# --8<-- [end:static]

# --8<-- [start:kip848]
Ledger("localhost:9092", store, kafka={"group.protocol": "consumer"})
# --8<-- [end:kip848]

# --8<-- [start:eager]
Ledger("localhost:9092", store, kafka={"partition.assignment.strategy": "range,roundrobin"})
# --8<-- [end:eager]

# --8<-- [start:sasl]
Ledger(
    "broker-1.example:9094,broker-2.example:9094",
    store,
    kafka={
        "security.protocol": "SASL_SSL",
        "sasl.mechanism": "SCRAM-SHA-512",
        "sasl.username": "ledger",
        "sasl.password": "from your secret store",
        "ssl.ca.location": "/etc/ssl/certs/kafka-ca.pem",
    },
)
# --8<-- [end:sasl]

# --8<-- [start:plain]
Ledger("localhost:9092", store, mode="at_least_once", positions="kafka")
# --8<-- [end:plain]
# --8<-- [start:log]
Ledger("localhost:9092", store, applied_log=True)
# --8<-- [end:log]
