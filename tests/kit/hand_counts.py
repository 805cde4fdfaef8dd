"""What a log says, counted event by event: the oracle of what the dashboards show."""

import json
from collections import Counter
from pathlib import Path

from streams.model.events import CANCELLED, CLIENT_FAULTS, FAILURES

ASIDE = CANCELLED | CLIENT_FAULTS
TIMEOUT_MS = 30_000


class Counts:
    """The events of a log file, each once, as plain dictionaries in the order of the log."""

    def __init__(self, log: Path) -> None:
        self.events: list[dict] = []
        seen = set()
        for line in log.read_text("utf-8").splitlines():
            event = json.loads(line)["value"]
            key = event.get("event_id")
            if key is not None and key not in seen:
                seen.add(key)
                self.events.append(event)
        self.until_ms = max(event["occurred_at_ms"] for event in self.events)
        self.lookups = list(self._lookups())

    def _lookups(self):
        """Yield every lookup of the portal's view as (link, known at, outcome, event)."""
        seen = [event for event in self.events if event.get("observer") == "portal"]
        known = {event["lookup_id"]: event for event in seen if event["type"] == "lookup.completed"}
        asked = [e for e in seen if e["type"] == "lookup.requested" and e["lookup_id"] not in known]
        for event in known.values():
            yield event["link"], event["occurred_at_ms"], event["outcome"], event
        for event in asked:  # a completion may come before its request in the log
            known_ms = event["occurred_at_ms"] + TIMEOUT_MS
            if known_ms <= self.until_ms:
                yield event["link"], known_ms, "no_response", event

    def outcomes(self, link, from_ms, to_ms):
        """Return how many lookups of a link became known within a span, by outcome."""
        return Counter(o for name, at_ms, o, _ in self.lookups if name == link and from_ms < at_ms <= to_ms)

    def failed_share(self, link, from_ms, to_ms):
        """Return failures over attempts that became known within a span."""
        found = self.outcomes(link, from_ms, to_ms)
        tried = sum(count for outcome, count in found.items() if outcome not in ASIDE)
        return sum(count for outcome, count in found.items() if outcome in FAILURES) / tried

    def failed_by(self, link, label):
        """Return the failed lookups of a link by a field of theirs."""
        return Counter(e[label] for name, _, o, e in self.lookups if name == link and o in FAILURES)

    def dossiers(self, link, from_ms, to_ms):
        """Return the distinct dossiers with a lookup that failed within a span."""
        return {
            event["dossier_id"]
            for name, at_ms, outcome, event in self.lookups
            if name == link and outcome in FAILURES and from_ms <= at_ms <= to_ms
        }

    def submissions(self, kind, from_ms, to_ms, **having):
        """Return the submission events of a type within a span that have these fields."""
        return [
            event
            for event in self.events
            if event["type"] == f"submission.{kind}"
            and from_ms < event["occurred_at_ms"] <= to_ms
            and having.items() <= event.items()
        ]
