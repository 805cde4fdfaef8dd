"""Applies a map: takes the values of one call and returns its events.

A call becomes `lookup.requested` at its start and `lookup.completed` at its end; a call that submits a
dossier becomes `submission.received` and the event of its outcome. Event ids follow from the call alone: from
its own id, times and names, or, if the map names no id, from its place in its source. So mapping the same
source again gives the same ids, and `measure` counts each event once.

The mapper caches the names and outcomes of values, and counts what a person should know: calls without a
duration, and values that no rule matched.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from re import ASCII
from re import compile as pattern
from typing import Any, Final

from streams.ingest.mapping.calls import Call, CallReader
from streams.ingest.mapping.names import ReadName, fields_of, id_reader, name_reader
from streams.ingest.mapping.places import MapError, Places, Values, at, remember
from streams.ingest.mapping.private import is_private
from streams.ingest.mapping.rules import Condition, Rules, spelt
from streams.ingest.mapping.said import Field, Map, Name, SubmissionsSaid, When
from streams.ingest.status import outcome_of_status
from streams.ingest.values import UNKNOWN, RejectedRecordError
from streams.model.wire import Lookup, Submission

MOST_UNMATCHED: Final = 1_000
NO_FLAG: Final = frozenset({"", "0"})
"""Values of an error flag or error code that mean there was no error."""
TIMED_OUT_SHARE: Final = 0.99
"""A call that took this share of the time-out timed out: gateways measure slightly less than they wait."""
_NO_OWN: Final[dict[str, Any]] = {}
_PLAIN_ID: Final = pattern(r"[\w.:@/+=-]{1,120}", ASCII)

Event = Lookup | Submission


class Mapper:
    """Turns calls into events according to a map.

    ``fields`` are the names of the fields that are read, in the order in which `events` takes their values.

        Raises:
            MapError: a part of the map cannot be used.
    """

    def __init__(self, said: Map) -> None:
        self.said = said
        self.unmatched: Counter[str] = Counter()
        """Values that no rule matched, so that the status decided."""
        places = self._places = Places()
        self.calls = CallReader(said, places)
        with at("id"):
            self._id = id_reader(said.id, places, "id")
        with at("dossier"):
            self._dossier = id_reader(said.dossier, places, "dossier")
        self._link = None if said.link is None else _name(said.link, places, "link")
        of_link = said.link if isinstance(said.link, str) else said.link.template if said.link else ""
        fields = ", ".join(fields_of(of_link))
        self._no_link = f"`link` is empty: no value in {fields}; `skip` leaves such lines out"
        self._service = _name(said.service, places, "service")
        self._agency = _name(said.agency, places, "agency")
        self._only = _conditions(said.only, places, "only")
        self._skip = _conditions(said.skip, places, "skip")
        self._left_out: dict[Any, bool] = {}
        needed = [place for one in (*self._only, *self._skip) for place, _ in one.needs]
        self._choice = [place for place in needed if isinstance(place, int)]
        self._outcomes = Rules(said.outcome, places, ("outcome",))
        self._submissions = None if said.submissions is None else _Submissions(said.submissions, places, self)
        if self._link is None and self._submissions is None:
            raise MapError("the map has neither `link` nor `submissions`, so it would yield no events")
        self.fields: tuple[Field, ...] = tuple(places.names)

    def of(self, fields: Mapping[str, Any], identity: str) -> list[Event]:
        """Return the events of a call, given its fields by name; see `events`."""
        get = fields.get
        return self.events([get(name) for name in self.fields], identity)

    def events(self, values: Values, identity: str) -> list[Event]:
        """Return the events of a call, given its values in the order of `fields`; none if the map skips it.

        ``identity`` distinguishes the call from all others of any source if the map names no id: a digest of
        the source, and the place in it.

                Raises:
                    RejectedRecordError: the call cannot be used; the message says why and repeats no value.
        """
        try:
            return self._events(values, identity)
        except TypeError:  # a list or an object where a plain value is wanted
            return self._events([_flat(value) for value in values], identity)

    def _events(self, values: Values, identity: str) -> list[Event]:
        if self._choice and self._is_left_out(values):
            return []
        submissions = self._submissions
        if submissions is not None and submissions.takes(values):
            call = self.calls.read(values)[-1]
            return submissions.events(values, call, self._digest(values, call, identity, ""))
        if self._link is None:
            return []
        link = self._link(values)
        if not link:
            raise RejectedRecordError(self._no_link)
        service, agency = self._service(values) or UNKNOWN, self._agency(values) or UNKNOWN
        events: list[Event] = []
        observer = self.said.observer
        for call in self.calls.read(values):
            outcome = self._outcome(values, call)
            digest = self._digest(values, call, identity, f"{link}\n{service}")
            lookup_id, dossier_id = self._identifiers(values, digest)
            about = lookup_id, dossier_id, link, agency, service, call.attempt, observer
            events.append(Lookup(digest + "-r", "lookup.requested", call.start_ms, *about))
            events.append(
                Lookup(digest + "-c", "lookup.completed", call.end_ms, *about, outcome, call.status)
            )
        return events

    def _is_left_out(self, values: Values) -> bool:
        key = tuple([values[place] for place in self._choice])
        known = self._left_out.get(key)
        if known is None:
            wanted = not self._only or any(one.holds(values, {}) for one in self._only)
            known = not wanted or any(one.holds(values, {}) for one in self._skip)
            remember(self._left_out, key, known)
        return known

    def own_of(self, call: Call) -> dict[str, Any]:
        """Return the fields of the call itself that rules may use."""
        took_ms = call.end_ms - call.start_ms
        return {
            "status": call.status,
            "duration_ms": took_ms,
            "timed_out": took_ms >= TIMED_OUT_SHARE * self.said.lookup_timeout_ms,
        }

    def _outcome(self, values: Values, call: Call) -> Any:
        rules = self._outcomes
        found = rules.of(values, self.own_of(call) if rules.own else _NO_OWN)
        if found is not None:
            return found
        status = call.status
        if rules.said or status is None or status >= 400:
            self._note_unmatched(values, call)
        if status is None:
            raise RejectedRecordError("no rule gives the outcome of the call, and it has no status")
        return outcome_of_status(status)

    def _note_unmatched(self, values: Values, call: Call) -> None:
        asked = {name: spelt(value) for name, value in self._outcomes.asked(values) if not is_private(name)}
        if call.status is not None and call.status < 400 and NO_FLAG.issuperset(asked.values()):
            return  # nothing is odd about it
        told = {"status": spelt(call.status), **asked}
        text = " ".join(f"{name}={value or '-'}" for name, value in told.items())[:200]
        if text in self.unmatched or len(self.unmatched) < MOST_UNMATCHED:
            self.unmatched[text] += 1

    def _digest(self, values: Values, call: Call, identity: str, names: str) -> str:
        """Return the digest that identifies the call, the same whenever it is mapped."""
        own = identity
        if self._id is not None and (given := self._id(values)):
            own = f"{given}\n{call.start_ms}\n{call.end_ms}\n{call.status}\n{names}"
        return blake2b(f"{own}\n{call.attempt}".encode("utf-8", "replace"), digest_size=16).hexdigest()

    def _identifiers(self, values: Values, digest: str) -> tuple[str, str]:
        """Return the ids of the lookup and of the dossier.

        A gateway's id may cover several calls (a trace), so a digest is appended to the lookup's.
        """
        lookup_id = dossier_id = digest
        if self._id is not None and _PLAIN_ID.fullmatch(given := self._id(values)):
            lookup_id, dossier_id = f"{given}.{digest[:12]}", given
        if self._dossier is not None and (dossier := self._dossier(values)):
            dossier_id = (
                dossier if len(dossier) <= 200 else blake2b(dossier.encode(), digest_size=16).hexdigest()
            )
        return lookup_id, dossier_id


class _Submissions:
    """Calls that submit a dossier."""

    def __init__(self, said: SubmissionsSaid, places: Places, mapper: Mapper) -> None:
        self._said, self._mapper = said, mapper
        self._when = _conditions(said.when, places, "submissions", "when")
        self._names = {
            key: _name(name, places, key, "submissions")
            for key, name in (
                ("portal", said.portal),
                ("agency", said.agency or mapper.said.agency),
                ("service", said.service or mapper.said.service),
                ("channel", said.channel),
            )
        }
        with at("submissions", "dossier"):
            self._dossier: ReadName | None = id_reader(said.dossier or mapper.said.dossier, places, "dossier")
        self._rules = Rules(said.outcome, places, ("submissions", "outcome"))

    def takes(self, values: Values) -> bool:
        """Return whether a call submits a dossier."""
        return any(one.holds(values, {}) for one in self._when)

    def events(self, values: Values, call: Call, digest: str) -> list[Event]:
        """Return the event of the submission's receipt, and that of its outcome if there is one."""
        names = {key: read(values) or UNKNOWN for key, read in self._names.items()}
        dossier = (self._dossier(values) if self._dossier is not None else "") or digest
        if len(dossier) > 200:
            dossier = blake2b(dossier.encode(), digest_size=16).hexdigest()
        about = dossier, names["portal"], names["agency"], names["service"], names["channel"]
        events: list[Event] = [Submission(digest + "-r", "submission.received", call.start_ms, *about)]
        became = self._rules.of(values, self._mapper.own_of(call)) or _became(call.status)
        if became != "none":
            blocked_by = self._said.blocked_by if became in ("failed", "deferred") else None
            events.append(Submission(digest + "-c", f"submission.{became}", call.end_ms, *about, blocked_by))
        return events


def _became(status: int | None) -> str:
    """Return the outcome of a submission by HTTP status; "none" if there is no status or it was cancelled."""
    if status is None or status == 499:
        return "none"
    return "accepted" if status < 400 else "rejected" if status < 500 else "failed"


def _name(said: Name, places: Places, key: str, *path: str) -> ReadName:
    with at(*path, key):
        return name_reader(said, places, key)


def _conditions(said: Sequence[When], places: Places, *path: str) -> list[Condition]:
    conditions = []
    for number, when in enumerate(said):
        with at(*path, number):
            conditions.append(Condition(when, places, own=()))
    return conditions


def _flat(value: Any) -> Any:
    """Return a plain value: a list as its items joined by commas, None for an object."""
    if isinstance(value, list):
        return ", ".join(spelt(item) if isinstance(item, str | int | float | bool) else "-" for item in value)
    return None if isinstance(value, dict) else value
