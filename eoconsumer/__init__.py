"""Consume Kafka into a transactional database: a message's writes and its offset in one commit."""
