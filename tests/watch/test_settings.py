"""Settings: a wrong file is refused with the field and the reason, a changed one changes the rules."""

import re

import pytest
import yaml
from typer.testing import CliRunner

from streams.cli.stages.watch import app
from streams.watch.routing import alertmanager_config
from streams.watch.rules import SLO_FILE, alertmanager_files, rule_files
from streams.watch.settings import (
    Email,
    Lookups,
    Notify,
    PagerDuty,
    Receiver,
    SettingsError,
    Slack,
    Telegram,
    WatchSettings,
    load_settings,
)

WRONG = {
    "lookups: {success_target: 1.5}": r"lookups\.success_target: Expected `float` < 1",
    "lookups: {success_target: ninety}": r"lookups\.success_target: Expected `float`, got `str`",
    "lookups: {success_target: 0.9}": r"lookups: `success_target` is 0\.9, but must be above 0\.9306",
    "lookups: {targets: {npd: 0.5}}": r"lookups: the target of link 'npd' is 0\.5, but must be above",
    "lookups: {minimum_failures: 0}": r"lookups\.minimum_failures: Expected `int` >= 1",
    "lookups: {sucess_target: 0.99}": r"lookups: .*unknown field `sucess_target`",
    "submissions: {accepted_within_seconds: 45}": r"submissions: `accepted_within_seconds` is 45, but must be"
    r" a bound of the histogram: 0\.1, 0\.5, 1, 2\.5, 5, 10, 30, 60, 120",
    'office_hours: {first: "25:00"}': r"office_hours\.first: Expected `str` matching regex",
    'office_hours: {first: "18:00"}': r"office_hours: `first` \(18:00\) must come before `last` \(17:00\)",
    "office_hours: {weekdays: [7]}": r"office_hours\.weekdays\[.*\]: Expected `int` <= 6",
    "office_hours: {weekdays: []}": r"office_hours: `weekdays` must name at least one day",
    "notify: {page: {webhook: [ftp://x]}}": r"notify\.page\.webhook\[.*\]: Expected `str` matching regex",
    "notify: {page: {slack: [{channel: '#a'}]}}": r"notify\.page\.slack\[.*\]:"
    r" .*missing required field `api_url_file`",
    "notify: {pages: sometimes}": r"notify\.pages: Invalid enum value 'sometimes'",
    "links: {shared_outage_links: 1}": r"links\.shared_outage_links: Expected `int` >= 2",
    "- 1": r"the file itself: Expected `object`, got `array`",
    "lookups: [": r"not YAML",
}


@pytest.mark.parametrize(("text", "reason"), WRONG.items(), ids=WRONG)
def test_a_wrong_file_is_refused_with_field_and_reason(text, reason, tmp_path):
    """The error names the file, the field and what is wrong with it."""
    path = tmp_path / "slo.yaml"
    path.write_text(text, "utf-8")
    with pytest.raises(SettingsError, match=f"(?s)slo\\.yaml: {reason}"):
        load_settings(path)


def test_a_missing_file_is_named(tmp_path):
    """A file that is not there is an error of its own."""
    with pytest.raises(SettingsError, match=r"none\.yaml: No such file"):
        load_settings(tmp_path / "none.yaml")


def test_the_command_refuses_a_wrong_file_and_writes_nothing(tmp_path):
    """`portallink watch rules` exits 2 with the field and the reason, and leaves the folder as it was."""
    (tmp_path / "slo.yaml").write_text("lookups: {success_target: 1.5}", "utf-8")
    out = tmp_path / "out"
    result = CliRunner().invoke(app, ["rules", "--slo", str(tmp_path / "slo.yaml"), "--out", str(out)])
    assert result.exit_code == 2
    assert "lookups.success_target" in result.stderr
    assert not out.exists()


def test_the_command_writes_and_then_checks(tmp_path):
    """After writing, the check passes; after an edit by hand it exits 1 and names the file."""
    (tmp_path / "slo.yaml").write_text("lookups: {success_target: 0.995}", "utf-8")
    arguments = ["rules", "--slo", str(tmp_path / "slo.yaml"), "--out", str(tmp_path)]
    assert CliRunner().invoke(app, arguments).exit_code == 0
    assert CliRunner().invoke(app, [*arguments, "--check"]).exit_code == 0
    edited = tmp_path / "prometheus" / "rules" / "alerts.yml"
    edited.write_text(edited.read_text("utf-8").replace("0.2", "0.3"), "utf-8")
    result = CliRunner().invoke(app, [*arguments, "--check"])
    assert result.exit_code == 1
    assert "alerts.yml" in result.stderr.replace("\n", "")


def test_a_target_of_one_link_leaves_the_others_at_the_default():
    """The default excludes the links set apart, each by its exact name."""
    settings = WatchSettings(lookups=Lookups(success_target=0.99, targets={"a.b > npd": 0.999}))
    budgets = re.findall(r"group by \(link\).*", rule_files(settings)[SLO_FILE].replace("\n      ", " "))
    assert len(budgets) == 3, "two of lookups, one of availability"
    assert '{link!="a.b > npd"}) * 0.01' in budgets[0]
    assert '{link="a.b > npd"}) * 0.001' in budgets[1]


EVERY_CHANNEL = Receiver(
    email=(Email("sre@example.org", "smtp.example.org:587", "portallink@example.org", "me", "smtp"),),
    slack=(Slack("#lgsp", "slack"),),
    pagerduty=(PagerDuty("pagerduty"),),
    webhook=("http://127.0.0.1:9/alerts",),
)


def checked(amtool, folder, settings: WatchSettings) -> dict:
    """Write Alertmanager's files, have amtool accept them, and return the configuration."""
    for name, text in alertmanager_files(settings).items():
        (folder / name).write_text(text, "utf-8")
    result = amtool.run("check-config", folder / "alertmanager.yml")
    assert result.returncode == 0, result.stdout + result.stderr
    return yaml.safe_load((folder / "alertmanager.yml").read_text("utf-8"))


@pytest.mark.prometheus
@pytest.mark.parametrize("language", ["vi", "en", "both"])
def test_every_channel_reaches_alertmanager(language, amtool, tmp_path):
    """Each channel of the settings is in the configuration, which amtool accepts; PagerDuty is by link."""
    notify = Notify(language=language, page=EVERY_CHANNEL, ticket=EVERY_CHANNEL)
    config = checked(amtool, tmp_path, WatchSettings(notify=notify))
    by_name = {receiver["name"]: set(receiver) - {"name"} for receiver in config["receivers"]}
    assert by_name["ticket"] == {"email_configs", "slack_configs", "pagerduty_configs", "webhook_configs"}
    assert by_name["page"] | by_name["pagerduty"] == by_name["ticket"]
    assert by_name["page"] & by_name["pagerduty"] == set()


def test_a_telegram_chat_is_written_as_alertmanager_documents_it():
    """The chat, the token's file and plain text stand in the configuration (Debian's amtool is older)."""
    notify = Notify(page=Receiver(telegram=(Telegram(-1001, "telegram"),)))
    receivers = alertmanager_config(WatchSettings(notify=notify), range(2026, 2027))["receivers"]
    (chat,) = next(one for one in receivers if one["name"] == "page")["telegram_configs"]
    assert (chat["chat_id"], chat["bot_token_file"], chat["parse_mode"]) == (-1001, "telegram", "")


def test_settings_without_a_receiver_are_warned_about(tmp_path):
    """`watch rules` names each severity that reaches nobody, and is silent about those that do."""
    (tmp_path / "slo.yaml").write_text("notify: {page: {webhook: ['http://127.0.0.1:9/a']}}", "utf-8")
    arguments = ["rules", "--slo", str(tmp_path / "slo.yaml"), "--out", str(tmp_path)]
    said = CliRunner().invoke(app, arguments).stderr.replace("\n", " ")
    assert "warning: notify.ticket has no receiver" in said
    assert "warning: notify.watchdog has no receiver" in said
    assert "notify.page" not in said


@pytest.mark.prometheus
@pytest.mark.parametrize(
    ("labels", "receivers"),
    [
        (["severity=page", "incident=pipeline"], "page,ticket"),
        (["severity=page", "group=links-down", "link=npd"], "page,ticket"),
        (["severity=ticket", "link=npd"], "ticket"),
        (["severity=none", "alertname=PortallinkLinkMaintenance"], "nobody"),
        (["severity=none", "alertname=PortallinkWatchdog"], "watchdog"),
        ([], "ticket"),
    ],
)
def test_alerts_are_routed_by_severity(labels, receivers, amtool, tmp_path):
    """Tickets get everything, the pager what cannot wait, nobody what only mutes."""
    checked(amtool, tmp_path, WatchSettings())
    result = amtool.run("config", "routes", "test", f"--config.file={tmp_path / 'alertmanager.yml'}", *labels)
    assert (result.returncode, result.stdout.strip()) == (0, receivers), result.stderr
