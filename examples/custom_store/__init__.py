"""A store of one's own, on Python's sqlite3 alone, with what shows that it keeps the contract."""
