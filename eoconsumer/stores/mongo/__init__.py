"""MongoDB: positions and the handler's writes in one transaction of a replica set."""

from eoconsumer.stores.mongo.store import MongoStore

__all__ = ["MongoStore"]
