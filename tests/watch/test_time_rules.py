"""What the rules make of a link's time by state, in Prometheus's own rule engine."""

import pytest
import yaml

from streams.watch.rules import SLO_FILE, rule_files
from streams.watch.settings import WatchSettings

LINK = '{link="npd"}'
AVAILABLE, KNOWN = "portallink:link_availability:ratio", "portallink:link_coverage:ratio"


def grows(start: float, *stretches: tuple[float, int], after: int = 0) -> str:
    """Return a total that grows by so much a minute for so many minutes, each stretch behind the other."""
    values = [start]
    for per_minute, minutes in stretches:
        values += [values[-1] + per_minute * n for n in range(1, minutes + 1)]
    return " ".join([*["_"] * after, *(f"{value:g}" for value in values)])


def totals(*, instance: str = "a", **states: str) -> dict[str, str]:
    """Return the totals of a link, in seconds, as one process shows them every minute."""
    name = f'portallink_link_state_seconds_total{{link="npd",instance="{instance}",state='
    return {f'{name}"{state}"}}': values for state, values in states.items()}


HOUR_WITH_ALL = totals(
    up=grows(9000, (60, 30), (0, 15), (60, 15), (0, 90)),
    down=grows(700, (0, 30), (60, 10), (0, 110)),
    unknown=grows(50, (0, 40), (60, 5), (0, 105)),
    degraded=grows(1, (0, 150)),
    not_in_service=grows(8, (0, 60), (60, 90)),
)
"""Half an hour up, ten minutes down, five unknown, a quarter of an hour up, then retired."""

CASES = {
    "an hour with everything in it": (
        HOUR_WITH_ALL,
        "60m",
        {AVAILABLE + "1h": 45 / 55, KNOWN + "1h": 55 / 60},
    ),
    "out of service there is nothing to share": (HOUR_WITH_ALL, "125m", {AVAILABLE + "1h": None}),
    "a link that is younger than the window": (
        totals(
            up=grows(0, (60, 20), (0, 10), (60, 30), after=30),
            down=grows(0, (0, 20), (60, 10), (0, 30), after=30),
        ),
        "90m",
        {AVAILABLE + "1h": 5 / 6, AVAILABLE + "30d": 5 / 6, KNOWN + "30d": 1},
    ),
    "totals that were there before Prometheus was": (
        totals(up=grows(90_000, (60, 60)), down=grows(70_000, (0, 60)), unknown=grows(800_000, (0, 60))),
        "40m",
        {AVAILABLE + "1h": 1, AVAILABLE + "30d": 1, KNOWN + "30d": 1},
    ),
    "totals that begin again are counted from there": (
        totals(
            up=grows(90_000, (60, 60)) + " " + grows(0, (60, 40)),
            down=grows(70_000, (0, 60)) + " " + grows(0, (0, 20), (60, 10), (0, 10)),
        ),
        "101m",
        {AVAILABLE + "1h": 1 - 600 / 3000, KNOWN + "1h": 1},
    ),
    "totals that begin again at values of all kinds stay shares": (
        totals(
            up=grows(90_000, (60, 60)) + " " + grows(0, (0, 40)),
            down=grows(0, (0, 60)) + " " + grows(500, (60, 40)),
        ),
        "101m",
        {AVAILABLE + "1h": 0, KNOWN + "1h": 1},
    ),
    "a process goes on where another ended, and is scraped beside it": (
        totals(up=grows(90_000, (60, 30)), down=grows(700, (0, 30)))
        | totals(instance="b", up=grows(91_500, (60, 60), after=25), down=grows(700, (0, 60), after=25)),
        "60m",
        {AVAILABLE + "1h": 1, KNOWN + "1h": 1},
    ),
}


@pytest.mark.prometheus
@pytest.mark.parametrize("name", CASES)
def test_shares_of_time(name, promtool, tmp_path):
    """Availability and coverage are the shares of the time that passed, between 0 and 1, or not there."""
    series, at, expected = CASES[name]
    text = rule_files(WatchSettings())[SLO_FILE]
    (tmp_path / SLO_FILE).write_text(text, "utf-8")
    asked = [
        {
            # The difference, as promtool compares numbers to the last bit.
            "expr": f"abs({recorded}{LINK} - {value}) < bool 1e-9"
            if value is not None
            else f"{recorded}{LINK}",
            "eval_time": at,
            "exp_samples": [] if value is None else [{"labels": LINK, "value": 1}],
        }
        for recorded, value in expected.items()
    ]
    test = {
        "interval": "1m",
        "input_series": [{"series": one, "values": values} for one, values in series.items()],
        "promql_expr_test": asked,
    }
    document = {"rule_files": [SLO_FILE], "evaluation_interval": "1m", "tests": [test]}
    (tmp_path / "test.yml").write_text(yaml.safe_dump(document), "utf-8")
    result = promtool.run("test", "rules", "test.yml", cwd=tmp_path)
    assert result.returncode == 0, result.stdout + result.stderr
