"""Other ways from bytes to a value."""

# --8<-- [start:decode]
import json
from typing import Any

from ledger import store
from pymongo.client_session import ClientSession

from eoconsumer import Consumer, Message


class Ledger(Consumer):
    topics = "stock-moves"
    group = "ledger"

    def decode(self, message: Message[bytes | None]) -> dict[str, Any]:
        return {"source": message.offset, **json.loads(message.raw_value or b"{}")}

    def handle(self, message: Message[dict[str, Any]], session: ClientSession) -> None:
        store.database["ledger"].insert_one(message.value, session=session)


# --8<-- [end:decode]


if __name__ == "__main__":
    Ledger("localhost:9092", store).run()
