"""Reading dead letters."""

# --8<-- [start:read]
import sys
from base64 import b64decode

from ledger import store

for letter in store.database["eoconsumer_dead_letters"].find(sort=[("buried_at", 1)]):
    place = f"{letter['topic']}[{letter['partition']}]@{letter['offset']}"
    value = b64decode(letter["value"] or b"")
    sys.stdout.write(f"{place}: {letter['error']['type']}, {value!r}\n")
# --8<-- [end:read]
