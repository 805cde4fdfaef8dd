"""From verdicts to spells of trouble: half-open, in order, never overlapping.

Trouble that comes back within ``flap_gap_ms`` is the same spell, with its changes counted: a flapping
link is one incident, not twenty. A shift between down and degraded ends one spell and begins the next.
"""

from collections.abc import Iterable

from msgspec import Struct

from streams.detect.minute import Decided
from streams.detect.rule import Rule


class TroubleSpell(Struct, array_like=True):
    """Trouble of a link over ``[start_ms, end_ms)``, by time of asking; ``end_ms`` None while it lasts.

    ``opened_ms`` and ``closed_ms`` are the event times of the decisions; ``changes`` counts how often it
    ended and came back; ``slow`` says that latency alone gave it away.
    """

    start_ms: int
    opened_ms: int
    slow: bool
    end_ms: int | None = None
    closed_ms: int | None = None
    changes: int = 0


def spells_of(verdicts: Iterable[Decided], rule: Rule) -> list[TroubleSpell]:
    """Return the spells that verdicts, in order of decision, speak of."""
    spells: list[TroubleSpell] = []
    for decided in verdicts:
        last = spells[-1] if spells else None
        verdict, edge_ms = decided.verdict, decided.at_ms
        if last is not None and last.end_ms is None:
            settling = verdict.condition != "UP" and edge_ms <= last.start_ms + rule.settle_ms
            if settling or verdict.whole:
                continue  # of the other kind from its start; the kind is read from the whole
            last.end_ms, last.closed_ms = max(edge_ms, last.start_ms + 1), decided.decided_ms
            if verdict.condition == "UP":
                continue
            spells.append(TroubleSpell(last.end_ms, decided.decided_ms, slow=False))
        elif verdict.condition != "UP":
            if last is not None and last.end_ms is not None and edge_ms - last.end_ms < rule.flap_gap_ms:
                last.end_ms = last.closed_ms = None
                last.changes += 2
            else:
                start_ms = edge_ms if last is None or last.end_ms is None else max(edge_ms, last.end_ms)
                spells.append(TroubleSpell(start_ms, decided.decided_ms, verdict.test == "slow"))
    return spells
