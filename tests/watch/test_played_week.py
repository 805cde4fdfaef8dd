"""A week of events in a real Alertmanager: every notification, message by message, as the table says.

The table was written before the routing. Each scene begins at a local moment and is played thirty times as
fast; a minute of the scene is two seconds. `ticket` hears of everything; `page` of what cannot wait, in its
hours.
"""

import threading
from dataclasses import dataclass, field
from datetime import datetime

import pytest
from pager import Alert, Message, Recorder, play

pytestmark = [pytest.mark.prometheus, pytest.mark.slow]


at = datetime.fromisoformat
"""A local moment, Asia/Ho_Chi_Minh."""


def down(link: str, start: float, end: float, stale: tuple[float, float] = (0, 0)) -> Alert:
    """Return the alert of a link that is down from one minute to another."""
    labels = {"severity": "page", "incident": f"link/{link}", "group": "links-down", "link": link}
    return Alert("PortallinkLinkDown", start, end, labels, stale)


def about(name: str, severity: str, start: float, end: float, **labels: str) -> Alert:
    """Return another alert; one with a link is grouped by it."""
    incident = f"link/{labels['link']}" if "link" in labels else "pipeline"
    return Alert(f"Portallink{name}", start, end, {"severity": severity, "incident": incident, **labels})


def both(firing: tuple[str, ...], resolved: tuple[str, ...] = ()) -> list[Message]:
    """Return the same message to the pager and to the tickets."""
    return [Message("page", firing, resolved), Message("ticket", firing, resolved)]


def ticket(firing: tuple[str, ...], resolved: tuple[str, ...] = ()) -> list[Message]:
    """Return a message to the tickets alone."""
    return [Message("ticket", firing, resolved)]


TOGETHER = Alert(
    "PortallinkSharedOutage",
    0,
    40,
    {"severity": "page", "incident": "shared/i-1", "group": "links-down", "incident_id": "i-1"},
)
NPD, BHYT, VNEID = "LinkDown npd", "LinkDown bhyt", "LinkDown vneid"


@dataclass
class Scene:
    """When it begins, which alerts stand, and every message that goes out, per receiver in order."""

    start: datetime
    alerts: list[Alert]
    messages: list[Message]
    minutes: float = 30
    boundary: datetime | None = None
    recorder: Recorder = field(default_factory=Recorder)


WEEK = {
    "Monday 09:00, a link is down for ten minutes: paged, and resolved": Scene(
        at("2026-06-01 09:00"), [down("npd", 0, 10)], both((NPD,)) + both((), (NPD,)), 20
    ),
    "Tuesday 03:10, the same at night: a ticket, nobody is woken": Scene(
        at("2026-06-02 03:10"), [down("npd", 0, 10)], ticket((NPD,)) + ticket((), (NPD,)), 20
    ),
    "Tết, 10:00: a ticket": Scene(
        at("2026-02-17 10:00"), [down("npd", 0, 10)], ticket((NPD,)) + ticket((), (NPD,)), 20
    ),
    "A worked Saturday, 09:00: paged": Scene(
        at("2026-08-22 09:00"), [down("npd", 0, 10)], both((NPD,)) + both((), (NPD,)), 20
    ),
    "Any other Saturday, 09:00: a ticket": Scene(
        at("2026-08-29 09:00"), [down("npd", 0, 10)], ticket((NPD,)) + ticket((), (NPD,)), 20
    ),
    "Thursday, over 17:00: paged at 16:55 and never told that it is over while it stands": Scene(
        at("2026-06-04 16:55"),
        [down("npd", 0, 9)],
        [*both((NPD,)), *ticket((), (NPD,))],
        14,
        boundary=at("2026-06-04 17:00"),
    ),
    "Three links: the two that went down together in one message, the third within a minute": Scene(
        at("2026-06-01 10:00"),
        [down("npd", 0, 40), down("bhyt", 0, 40), TOGETHER, down("vneid", 5, 40)],
        both((BHYT, NPD, "SharedOutage i-1")) + both((BHYT, NPD, VNEID, "SharedOutage i-1")),
        12,
    ),
    "A link that has been dead for weeks mutes no other": Scene(
        at("2026-06-01 11:00"),
        [down("paper", -20_000, 40), down("npd", 5, 10)],
        both(("LinkDown paper",)) + both((NPD, "LinkDown paper")) + both(("LinkDown paper",), (NPD,)),
        20,
    ),
    "Announced maintenance: nothing while it lasts, a page when it ends and the link is still down": Scene(
        at("2026-06-03 10:00"),
        [about("LinkMaintenance", "none", 0, 5, link="npd"), down("npd", 1, 10)],
        both((NPD,)) + both((), (NPD,)),
        15,
    ),
    "Maintenance announced while a link is down: no word that the outage is over until it is": Scene(
        at("2026-06-03 14:00"),
        [down("npd", 0, 12), about("LinkMaintenance", "none", 3, 8, link="npd")],
        both((NPD,)) + both((), (NPD,)),
        17,
    ),
    "What an outage causes is muted, on its own link alone": Scene(
        at("2026-06-01 14:00"),
        [
            down("npd", 0, 40),
            about("ErrorBudgetBurnFast", "page", 1, 40, link="npd"),
            about("ErrorBudgetBurnFast", "page", 1, 40, link="bhyt"),
        ],
        both((NPD,)) + both(("ErrorBudgetBurnFast bhyt",)),
        15,
    ),
    "A flapping link is one open outage: its flapping alert is muted while it stands": Scene(
        at("2026-06-01 15:00"),
        [down("npd", 0, 40), about("LinkFlapping", "ticket", 3, 40, link="npd")],
        both((NPD,)),
        15,
    ),
    "Prometheus restarts within two minutes: nothing is resolved, nothing told again": Scene(
        at("2026-06-01 08:00"), [down("npd", 0, 10, stale=(4, 6))], both((NPD,)) + both((), (NPD,)), 16
    ),
    "A stage without a process pages; the lags that follow are muted": Scene(
        at("2026-06-01 09:00"),
        [
            about("StageAbsent", "page", 0, 40, stage="measure"),
            about("WatermarkLag", "page", 1, 40, stage="detect"),
        ],
        both(("StageAbsent measure",)),
        15,
    ),
}


@pytest.fixture(scope="module")
def played(tmp_path_factory):
    """Play every scene, each in an Alertmanager of its own, beside the others."""
    folder = tmp_path_factory.mktemp("week")

    def run(number: int, scene: Scene) -> None:
        scene.recorder = play(
            folder / str(number), scene.start, scene.alerts, scene.minutes, boundary=scene.boundary
        )

    threads = [threading.Thread(target=run, args=one) for one in enumerate(WEEK.values())]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return WEEK


@pytest.mark.parametrize("name", WEEK)
@pytest.mark.usefixtures("alertmanager")
def test_every_message_is_as_the_table_says(name, played):
    """Each receiver gets exactly the messages of the table, in order."""
    scene = played[name]
    for receiver in ("page", "ticket", "watchdog"):
        expected = [message for message in scene.messages if message.receiver == receiver]
        assert [message for message in scene.recorder.messages if message.receiver == receiver] == expected


@pytest.mark.usefixtures("alertmanager")
def test_the_watchdog_reports_again_and_again(tmp_path):
    """The sign of life reaches its receiver at least three times in twenty minutes, and nobody else."""
    watchdog = Alert("PortallinkWatchdog", 0, 60, {"severity": "none", "incident": "watchdog"})
    recorder = play(tmp_path, at("2026-06-02 03:00"), [watchdog], 20)
    assert {message.receiver for message in recorder.messages} == {"watchdog"}
    assert len(recorder.messages) >= 3
