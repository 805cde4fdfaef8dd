"""What takes logs of gateways and spans: each a target of `make fuzz`."""

import struct
import tempfile
import zlib
from collections.abc import Callable, Iterable
from contextlib import ExitStack, suppress
from pathlib import Path

import msgspec
import yaml
import zstandard
from fuzzing import Target
from gateway_lines import WRITERS, LoggedCall
from gateway_maps import JSON_MAP, rows
from spans import CLIENT, as_json, as_protobuf, span

from streams.collect.bodies import ENCODINGS, BodyError, unpacked
from streams.ingest.gateway.files import Counts, LogFile
from streams.ingest.gateway.following import Following, Position, piece_of
from streams.ingest.mapping.mapper import Event, Mapper
from streams.ingest.otlp.export import Form, NotOtlpError, SpanMapper, Tally
from streams.ingest.otlp.files import exports
from streams.ingest.shell import load_mapper, mapper_of, preset_text
from streams.ingest.tally import ImportFileError
from streams.intake.errors import IntakeError
from streams.intake.shell import opened
from streams.model.events import lookup_decoder
from streams.model.located import Located, LocatedError

SCRATCH = Path(tempfile.mkdtemp(prefix="portallink-fuzz-"))
T0 = 1_795_741_200_000
MOST_BODY_BYTES = 1 << 20
ENDINGS = ("ok", "missing", "refused", "timeout", "gone")


def _valid(events: Iterable[Event]) -> None:
    """Hold that the pipeline would take what came of the input."""
    for event in events:
        lookup_decoder.decode(msgspec.json.encode(event))


def _imported(mapper: Mapper) -> Callable[[bytes], None]:
    """Return what imports some bytes as a file."""

    def run(data: bytes) -> None:
        path = SCRATCH / "access.log"
        path.write_bytes(data)
        counts, rejects = Counts(), []
        with ExitStack() as stack:
            parts = stack.enter_context(opened(str(path)))
            calls = LogFile(path.name, parts, mapper, rejects.append, counts).calls()
            for events in calls:
                _valid(events)
        assert counts.lines == counts.calls + counts.skipped + len(rejects)

    return run


def _followed(mapper: Mapper) -> Callable[[bytes], None]:
    """Return what follows some bytes as two pieces of a log."""

    def run(data: bytes) -> None:
        following = Following(mapper, 2, 1_000)
        at = Position("log", 0, 1)
        cut = data.rfind(b"\n", 0, len(data) // 2) + 1
        for piece in (data[:cut], data[cut:]):
            if piece:
                taken = piece_of("log", at, piece)
                following.take(taken, T0 + 100_000)
                at = taken.end
        for _ in range(10):  # of a log of centuries only the first steps
            following.due(T0 + 200_000, caught_up=True)
        following.confirmed()

    return run


def _spans(form: Form) -> Callable[[bytes], None]:
    mapper = SpanMapper([load_mapper("opentelemetry")])

    def run(data: bytes) -> None:
        tally = Tally()
        _valid(mapper.events(data, form, tally))
        assert tally.spans == tally.lookups + tally.submissions + tally.passed_over + tally.rejected

    return run


def _of_file(data: bytes) -> None:
    for piece in exports(
        iter([data[:7], data[7:]]), lambda packed: unpacked(packed, "zstd", MOST_BODY_BYTES)
    ):
        assert piece.data is not None


def _unpacked(data: bytes) -> None:
    for encoding in ENCODINGS:
        with suppress(BodyError):
            assert len(unpacked(data, encoding, MOST_BODY_BYTES)) <= MOST_BODY_BYTES


def _log_of(preset: str) -> bytes:
    calls = (LoggedCall(T0 + 1_000 * n, 120, ended, n) for n, ended in enumerate(ENDINGS * 2))
    return "".join(WRITERS[preset](call) + "\n" for call in calls).encode()


CSV = mapper_of(Located(yaml.safe_dump(JSON_MAP | {"format": "csv"}), "map.yaml"))
CSV_LOG = b"t,took,status,up,uri\n" + rows(",").encode()
FAILED = {"http.method": "GET", "net.peer.name": "npd.example", "http.url": "http://npd.example/citizens/1"}
CALLS = [
    span(1),
    span(2, FAILED, status=2, message="refused", exception="ConnectionError"),
    span(3, kind="server"),
]
BODIES = [make(CALLS) for make in (as_protobuf, as_json)]
BOMB = bytes(1 << 22)
DOORS: dict[str, Target] = {
    **{
        f"access log of {preset}": Target(
            _imported(load_mapper(preset)), (ImportFileError, IntakeError), [_log_of(preset)]
        )
        for preset in ("nginx-json", "nginx-combined", "wso2", "istio-text")
    },
    "access log in CSV": Target(_imported(CSV), (ImportFileError, IntakeError), [CSV_LOG]),
    "access log followed": Target(
        _followed(load_mapper("nginx-json")), (ImportFileError,), [_log_of("nginx-json")]
    ),
    "map of calls": Target(
        lambda data: mapper_of(Located(data.decode("utf-8", "replace"), "map.yaml")),
        (LocatedError,),
        [preset_text(name).encode() for name in ("nginx-json", "haproxy", "opentelemetry")],
    ),
    "spans in protobuf": Target(
        _spans("protobuf"), (NotOtlpError,), [BODIES[0], as_protobuf([span(4, CLIENT)])]
    ),
    "spans in JSON": Target(_spans("json"), (NotOtlpError,), [BODIES[1]]),
    "file of spans": Target(
        _of_file,
        (IntakeError, BodyError),
        [BODIES[1] + b"\n" + BODIES[1], struct.pack(">I", len(BODIES[0])) + BODIES[0], *BODIES],
    ),
    "body of an export": Target(
        _unpacked, (), [zlib.compress(BOMB), zstandard.compress(BOMB), zlib.compress(BODIES[0])]
    ),
}
