"""A web service that consumes Kafka on its own event loop; see ``README.md``."""
