"""The input of the tutorial: a thousand stock moves in four partitions."""

# --8<-- [start:program]
import json

from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

SERVERS, TOPIC = "localhost:9092", "stock-moves"

admin = AdminClient({"bootstrap.servers": SERVERS})
admin.create_topics([NewTopic(TOPIC, 4, 1)])[TOPIC].result()
producer = Producer({"bootstrap.servers": SERVERS})
for number in range(1000):
    item = ("tea", "rice", "salt")[number % 3]
    producer.produce(TOPIC, key=item, value=json.dumps({"item": item, "quantity": 1}))
producer.flush()
# --8<-- [end:program]
