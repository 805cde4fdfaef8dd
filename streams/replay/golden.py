"""Golden scenarios: a log, a rule and the outages they must give, in a folder small enough to commit.

| file | holds |
|---|---|
| `golden.json` | what the scenario shows |
| `log.ndjson.zst` | the log |
| `rule.json` | the whole rule, so that a change of the built-in one does not affect it |
| `outages.ndjson` | the expected outages, the last revision of each |
"""

import re
from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from streams.detect.rule.definition import Rule
from streams.logs.read import read_log
from streams.logs.whole import whole_file, whole_folder
from streams.logs.write import log_writer
from streams.model.border import UNREADABLE
from streams.model.canonical import encode
from streams.model.outage import Outage
from streams.replay.analyze import analyze
from streams.replay.diff import Diff, diff
from streams.replay.results import Results, Table, read_results
from streams.replay.rulefile import read_rule

ABOUT, LOG, RULE, OUTAGES = "golden.json", "log.ndjson.zst", "rule.json", "outages.ndjson"
FORMAT: Final = "portallink-golden"
NAME: Final = re.compile(r"[a-z0-9][a-z0-9-]*")
CHUNK_RECORDS: Final = 5_000


class GoldenError(ValueError):
    """A golden scenario that cannot be kept or read; the message names the folder and the reason."""


class About(Struct, frozen=True):
    """The description of a golden scenario; ``version`` is that of the folder's layout."""

    shows: str
    records: int
    format: str = FORMAT
    version: int = 1


def add(root: Path, name: str, log: Path, rule: Rule, shows: str, *, replace: bool = False) -> list[Outage]:
    """Store a log, a rule and the outages they give today as a golden scenario; return the outages.

    Raises `GoldenError` for an invalid or existing name, `LogFileError` if the log cannot be read.
    """
    if not NAME.fullmatch(name):
        raise GoldenError(f"{name!r}: a scenario's name is made of a-z, 0-9 and hyphens")
    folder = root / name
    if (folder / ABOUT).exists() and not replace:
        raise GoldenError(f"{folder} already exists; --replace makes today's outages the expected ones")
    outages = analyze(log, rule, outages_only=True).final()
    if not folder.exists():
        with whole_folder(folder) as new:
            _write(new, _copied(log, new / LOG), rule, outages, shows)
        return outages
    is_own = log.resolve() == (folder / LOG).resolve()
    records = sum(1 for _ in read_log(log)) if is_own else _copied(log, folder / LOG)
    _write(folder, records, rule, outages, shows)
    return outages


def _copied(log: Path, copy: Path) -> int:
    """Copy a log; return how many records it has."""
    records = 0
    with log_writer(copy) as writer:
        reading = iter(read_log(log))
        while chunk := list(islice(reading, CHUNK_RECORDS)):
            writer.write(chunk)
            records += len(chunk)
    return records


def _write(folder: Path, records: int, rule: Rule, outages: Iterable[Outage], shows: str) -> None:
    files = {
        RULE: msgspec.json.format(msgspec.json.encode(rule), indent=2) + b"\n",
        OUTAGES: b"".join(encode(outage) + b"\n" for outage in outages),
        ABOUT: msgspec.json.format(msgspec.json.encode(About(shows, records)), indent=2) + b"\n",
    }
    for name, content in files.items():
        with whole_file(folder / name) as file:
            file.write(content)


def names(root: Path) -> list[str]:
    """Return the golden scenarios under a folder."""
    return sorted(path.parent.name for path in root.glob(f"*/{ABOUT}"))


def run(folder: Path) -> tuple[About, Diff]:
    """Return a scenario's description, and how the outages found now differ from the expected ones.

    Raises `GoldenError`, `LogFileError`, `ResultFileError` or `RuleFileError` if its files are wrong.
    """
    about = _about(folder)
    expected = read_results(folder / OUTAGES)
    found = analyze(folder / LOG, read_rule(folder / RULE, kept=True), outages_only=True)
    return about, diff(_standing(expected.outages), _standing(found.outages))


def _standing(outages: Iterable[Outage]) -> Results:
    return Results(outages=Table(Outage, outages))


def _about(folder: Path) -> About:
    path = folder / ABOUT
    try:
        about = msgspec.json.decode(path.read_bytes(), type=About)
    except FileNotFoundError as error:
        raise GoldenError(f"{folder} is not a golden scenario: it has no {ABOUT}") from error
    except UNREADABLE as error:
        raise GoldenError(f"{path}: {error}") from error
    if (about.format, about.version) != (FORMAT, 1):
        raise GoldenError(f"{path}: {about.format} version {about.version}; this program reads {FORMAT} 1")
    return about
