"""Is a secret anywhere?"""

from __future__ import annotations

from tests.chaos.checker.evidence import Evidence


def check_canary(evidence: Evidence) -> list[str]:
    """No canary stands in anything that was written."""
    return [
        f"a secret stands in {name}"
        for name, text in evidence.written.items()
        for canary in evidence.canaries
        if canary in text
    ]
