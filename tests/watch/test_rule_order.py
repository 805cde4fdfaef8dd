"""What a linter of rules would find fault with, by kind: the order of groups, gaps, needless expressions."""

import itertools
import re

import promql_parser
import pytest
import yaml

from streams.watch.promql import span_at
from streams.watch.rules import rule_files
from streams.watch.settings import Links, Lookups, WatchSettings

SETTINGS = {
    "as shipped": WatchSettings(),
    "one link set apart": WatchSettings(
        lookups=Lookups(targets={"a.b > npd": 0.999}), links=Links(availability_targets={"x": 0.995})
    ),
    "two links set apart": WatchSettings(
        lookups=Lookups(targets={"a": 0.999, "b": 0.98}),
        links=Links(availability_targets={"a": 0.999, "b": 0.98}),
    ),
}
RECORDED = re.compile(r"portallink:[a-z0-9_]+:[a-z0-9_]+")
LOOKBACK_SECONDS = 300
"""A sample is seen for five minutes: what is evaluated less often leaves gaps."""


def groups(settings):
    """Return every group of every rule file."""
    files = rule_files(settings).values()
    return [group for text in files for group in yaml.safe_load(text)["groups"]]


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_what_a_rule_reads_was_recorded_before_it_in_its_own_group(settings):
    """No rule or alert reads what another group records, or what its own group records only after it."""
    recorded_in = {
        rule["record"]: group["name"]
        for group in groups(settings)
        for rule in group["rules"]
        if "record" in rule
    }
    for group in groups(settings):
        seen = set()
        for rule in group["rules"]:
            read = set(RECORDED.findall(rule["expr"]))
            assert {recorded_in[name] for name in read} <= {group["name"]}, rule
            assert read <= seen, (rule, read - seen)
            seen.add(rule.get("record"))


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_no_group_is_evaluated_so_seldom_that_its_series_have_gaps(settings):
    """Each group's interval is at most half of how long a sample is seen, so that one may be missed."""
    written = {span_at(1)(seconds): seconds for seconds in range(1, LOOKBACK_SECONDS // 2 + 1)}
    assert {group["interval"] for group in groups(settings)} <= written.keys()


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_no_expression_matches_by_a_pattern_where_a_value_would_do(settings):
    """Each regular expression of a selector has alternatives, or a wildcard among other characters."""
    for rule in itertools.chain.from_iterable(group["rules"] for group in groups(settings)):
        for matcher in re.findall(r'[!=]~"((?:[^"\\]|\\.)*)"', rule["expr"]):
            assert "|" in matcher or re.search(r"[^\\]?\.[*+]", matcher), (rule, matcher)
            assert matcher not in {".*", ".+"}
            assert not matcher.startswith("^")
            assert not matcher.endswith("$")


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_names_are_recorded_once_for_each_link(settings):
    """Two rules of one name speak of different links: no series is recorded twice."""
    for group in groups(settings):
        rules = [rule for rule in group["rules"] if "record" in rule]
        for first, other in itertools.combinations(rules, 2):
            if first["record"] == other["record"]:
                selectors = [re.findall(r"link!?[=~]+\"[^\"]*\"", rule["expr"]) for rule in (first, other)]
                assert all(selectors)
                assert selectors[0] != selectors[1]


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_every_expression_parses(settings):
    """Each expression is one that Prometheus's own grammar knows."""
    for group in groups(settings):
        for rule in group["rules"]:
            promql_parser.parse(rule["expr"])
