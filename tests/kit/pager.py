"""A real Alertmanager played with alerts at chosen local times, and a receiver that records what it sends."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

import httpx
from time_intervals import matches

from streams.servers.alertmanager import Alertmanager
from streams.watch.hours import HOLIDAYS, WORKED_DAYS, WORKING_HOURS, time_intervals
from streams.watch.notification import template_file
from streams.watch.routing import RESOLVE_SECONDS, TEMPLATE_FILE, alertmanager_config, as_yaml
from streams.watch.settings import Notify, Receiver, WatchSettings

PACE = 30
"""Event seconds a wall second: Alertmanager's waits are shortened alike."""
POST_EVERY_SECONDS = 0.3


class Message(NamedTuple):
    """One notification: the receiver, and the names that stand and that are over."""

    receiver: str
    firing: tuple[str, ...]
    resolved: tuple[str, ...] = ()


class Alert(NamedTuple):
    """An alert of a play: its labels, and from when to when it stands, in minutes after the scene's start.

    ``stale`` are minutes in which nobody sends it, as while Prometheus restarts.
    """

    name: str
    start: float
    end: float
    labels: dict[str, str]
    stale: tuple[float, float] = (0, 0)

    @property
    def shown(self) -> str:
        """How messages name it: `LinkDown npd`."""
        about = self.labels.get("link") or self.labels.get("stage") or self.labels.get("incident_id", "")
        return f"{self.name.removeprefix('Portallink')} {about}".strip()


@dataclass
class Recorder:
    """Receives webhooks on a loopback port and keeps them in order of arrival."""

    messages: list[Message] = field(default_factory=list)
    bodies: list[dict[str, Any]] = field(default_factory=list)

    @contextmanager
    def listening(self) -> Iterator[str]:
        """Serve until the end of the block; yield the address without a slash at the end."""
        recorder = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                recorder.take(self.path, self.rfile.read(int(self.headers["content-length"])))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Keep quiet."""

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
            server.server_close()

    def take(self, path: str, body: bytes) -> None:
        """Keep one notification."""
        said = json.loads(body)
        self.bodies.append(said)
        names: dict[str, list[str]] = {"firing": [], "resolved": []}
        for one in said["alerts"]:
            shown = Alert(one["labels"]["alertname"], 0, 0, one["labels"]).shown
            names[one["status"]].append(shown)
        self.messages.append(
            Message(path.strip("/"), tuple(sorted(names["firing"])), tuple(sorted(names["resolved"])))
        )


def shifted_intervals(start: datetime, wall_start: datetime, minutes: float) -> list[dict[str, Any]]:
    """Return the generated time intervals as they fall around a scene, moved to the wall clock's minutes.

    ``start`` is the scene's first local moment, played from ``wall_start`` (UTC) on at `PACE`.
    """
    generated = {
        one["name"]: one["time_intervals"]
        for one in time_intervals(WatchSettings().office_hours, range(2024, 2027))
    }
    moved = []
    for name, intervals in generated.items():
        open_minutes = []
        for wall_minute in range(-2, int(minutes / PACE) + 4):
            wall = wall_start.replace(second=0, microsecond=0) + timedelta(minutes=wall_minute)
            local = start + (wall - wall_start) * PACE
            if matches(intervals, local):
                open_minutes.append(wall)
        moved.append(
            {
                "name": name,
                "time_intervals": [_minute(wall) for wall in open_minutes]
                or [{"years": ["1970"], "months": ["1"], "days_of_month": ["1"]}],
            }
        )
    assert {one["name"] for one in moved} == {WORKING_HOURS, WORKED_DAYS, HOLIDAYS}
    return moved


def _minute(wall: datetime) -> dict[str, Any]:
    end = wall + timedelta(minutes=1)
    ends = "24:00" if (end.hour, end.minute) == (0, 0) else f"{end:%H:%M}"
    return {
        "times": [{"start_time": f"{wall:%H:%M}", "end_time": ends}],
        "years": [str(wall.year)],
        "months": [str(wall.month)],
        "days_of_month": [str(wall.day)],
    }


def play(
    folder: Path,
    start: datetime,
    alerts: list[Alert],
    minutes: float,
    *,
    boundary: datetime | None = None,
    notify: Callable[[str], Notify] | None = None,
) -> Recorder:
    """Play alerts from a local moment on for some minutes; return what the receivers got.

    ``boundary`` is a local moment at which the pager's hours change: the play is timed so that it falls on a
    whole minute of the wall clock, the finest step Alertmanager knows.
    """
    recorder = Recorder()
    with recorder.listening() as url:
        wall_start = datetime.now(UTC) + timedelta(seconds=2)
        if boundary is not None:
            at = wall_start + (boundary - start) / PACE
            whole = (at + timedelta(minutes=1)).replace(second=0, microsecond=0)
            wall_start += whole - at
        chosen = (
            notify(url)
            if notify
            else Notify(
                language="en",
                page=Receiver(webhook=(f"{url}/page",)),
                ticket=Receiver(webhook=(f"{url}/ticket",)),
                watchdog=Receiver(webhook=(f"{url}/watchdog",)),
            )
        )
        config = alertmanager_config(
            WatchSettings(notify=chosen),
            range(2024, 2027),
            pace=PACE,
            intervals=shifted_intervals(start, wall_start, minutes),
        )
        folder.mkdir(parents=True, exist_ok=True)
        (folder / TEMPLATE_FILE).write_text(template_file(), "utf-8")
        (folder / "alertmanager.yml").write_text(as_yaml(config), "utf-8")
        with Alertmanager(folder / "data", folder / "alertmanager.yml") as server:
            _send(server.url, alerts, wall_start, minutes)
    return recorder


def _send(url: str, alerts: list[Alert], wall_start: datetime, minutes: float) -> None:
    """Send the alerts that stand, again and again, as Prometheus does, and their ends once each."""
    ended: set[int] = set()
    while (now := datetime.now(UTC)) < wall_start + timedelta(minutes=minutes) / PACE:
        minute = (now - wall_start) / timedelta(minutes=1) * PACE
        body = []
        for number, alert in enumerate(alerts):
            over = minute >= alert.end
            if minute < alert.start or number in ended or alert.stale[0] <= minute < alert.stale[1]:
                continue
            ends = now if over else now + timedelta(seconds=RESOLVE_SECONDS) / PACE
            body.append(_posted(alert, wall_start, ends))
            if over:
                ended.add(number)
        if body:
            httpx.post(f"{url}/api/v2/alerts", json=body).raise_for_status()
        time.sleep(POST_EVERY_SECONDS)


def _posted(alert: Alert, wall_start: datetime, ends: datetime) -> dict[str, Any]:
    starts = wall_start + timedelta(minutes=alert.start) / PACE
    return {
        "labels": {"alertname": alert.name, **alert.labels},
        "annotations": {"summary": f"{alert.shown} stands", "description": "…"},
        "startsAt": starts.isoformat(),
        "endsAt": ends.isoformat(),
    }
