"""``docs/metrics.md``, made from the metrics contract and from where each metric is used."""

import re
from collections.abc import Iterable, Mapping
from math import prod
from typing import Any, Final

import yaml

from streams.model.events import OUTCOMES, SUBMISSION_TYPES
from streams.telemetry.contract import CONTRACT, Metric
from streams.telemetry.labels import LABEL_LIMITS, LINK_STATES, OTHER, PAIR_LIMIT, PERIODS, RESULTS
from tools.dashboards.spec import Board

NAME: Final = re.compile(r"\bportallink_[a-z0-9_]+")
_SUFFIXES: Final = ("_bucket", "_sum", "_count")

CITY: Final = {"link": 18, "portal": 3, "service": 400, "agency": 100, "partition": 24}
THOUSAND: Final = {"link": 1_000, "portal": 20, "service": 2_000, "agency": 1_000, "partition": 24}
"""Sizes for which the number of series is stated: the simulated city, and the bound of links."""

_CLOSED: Final = {
    "incident_id": 1,  # a link is in one open incident at a time
    "common_cause": 1,
    "outcome": len(OUTCOMES),
    "type": len(SUBMISSION_TYPES),
    "state": len(LINK_STATES),
    "period": len(PERIODS),
    "result": len(RESULTS),
    "kind": 2,
}
_FEW: Final = 10
"""Assumed for labels whose values are names in the code: reasons, occurrences, tables, topics, routes."""


def names_in(text: str) -> set[str]:
    """Return the metrics of the contract's prefix that a text names, histogram parts as their histogram.

    >>> sorted(names_in("rate(portallink_lookup_latency_seconds_bucket[5m]) / portallink:a:b"))
    ['portallink_lookup_latency_seconds']
    """
    histograms = {metric.name for metric in CONTRACT if metric.kind == "histogram"}
    found = set()
    for name in NAME.findall(text):
        base = next((name.removesuffix(s) for s in _SUFFIXES if name.removesuffix(s) in histograms), name)
        found.add(base)
    return found


def usage(boards: Iterable[Board], rule_texts: Mapping[str, str]) -> dict[str, list[str]]:
    """Return for each metric which dashboards, recorded series and alerts use it."""
    used: dict[str, list[str]] = {metric.name: [] for metric in CONTRACT}

    def note(names: Iterable[str], where: str) -> None:
        for name in names:
            places = used.setdefault(name, [])
            if where not in places:
                places.append(where)

    for board in boards:
        texts = [query.expr for panel in board.panels for query in panel.queries]
        texts += [variable.query for variable in board.variables] + [region.expr for region in board.regions]
        note(names_in(" ".join(texts)), board.title.en.partition("· ")[2])
    for text in rule_texts.values():
        for rule in _rules(text):
            texts = [rule["expr"], *rule.get("annotations", {}).values()]
            note(names_in(" ".join(texts)), f"`{rule.get('alert') or rule['record']}`")
    return used


def series_bound(metric: Metric, sizes: Mapping[str, int]) -> int:
    """Return an upper bound of a metric's series in one process, its buckets counted."""
    if metric.listed is not None:
        return metric.listed
    each = len(metric.buckets) + 3 if metric.kind == "histogram" else 1
    labels = prod(_CLOSED.get(label, sizes.get(label, _FEW)) for label in metric.labels if label != "stage")
    limit = metric.series_limit
    return each * (labels if limit is None else min(labels, limit + 1))


def metrics_document(boards: Iterable[Board], rule_texts: Mapping[str, str]) -> str:
    """Return the whole document."""
    used = usage(boards, rule_texts)
    parts = [_HEAD, *(_section(metric, used[metric.name]) for metric in CONTRACT), _cardinality()]
    return "\n".join(parts)


_HEAD: Final = """# Metrics

Generated from `streams/telemetry/contract.py` by `python -m tools.watch_files`; change that file instead.

Each process serves its metrics at `/metrics` on one port, as Prometheus text or OpenMetrics. Names have the
prefix `portallink_` and end in their unit; counters end in `_total`. No label ever holds a dossier, a citizen
or an event. The usual `process_`, `python_` metrics of the Python client are there as well.

A counter never falls. Where a correction takes something back (an answer that came after its request had been
counted as `no_response`), the counter stands still until the truth has caught up with it; the ledger and the
reports are exact at once. Latency histograms are filled from logarithmic buckets 5 % wide, so a value within
2.5 % of a bound may count on its other side; above two minutes they are 17 % wide.
"""


def _section(metric: Metric, places: list[str]) -> str:
    kind = "gauge" if metric.kind == "age" else metric.kind
    lines = [
        f"## `{metric.name}`\n",
        metric.help + "\n",
        f"- {kind}, in {metric.unit}; labels: {', '.join(f'`{label}`' for label in metric.labels)}",
        f"- exposed by: {', '.join(metric.stages)}",
    ]
    if metric.buckets:
        lines.append(f"- bounds: {', '.join(f'{bound:g}' for bound in metric.buckets)}")
    lines.append(f"- used in: {', '.join(places)}\n")
    return "\n".join(lines)


def _cardinality() -> str:
    rows = [
        f"| `{metric.name}` | {series_bound(metric, CITY):,} | {series_bound(metric, THOUSAND):,} |"
        for metric in CONTRACT
    ]
    totals = [sum(series_bound(metric, sizes) for metric in CONTRACT) for sizes in (CITY, THOUSAND)]
    limits = ", ".join(f"{limit:,} `{label}`" for label, limit in LABEL_LIMITS.items())
    intro = (
        f"A process admits at most {limits}. What comes after is counted under `{OTHER}`, and"
        " `PortallinkLabelLimit` says so. A metric with two such labels has at most"
        f" {PAIR_LIMIT + 1:,} series. Below are upper bounds for one process that exposed everything: for"
        f" the simulated city ({_sizes(CITY)}) and for the bound of links ({_sizes(THOUSAND)}).\n"
    )
    return "\n".join(
        [
            "## How many series\n",
            intro,
            "| metric | city | 1,000 links |",
            "|---|---:|---:|",
            *rows,
            f"| all | {totals[0]:,} | {totals[1]:,} |\n",
        ]
    )


def _sizes(sizes: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} {label}s" for label, count in sizes.items()).replace("agencys", "agencies")


def _rules(text: str) -> list[dict[str, Any]]:
    return [rule for group in yaml.safe_load(text)["groups"] for rule in group["rules"]]
