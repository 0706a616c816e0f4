"""Taking over from a consumer that committed to Kafka."""

# --8<-- [start:group]
from ledger import Ledger, store

ledger = Ledger("localhost:9092", store, group="ledger", start="group")

if __name__ == "__main__":
    ledger.run()
# --8<-- [end:group]
