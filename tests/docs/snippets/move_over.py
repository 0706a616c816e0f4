"""Taking over from a consumer that committed to Kafka."""

# --8<-- [start:group]
from ledger import Ledger

from eoconsumer.stores.mongo import MongoStore

store = MongoStore.connect("mongodb://localhost:27017/shop?replicaSet=rs0")

ledger = Ledger("localhost:9092", store, group="ledger", start="group")

if __name__ == "__main__":
    ledger.run()
# --8<-- [end:group]
