"""The Kubernetes files, checked against the published schemas and the code; no cluster runs them here."""

import copy
from pathlib import Path

import kubernetes_validate
import pytest
import yaml
from command_lines import parse

from streams.kafka.acls import GROUPS, grants
from streams.kafka.topics import declared_topics
from streams.measure.stage import GROUP
from streams.watch.rules import rule_files
from streams.watch.settings import WatchSettings
from tools.kubernetes_operators import PRINCIPALS

ROOT = Path(__file__).resolve().parents[2] / "deploy" / "kubernetes"
KUBERNETES = "1.34"
CRDS = {"ScaledObject", "PodMonitor", "PrometheusRule"}
STRIMZI = {"KafkaTopic", "KafkaUser"}
KUSTOMIZE = {"Kustomization", "Component"}
DOCUMENTS = {
    f"{path.relative_to(ROOT)}-{number}": document
    for path in sorted(ROOT.rglob("*.yaml"))
    for number, document in enumerate(yaml.safe_load_all(path.read_text("utf-8")))
}
WORKLOADS = {d["metadata"]["name"]: d for d in DOCUMENTS.values() if d["kind"] in {"Deployment", "Job"}}
BUILT_IN = {
    name: document
    for name, document in DOCUMENTS.items()
    if document["kind"] not in {*CRDS, *STRIMZI, *KUSTOMIZE}
}


def container(workload: dict) -> dict:
    """Return the only container of a workload."""
    (only,) = workload["spec"]["template"]["spec"]["containers"]
    return only


@pytest.mark.parametrize("name", BUILT_IN)
def test_what_kubernetes_itself_defines_is_valid(name):
    """Each built-in resource is accepted, strictly, by the published schema of Kubernetes."""
    kubernetes_validate.validate(BUILT_IN[name], KUBERNETES, strict=True)


def test_the_schema_refuses_a_misspelt_field():
    """The validation is strict: a field that does not exist is refused."""
    spoilt = copy.deepcopy(WORKLOADS["measure"])
    spoilt["spec"]["replicass"] = 2
    with pytest.raises(kubernetes_validate.ValidationError, match="replicass"):
        kubernetes_validate.validate(spoilt, KUBERNETES, strict=True)


def test_measure_is_scaled_by_its_lag_up_to_its_partitions():
    """Scaling names the deployment, the group and topics that `measure` reads, and their partitions."""
    (scaled,) = (d["spec"] for d in DOCUMENTS.values() if d["kind"] == "ScaledObject")
    read = {
        topic.name: topic
        for topic in declared_topics().values()
        if "measure" in topic.consumers and "measure" not in topic.producers
    }
    assert scaled["scaleTargetRef"]["name"] in WORKLOADS
    assert {one["metadata"]["topic"] for one in scaled["triggers"]} == set(read)
    assert {one["metadata"]["consumerGroup"] for one in scaled["triggers"]} == {GROUP}
    assert scaled["maxReplicaCount"] == max(topic.partitions for topic in read.values())


def test_spans_reach_collect_and_nobody_without_a_token():
    """Service, network policy and container agree on the ports of OTLP, and the token is a secret."""
    ours = (d for name, d in DOCUMENTS.items() if name.startswith("components/otlp/"))
    of_kind = {d["kind"]: d for d in ours}
    one = container(WORKLOADS["collect"])
    opened = {port["name"]: port["containerPort"] for port in one["ports"]}
    service = of_kind["Service"]["spec"]
    assert {port["port"]: opened[port["targetPort"]] for port in service["ports"]} == {4318: 4318, 4317: 4317}
    (rule,) = of_kind["NetworkPolicy"]["spec"]["ingress"]
    assert {port["port"] for port in rule["ports"]} == {4318, 4317}
    labels = WORKLOADS["collect"]["spec"]["template"]["metadata"]["labels"]
    for selector in (service["selector"], of_kind["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"]):
        assert selector.items() <= labels.items()
    assert of_kind["HorizontalPodAutoscaler"]["spec"]["scaleTargetRef"]["name"] == "collect"
    assert one["args"][-2:] == ["--host", "0.0.0.0"]  # noqa: S104 - within the pod
    assert [variable["name"] for variable in one["env"]] == ["PORTALLINK_COLLECT_TOKEN"]
    assert "secretKeyRef" in one["env"][0]["valueFrom"]


def test_every_process_is_scraped_and_the_rules_are_those_of_the_checkout():
    """The monitor selects each stage and a port it opens; the rules are the generated rule files."""
    (monitor,) = (d["spec"] for d in DOCUMENTS.values() if d["kind"] == "PodMonitor")
    labels = monitor["selector"]["matchLabels"]
    for one in (d for d in WORKLOADS.values() if d["kind"] == "Deployment"):
        assert labels.items() <= one["spec"]["template"]["metadata"]["labels"].items()
        ports = {port["name"] for port in container(one)["ports"]}
        assert {endpoint["port"] for endpoint in monitor["podMetricsEndpoints"]} <= ports
    (rules,) = (d["spec"] for d in DOCUMENTS.values() if d["kind"] == "PrometheusRule")
    files = rule_files(WatchSettings()).values()
    assert rules["groups"] == [group for text in files for group in yaml.safe_load(text)["groups"]]


def test_every_topic_is_declared_once_and_as_the_schemas_say():
    """Strimzi makes each declared topic with the partitions and settings of `schemas/`, and no other."""
    made = {d["spec"]["topicName"]: d["spec"] for d in DOCUMENTS.values() if d["kind"] == "KafkaTopic"}
    assert set(made) == set(declared_topics())
    for name, topic in declared_topics().items():
        assert made[name]["partitions"] == topic.partitions
        assert topic.config.items() <= made[name]["config"].items()


def test_every_user_has_exactly_the_rights_of_its_principals():
    """What Strimzi grants is what `portallink topics acls` says, right by right, and nothing more."""
    given = set()
    for user in (d for d in DOCUMENTS.values() if d["kind"] == "KafkaUser"):
        name = user["metadata"]["name"].removeprefix("portallink-")
        for acl in user["spec"]["authorization"]["acls"]:
            resource = acl["resource"]
            pattern = {"prefix": "prefixed"}.get(resource["patternType"], resource["patternType"])
            given |= {(name, op, resource["type"], resource["name"], pattern) for op in acl["operations"]}
    user_of = {principal: user for user, own in PRINCIPALS.items() for principal in own}
    assert given == {(user_of.get(one.principal, one.principal), *one[1:]) for one in grants()}


def test_each_stage_on_the_broker_logs_in_as_its_user():
    """Strimzi's component gives every stage that has a group its own user's name and password."""
    component = DOCUMENTS["components/strimzi/kustomization.yaml-0"]
    patches = [yaml.safe_load(one["patch"]) for one in component["patches"]]
    users = {d["metadata"]["name"] for d in DOCUMENTS.values() if d["kind"] == "KafkaUser"}
    code = (ROOT.parents[1] / "streams" / "kafka" / "connection.py").read_text("utf-8")
    logged_in = {}
    for patch in (one for one in patches if one["kind"] == "Deployment"):
        (one,) = patch["spec"]["template"]["spec"]["containers"]
        assert one["name"] == patch["metadata"]["name"] == container(WORKLOADS[one["name"]])["name"]
        assert all(f'"{variable["name"]}"' in code for variable in one["env"])
        values = {variable["name"]: variable for variable in one["env"]}
        logged_in[one["name"]] = values["KAFKA_SASL_USERNAME"]["value"]
        secret = values["KAFKA_SASL_PASSWORD"]["valueFrom"]["secretKeyRef"]
        assert secret == {"name": logged_in[one["name"]], "key": "password"}
    assert logged_in == {stage: f"portallink-{stage}" for stage in GROUPS if stage in WORKLOADS}
    assert set(logged_in.values()) <= users
    deleted = [one for one in patches if one.get("$patch") == "delete"]
    assert [one["metadata"]["name"] for one in deleted] == ["topics"]


@pytest.mark.parametrize("name", WORKLOADS)
def test_a_container_runs_a_command_that_exists(name):
    """Each command line, with every option in it, is one that `portallink` takes."""
    expected = "topics apply" if name == "topics" else f"run {name}"
    assert parse(container(WORKLOADS[name])["args"]) == expected


@pytest.mark.parametrize("name", WORKLOADS)
def test_a_container_may_do_little_and_has_limits(name):
    """Each container runs as a user, on a read-only root, without capabilities, within a memory limit."""
    pod, one = WORKLOADS[name]["spec"]["template"]["spec"], container(WORKLOADS[name])
    assert pod["securityContext"]["runAsNonRoot"]
    assert one["securityContext"]["readOnlyRootFilesystem"]
    assert one["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert one["resources"]["limits"]["memory"]
    mounted = {mount["name"] for mount in one["volumeMounts"]}
    assert mounted == {volume["name"] for volume in pod["volumes"]}


def test_every_long_running_container_is_probed_and_protected():
    """Each stage has liveness, readiness and start probes on a port it opens, and a disruption budget."""
    budgets = {d["metadata"]["name"] for d in DOCUMENTS.values() if d["kind"] == "PodDisruptionBudget"}
    stages = {name: one for name, one in WORKLOADS.items() if one["kind"] == "Deployment"}
    assert budgets == set(stages)
    for one in stages.values():
        ports = {port["name"] for port in container(one)["ports"]}
        for probe in ("livenessProbe", "readinessProbe", "startupProbe"):
            assert container(one)[probe]["httpGet"]["port"] in ports


def test_every_variable_given_is_read_by_the_code():
    """No environment variable of a container or of the shared configuration is one that nothing reads."""
    code = "\n".join(path.read_text("utf-8") for path in (ROOT.parents[1] / "streams").rglob("*.py"))
    (config,) = (d for d in DOCUMENTS.values() if d["kind"] == "ConfigMap")
    given = set(config["data"]) | {
        one["name"] for workload in WORKLOADS.values() for one in container(workload).get("env", [])
    }
    assert {name for name in given if f'"{name}"' not in code} == set()


def test_every_file_is_in_a_kustomization():
    """Each file is a resource of the kustomization beside it, and each resource is a file."""
    for path in ROOT.rglob("kustomization.yaml"):
        named = set(yaml.safe_load(path.read_text("utf-8"))["resources"])
        beside = {one.name for one in path.parent.glob("*.yaml")} - {"kustomization.yaml"}
        assert {one for one in named if one.endswith(".yaml")} == beside
        assert all((path.parent / one).exists() for one in named)
