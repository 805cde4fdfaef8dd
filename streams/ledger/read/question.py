"""A query of the ledger."""

from msgspec import Struct

from streams.model.hours.calendar import CALENDARS, Calendar
from streams.model.incidents import ends_of


class Question(Struct, frozen=True):
    """A query: a period ``[start_ms, end_ms)``, a calendar, and filters.

    With ``as_of_ms`` the answer uses only what was published by that moment, and ends there at the latest.
    ``second_person`` says whether an exclusion after the fact needs a second person's approval.
    ``data_until_ms`` is the end of the ledger's data, where every answer ends at the latest, and
    ``counted_by`` is the calendar itself; the ledger fills in both.
    """

    start_ms: int
    end_ms: int
    calendar: str = "24x7"
    link: str | None = None
    portal: str | None = None
    agency: str | None = None
    service: str | None = None
    as_of_ms: int | None = None
    second_person: bool = True
    data_until_ms: int | None = None
    counted_by: Calendar | None = None

    def __post_init__(self) -> None:
        if self.end_ms <= self.start_ms or (self.as_of_ms is not None and self.as_of_ms <= self.start_ms):
            raise ValueError("the period is empty: it must end after it begins, and begin before `as of`")

    @property
    def until_ms(self) -> int:
        """End of the counted time: the earliest of the period's end, ``as_of_ms`` and the end of the data."""
        ends = (self.end_ms, self.as_of_ms, self.data_until_ms)
        return max(self.start_ms, min(end_ms for end_ms in ends if end_ms is not None))

    @property
    def rules(self) -> Calendar:
        """The calendar itself."""
        return CALENDARS[self.calendar] if self.counted_by is None else self.counted_by

    @property
    def names(self) -> dict[str, str | None]:
        """The names in the question's filters, each of which the ledger must know."""
        return {"link": self.link, "portal": self.portal, "agency": self.agency, "service": self.service}

    @property
    def scoped(self) -> bool:
        """Whether the question asks only for outages of an agency or a service."""
        return self.agency is not None or self.service is not None

    def about(self, link: str) -> bool:
        """Return whether a link matches the question."""
        return self.link in (None, link) and self.portal in (None, ends_of(link)[0])
