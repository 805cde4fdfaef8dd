"""The state of one dossier along its path, and what all dossiers of its matter share."""

from typing import Literal

from streams.simulate.load.links import LinkState

Aim = Literal["access", "lookups", "settling"]


class Matter:
    """What the dossiers of one flow, agency and service have in common.

    ``observer`` is the portal whose observer sees them. If ``submits`` is false there are lookups but no
    submission. ``settling`` are the links used when the dossier is settled, ``settling_table`` is the
    distribution of the time from acceptance to that. A request is about ``records`` records and costs the
    provider as much as ``weight`` ordinary requests.
    """

    __slots__ = (
        "agency",
        "channel",
        "first_aim",
        "flow",
        "observer",
        "portal",
        "records",
        "service",
        "settling",
        "settling_table",
        "submits",
        "synthetic",
        "weight",
    )

    def __init__(
        self,
        *,
        flow: str,
        portal: str,
        agency: str,
        service: str,
        observer: str | None = None,
        synthetic: bool = False,
    ) -> None:
        self.flow, self.portal, self.agency, self.service = flow, portal, agency, service
        self.observer = observer or portal
        self.synthetic = synthetic
        self.channel = ""
        self.first_aim: Aim = "lookups"
        self.submits = False
        self.settling: tuple[LinkState, ...] = ()
        self.settling_table: tuple[int, ...] = (1,)
        self.records = 1
        self.weight = 1.0


class Dossier:
    """A dossier, a clinic's card read, a batch request or a probe: anything that sends lookups over links.

    ``plan`` are the links of this phase, ``step`` the index of the next. ``attempt`` counts the attempts of
    this lookup, ``tries`` those since it was last deferred.
    """

    __slots__ = (
        "aim",
        "asked",
        "attempt",
        "deferrals",
        "denied_links",
        "id",
        "matter",
        "partition",
        "plan",
        "step",
        "tries",
    )

    def __init__(
        self,
        id_: str,
        partition: int,
        matter: Matter,
        plan: tuple[LinkState, ...],
        denied_links: frozenset[str] = frozenset(),
    ) -> None:
        self.id, self.partition = id_, partition
        self.matter, self.plan, self.denied_links = matter, plan, denied_links
        self.aim: Aim = matter.first_aim
        self.step = self.asked = self.tries = self.deferrals = 0
        self.attempt = 1
