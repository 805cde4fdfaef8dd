"""Causes of faults: who is to blame, and what each side sees of an affected request.

A fault has a cause. What the portal and the provider see follows from it and from where the request was lost.
On the way *there* the provider never sees it. *Inside* the provider has seen the request, and may report its
outcome. On the way *back* the provider answered well, and the answer was lost. So the same `timeout` at the
portal may come from a cut line, a hanging server or the portal's own exhausted pool: a symptom does not tell
the cause.

The weights are the relative frequencies of a cause's symptoms. They are assumptions without a source, based
on how TCP, TLS, proxies and connection pools fail.
"""

from typing import Final, Literal, NamedTuple

CauseName = Literal[
    "provider_down",  # the provider's machines are off: refused, reported by its balancer, or hanging
    "servers_hang",  # some of the provider's servers take requests and never answer
    "provider_overloaded",  # other customers, or too many of us, take what the provider can serve
    "provider_maintenance",  # unannounced maintenance at the provider
    "bad_version",  # a new version of the provider's program fails, until it is rolled back
    "certificate_expired",  # the provider's certificate has expired
    "database_slow",  # the provider's database is slow: all its answers take longer
    "provider_backlog",  # the provider accepts requests and answers them many minutes later
    "quota",  # the provider limits how many requests it takes from us
    "old_standard",  # the platform's adapter cannot read the answers of a database of the old standard
    "platform_down",  # the exchange platform between both (LGSP, NDXP) is down
    "gateway_faulty",  # a gateway of the platform breaks connections
    "line_cut",  # nothing gets through
    "line_flapping",  # the line comes and goes
    "line_lossy",  # packets are lost both ways, in bursts
    "mtu",  # large answers do not get through
    "dns",  # the provider's name is not resolved
    "firewall_drops",  # a firewall has lost the state of connections and drops their packets
    "never_connected",  # the link exists on paper only
    "pool_exhausted",  # all of the portal's own connections are in use: it sends no requests
    "silence",  # citizens stay away; the portal and its observer are well
    "maintenance",  # announced: the portal holds back its lookups until it ends
    "observer_blind",  # the portal's observer is dead, traffic continues unobserved
    "unclean_records",  # wrong, missing, stale or duplicate citizen records
]
Who = Literal["provider", "platform", "line", "portal", "observer", "citizens", "records", "nobody"]
Domain = Literal["link", "provider", "client", "none"]
Kind = Literal["fails", "slow", "late", "silence", "maintenance", "blindness", "data_quality"]
Pattern = Literal["steady", "flapping", "bursts"]
Died = Literal["there", "inside", "back"]

OF_PORTALS: Final = frozenset({"silence", "observer_blind"})
"""Causes that affect portals, not links."""


class Symptom(NamedTuple):
    """One way in which a request ends: what the portal sees, where it was lost, what the provider reports.

    ``outcome`` None: no answer ever comes. ``provider`` None: the provider reports no outcome; if the request
    died on the way there, the provider has not even seen it.
    """

    weight: int
    outcome: str | None
    died: Died
    provider: str | None = None


class Cause(NamedTuple):
    """A cause: who is responsible, its effect on requests, and when it tends to happen.

    ``office`` is how many times more likely it is in office hours than at other times: changes and high load
    come by day, maintenance by night. ``share`` and ``pattern`` are defaults that a fault may override.
    """

    who: Who
    kind: Kind = "fails"
    symptoms: tuple[Symptom, ...] = ()
    pattern: Pattern = "steady"
    share: float = 1.0
    office: int = 1

    @property
    def domain(self) -> Domain:
        """Whose fault it is, as in an outage record; "none" if nothing is wrong with the link."""
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
"""The symptoms of the few requests that fail on a healthy link."""


def outcomes_of(cause: Cause) -> frozenset[str]:
    """Return the outcomes that a cause can have at the portal; ``no_response`` stands for no answer.

    >>> sorted(outcomes_of(CAUSES["line_cut"]))
    ['timeout', 'unreachable']
    """
    return frozenset(symptom.outcome or "no_response" for symptom in cause.symptoms)


def shown_as(cause: Cause, outcomes: frozenset[str]) -> tuple[Symptom, ...]:
    """Return the symptoms of a cause, limited to some outcomes unless these are empty."""
    if not outcomes:
        return cause.symptoms
    return tuple(symptom for symptom in cause.symptoms if (symptom.outcome or "no_response") in outcomes)
