"""The rooms and their walls. Each room is pure logic, and files named here that meet the world."""

import pytest
from source_tree import modules

# Each room imports rooms of the layers above its own and no other: no arrow back, no circle.
LAYERS = (
    {"model"},
    {"intake", "resources", "servers", "telemetry"},
    {"kafka"},
    {"logs"},
    {"detect", "ingest", "ledger", "measure", "score", "simulate"},
    {"collect", "doctor", "emit", "record", "replay"},
    {"serve", "watch"},
    {"bench", "demo"},
    {"cli"},
)

# Where the world begins: brokers, files, processes, terminals, logs and metrics. Only a shell imports these.
WORLD = {"cli", "servers", "telemetry", "kafka", "logs", "demo", "bench", "resources"}

# What else than the vocabulary a room's pure files may import, and why.
MAY_IMPORT = {
    "collect": {"ingest"},  # spans become events by its maps
    "doctor": {"measure"},  # what is refused is what the meter refuses
    "emit": {"measure"},  # likewise
    "ingest": {"intake"},  # records are read through the shared input layer
    "replay": {"measure", "detect"},  # the same pure pipeline, over a log file
    "serve": {"ledger"},  # answers are read from the ledger
    "watch": {"telemetry"},  # rules and dashboards are drawn from the metrics' contract
}

# Every file outside `WORLD` that does I/O or looks at a clock.
SHELLS = {
    "streams/__main__.py": "starts the command line",
    "streams/collect/delivery.py": "hands events to the broker",
    "streams/collect/over_grpc.py": "receives by gRPC",
    "streams/collect/over_http.py": "receives by HTTP",
    "streams/collect/receiver.py": "takes exports",
    "streams/collect/shell.py": "runs them together",
    "streams/collect/topic.py": "reads from Kafka",
    "streams/detect/app.py": "the Faust application",
    "streams/detect/stage.py": "the Faust worker",
    "streams/detect/credentials.py": "what Faust needs to connect",
    "streams/detect/follower.py": "waits for the broker's word",
    "streams/detect/failing.py": "tells of errors of the broker",
    "streams/detect/idle.py": "asks the broker who writes",
    "streams/detect/decisions.py": "reads the rules and the retirements",
    "streams/detect/reading.py": "asks the broker whether a topic is still the same",
    "streams/emit/emitter.py": "sends from a thread",
    "streams/ingest/follow.py": "sends followed logs to Kafka, keeps positions",
    "streams/ingest/shell.py": "reads maps",
    "streams/ingest/tail.py": "reads files as they grow",
    "streams/intake/shell.py": "opens what someone hands over",
    "streams/ledger/store/database.py": "opens the database",
    "streams/ledger/proof/heads.py": "reads and makes the key file",
    "streams/measure/stage.py": "consumes and produces",
    "streams/record/destinations.py": "publishes heads elsewhere",
    "streams/record/ledger.py": "writes the ledger, signs heads",
    "streams/record/reread.py": "reads topics again",
    "streams/record/send.py": "sends an exclusion",
    "streams/record/stage.py": "consumes into the ledger",
    "streams/replay/analyze.py": "reads a log, writes results",
    "streams/replay/backtest.py": "reads logs",
    "streams/replay/beside.py": "runs a process beside this one",
    "streams/replay/explain.py": "reads a log",
    "streams/replay/golden.py": "keeps golden folders",
    "streams/replay/notebook.py": "reads a log for a notebook",
    "streams/replay/plot.py": "writes a picture",
    "streams/replay/query.py": "reads files by SQL",
    "streams/replay/results.py": "reads results",
    "streams/replay/rulefile.py": "reads a rule",
    "streams/serve/access.py": "reads the tokens file, makes tokens",
    "streams/serve/app.py": "answers requests, now",
    "streams/serve/assets.py": "reads its package's files",
    "streams/serve/context.py": "answers requests, now",
    "streams/serve/judgements.py": "answers requests, now",
    "streams/serve/names.py": "reads a file of names",
    "streams/serve/pages/account.py": "answers requests, now",
    "streams/serve/pages/front.py": "answers requests, now",
    "streams/serve/pages/judging.py": "answers requests, now",
    "streams/serve/pages/live.py": "follows the ledger for open pages",
    "streams/serve/report/pdf.py": "reads its package's template",
    "streams/serve/runbooks.py": "reads its package's runbooks, answers requests",
    "streams/serve/shell.py": "runs the server",
    "streams/serve/texts.py": "reads its package's texts",
    "streams/serve/trail.py": "writes who asked what",
    "streams/simulate/shell.py": "reads scenarios, writes logs",
    "streams/watch/api.py": "asks Prometheus",
    "streams/watch/backfill.py": "writes blocks",
    "streams/watch/local.py": "runs Prometheus and Alertmanager",
    "streams/watch/recorded.py": "writes and reads a ledger of its own",
    "streams/watch/settings.py": "reads the settings",
}

IMPURE_IMPORTS = {
    "aiokafka",
    "asyncio",
    "concurrent",
    "faust",
    "fcntl",
    "getpass",
    "http",
    "logging",
    "multiprocessing",
    "os",
    "pathlib",
    "prometheus_client",
    "psutil",
    "requests",
    "rich",
    "secrets",
    "shutil",
    "signal",
    "socket",
    "ssl",
    "structlog",
    "subprocess",
    "tempfile",
    "threading",
    "time",
    "typer",
    "urllib.request",
    "uvicorn",
}
IMPURE_CALLS = {
    "open",
    "input",
    "exec",
    "eval",
    "sys.exit",
    "sys.stdout.write",
    "sys.stderr.write",
    "uuid.uuid4",
}
IMPURE_METHODS = {"now", "today", "utcnow", "read_text", "read_bytes", "write_text", "write_bytes"}
TELEMETRY_LIBRARIES = {"structlog", "prometheus_client"}

STREAMS = modules("streams")
PURE = [m for m in STREAMS if m.room not in WORLD and m.path not in SHELLS]


def rooms_imported(module) -> set[str]:
    """Return the other parts of the program that a module imports."""
    names = {name.split(".")[1] for _, name in module.imports() if name.startswith("streams.")}
    return names - {module.room, "__version__"}


def impurities(module) -> list[str]:
    """Return every place in a module that reaches for a clock, I/O, a log or shared state."""
    places = [
        f"{module.path}:{line} imports {name}"
        for line, name in module.imports()
        if any(name == banned or name.startswith(f"{banned}.") for banned in IMPURE_IMPORTS)
    ]
    for line, name in module.calls():
        owner, _, last = name.rpartition(".")
        if name in IMPURE_CALLS or (owner and last in IMPURE_METHODS):
            places.append(f"{module.path}:{line} calls {name}")
        elif owner == "random" and last != "Random":
            places.append(f"{module.path}:{line} draws from the generator all share")
    places += [f"{module.path} has a global statement" for _ in [0] if "\n    global " in module.text]
    return places


def test_every_shell_is_still_there_and_still_one():
    """Each file listed as a shell exists, and reaches for the world; else it belongs to the pure ones."""
    by_path = {module.path: module for module in STREAMS}
    assert set(SHELLS) - set(by_path) == set()
    needless = [
        path for path in SHELLS if not impurities(by_path[path]) and not rooms_imported(by_path[path]) & WORLD
    ]
    assert needless == []


@pytest.mark.parametrize("module", PURE, ids=lambda module: module.path)
def test_pure_logic_stays_pure(module):
    """A file that is no shell has no clock, no I/O, no log, no shared generator and no global state."""
    assert impurities(module) == []


@pytest.mark.parametrize("module", PURE, ids=lambda module: module.path)
def test_pure_logic_knows_the_vocabulary_and_its_own_room(module):
    """A pure file imports its own room and the vocabulary, and what its room is declared to be made of."""
    allowed = {"model", *MAY_IMPORT.get(module.room, set())}
    assert rooms_imported(module) - (allowed if module.room != "model" else set()) == set()


def test_no_permission_is_left_over():
    """Each import a room is declared to need is one that its files make."""
    made = {room: set().union(*(rooms_imported(m) for m in STREAMS if m.room == room)) for room in MAY_IMPORT}
    assert {room: needed - made[room] for room, needed in MAY_IMPORT.items() if needed - made[room]} == {}


def test_every_room_has_its_layer():
    """The layers name each room of the package once, and no other."""
    rooms = {module.room for module in STREAMS} - {"streams", "__main__"}
    assert sorted(room for layer in LAYERS for room in layer) == sorted(rooms)


@pytest.mark.parametrize("room", [room for layer in LAYERS for room in sorted(layer)])
def test_no_arrow_leads_back(room):
    """Neither logic nor shell of a room imports a room of its own layer or of a later one."""
    at = next(number for number, layer in enumerate(LAYERS) if room in layer)
    earlier = set().union(*LAYERS[:at])
    known = {(m.path, other) for m in STREAMS if m.room == room for other in rooms_imported(m) - earlier}
    assert known == set()


def test_no_circle_of_files():
    """No file reaches itself by its imports, lazy ones included."""
    names = {module.name.removesuffix(".__init__"): module for module in STREAMS}
    arrows: dict[str, set[str]] = {}
    for name, module in names.items():
        arrows[name] = set()
        for _, imported in module.imports():
            known = imported
            while known and known not in names:
                known = known.rpartition(".")[0]
            if known and known != name:
                arrows[name].add(known)
    trimmed = True
    while trimmed:  # a file that imports nothing left, or that nothing left imports, is on no circle
        imported_by_some = set().union(*arrows.values())
        trimmed = {n for n, to in arrows.items() if not to & arrows.keys() or n not in imported_by_some}
        arrows = {name: to for name, to in arrows.items() if name not in trimmed}
    assert {name: sorted(to & arrows.keys()) for name, to in arrows.items()} == {}


def test_only_telemetry_touches_its_libraries():
    """No file outside `streams/telemetry` imports the logging or the metrics library."""
    touching = [
        f"{module.path}:{line}"
        for module in STREAMS
        if module.room != "telemetry"
        for line, name in module.imports()
        if name.split(".")[0] in TELEMETRY_LIBRARIES
    ]
    assert touching == []


def test_only_the_command_line_is_asked_for_by_nobody():
    """Nothing but the starter of `python -m streams` imports the command line."""
    asking = {m.path for m in STREAMS if m.room != "cli" and "cli" in rooms_imported(m)}
    assert asking - {"streams/__main__.py"} == set()
