"""A consumer on a thread."""

import signal

# --8<-- [start:thread]
import threading

from ledger import Ledger

from eoconsumer.stores.mongo import MongoStore

store = MongoStore.connect("mongodb://localhost:27017/shop?replicaSet=rs0")

ledger = Ledger("localhost:9092", store)
thread = threading.Thread(target=ledger.run, name="ledger")
# --8<-- [end:thread]

if __name__ == "__main__":
    over = threading.Event()
    signal.signal(signal.SIGINT, lambda *_: over.set())
    # --8<-- [start:stop]
    thread.start()
    over.wait()  # the work of your program
    ledger.stop()  # asks; does not wait
    thread.join()  # what is in hand is committed
    # --8<-- [end:stop]
