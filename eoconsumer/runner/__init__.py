"""The driver for threads: carries out what the core decides."""

from eoconsumer.runner.runner import Runner
from eoconsumer.runner.user import User

__all__ = ["Runner", "User"]
