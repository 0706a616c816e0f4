"""The part that decides: generators that yield effects. It touches no clock, thread or network."""
