"""The deployment held against the code: nothing here runs Docker, so every name in it is compared."""

import copy
import re
import shlex
from pathlib import Path

import compose_spec
import pytest
import yaml
from command_lines import USAGE_ERROR, parse
from real_parts import program_or_skip
from typer.testing import CliRunner

import streams
from streams.cli import app
from streams.collect.shell import GRPC_PORT, HTTP_PORT
from streams.servers.jars import kafka_version
from streams.watch.rules import alertmanager_files
from streams.watch.settings import WatchSettings
from tools.dashboards.build import FOLDERS

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
SOURCE = (DEPLOY / "compose.yaml").read_text("utf-8")
VARIABLE = re.compile(r"\$\{(\w+)(?::([-?])([^}]*))?\}")


def filled(text: str) -> str:
    """Return a text with its variables filled in: the default, or a word where one must be given."""
    return VARIABLE.sub(lambda match: match[3] if match[2] == "-" else "given", text)


COMPOSE = yaml.safe_load(filled(SOURCE))
SERVICES = COMPOSE["services"]
STAGES = {name: one for name, one in SERVICES.items() if one["image"].startswith("portallink:")}
ONCE = {"topics", "demo", "backup"}
LONG_RUNNING = {name: one for name, one in SERVICES.items() if name not in ONCE}


def test_it_follows_the_compose_specification():
    """A validating parser of the specification accepts the file."""
    compose_spec.PyCompose.from_yaml(yaml.safe_dump(COMPOSE)).validate()


@pytest.mark.parametrize(
    "spoil",
    [
        lambda services: services["detect"].update(restrat="always"),
        lambda services: services["detect"]["healthcheck"].update(interval="soon"),
        lambda services: services["detect"].update(networks=["nowhere"]),
        lambda services: services["grafana"].update(read_only="maybe"),
    ],
    ids=["unknown key", "wrong duration", "unknown network", "wrong type"],
)
def test_the_parser_refuses_what_is_wrong(spoil):
    """The parser is strict: it refuses an unknown key, a wrong value and a name that is not there."""
    spoilt = copy.deepcopy(COMPOSE)
    spoil(spoilt["services"])
    with pytest.raises(ValueError, match=r"collect|detect|grafana"):
        compose_spec.PyCompose.from_yaml(yaml.safe_dump(spoilt)).validate()


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_is_started_by_a_command_that_exists(name):
    """Each command line, with every option in it, is one that `portallink` takes."""
    expected = {"topics": "topics apply", "demo": "simulate"}.get(name, f"run {re.sub('-[0-9]+$', '', name)}")
    assert parse(STAGES[name]["command"]) == expected


def test_a_wrong_option_would_be_seen():
    """The parser of command lines refuses an option and a command that do not exist."""
    with pytest.raises(USAGE_ERROR):
        parse(["run", "measure", "--no-such-option"])
    with pytest.raises(USAGE_ERROR):
        parse(["run", "no-such-stage"])


def test_every_variable_given_to_a_stage_is_read_by_the_code():
    """No environment variable of a stage or of the image is one that nothing reads."""
    code = "\n".join(path.read_text("utf-8") for path in (ROOT / "streams").rglob("*.py"))
    given = {name for one in STAGES.values() for name in one.get("environment", {})}
    image = re.findall(r"\b(PORTALLINK_\w+)=", (DEPLOY / "Dockerfile").read_text("utf-8"))
    assert {name for name in {*given, *image} if f'"{name}"' not in code} == set()


def test_every_path_that_is_mounted_exists():
    """Each bind mount's source is in the checkout, and each named volume is declared."""
    for one in SERVICES.values():
        for volume in one.get("volumes", []):
            source = volume.split(":")[0]
            if source.startswith("."):
                assert (DEPLOY / source).exists(), source
                assert volume.endswith(":ro"), volume
            else:
                assert source in COMPOSE["volumes"]


@pytest.mark.parametrize("name", LONG_RUNNING)
def test_a_service_is_healthy_limited_restarted_and_pinned(name):
    """Each service has a health check, limits, a restart policy, and an image of one version."""
    one = SERVICES[name]
    assert one["healthcheck"]["test"][0] == "CMD"
    assert {"cpus", "memory"} <= set(one["deploy"]["resources"]["limits"])
    assert one["restart"] == "unless-stopped"
    assert re.search(r":v?\d+\.\d+", one["image"]), one["image"]


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_runs_with_few_rights(name):
    """Our own containers are read-only, have no capabilities and no root."""
    one = STAGES[name]
    assert one["read_only"] is True
    assert one["cap_drop"] == ["ALL"]
    assert one["user"] == "10001:10001"


def test_pages_are_published_on_loopback_alone():
    """No port is open to the network unless somebody decides so."""
    ports = [port for one in SERVICES.values() for port in one.get("ports", [])]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_versions_are_those_the_code_is_tested_with():
    """The broker is the embedded one's version, our image this version, Grafana the dashboards' schema."""
    assert SERVICES["kafka"]["image"] == f"apache/kafka:{kafka_version()}"
    assert all(one["image"] == f"portallink:{streams.__version__}" for one in STAGES.values())
    pinned = re.search(r"grafana-foundation-sdk==\d+!(\S+?)\"", (ROOT / "pyproject.toml").read_text())
    assert SERVICES["grafana"]["image"] == f"grafana/grafana:{pinned[1]}"


def test_no_secret_is_written_down():
    """Passwords come from outside: each must be given, none has a default."""
    secrets = [match for match in VARIABLE.finditer(SOURCE) if "PASSWORD" in match[1]]
    assert secrets
    assert all(match[2] == "?" for match in secrets)
    assert not re.search(r"PASSWORD: +[^$]", SOURCE)


def test_prometheus_scrapes_every_stage_at_its_port():
    """The targets are the long-running stages, at the port that each is told to listen on."""
    config = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text("utf-8"))
    (ours,) = (job for job in config["scrape_configs"] if job["job_name"] == "portallink")
    looked_up = {f"{name}:{one['port']}" for one in ours["dns_sd_configs"] for name in one["names"]}
    ports = {
        name: f"{name}:{one['environment']['PORTALLINK_METRICS_PORT']}"
        for name, one in STAGES.items()
        if name not in ONCE
    }
    assert set(ours["static_configs"][0]["targets"]) == {
        port for name, port in ports.items() if "profiles" not in STAGES[name]
    }
    assert looked_up == {port for name, port in ports.items() if "profiles" in STAGES[name]}
    (manager,) = config["alerting"]["alertmanagers"][0]["static_configs"][0]["targets"]
    assert manager.split(":")[0] in SERVICES
    for name, one in STAGES.items():
        if name not in ONCE:
            assert f":{one['environment']['PORTALLINK_METRICS_PORT']}/healthz" in " ".join(
                one["healthcheck"]["test"]
            )


def test_grafana_finds_its_source_and_dashboards():
    """The provisioned data source is the Prometheus service, the dashboards' folder is the one mounted."""
    folder = ROOT / "grafana" / "provisioning"
    source = yaml.safe_load((folder / "datasources" / "prometheus.yaml").read_text("utf-8"))
    assert source["datasources"][0]["url"] == "http://prometheus:9090"
    provider = yaml.safe_load((folder / "dashboards" / "portallink.yaml").read_text("utf-8"))
    mounts = dict(volume.split(":")[:2] for volume in SERVICES["grafana"]["volumes"])
    paths = [one["options"]["path"] for one in provider["providers"]]
    shown = {place.removeprefix("../") for place, path in mounts.items() if path in paths}
    assert shown == {f"grafana/{folder}" for folder in FOLDERS.values()}
    home = SERVICES["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert (ROOT / "grafana" / home.removeprefix("/var/lib/grafana/")).exists()


def test_links_lead_to_published_pages():
    """The addresses in the settings are ports that are published; `serve` has the runbooks."""
    urls = WatchSettings().urls
    published = {port.split(":")[1] for one in SERVICES.values() for port in one.get("ports", [])}
    assert {re.search(r":(\d+)", url)[1] for url in (urls.grafana, urls.page, urls.runbooks)} <= published
    assert urls.runbooks == f"{urls.page}/runbooks"


@pytest.mark.parametrize("name", SERVICES)
def test_no_service_fills_the_disk_with_its_log(name):
    """Each service's log is cut at a size and kept in a few files."""
    options = SERVICES[name]["logging"]["options"]
    assert re.fullmatch(r"\d+m", options["max-size"])
    assert 1 < int(options["max-file"]) <= 10


def test_producers_outside_reach_a_listener_of_their_own():
    """The broker has a listener that is published, advertised under a name of your choice."""
    kafka = SERVICES["kafka"]
    said = [kafka["environment"][f"KAFKA_{key}"].split(",") for key in ("LISTENERS", "ADVERTISED_LISTENERS")]
    listening, advertised = (dict(one.split("://") for one in places) for places in said)
    (published,) = kafka["ports"]
    assert listening["OUTSIDE"] == ":9094"
    assert advertised == {"PLAINTEXT": "kafka:9092", "OUTSIDE": "localhost:9094"}
    assert published == "127.0.0.1:9094:9094"
    assert "${KAFKA_OUTSIDE_NAME:-localhost}" in SOURCE
    inner = STAGES["detect"]["environment"]["KAFKA_BOOTSTRAP_SERVERS"]
    assert advertised["PLAINTEXT"] == inner


def test_the_proxy_leads_to_services_at_their_ports():
    """Each upstream of the proxy is a service, at a port that it listens on."""
    text = (DEPLOY / "proxy" / "Caddyfile").read_text("utf-8")
    upstreams = re.findall(r"reverse_proxy (\w+):(\d+)", text)
    assert {name for name, _ in upstreams} == {"serve", "grafana"}
    for name, port in upstreams:
        assert any(one.endswith(f":{port}") for one in SERVICES[name]["ports"])
    assert set(re.findall(r"\{\$(\w+)\}", text)) <= set(SERVICES["proxy"]["environment"])


def test_what_is_optional_is_in_a_profile():
    """The simulated city, the proxy and the backup start only when asked for; the pipeline always does."""
    profiles = {name: one["profiles"] for name, one in SERVICES.items() if "profiles" in one}
    assert profiles == {"collect": ["otlp"], "demo": ["demo"], "proxy": ["tls"], "backup": ["backup"]}


def test_spans_come_in_at_the_ports_of_otlp_and_only_with_a_token():
    """`collect` publishes the ports that it listens on; without a token from outside it refuses to start."""
    one = STAGES["collect"]
    assert [port.split(":")[1:] for port in one["ports"]] == [
        [str(port)] * 2 for port in (HTTP_PORT, GRPC_PORT)
    ]
    assert one["environment"]["PORTALLINK_COLLECT_TOKEN"] is None  # nothing is filled in
    refused = CliRunner().invoke(app, one["command"], env={"PORTALLINK_COLLECT_TOKEN": ""})
    assert refused.exit_code == 2
    assert "PORTALLINK_COLLECT_TOKEN" in refused.stderr


@pytest.mark.prometheus
def test_prometheus_accepts_its_configuration(promtool):
    """Promtool finds the configuration and the rules it names in order."""
    result = promtool.run("check", "config", DEPLOY / "prometheus" / "prometheus.yml")
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.prometheus
@pytest.mark.parametrize("program", ["prometheus", "alertmanager"])
def test_every_flag_of_a_server_exists(program):
    """Each flag on the command line is one that the real program knows."""
    found = program_or_skip(program)
    known = found.run("--help")
    text = known.stdout + known.stderr
    for argument in SERVICES[program]["command"]:
        assert argument.split("=")[0] in text, argument


@pytest.mark.prometheus
def test_alertmanager_accepts_its_configuration(amtool):
    """Amtool finds the checked-in configuration in order, and it is the generated one."""
    path = DEPLOY / "alertmanager" / "alertmanager.yml"
    result = amtool.run("check-config", path)
    assert result.returncode == 0, result.stdout + result.stderr
    assert path.read_text("utf-8") == alertmanager_files(WatchSettings())["alertmanager.yml"]


DOCKERFILE = (DEPLOY / "Dockerfile").read_text("utf-8").replace("\\\n", " ")
INSTRUCTIONS = [line.split(None, 1) for line in DOCKERFILE.splitlines() if line and line[0] != "#"]


def test_the_image_is_built_in_stages_and_runs_as_nobody():
    """The last stage starts afresh, copies from the first, and ends as an unprivileged numeric user."""
    froms = [index for index, (word, _) in enumerate(INSTRUCTIONS) if word == "FROM"]
    assert len(froms) == 2
    last = INSTRUCTIONS[froms[-1] :]
    assert any(word == "COPY" and "--from=build" in rest for word, rest in last)
    users = [rest for word, rest in last if word == "USER"]
    assert users == [STAGES["detect"]["user"]]


def test_the_image_is_made_of_what_exists():
    """Each path copied into the image is in the checkout and let through to the builder."""
    allowed = (DEPLOY / "Dockerfile.dockerignore").read_text("utf-8").splitlines()
    for word, rest in INSTRUCTIONS:
        if word != "COPY" or "--from=" in rest:
            continue
        for source in shlex.split(rest)[:-1]:
            path = source.removeprefix("./")
            assert (ROOT / path).exists(), source
            assert f"!{path}" in allowed, source


def test_the_image_runs_our_command():
    """The entry point is our module, on the path where it is copied, under a Python that it supports."""
    entry = next(yaml.safe_load(rest) for word, rest in INSTRUCTIONS if word == "ENTRYPOINT")
    assert entry == ["python", "-m", "streams"]
    copied = {rest.split()[-1] for word, rest in INSTRUCTIONS if word == "COPY" and "--from=" not in rest}
    path = re.search(r"PYTHONPATH=(\S+)", DOCKERFILE)[1]
    assert {f"{path}/streams", f"{path}/schemas"} <= copied
    assert (ROOT / "streams" / "__main__.py").exists()
    bases = {rest.split()[0] for word, rest in INSTRUCTIONS if word == "FROM"}
    assert len(bases) == 1
    assert re.fullmatch(r"python:3\.1[1-3]-slim-\w+", bases.pop())
