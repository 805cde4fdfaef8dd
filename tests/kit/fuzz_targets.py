"""Every decoder and file format that takes bytes from outside, with what it may raise."""

import tempfile
from collections.abc import Callable
from pathlib import Path

import msgspec
from fuzz_doors import DOORS
from fuzzing import Target

from streams.detect.believe import check_measurement
from streams.detect.detector import Detector
from streams.detect.rule.definition import Rule
from streams.detect.rule.rules import Rules
from streams.ingest.tally import ImportFileError
from streams.ingest.xroad.files import read_xroad
from streams.intake.errors import IntakeError
from streams.intake.shell import opened
from streams.kafka.topics import declared_topics
from streams.ledger.proof.heads import KeyFileError, SignedHead, load_public_key
from streams.ledger.store.apply import apply_records
from streams.ledger.store.database import open_ledger, sqlite_url
from streams.logs.file import LogFileError
from streams.logs.line import LogLineError, decode_record
from streams.logs.read import read_log
from streams.logs.settings_file import SettingsFileError, read_settings
from streams.measure.letters import told_records
from streams.measure.meter import Meter
from streams.measure.source import progress_in
from streams.model.border import check_bounds
from streams.model.measurement import Measurement
from streams.model.record import Record, original_ms
from streams.model.settings import DetectSettings, MeasureSettings
from streams.replay.rulefile import RuleFileError, read_rule
from streams.serve.access import TokensFileError, read_tokens
from streams.serve.context import Problem
from streams.serve.cursor import cursor_in
from streams.serve.names import NamesFileError, read_names
from streams.watch.settings import SettingsError, load_settings

SCRATCH = Path(tempfile.mkdtemp(prefix="portallink-fuzz-"))
LOGGED_MS = 1_700_000_000_000
_measurement = msgspec.json.Decoder(Measurement)
_head = msgspec.json.Decoder(SignedHead)


def _values(*topics: str) -> list[bytes]:
    """Return the examples of topics, good and bad, as bytes."""
    found = []
    for topic in (declared_topics()[name] for name in topics):
        found += [msgspec.json.encode(one.value) for one in (*topic.examples(), *topic.bad_examples())]
    return found


def _metered(topic: str) -> Callable[[bytes], None]:
    def run(data: bytes) -> None:
        meter = Meter(topic, 0, MeasureSettings())
        meter.feed([(n, LOGGED_MS, None, piece) for n, piece in enumerate((data, data[: len(data) // 2]))])
        totals = meter.totals()
        counted = totals.applied + totals.duplicate + totals.late + totals.dead_letter
        assert counted == 2, f"{counted} of 2 records are accounted for"

    return run


def _detected(data: bytes) -> None:
    measurement = _measurement.decode(data)
    check_bounds(data, measurement)
    check_measurement(measurement, LOGGED_MS)
    detector = Detector(Rules(Rule()), DetectSettings(), [0])
    detector.apply(measurement, 0, LOGGED_MS)


class _Recorded:
    """A ledger that every piece of bytes is recorded in, as a record of each topic."""

    def __init__(self) -> None:
        self._engine = None
        self._offset = 0

    def __call__(self, data: bytes) -> None:
        if self._engine is None:
            self._engine = open_ledger(sqlite_url(SCRATCH / "ledger.db"), create=True)
        topics = ("link.outages", "link.windows", "link.exclusions", "link.retirements")
        records = [Record(topic, 0, self._offset, LOGGED_MS, None, data) for topic in topics]
        self._offset += 1
        applied = apply_records(self._engine, records)
        assert applied.applied + applied.duplicate + len(applied.refused) == len(records)


def _file(read: Callable[[Path], object], suffix: str = "") -> Callable[[bytes], None]:
    def run(data: bytes) -> None:
        path = SCRATCH / f"input{suffix}"
        path.write_bytes(data)
        read(path)

    return run


def _all_of_log(path: Path) -> None:
    for _ in read_log(path):
        pass


def _xroad(path: Path) -> None:
    with opened(str(path)) as parts:
        for _ in read_xroad(path.name, parts, lambda _: None):
            pass


def _line(value: bytes) -> bytes:
    return (
        b'{"topic":"npd.lookups","partition":0,"offset":1,"logged_at_ms":1700000000000,"value":%b}\n' % value
    )


EVENTS = _values("npd.lookups", "portal.submissions")
RESULTS = _values("link.outages", "link.windows", "link.exclusions", "link.retirements")
LINES = [_line(value) for value in EVENTS[:4]] + [
    b'{"topic":"t","partition":0,"offset":7,"ts":5,"payload":"{}"}'
]
XROAD = [
    (
        b'{"records":[{"monitoringDataTs":1700000000,"securityServerType":"Client","requestInTs":1700000000000,'
        b'"responseOutTs":1700000000900,"messageId":"m1","succeeded":true,"clientXRoadInstance":"VN"}]}'
    ),
    b"monitoringDataTs,requestInTs,responseOutTs,succeeded\n1700000000,1700000000000,1700000000900,true\n",
]
TARGETS: dict[str, Target] = {
    "npd.lookups": Target(_metered("npd.lookups"), (), EVENTS),
    "portal.submissions": Target(_metered("portal.submissions"), (), EVENTS),
    "link.measurements": Target(
        _detected, (msgspec.DecodeError, RecursionError, ValueError), _values("link.measurements")
    ),
    "ledger records": Target(_Recorded(), (), RESULTS),
    "dead letters": Target(
        lambda data: told_records("npd.lookups", 0, [data]), (), _values("pipeline.dead_letters")
    ),
    "commit metadata": Target(
        lambda data: progress_in(data.decode("utf-8", "replace")), (), [b'{"rebuild_offset":3,"gone_from":1}']
    ),
    "time header": Target(
        lambda data: original_ms((("portallink.logged_at_ms", data),), LOGGED_MS), (), [b"1700000000000"]
    ),
    "log line": Target(decode_record, (LogLineError,), LINES),
    "log file": Target(_file(_all_of_log, ".ndjson"), (LogFileError,), LINES),
    "compressed log file": Target(
        _file(_all_of_log, ".ndjson.zst"), (LogFileError,), [b"\x28\xb5\x2f\xfd", *LINES]
    ),
    "X-Road file": Target(_file(_xroad, ".json"), (IntakeError, ImportFileError), XROAD),
    "settings file": Target(
        _file(read_settings, ".toml"),
        (SettingsFileError,),
        [b"[measure]\nslot_ms = 5000\n", b"dead_letter_share = 0.5"],
    ),
    "rule file": Target(_file(read_rule, ".json"), (RuleFileError,), [b'{"min_duration_ms": 30000}']),
    "tokens file": Target(
        _file(read_tokens),
        (TokensFileError,),
        [b'{"name":"a","role":"viewer","sha256":"00","expires_at":1}\n'],
    ),
    "names file": Target(
        _file(read_names, ".yaml"), (NamesFileError,), [b"links:\n  npd: National database\n"]
    ),
    "alerting settings": Target(
        _file(load_settings, ".yaml"), (SettingsError,), [b"links:\n  blind_for_seconds: 120\n"]
    ),
    "public key": Target(
        _file(load_public_key), (KeyFileError,), [b"-----BEGIN PUBLIC KEY-----\nMCowBQ==\n"]
    ),
    "signed head": Target(
        lambda data: _head.decode(data).statement(),
        (msgspec.DecodeError, ValueError, RecursionError),
        [b'{"statement_base64":"e30=","signature_base64":"","key_id":"x"}'],
    ),
    "cursor": Target(
        lambda data: cursor_in(data.decode("ascii", "replace")),
        (Problem,),
        [b"WzEsICJ4Il0", b"WzEyLCBudWxsXQ"],
    ),
    **DOORS,
}
