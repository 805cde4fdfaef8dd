"""Random histories of a few links: everything that can happen to outages, exclusions and retirements."""

import random

import msgspec
from oracle import MINUTE, Facts, Minute

from streams.ledger.read.question import Question
from streams.model.exclusion import Exclusion
from streams.model.hours.calendar import CALENDARS, DAY_MS
from streams.model.outage import Outage, ShortFailures, Window
from streams.model.record import Record
from streams.model.retirement import Retirement
from streams.model.times import parse_time_ms

HOUR = 60 * MINUTE
LINKS = ("hcmc > npd", "hcmc > bhxh", "hanoi > npd")
AGENCIES, SERVICES, AUTHORS = ("q1", "q3"), ("cu-tru", "ho-tich"), ("ops", "audit", "ministry")
PLACES = tuple(map(parse_time_ms, ("2023-12-31", "2024-02-29", "2024-04-26", "2024-12-31")))
"""Days about which things happen: a year's, a month's and a week's edges, holidays, a Saturday."""


class Drawn:
    """One random history; equal seeds give equal histories."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        places = [PLACES[seed % 4]] if seed % 3 else list(PLACES[:2])
        self.instants = [
            place + self.rng.randrange(-30 * HOUR, 50 * HOUR) // grain * grain
            for place in places
            for grain in (1, MINUTE, HOUR)
            for _ in range(8)
        ]
        self.instants += [place + days * DAY_MS for place in places for days in (0, 1)]
        self.facts = Facts(
            {link: self._windows() for link in LINKS},
            [revision for i in range(self.rng.randrange(3, 14)) for revision in self._outage(i)],
            [revision for i in range(self.rng.randrange(0, 7)) for revision in self._exclusion(i)],
            [revision for link in LINKS if self.rng.random() < 0.2 for revision in self._retirement(link)],
        )

    def records(self) -> list[Record]:
        """Return the history as records, the topics interleaved at random, each in the order of revisions."""
        windows = [
            Window(
                link=link,
                start_ms=minute,
                end_ms=minute + MINUTE,
                revision=1,
                state="UP",
                state_ms={"UNKNOWN": unknown, "UP": MINUTE - unknown},
                requested=attempts,
                attempts=attempts,
                failures=failures,
                outcomes={},
                latency_ms=None,
                provider_latency_ms=None,
                short_failures=ShortFailures(*short) if any(short) else msgspec.UNSET,
            )
            for link, minutes in self.facts.windows.items()
            for minute, (unknown, attempts, failures, short) in minutes.items()
        ]
        self.rng.shuffle(windows)
        queues = {
            "link.windows": windows,
            "link.outages": sorted(self.facts.outages, key=lambda one: one.detected_at_ms),
            "link.exclusions": sorted(self.facts.exclusions, key=lambda one: one.recorded_at_ms),
            "link.retirements": sorted(self.facts.retirements, key=lambda one: one.recorded_at_ms),
        }
        offsets = dict.fromkeys(queues, 0)
        made = []
        while queues:
            topic = self.rng.choice(sorted(queues))
            values, queues[topic] = queues[topic][: self.rng.choice((1, 2, 400))], queues[topic]
            queues[topic] = queues[topic][len(values) :]
            for value in values:
                made.append(Record(topic, 0, offsets[topic], 0, None, msgspec.json.encode(value)))
                offsets[topic] += 1
            if not queues[topic]:
                del queues[topic]
        return made

    def question(self) -> Question:
        """Return a random question about the history."""
        rng = self.rng
        start, end = sorted(rng.sample(range(len(self.instants) * 3), 2))
        low, high = sorted((self._instant(start), self._instant(end)))
        narrowed = {
            "link": rng.choice(LINKS) if rng.random() < 0.25 else None,
            "portal": rng.choice(("hcmc", "hanoi")) if rng.random() < 0.15 else None,
            "agency": self._named("agencies") if rng.random() < 0.2 else None,
            "service": self._named("services") if rng.random() < 0.15 else None,
        }
        if high <= low:
            high = low + rng.choice((1, MINUTE, DAY_MS))
        as_of = None
        if rng.random() < 0.5:
            as_of = max(low + 1, self._instant() + rng.choice((0, 1, HOUR, 30 * HOUR)))
        return Question(
            low,
            high,
            rng.choice(sorted(CALENDARS)),
            as_of_ms=as_of,
            second_person=rng.random() < 0.8,
            **narrowed,
        )

    def _named(self, scope: str) -> str | None:
        last = {one.outage_id: one for one in self.facts.outages}
        return self.rng.choice(getattr(self.rng.choice(list(last.values())), scope))

    def _instant(self, number: int | None = None) -> int:
        rng = self.rng
        if number is not None and number >= len(self.instants):
            facts = self.facts
            edges = [edge for one in facts.outages for edge in (one.start_ms, one.end_ms) if edge]
            edges += [edge for one in facts.exclusions for edge in (one.start_ms, one.end_ms)]
            edges += [facts.data_until, facts.data_until + DAY_MS]
            return rng.choice(edges)
        return rng.choice(self.instants)

    def _windows(self) -> dict[int, Minute]:
        rng, minutes = self.rng, {}
        for _ in range(rng.randrange(3, 7)):
            first = rng.choice(self.instants) // MINUTE * MINUTE
            for i in range(rng.randrange(10, 200)):
                unknown = 0 if rng.random() < 0.95 else rng.choice((1, 30_000, 59_999, MINUTE))
                attempts = rng.randrange(1, 20) if rng.random() < 0.1 else 0
                failures = attempts and rng.randrange(attempts)
                short = (0, 0, 0)
                if rng.random() < 0.05:
                    short = (rng.randrange(1, 4), rng.randrange(1, 30_000), rng.randrange(5, 500))
                minutes[first + i * MINUTE] = (unknown, attempts, failures, short)
        return dict(sorted(minutes.items()))

    def _outage(self, number: int) -> list[Outage]:
        rng = self.rng
        start = rng.choice(self.instants)
        told_at, link, revisions = start + rng.randrange(1, HOUR), rng.choice(LINKS), []
        kind = rng.choice(("down", "down", "degraded"))
        for revision in range(1, rng.randrange(2, 5)):
            if revision > 1 and rng.random() < 0.4:
                start += rng.choice((-HOUR, -1, MINUTE, 40 * HOUR))
            length = rng.choice((1, 7_000, 5 * MINUTE, 90 * MINUTE, 30 * HOUR))
            end = None if revision == 1 or rng.random() < 0.1 else start + length
            gone = revision > 1 and rng.random() < 0.15
            revisions.append(
                Outage(
                    outage_id=f"o-{number}",
                    revision=revision,
                    supersedes=revision - 1 or None,
                    status="retracted" if gone else "open" if end is None else "closed",
                    reason="late",
                    link=link,
                    kind=kind if rng.random() < 0.9 else "degraded",
                    fault_domain="link",
                    start_ms=start,
                    end_ms=end,
                    detected_at_ms=told_at,
                    rule_version="1",
                    attempts=10,
                    failures=9,
                    dossiers_affected=rng.randrange(50),
                    services=rng.sample(SERVICES, rng.randrange(1, 3)),
                    agencies=rng.sample(AGENCIES, rng.randrange(1, 3)),
                )
            )
            told_at += rng.choice((0, 1, HOUR, 20 * HOUR))
        return revisions

    def _exclusion(self, number: int) -> list[Exclusion]:
        rng = self.rng
        start = rng.choice(self.instants)
        length = rng.choice((1, 20 * MINUTE, 3 * HOUR, 31 * HOUR, 400 * DAY_MS))
        link, author = rng.choice(("*", *LINKS)), rng.choice(AUTHORS)
        recorded, revisions = start + rng.randrange(-20 * HOUR, 20 * HOUR), []
        withdrawn = approved = False
        for revision in range(1, rng.randrange(2, 6)):
            if revision > 1:
                what = rng.choice(("move", "approve", "approve", "withdraw", "again"))
                withdrawn, approved = what == "withdraw", what == "approve"
                author = rng.choice(AUTHORS)
                if what == "move":
                    start, link = rng.choice(self.instants), rng.choice(("*", link))
            revisions.append(
                Exclusion(
                    exclusion_id=f"x-{number}",
                    revision=revision,
                    link=link,
                    start_ms=start,
                    end_ms=start + length,
                    kind=rng.choice(("maintenance", "exclusion")),
                    author=author,
                    reason="agreed",
                    recorded_at_ms=recorded,
                    withdrawn=withdrawn,
                    approved=approved,
                )
            )
            recorded += rng.choice((0, 1, 5 * HOUR, 30 * HOUR))
        return revisions

    def _retirement(self, link: str) -> list[Retirement]:
        rng = self.rng
        at = rng.choice(self.instants)
        return [
            Retirement(link, n, rng.choice(self.instants), "ops", "moved", at + n * HOUR, rng.random() < 0.3)
            for n in range(1, rng.randrange(2, 4))
        ]
