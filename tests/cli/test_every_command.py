"""Every command's manners: a closed pipe, a full disk, the C locale, 60 columns, a death in the middle."""

import errno
import os
import re
import shlex
import signal
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from command_rows import HELP, LINK, ROWS, prepare_topics, prepared
from forked_commands import COLUMNS, Commands, Ended, Run
from source_tree import ROOT

from streams.ledger.store.database import open_ledger
from tools.command_docs import leaves

NO_ROOM = f"error: the output could not be written: {os.strerror(errno.ENOSPC)}\n"
TIME = re.compile(r"\b\d{4}-\d\d-\d\d\b(?![ T]\d\d:\d\d)")
RAISED = re.compile(r"^(Traceback|[\w.]+(Error|Exception): )", re.MULTILINE)
CUT = re.compile(r"…|\\u2026|\.\.\.")
BY_ITSELF = [name for name, row in ROWS.items() if not row.kafka]
ON_KAFKA = [name for name, row in ROWS.items() if row.kafka]
WRITING = [name for name, row in ROWS.items() if row.writes]


@pytest.fixture(scope="module")
def commands() -> Iterator[Commands]:
    """Return what runs command lines."""
    with Commands() as running:
        yield running


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory, commands: Commands) -> Iterator[dict[str, str]]:
    """Return the places that the command lines name, with what they read."""
    folder = tmp_path_factory.mktemp("places")
    places = prepared(folder)
    for line in (
        f"analyze {places['log']} --out {places['results']}",
        f"simulate {places['scenario']} --out {folder}/log.ndjson --truth {places['truth']}",
    ):
        made = commands(Run(shlex.split(line), str(folder)))
        assert made.code == 0, made.errors.decode()
    # As in production the ledger is in use, so that what SQLite needs beside it is there already.
    engine = open_ledger(places["ledger"])
    with engine.connect() as connection:
        connection.exec_driver_sql("SELECT 1")
        yield places
    engine.dispose()


@pytest.fixture(scope="module")
def on_kafka(kafka: str, commands: Commands, places: dict[str, str]) -> tuple[str, str]:
    """Return a broker and the suffix of the topics that are prepared on it, a rule among them."""
    suffix = uuid.uuid4().hex[:10]
    prepare_topics(kafka, suffix)
    line = f"rules apply {places['rule']} --id shown --reason try --suffix {suffix}"
    made = commands(Run(line.split(), str(ROOT), settings={"KAFKA_BOOTSTRAP_SERVERS": kafka}))
    assert made.code == 0, made.errors.decode()
    return kafka, suffix


FIRST: dict[str, tuple[Ended, dict[str, bytes]]] = {}


class Asked:
    """Runs the command line of a command, each time in a folder of its own."""

    def __init__(self, commands: Commands, places: dict[str, str], folder: Path, kafka: str = "127.0.0.1:1"):
        self._commands, self._places, self._folder, self._kafka = commands, places, folder, kafka
        self.number = 0

    @property
    def here(self) -> Path:
        """The folder of the last run."""
        return self._folder / str(self.number)

    def first(self, name: str) -> Ended:
        """Return how a command ended that nothing stopped; it is run once in a module."""
        if name not in FIRST:
            ended = self(name)
            FIRST[name] = ended, contents(self.here, ROWS[name].writes)
        return FIRST[name][0]

    def left(self, name: str) -> dict[str, bytes]:
        """Return the files that it left."""
        return FIRST[name][1]

    def __call__(self, name: str, **how: object) -> Ended:
        """Run it."""
        self.number += 1
        self.here.mkdir()
        words = [*name.split(), *shlex.split(ROWS[name].line.format_map(self._places))]
        settings = {
            "KAFKA_BOOTSTRAP_SERVERS": self._kafka,
            "PORTALLINK_SIGNING_KEY": self._places["key"],
            **how.pop("settings", {}),
        }
        ended = self._commands(Run(words, str(self.here), settings=settings, **how))
        said = (ended.output + ended.errors).decode()
        assert not RAISED.search(said), said
        return ended


@pytest.fixture
def asked(commands: Commands, places: dict[str, str], tmp_path: Path) -> Asked:
    """Return how to run a command that needs no broker."""
    return Asked(commands, places, tmp_path)


@pytest.fixture
def asked_of_kafka(commands, places, on_kafka, tmp_path: Path) -> Asked:
    """Return how to run a command that needs a broker."""
    kafka, suffix = on_kafka
    return Asked(commands, places | {"suffix": suffix}, tmp_path, kafka)


def test_every_command_has_its_line() -> None:
    """The table of command lines names every command, and no other."""
    assert set(ROWS) == {path for path, _ in leaves()}


def it_has_manners(name: str, asked: Asked) -> None:
    """Hold a command to its exit code, in a narrow C locale, before a closed pipe and on a full disk."""
    row = ROWS[name]
    narrow = asked.first(name)
    narrow.output.decode("ascii" if row is not HELP else "utf-8")
    assert narrow.code == row.code, narrow.errors.decode()
    assert bool(narrow.output) != row.silent
    assert set(row.writes) <= {
        path for path in row.writes if any(one.startswith(path) for one in asked.left(name))
    }
    if "--json" not in row.line and not row.silent and row is not HELP:
        wide = asked(name, settings={"COLUMNS": "400"})
        assert wide.code == row.code, wide.errors.decode()
        nothing_is_cut(narrow.output.decode(), wide.output.decode())
    if row.silent:
        return
    closed = asked(name, output="closed")
    full = asked(name, output="full")
    assert closed.code in (1, 141)
    assert b"error: the output" not in closed.errors
    assert full.code == 1
    assert full.errors.decode().endswith(NO_ROOM)


def nothing_is_cut(narrow: str, wide: str) -> None:
    """Hold what is printed in 60 columns to what is printed where there is room."""
    assert len(CUT.findall(narrow)) <= len(CUT.findall(wide)), narrow
    assert set(TIME.findall(narrow)) <= set(TIME.findall(wide)), narrow
    for word in re.findall(r"\b[ox]-[0-9a-f]{8,}|" + LINK, wide):
        assert word in narrow or word[:4] not in narrow, f"{word} is broken:\n{narrow}"
    shown = [line for line in narrow.splitlines() if line.startswith(("|", "+")) and "\\u" not in line]
    assert [line for line in shown if len(line) > COLUMNS] == []


@pytest.mark.parametrize("name", BY_ITSELF)
def test_a_command_has_manners(name: str, asked: Asked) -> None:
    """No pipe, disk, locale or width brings a traceback, a wrong exit code or a cut name."""
    it_has_manners(name, asked)


@pytest.mark.parametrize("name", ON_KAFKA)
def test_a_command_on_a_broker_has_manners(name: str, asked_of_kafka: Asked) -> None:
    """No pipe, disk, locale or width brings a traceback, a wrong exit code or a cut name."""
    it_has_manners(name, asked_of_kafka)


@pytest.mark.parametrize("name", ON_KAFKA)
def test_a_broker_that_is_away_is_told(name: str, commands, places, tmp_path: Path) -> None:
    """Where no broker listens, one line says so and the exit code is 1."""
    ended = Asked(commands, places | {"suffix": "none"}, tmp_path)(name)
    assert ended.code in (1, 2)
    assert ended.errors.startswith(b"error: ")
    assert len(ended.errors.split(b"\n")) <= 3  # a progress bar that was begun leaves an empty line


def it_writes_whole_files(name: str, asked: Asked) -> None:
    """Hold a command to files that appear whole or not at all, whatever stops it in the middle."""
    row = ROWS[name]
    asked.first(name)
    whole = asked.left(name)
    largest = max(map(len, whole.values()))
    for killed in (False, True):
        ended = asked(name, file_bytes=largest // 2, output="closed" if killed else "read", killed=killed)
        assert ended.code in ({-signal.SIGXFSZ, 1} if killed else {1}), ended.errors.decode()
        if not killed:
            assert b"error: " in ended.errors
            assert not list(asked.here.rglob("*.partial"))
        if row.atomic:
            left = contents(asked.here, row.writes)
            assert [path for path, content in left.items() if content != whole.get(path)] == []


def contents(folder: Path, names: tuple[str, ...]) -> dict[str, bytes]:
    """Return the files that stand under some names of a folder, unfinished ones aside."""
    found = [file for name in names for file in [folder / name, *(folder / name).rglob("*")]]
    return {
        str(file.relative_to(folder)): file.read_bytes()
        for file in found
        if file.is_file() and not file.name.endswith(".partial")
    }


@pytest.mark.parametrize("name", [name for name in WRITING if not ROWS[name].kafka])
def test_a_file_appears_whole_or_not_at_all(name: str, asked: Asked) -> None:
    """A full disk and a death in the middle leave no half file under a name that was asked for."""
    it_writes_whole_files(name, asked)
