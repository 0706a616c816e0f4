"""The chaos run: real servers, real workers, real faults, and a checker that knows none of them."""
