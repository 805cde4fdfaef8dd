"""X-Road records through `ingest` and `analyze`: what is an outage, its edges, and what is not."""

import gzip
import json
from random import Random

import pytest
from typer.testing import CliRunner
from xroad_samples import LINK, T0, client, network_error, producer, request_id

from streams.cli import app
from streams.replay.analyze import analyze

pytestmark = pytest.mark.slow

DAY_MS = 86_400_000
MINUTE_MS = 60_000


def traffic(from_ms, until_ms, every_ms, random, failing=()):
    """Return calls seen from both sides, and from the consumer's alone where the network failed."""
    records, calls = [], []
    for at_ms in range(from_ms, until_ms, every_ms):
        asked_ms = at_ms + random.randrange(0, every_ms // 2)
        identity = request_id(random)
        if any(start <= asked_ms < end for start, end in failing):
            records.append(network_error(asked_ms, identity))
            calls.append((asked_ms, False))
        else:
            records += [client(asked_ms, identity), producer(asked_ms, identity)]
            calls.append((asked_ms, True))
    return records, calls


def ingest(tmp_path, parts):
    """Import batches, one file each; return the figures and what the pipeline makes of the log."""
    names = []
    for number, part in enumerate(parts):
        path = tmp_path / f"batch-{number}.json.gz"
        path.write_bytes(gzip.compress(json.dumps({"records": part}).encode(), mtime=0))
        names.append(str(path))
    out = tmp_path / "log.ndjson.zst"
    result = CliRunner().invoke(app, ["ingest", "xroad", *names, "--out", str(out), "--json"])
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout), analyze(out)


def batches(records, random):
    """Return the records as batches that arrive hours late: cut up, out of order, some of them twice."""
    records = [*records, *random.sample(records, len(records) // 50)]
    random.shuffle(records)
    size = len(records) // 7 + 1
    return [records[at : at + size] for at in range(0, len(records), size)]


def test_a_run_of_network_errors_is_one_outage_with_its_edges(tmp_path):
    """The outage runs from the first failing request to the first that succeeds, to the millisecond."""
    random = Random(5)
    down = (T0 + 40 * MINUTE_MS, T0 + 52 * MINUTE_MS)
    records, calls = traffic(T0, T0 + 90 * MINUTE_MS, 2_000, random, failing=[down])
    figures, analysis = ingest(tmp_path, batches(records, random))
    failed = [at_ms for at_ms, ok in calls if not ok]
    assert figures["pairs"] == len(calls) - len(failed)
    assert figures["singles"] == figures["outcomes"]["unreachable"] == len(failed)
    assert figures["duplicates"] == len(records) // 50
    assert figures["rejected"] == 0
    [outage] = analysis.final()
    assert (outage.link, outage.kind, outage.fault_domain, outage.status) == (LINK, "down", "link", "closed")
    assert outage.start_ms == failed[0]
    assert outage.end_ms == min(at_ms for at_ms, ok in calls if ok and at_ms > failed[-1])
    assert (outage.attempts, outage.failures) == (len(failed), len(failed))
    assert analysis.records.late == analysis.records.dead_letter == analysis.records.duplicate == 0
    assert analysis.pending == 0


def test_a_three_day_silence_is_no_outage(tmp_path):
    """Busy, silent for three days, busy again: no outage, and the silence is unknown, not up."""
    random = Random(6)
    before, _ = traffic(T0, T0 + 60 * MINUTE_MS, 1_000, random)
    after_ms = T0 + 60 * MINUTE_MS + 3 * DAY_MS
    after, _ = traffic(after_ms, after_ms + 60 * MINUTE_MS, 1_000, random)
    _, analysis = ingest(tmp_path, batches([*before, *after], random))
    assert analysis.outages == []
    known_ms = sum(w.state_ms["UP"] + w.state_ms["DOWN"] + w.state_ms["DEGRADED"] for w in analysis.windows)
    assert 2 * 60 * MINUTE_MS <= known_ms <= 2 * 60 * MINUTE_MS + 12 * MINUTE_MS


def test_an_outage_followed_by_silence_stays_open_where_nobody_saw_its_end(tmp_path):
    """Failures, then three silent days, then successes: the end is the first success that was seen."""
    random = Random(7)
    down = (T0 + 30 * MINUTE_MS, T0 + 40 * MINUTE_MS)
    before, _ = traffic(T0, down[1], 1_000, random, failing=[down])
    after_ms = down[1] + 3 * DAY_MS
    after, calls = traffic(after_ms, after_ms + 30 * MINUTE_MS, 1_000, random)
    _, analysis = ingest(tmp_path, [after, before])
    assert {outage.link for outage in analysis.final()} == {LINK}
    assert analysis.final()[0].end_ms == calls[0][0]
    down_ms = sum(window.state_ms["DOWN"] for window in analysis.windows)
    assert down_ms < DAY_MS


def test_refusals_and_wrong_requests_are_no_outage(tmp_path):
    """An hour of 404, 403, 422 and faults of the client counts nothing against the link."""
    random = Random(8)
    records, _ = traffic(T0, T0 + 30 * MINUTE_MS, 1_000, random)
    answers = [
        {"statusCode": 404, "succeeded": False},
        {"statusCode": 403, "succeeded": False},
        {"statusCode": 422, "succeeded": False},
        {"statusCode": 500, "succeeded": False, "faultCode": "Server.ServerProxy.AccessDenied"},
        {"statusCode": 500, "succeeded": False, "faultCode": "Client.BadRequest"},
    ]
    for number, at_ms in enumerate(range(T0 + 30 * MINUTE_MS, T0 + 90 * MINUTE_MS, 1_000)):
        records.append(client(at_ms, request_id(random), **answers[number % len(answers)]))
    _, analysis = ingest(tmp_path, [records])
    assert analysis.outages == []


NOT_THE_LINKS = {
    "cancelled": {"faultCode": "Server.ClientProxy.IOError", "statusCode": 200},
    "denied": {"faultCode": "Server.ClientProxy.SslAuthenticationFailed", "requestOutTs": None},
}


@pytest.mark.parametrize("outcome", NOT_THE_LINKS)
def test_what_the_consumer_did_is_no_outage(tmp_path, outcome):
    """Three minutes of calls that failed by the consumer's doing are counted as such, and make no outage."""
    random = Random(11)
    records, _ = traffic(T0, T0 + 30 * MINUTE_MS, 1_000, random)
    fault = {"succeeded": False, "statusCode": None, "responseInTs": None} | NOT_THE_LINKS[outcome]
    if outcome == "cancelled":
        del fault["responseInTs"]
    for at_ms in range(T0 + 10 * MINUTE_MS, T0 + 13 * MINUTE_MS, 250):
        records.append(client(at_ms, request_id(random), **fault))
    figures, analysis = ingest(tmp_path, [records])
    assert figures["outcomes"][outcome] == 720
    assert analysis.outages == []
    assert sum(window.outcomes.get(outcome, 0) for window in analysis.windows) == 720
    attempts = sum(window.attempts for window in analysis.windows)
    assert attempts == figures["outcomes"]["ok"] + (720 if outcome == "denied" else 0)


def test_announced_maintenance_is_the_providers(tmp_path):
    """A gateway in announced maintenance is down by the provider's doing, never by the line's."""
    random = Random(12)
    records, _ = traffic(T0, T0 + 30 * MINUTE_MS, 1_000, random)
    fault = {"succeeded": False, "statusCode": None, "responseInTs": None, "requestOutTs": None}
    for at_ms in range(T0 + 30 * MINUTE_MS, T0 + 33 * MINUTE_MS, 500):
        code = {"faultCode": "Server.ClientProxy.MaintenanceMode"}
        records.append(client(at_ms, request_id(random), **fault, **code))
    _, analysis = ingest(tmp_path, [records])
    assert [outage.fault_domain for outage in analysis.final()] == ["provider"]


def test_faults_of_the_provider_blame_the_provider(tmp_path):
    """A provider whose service fails is down by its own fault, also as the consumer sees it."""
    random = Random(9)
    records, _ = traffic(T0, T0 + 30 * MINUTE_MS, 1_000, random)
    fault = {
        "succeeded": False,
        "statusCode": 500,
        "faultCode": "Server.ServerProxy.ServiceFailed.HttpError",
    }
    for at_ms in range(T0 + 30 * MINUTE_MS, T0 + 45 * MINUTE_MS, 1_000):
        identity = request_id(random)
        records += [client(at_ms, identity, **fault), producer(at_ms, identity, **fault)]
    more, _ = traffic(T0 + 45 * MINUTE_MS, T0 + 60 * MINUTE_MS, 1_000, random)
    _, analysis = ingest(tmp_path, [records + more])
    [outage] = analysis.final()
    assert (outage.kind, outage.fault_domain) == ("down", "provider")
    assert outage.start_ms == T0 + 30 * MINUTE_MS


def test_trouble_of_metaservices_is_not_the_business_links(tmp_path):
    """X-Road's own services failing leave the business link up."""
    random = Random(10)
    records, _ = traffic(T0, T0 + 60 * MINUTE_MS, 1_000, random)
    for at_ms in range(T0, T0 + 60 * MINUTE_MS, 5_000):
        own = {"serviceCode": "getSecurityServerHealthData", "serviceVersion": None}
        records.append(network_error(at_ms, request_id(random)) | own)
    _, analysis = ingest(tmp_path, [[{k: v for k, v in r.items() if v is not None} for r in records]])
    assert LINK not in {outage.link for outage in analysis.final()}
    assert {outage.link for outage in analysis.final()} == {f"{LINK} [metaservices]"}
