"""Judges a chaos run by topic, database and what was written down; does not know eoconsumer.

Every check is a function from ``Evidence`` to what it found wrong. Its name is stable:

* ``effects``: each message that is visible in the topic has one effect, or is a dead letter if it
  is poison; nothing else has one;
* ``skipped``: nothing below a stored position was passed over, and a topic that was created again
  was read from its beginning;
* ``order``: effects stand in the order of the offsets, and of each key;
* ``stock``: the sum never changes, and each account is what its transfers make of it;
* ``snapshot``: in every look during the run, effects and position agreed;
* ``protocol``: after a claim only the claimer moved the row, and never back;
* ``concerns``: how the database was asked;
* ``recovery``: progress after each fault;
* ``canary``: no secret in anything that was written.
"""

from tests.chaos.checker.evidence import Evidence
from tests.chaos.checker.verdict import CHECKS, Verdict, judge

__all__ = ["CHECKS", "Evidence", "Verdict", "judge"]
