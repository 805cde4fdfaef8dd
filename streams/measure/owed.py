"""Which services and agencies of a link failed recently, so that the answers that follow are reported.

To distinguish a service that always fails from one that fails now and then, its failures must be weighed
against its answers. Reporting every answer by service and agency would make measurements a quarter larger.
But only answers that follow a failure change the judgement: CUSUM sums begin at a failure, and answers before
it leave them at zero. So each failure makes a name owe `ANSWERS_A_FAILURE` answers, and while it owes any,
its answers are reported. If at least one attempt in three fails, every answer is reported and the attempts by
name are exact. With a smaller share, twice as many answers as failures are reported, enough for any sum to
fall back to zero.

Debts are kept by generation, like everything a meter remembers. Each generation counts separately and depends
only on what came since it began, so a rebuilt meter reports the same answers.
"""

from collections.abc import Mapping
from typing import Final

from streams.model.measurement import LinkSlot, Part

ANSWERS_A_FAILURE: Final = 2
"""A failure raises a sum by at most 3.5 nats, an answer lowers it by 2.8 or more."""
MOST_OWED: Final = 16
"""This many answers bring any sum back to zero: the rule keeps none above 40 nats."""

Debt = tuple[int, int]
"""Answers still to be reported, for failures of this generation and of the previous one."""
Debts = dict[str, Debt]
"""By name; a name that owes nothing is absent."""


class Owed:
    """The debts of services and of agencies in one partition."""

    __slots__ = ("_links",)

    def __init__(self) -> None:
        self._links: dict[str, tuple[Debts, Debts]] = {}

    def of(self, link: str) -> tuple[Debts, Debts] | None:
        """Return the debts of a link's services and agencies, None where there are none."""
        return self._links.get(link)

    def add_failures(self, link: str, slot: LinkSlot) -> None:
        """Raise the debts of what failed in a slot."""
        services, agencies = debts = self._links.get(link) or ({}, {})
        _raise(services, slot.services)
        _raise(agencies, slot.agencies)
        if services or agencies:
            self._links[link] = debts

    def pay(self, link: str, slot: LinkSlot) -> None:
        """Lower the debts by the answers that a slot reports."""
        services, agencies = self._links[link]
        _lower(services, slot.services)
        _lower(agencies, slot.agencies)
        if not (services or agencies):
            del self._links[link]

    def rotate(self) -> None:
        """Begin a new generation, and drop the debts of the one before the previous."""
        for link, (services, agencies) in list(self._links.items()):
            left = _aged(services), _aged(agencies)
            if any(left):
                self._links[link] = left
            else:
                del self._links[link]


_NONE: Final[Debt] = 0, 0


def _raise(debts: Debts, parts: Mapping[str, Part]) -> None:
    for name, part in parts.items():
        if part.failed > 0:
            young, old = debts.get(name, _NONE)
            debts[name] = min(young + ANSWERS_A_FAILURE * part.failed, MOST_OWED), old


def _lower(debts: Debts, parts: Mapping[str, Part]) -> None:
    for name, part in parts.items():
        if part.ok and name in debts:
            young, old = debts[name]
            young, old = max(young - part.ok, 0), max(old - part.ok, 0)
            if young or old:
                debts[name] = young, old
            else:
                del debts[name]


def _aged(debts: Debts) -> Debts:
    return {name: (0, young) for name, (young, _) in debts.items() if young}
