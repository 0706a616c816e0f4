"""What a store and a source must do."""

from eoconsumer.protocols.buffer import Buffer, Buffering
from eoconsumer.protocols.source import Source
from eoconsumer.protocols.store import (
    CommitsOnLeaving,
    LaneStore,
    Scope,
    Store,
    StoreSession,
    Transaction,
)
from eoconsumer.protocols.store_async import (
    AsyncCommitsOnLeaving,
    AsyncLaneStore,
    AsyncScope,
    AsyncStore,
    AsyncStoreSession,
    AsyncTransaction,
)

__all__ = [
    "AsyncCommitsOnLeaving",
    "AsyncLaneStore",
    "AsyncScope",
    "AsyncStore",
    "AsyncStoreSession",
    "AsyncTransaction",
    "Buffer",
    "Buffering",
    "CommitsOnLeaving",
    "LaneStore",
    "Scope",
    "Source",
    "Store",
    "StoreSession",
    "Transaction",
]
