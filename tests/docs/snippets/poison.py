"""A consumer that buries what fails for good."""

# --8<-- [start:bury]
from ledger import Ledger

from eoconsumer import RetryPolicy
from eoconsumer.stores.mongo import MongoStore

store = MongoStore.connect("mongodb://localhost:27017/shop?replicaSet=rs0")

ledger = Ledger(
    "localhost:9092",
    store,
    retry=RetryPolicy(attempts=5, minimum=0.1, maximum=2.0),  # 5 tries, at most 3 s of waiting
    on_poison="bury",
)

if __name__ == "__main__":
    ledger.run()
# --8<-- [end:bury]
