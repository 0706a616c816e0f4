"""A stock ledger fed from Kafka: one document, many rows, nothing lost and nothing doubled.

A business document (`documents`) expands into ledger rows and payables (`ledger`), which are
stored with the message's offset in one transaction (`consumer`). After the commit, two stages
fold the ledger into the current stock and its moving weighted cost (`stock`, `books`). `check`
compares all of it with what was really produced.

**The key of the topic is the product family.** A moving cost depends on the order of its rows, so
all rows of one (store, item) have to come from one partition. A transfer touches two stores, but
only items of its own family: with the family as the key, both of its sides are in one partition
too. So the order of the rows of a (store, item) is the order of their offsets and lines, and how
the partitions interleave cannot matter.
"""
