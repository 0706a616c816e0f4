"""A FastAPI application beside whose requests a consumer keeps the stock of a shop.

Run it with ``uvicorn web_service.app:app``. It takes its addresses from the environment:
``BOOTSTRAP`` (Kafka's) and ``STORE`` (a URL of MongoDB that names the database).
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, HTTPException
from pydantic import BaseModel
from pymongo.asynchronous.client_session import AsyncClientSession

from eoconsumer import AsyncConsumer, Message
from eoconsumer.stores.mongo import AsyncMongoStore


class StockMove(BaseModel):
    """The value of a message: so many of an item came, or went."""

    item: str
    quantity: int


store = AsyncMongoStore.connect(os.environ["STORE"])


class Stock(AsyncConsumer[AsyncClientSession]):
    """Adds each move to the stock of its item, once."""

    topics = os.environ.get("TOPIC", "stock-moves")
    group = os.environ.get("GROUP", "stock")
    value_type = StockMove

    async def handle(self, message: Message[StockMove], session: AsyncClientSession) -> None:
        """Write in the transaction that stores the offset."""
        move = message.value
        await store.database["stock"].update_one(
            {"_id": move.item}, {"$inc": {"quantity": move.quantity}}, upsert=True, session=session
        )


stock = Stock(os.environ["BOOTSTRAP"], store)
running: asyncio.Task[None]


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    """Consume from the start of the application to its end."""
    global running
    running = asyncio.create_task(stock.run())
    try:
        yield
    finally:
        stock.stop()
        try:
            await running  # drains, leaves the group; raises what ended the consumer
        finally:
            await store.close()


app = FastAPI(lifespan=lifespan)


@app.get("/stock/{item}")
async def quantity(item: str) -> dict[str, Any]:
    """Return how many there are."""
    found = await store.database["stock"].find_one({"_id": item})
    if found is None:
        raise HTTPException(404, f"no {item}")
    return {"item": item, "quantity": found["quantity"]}


@app.get("/health")
async def health() -> dict[str, Any]:
    """Fail when the consumer has ended, so that the process is replaced."""
    if running.done():
        raise HTTPException(503, "the consumer has ended")
    return {"committed": stock.snapshot().committed}
