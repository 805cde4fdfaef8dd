"""What can be asked of the ledger."""

from msgspec import Struct

from streams.model.hours.calendar import CALENDARS, Calendar
from streams.model.incidents import ends_of


class Question(Struct, frozen=True):
    """What is asked: a period ``[start_ms, end_ms)``, a calendar, and what to narrow it to.

    With ``as_of_ms`` the answer is what was published at that moment; it then ends there at the latest.
    ``second_person`` says whether an exclusion recorded after the fact waits for a second person.
    ``data_until_ms`` is the end of the ledger's data, where every answer ends at the latest, and
    ``counted_by`` the calendar of that name; the ledger fills them in.
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
        """End of the time that is counted: of the period, of what was published, or of the data."""
        ends = (self.end_ms, self.as_of_ms, self.data_until_ms)
        return max(self.start_ms, min(end_ms for end_ms in ends if end_ms is not None))

    @property
    def rules(self) -> Calendar:
        """The calendar itself."""
        return CALENDARS[self.calendar] if self.counted_by is None else self.counted_by

    @property
    def names(self) -> dict[str, str | None]:
        """What the question is narrowed to: the ledger must know each name that is given."""
        return {"link": self.link, "portal": self.portal, "agency": self.agency, "service": self.service}

    @property
    def scoped(self) -> bool:
        """Whether only outages that name an agency or a service are meant."""
        return self.agency is not None or self.service is not None

    def about(self, link: str) -> bool:
        """Say whether a link is meant."""
        return self.link in (None, link) and self.portal in (None, ends_of(link)[0])
