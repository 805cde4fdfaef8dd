"""Causes of trouble: who is to blame, and what each side sees of a request that meets one.

A fault has a cause. What the portal and the provider see follows from it and from where the request died: on
the way *there* the provider never sees it; *inside* it has seen the request, and may say what became of it;
on the way *back* it answered well, and the answer was lost. So the same `timeout` at the portal comes from a
cut line, a hanging server or the portal's own exhausted pool, and no symptom names its cause.

The weights say how often a cause shows itself in which way. No source gives them: they are assumptions, made
from how TCP, TLS, proxies and connection pools fail.
"""

from typing import Final, Literal, NamedTuple

CauseName = Literal[
    "provider_down",  # the provider's machines are off: refused, or its balancer says so, or they hang
    "servers_hang",  # some of the provider's servers take requests and never answer
    "provider_overloaded",  # other customers, or too many of us, take what the provider can serve
    "provider_maintenance",  # works at the provider that nobody announced
    "bad_version",  # a new version of the provider's program fails, until it is rolled back
    "certificate_expired",  # the provider's certificate has run out
    "database_slow",  # the provider's database is slow: all it serves takes longer
    "provider_backlog",  # the provider accepts requests and answers them many minutes later
    "quota",  # the provider limits how many requests it takes from us
    "old_standard",  # the platform's adapter cannot read what a database of the old standard answers
    "platform_down",  # the exchange platform between both (LGSP, NDXP) is down
    "gateway_faulty",  # a gateway of the platform breaks connections off
    "line_cut",  # nothing gets through
    "line_flapping",  # the line comes and goes
    "line_lossy",  # packets are lost both ways, in bursts
    "mtu",  # large answers do not get through
    "dns",  # the provider's name is not resolved
    "firewall_drops",  # a firewall has forgotten the connections and drops what comes over them
    "never_connected",  # the link exists on paper only
    "pool_exhausted",  # the portal's own connections are all taken: it asks nobody
    "silence",  # citizens stay away; the portal and its observer are well
    "maintenance",  # announced: the portal holds its lookups back meanwhile
    "observer_blind",  # the portal's observer is dead, traffic goes on unseen
    "unclean_records",  # wrong, missing, stale or duplicate citizen records
]
Who = Literal["provider", "platform", "line", "portal", "observer", "citizens", "records", "nobody"]
Domain = Literal["link", "provider", "client", "none"]
Kind = Literal["fails", "slow", "late", "silence", "maintenance", "blindness", "data_quality"]
Pattern = Literal["steady", "flapping", "bursts"]
Died = Literal["there", "inside", "back"]

OF_PORTALS: Final = frozenset({"silence", "observer_blind"})
"""Causes that are of portals, not of links."""


class Symptom(NamedTuple):
    """One way in which a request ends: what the portal sees, where it died, what the provider says of it.

    ``outcome`` None: nothing ever comes back. ``provider`` None: the provider says nothing of what became of
    the request, and where it died on the way there it has not even seen it.
    """

    weight: int
    outcome: str | None
    died: Died
    provider: str | None = None


class Cause(NamedTuple):
    """A cause: who made it, what it does to requests, and when such things happen.

    ``office`` is how many times likelier it is in office hours than at other times: changes are made and load
    is high by day, works are done at night. ``share`` and ``pattern`` hold where a fault does not say
    otherwise.
    """

    who: Who
    kind: Kind = "fails"
    symptoms: tuple[Symptom, ...] = ()
    pattern: Pattern = "steady"
    share: float = 1.0
    office: int = 1

    @property
    def domain(self) -> Domain:
        """Whose fault it is, as an outage record says it; none where nothing is wrong with the link."""
        if self.kind not in ("fails", "slow", "late"):
            return "none"
        return "provider" if self.who == "provider" else "client" if self.who == "portal" else "link"


_REFUSED: Final = Symptom(6, "unreachable", "there")
_LOST_THERE: Final = Symptom(4, "timeout", "there")
_LOST_BACK: Final = Symptom(4, "timeout", "back", "ok")

CAUSES: Final[dict[CauseName, Cause]] = {
    "provider_down": Cause(
        "provider",
        symptoms=(_REFUSED, Symptom(2, "provider_error", "there"), Symptom(2, "timeout", "inside")),
        office=2,
    ),
    "servers_hang": Cause(
        "provider",
        symptoms=(Symptom(9, "timeout", "inside"), Symptom(1, "reset", "inside")),
        share=0.6,
        office=2,
    ),
    "provider_overloaded": Cause(
        "provider",
        symptoms=(Symptom(6, "throttled", "inside", "throttled"), Symptom(4, "timeout", "inside", "ok")),
        share=0.7,
        office=4,
    ),
    "provider_maintenance": Cause(
        "provider", symptoms=(Symptom(7, "provider_error", "there"), Symptom(3, "unreachable", "there"))
    ),
    "bad_version": Cause(
        "provider",
        symptoms=(
            Symptom(7, "provider_error", "inside", "provider_error"),
            Symptom(3, "protocol_error", "back", "ok"),
        ),
        office=3,
    ),
    "certificate_expired": Cause("provider", symptoms=(Symptom(1, "tls_error", "there"),)),
    "database_slow": Cause("provider", "slow", office=3),
    "provider_backlog": Cause("provider", "late", office=3),
    "quota": Cause(
        "provider", symptoms=(Symptom(1, "throttled", "inside", "throttled"),), share=0.7, office=4
    ),
    "old_standard": Cause(
        "platform", symptoms=(Symptom(1, "protocol_error", "back", "ok"),), share=0.85, office=2
    ),
    "platform_down": Cause(
        "platform",
        symptoms=(_REFUSED, Symptom(3, "timeout", "there"), Symptom(2, "provider_error", "there")),
        office=2,
    ),
    "gateway_faulty": Cause(
        "platform", symptoms=(Symptom(5, "reset", "there"), Symptom(5, "reset", "back", "ok")), share=0.3
    ),
    "line_cut": Cause("line", symptoms=(Symptom(9, "unreachable", "there"), Symptom(1, "timeout", "there"))),
    "line_flapping": Cause(
        "line",
        symptoms=(
            Symptom(5, "unreachable", "there"),
            Symptom(2, "reset", "there"),
            Symptom(3, "reset", "back", "ok"),
        ),
        pattern="flapping",
    ),
    "line_lossy": Cause(
        "line",
        symptoms=(_LOST_THERE, _LOST_BACK, Symptom(2, "reset", "back", "ok")),
        pattern="bursts",
        share=0.7,
    ),
    "mtu": Cause("line", symptoms=(_LOST_BACK, Symptom(2, "reset", "back", "ok")), share=0.4),
    "dns": Cause("platform", symptoms=(_REFUSED, Symptom(2, "timeout", "there"))),
    "firewall_drops": Cause("line", symptoms=(Symptom(1, None, "there"),), share=0.8),
    "never_connected": Cause("nobody", symptoms=(Symptom(1, "unreachable", "there"),)),
    "pool_exhausted": Cause("portal", symptoms=(Symptom(1, "timeout", "there"),), share=0.6, office=6),
    "silence": Cause("citizens", "silence"),
    "maintenance": Cause("provider", "maintenance"),
    "observer_blind": Cause("observer", "blindness"),
    "unclean_records": Cause("records", "data_quality", share=0.25),
}

BACKGROUND: Final[dict[str, tuple[Symptom, ...]]] = {
    "timeout": (_LOST_THERE, Symptom(4, "timeout", "inside"), _LOST_BACK),
    "reset": (Symptom(1, "reset", "there"), Symptom(1, "reset", "back", "ok")),
    "unreachable": (_REFUSED,),
    "provider_error": (Symptom(1, "provider_error", "inside", "provider_error"),),
    "half_open": (Symptom(1, None, "there"), Symptom(1, None, "back", "ok")),
}
"""How the few requests end that fail on a link with which nothing is wrong."""


def outcomes_of(cause: Cause) -> frozenset[str]:
    """Return the outcomes by which a cause can show itself at the portal; ``no_response`` where none comes.

    >>> sorted(outcomes_of(CAUSES["line_cut"]))
    ['timeout', 'unreachable']
    """
    return frozenset(symptom.outcome or "no_response" for symptom in cause.symptoms)


def shown_as(cause: Cause, outcomes: frozenset[str]) -> tuple[Symptom, ...]:
    """Return the symptoms of a cause, only those of some outcomes where any are named."""
    if not outcomes:
        return cause.symptoms
    return tuple(symptom for symptom in cause.symptoms if (symptom.outcome or "no_response") in outcomes)
