"""The driver for asyncio: carries out what the core decides, on an event loop."""

from eoconsumer.runner_async.runner import AsyncRunner

__all__ = ["AsyncRunner"]
