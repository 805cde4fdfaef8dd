"""Our own small model of a dashboard; `build.py` turns it into Grafana's, `render.py` into SVG."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from tools.dashboards.words import Text, Words

Shape = Literal["timeseries", "stat", "statetimeline", "heatmap", "table"]

GREEN: Final = "#3d9a50"
AMBER: Final = "#e0a030"
RED: Final = "#c4312f"
GREY: Final = "#8e8e8e"
VIOLET: Final = "#8a5cc2"
BLUE: Final = "#4878a8"
CLEAR: Final = "transparent"

Limits = tuple[tuple[float, str], ...]
"""Colours with the value from which each applies; the first applies below all others."""


@dataclass(frozen=True, slots=True)
class Meaning:
    """How a value is shown."""

    text: Text
    colour: str


STATES: Final[Mapping[str, Meaning]] = {
    "0": Meaning(Words("Too little traffic to tell", "Quá ít lượt tra cứu để xác định"), GREY),
    "0.5": Meaning(Words("Blind", "Mất quan sát"), VIOLET),
    "1": Meaning(Words("Up", "Hoạt động"), GREEN),
    "2": Meaning(Words("Degraded", "Suy giảm"), AMBER),
    "3": Meaning(Words("Down", "Gián đoạn"), RED),
}
"""The codes of a link's state as the dashboards draw it: see `queries.state`."""

KINDS: Final[Mapping[str, Meaning]] = {
    "down": Meaning(Words("Down", "Gián đoạn"), RED),
    "degraded": Meaning(Words("Degraded", "Suy giảm"), AMBER),
}
DOMAINS: Final[Mapping[str, Meaning]] = {
    "link": Meaning(Words("Line or gateway", "Đường truyền"), RED),
    "provider": Meaning(Words("Provider", "Bên cung cấp"), VIOLET),
    "client": Meaning(Words("Our own side", "Phía chúng ta"), BLUE),
}
OUTCOME_COLOURS: Final[Mapping[str, str]] = {
    "ok": GREEN,
    "not_found": "#a7b8a9",
    "mismatch": "#c9d2ca",
    "timeout": "#e0752d",
    "no_response": "#f2a65a",
    "unreachable": RED,
    "reset": "#e2574c",
    "tls_error": "#8f1d1d",
    "protocol_error": "#f29191",
    "throttled": "#e6c229",
    "provider_error": "#b5179e",
    "denied": BLUE,
    "cancelled": "#6c757d",
}
"""One colour per outcome, everywhere: green and grey are answers, warm colours are failures."""

TYPE_COLOURS: Final[Mapping[str, str]] = {
    "received": BLUE,
    "accepted": GREEN,
    "deferred": AMBER,
    "rejected": GREY,
    "failed": RED,
    "completed": "#7ab8a0",
}
"""One colour per type of submission event."""


@dataclass(frozen=True, slots=True)
class Query:
    """One PromQL query and the legend of its series, with ``{{label}}`` for a label's value.

    A ``rare`` one has no series on an ordinary day.
    """

    expr: str
    legend: Text = ""
    rare: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column of a table: a label of the queries, or the value of the query with that letter.

    ``bar`` draws the value as a bar of that colour.
    """

    of: str
    title: Text
    unit: Text = ""
    decimals: int | None = None
    limits: Limits = ()
    meanings: Mapping[str, Meaning] = field(default_factory=dict)
    width: int | None = None
    link_to: str | None = None
    bar: str | None = None

    @property
    def letter(self) -> str | None:
        """The letter of the query whose value this is, None for a label."""
        return self.of if len(self.of) == 1 else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """One panel; ``instant`` asks for one moment instead of a range, ``time_from`` overrides the range.

    ``quiet`` marks a panel of things that should not happen: it has no series while all is well, and says so.
    ``axis`` says what is counted, if the unit does not. ``lines`` draws the limits as dashed lines.
    ``colours`` gives series of a legend their fixed colours.
    ``worst`` names the columns by which a table is sorted; a minus sign before a field sorts downwards.
    """

    title: Words
    description: Words
    shape: Shape
    queries: tuple[Query, ...]
    unit: str = "none"
    axis: Text = ""
    decimals: int | None = None
    minimum: float | None = None
    maximum: float | None = None
    width: int = 12
    height: int = 8
    instant: bool = False
    time_from: str | None = None
    stacked: bool = False
    link_to: str | None = None
    limits: Limits = ()
    lines: bool = False
    meanings: Mapping[str, Meaning] = field(default_factory=dict)
    colours: Mapping[str, str] = field(default_factory=dict)
    columns: tuple[Column, ...] = ()
    worst: tuple[str, ...] = ()
    quiet: bool = False

    @property
    def texts(self) -> tuple[Text, ...]:
        """All texts of the panel that a reader sees."""
        meanings = (self.meanings, *(column.meanings for column in self.columns))
        return (
            self.title,
            self.description,
            self.axis,
            *(query.legend for query in self.queries),
            *(text for column in self.columns for text in (column.title, column.unit)),
            *(meaning.text for one in meanings for meaning in one.values()),
        )


@dataclass(frozen=True, slots=True)
class Variable:
    """A variable whose values are those of a label: of ``metric``, under the selectors given.

    ``one`` offers no "all" and takes one value at a time; ``repeats`` takes several, each drawn by itself.
    """

    name: str
    label: Words
    metric: str
    selector: str = ""
    description: Text = ""
    one: bool = False
    repeats: bool = False

    @property
    def query(self) -> str:
        """Grafana's variable query."""
        matcher = f"{{{self.selector}}}" if self.selector else ""
        return f"label_values({self.metric}{matcher}, {self.name})"


@dataclass(frozen=True, slots=True)
class Region:
    """Spans of time drawn over every panel: where the expression has a value above 0.

    ``title`` may name labels of the expression, as ``{{link}}``.
    """

    name: Words
    expr: str
    colour: str
    title: Text


@dataclass(frozen=True, slots=True)
class Row:
    """Panels under a title; with ``repeat`` once for each value of that variable."""

    title: Text
    panels: tuple[Panel, ...]
    repeat: str | None = None


@dataclass(frozen=True, slots=True)
class Board:
    """One dashboard: rows of panels under their titles."""

    uid: str
    title: Words
    description: Words
    rows: tuple[Row, ...]
    variables: tuple[Variable, ...]
    regions: tuple[Region, ...]
    time_from: str = "now-6h"
    runbooks: tuple[str, ...] = ()

    @property
    def panels(self) -> tuple[Panel, ...]:
        """Every panel, in order."""
        return tuple(panel for row in self.rows for panel in row.panels)
