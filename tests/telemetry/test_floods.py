"""What a library repeats is said once in a while, with how often it was held back."""

import logging

from streams.telemetry.logs import FloodGate


def test_a_flood_becomes_a_line_now_and_then():
    """Of six thousand equal lines a minute two pass, and the second says how many did not; others pass."""
    now = [0.0]
    gate, passed = FloodGate(30.0, clock=lambda: now[0]), []
    for number in range(6_000):
        now[0] = number / 100
        record = logging.LogRecord("aiokafka", 40, "", 0, "no connection to node %s", (number,), None)
        passed += [record.getMessage()] if gate.filter(record) else []
        if number == 50:
            other = logging.LogRecord("aiokafka", 40, "", 0, "the coordinator is dead", (), None)
            assert gate.filter(other)
    assert passed == ["no connection to node 0", "no connection to node 3000 (and 2999 times more since)"]
