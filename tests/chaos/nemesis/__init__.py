"""Brings the faults about, and tells of each whether it really took effect."""

from tests.chaos.nemesis.field import Field, Outcome
from tests.chaos.nemesis.nemesis import Nemesis

__all__ = ["Field", "Nemesis", "Outcome"]
