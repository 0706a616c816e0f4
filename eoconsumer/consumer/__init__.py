"""What users subclass or decorate: for threads, and for asyncio."""

from eoconsumer.consumer.async_consumer import AsyncConsumer
from eoconsumer.consumer.consumer import Consumer

__all__ = ["AsyncConsumer", "Consumer"]
