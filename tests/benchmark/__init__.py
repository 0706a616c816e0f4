"""Programs that measure; no test runs them, since a timed test is a flaky test."""
