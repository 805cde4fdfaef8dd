"""The demo's tables: each link's state as it changes, and at the end the results against the truth."""

from dataclasses import dataclass, field

from rich import box
from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from streams.demo.match import Match
from streams.model.hours.calendar import to_local
from streams.model.outage import Outage, Window

STYLES = {"UP": "green", "DEGRADED": "yellow", "DOWN": "bold red", "UNKNOWN": "dim"}
TIMEZONE = "Asia/Ho_Chi_Minh"


def clock(time_ms: int | None) -> str:
    """Return a time of day in Asia/Ho_Chi_Minh."""
    return "" if time_ms is None else f"{to_local(time_ms):%H:%M:%S}"


@dataclass
class Board:
    """The results of the demo so far."""

    start_ms: int
    end_ms: int
    addresses: dict[str, str]
    simulated_ms: int = 0
    windows: dict[str, Window] = field(default_factory=dict)
    outages: dict[str, Outage] = field(default_factory=dict)
    alerts: list[tuple[str, str]] | None = None
    """Name and link of each firing alert; None without Prometheus."""

    def add_window(self, window: Window) -> None:
        """Add a window; the latest of each link is shown."""
        known = self.windows.get(window.link)
        if known is None or (known.start_ms, known.revision) < (window.start_ms, window.revision):
            self.windows[window.link] = window

    def add_outage(self, outage: Outage) -> None:
        """Add a revision of an outage."""
        known = self.outages.get(outage.outage_id)
        if known is None or known.revision < outage.revision:
            self.outages[outage.outage_id] = outage

    def __rich__(self) -> RenderableType:
        """Show the addresses, the links, outages and alerts, and the progress of the simulation.

        The addresses come first, because a small terminal cuts off the end.
        """
        done = max(self.simulated_ms - self.start_ms, 0)
        bar = ProgressBar(total=self.end_ms - self.start_ms, completed=min(done, self.end_ms - self.start_ms))
        when = Text(f"simulated until {clock(self.simulated_ms or self.start_ms)} ({TIMEZONE})", style="dim")
        parts: list[RenderableType] = [self.places(), when, bar, self._links(), self._outages()]
        if self.alerts is not None:
            parts.append(self._alerts())
        return Group(*parts)

    def places(self) -> Text:
        """Return the addresses, one per line."""
        return Text("\n".join(f"{what:<14} {address}" for what, address in self.addresses.items()))

    def _alerts(self) -> Table:
        table = Table("alert", "link", title="Alerts firing")
        for name, link in self.alerts or []:
            table.add_row(Text(name, "bold red"), link)
        return table

    def _links(self) -> Table:
        table = Table("link", "state", "minute", "asked", "failed", "p50", "p95", title="Links")
        for column in table.columns[3:]:
            column.justify = "right"
        for link in sorted(self.windows):
            window = self.windows[link]
            latency = window.latency_ms or {}
            table.add_row(
                link,
                Text(window.state, STYLES[window.state]),
                clock(window.start_ms),
                str(window.attempts),
                str(window.failures),
                f"{latency['p50']:.0f} ms" if latency else "",
                f"{latency['p95']:.0f} ms" if latency else "",
            )
        return table

    def _outages(self) -> Table:
        table = Table("link", "kind", "from", "to", "fault", "failed", "dossiers", title="Outages found")
        standing = (outage for outage in self.outages.values() if outage.status != "retracted")
        for outage in sorted(standing, key=lambda outage: outage.start_ms):
            table.add_row(
                outage.link,
                outage.kind,
                clock(outage.start_ms),
                clock(outage.end_ms) or Text("open", "bold red"),
                outage.fault_domain,
                f"{outage.failures} of {outage.attempts}",
                str(outage.dossiers_affected),
            )
        return table


def comparison(matches: list[Match]) -> Table:
    """Return the table of found and true outages, with the errors of start and end.

    It fits into 80 columns, because the demo's output is often read in a log.
    """
    table = Table(
        title=f"True outages and what was found, times in {TIMEZONE}",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        collapse_padding=True,
    )
    for name in ("link", "kind", "true", "found"):
        table.add_column(name, no_wrap=True)
    for name in ("start\nerror", "end\nerror"):
        table.add_column(name, justify="right", no_wrap=True)
    for match in matches:
        fault, outage = match
        some = fault or outage
        table.add_row(
            some.link if some else "",
            "\n".join(dict.fromkeys(one.kind for one in (fault, outage) if one)),
            _spell(fault.start_ms, fault.end_ms) if fault else Text("none", "bold red"),
            _spell(outage.start_ms, outage.end_ms) if outage else Text("missed", "bold red"),
            _seconds(match.start_error_seconds),
            _seconds(match.end_error_seconds),
        )
    return table


def _spell(start_ms: int, end_ms: int | None) -> str:
    """Format start and end of a spell briefly."""
    return f"{clock(start_ms)}\u2013{clock(end_ms) or 'open'}"


def _seconds(error: float | None) -> str:
    return "" if error is None else f"{error:+.1f} s"


def try_next(folder: str, kafka: str, page: str) -> Text:
    """Return what the user can try next: settings to paste, and three commands."""
    return Text(
        "\n".join(
            (
                "Everything keeps running for a look around; Ctrl-C ends it.",
                "Try this next, in another terminal:",
                "",
                f"  export KAFKA_BOOTSTRAP_SERVERS={kafka}",
                f"  export PORTALLINK_LEDGER=sqlite:///{folder}/ledger.db",
                f"  export PORTALLINK_SIGNING_KEY={folder}/ledger-key.pem",
                "",
                "  portallink outages summary --from 2000-01-01 --to 2100-01-01",
                "  portallink outages report --from 2000-01-01 --to 2100-01-01 --format pdf --out report.pdf",
                "  portallink ledger verify",
                "",
                f"The page, in Vietnamese and English: {page}",
            )
        )
    )
