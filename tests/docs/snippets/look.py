"""The look at the result in the tutorial."""

# --8<-- [start:program]
import sys

from eoconsumer.stores.mongo import MongoStore

store = MongoStore.connect("mongodb://localhost:27017/shop?replicaSet=rs0")

for name in ("ledger", "stock", "eoconsumer_offsets"):
    collection = store.database[name]
    sys.stdout.write(f"{name}: {collection.count_documents({})}\n")
for row in store.database["stock"].find(sort=[("_id", 1)]):
    sys.stdout.write(f"{row['_id']}: {row['quantity']}\n")
# --8<-- [end:program]
