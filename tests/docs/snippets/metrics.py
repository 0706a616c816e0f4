"""Hooks that count."""

# --8<-- [start:events]
import logging
import threading
from collections import Counter

from ledger import Ledger

from eoconsumer import Events, Run, TopicPartition
from eoconsumer.stores.mongo import MongoStore


class Metrics(Events):
    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.counts: Counter[str] = Counter()
        self.slowest = 0.0

    def committed(self, runs: tuple[Run, ...], seconds: float) -> None:
        with self.lock:
            self.counts["messages"] += sum(len(run) for run in runs)
            self.counts["batches"] += 1
            self.slowest = max(self.slowest, seconds)

    def fenced(self, partition: TopicPartition) -> None:
        logging.getLogger("ledger").warning("%s went to another consumer", partition)


store = MongoStore.connect("mongodb://localhost:27017/shop?replicaSet=rs0")
metrics = Metrics()
ledger = Ledger("localhost:9092", store, events=metrics)
# --8<-- [end:events]

if __name__ == "__main__":
    # --8<-- [start:until]
    last = ledger.run_until(lambda now: now.committed >= 1000)
    # --8<-- [end:until]
    assert last.committed == metrics.counts["messages"] == 1000
