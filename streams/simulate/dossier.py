"""What one dossier carries along its path."""

from typing import Literal

from streams.simulate.links import LinkState

Aim = Literal["access", "lookups", "settling"]


class Dossier:
    """A dossier, a clinic's card read, a batch request or a probe: whatever asks a link something.

    ``plan`` are the links still to ask in this phase, ``step`` the one that is next. ``attempt`` counts the
    tries of this lookup, ``tries`` those since it was last deferred. Where ``submits`` is false there are
    lookups and no submission. ``who`` is (agency, service); ``records`` how many the request is about, and
    ``weight`` how many ordinary requests it costs the provider.
    """

    __slots__ = (
        "aim",
        "asked",
        "attempt",
        "deferrals",
        "denied_links",
        "flow",
        "head",
        "id",
        "partition",
        "plan",
        "portal",
        "records",
        "settling",
        "settling_table",
        "step",
        "submission_tail",
        "submits",
        "synthetic",
        "tries",
        "weight",
        "who",
    )

    def __init__(
        self,
        *,
        id_: str,
        partition: int,
        flow: str,
        portal: str,
        who: tuple[str, str],
    ) -> None:
        self.id, self.partition = id_, partition
        self.flow, self.portal, self.who = flow, portal, who
        self.head = f'"dossier_id":"{id_}",'
        self.plan: tuple[LinkState, ...] = ()
        self.settling: tuple[LinkState, ...] = ()
        self.settling_table: tuple[int, ...] = (1,)
        self.denied_links: frozenset[str] = frozenset()
        self.aim: Aim = "lookups"
        self.step = self.asked = self.tries = self.deferrals = 0
        self.attempt = 1
        self.records = 1
        self.weight = 1.0
        self.submits = self.synthetic = False
        self.submission_tail = ""
