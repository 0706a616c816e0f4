"""Applying dead letters from a program."""

# --8<-- [start:redrive]
import sys

from ledger import Ledger

from eoconsumer import Selection
from eoconsumer.stores.mongo import MongoStore

store = MongoStore.connect("mongodb://localhost:27017/shop?replicaSet=rs0")

result = Ledger("localhost:9092", store).redrive(Selection(partition=0))

sys.stdout.write(f"{result.done} applied, {result.stayed} stayed\n")
for letter, error in result.failed:
    sys.stdout.write(f"{letter}: {type(error).__name__}\n")
# --8<-- [end:redrive]
