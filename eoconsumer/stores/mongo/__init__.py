"""MongoDB: positions and the handler's writes in one transaction of a replica set."""

from eoconsumer.stores.mongo.store import MongoStore
from eoconsumer.stores.mongo.store_async import AsyncMongoStore

__all__ = ["AsyncMongoStore", "MongoStore"]
