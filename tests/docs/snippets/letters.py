"""Reading dead letters."""

# --8<-- [start:read]
import sys
from base64 import b64decode

from eoconsumer.stores.mongo import MongoStore

store = MongoStore.connect("mongodb://localhost:27017/shop?replicaSet=rs0")

for letter in store.database["eoconsumer_dead_letters"].find(sort=[("buried_at", 1)]):
    place = f"{letter['topic']}[{letter['partition']}]@{letter['offset']}"
    value = b64decode(letter["value"] or b"")
    sys.stdout.write(f"{place}: {letter['error']['type']}, {value!r}\n")
# --8<-- [end:read]
