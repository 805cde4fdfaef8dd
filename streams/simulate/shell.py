"""The I/O of the simulation: reads the catalogue and scenarios, writes or publishes logs, and the truth."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import date
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, Final

import msgspec

from streams.kafka.publish import PublishError, partitions_of, publish
from streams.logs.file import seldom_collected
from streams.logs.whole import whole_file
from streams.logs.write import log_writer
from streams.model.located import Located, LocatedError, one_of
from streams.model.record import Record
from streams.model.topics import LOOKUPS, SUBMISSIONS
from streams.simulate.check import check_catalogue
from streams.simulate.check_scenario import check_scenario
from streams.simulate.city import Catalogue
from streams.simulate.generate import Run
from streams.simulate.moved import moved
from streams.simulate.nation import NATIONAL, nation_of
from streams.simulate.scenario import Scenario
from streams.simulate.truth import Truth

_CATALOGUE: Final = "city.yaml"
_NATION: Final = "nation.yaml"
PACKAGED: Final[Traversable] = files("streams.simulate") / "data"
"""The folder of the packaged catalogue and scenarios."""
LARGEST_FILE_BYTES: Final = 4_000_000


def scenario_names(folder: Traversable = PACKAGED) -> list[str]:
    """Return the names of the scenarios in a folder, by default the packaged ones."""
    return sorted(
        NATIONAL if entry.name == _NATION else entry.name.removesuffix(".yaml")
        for entry in folder.iterdir()
        if entry.name.endswith(".yaml") and entry.name != _CATALOGUE
    )


def load_catalogue(folder: Traversable = PACKAGED) -> Catalogue:
    """Return the catalogue of a folder, read from its `city.yaml`. Raises `LocatedError` if it is invalid."""
    located = _read(folder / _CATALOGUE, _CATALOGUE if folder is PACKAGED else f"{folder}/{_CATALOGUE}")
    catalogue = located.convert(Catalogue)
    check_catalogue(catalogue, located)
    return catalogue


def load_played(
    name: str, folder: Traversable = PACKAGED, today: date | None = None
) -> tuple[Catalogue, Scenario]:
    """Return the catalogue of a scenario, and the scenario, moved to the latest suitable day up to ``today``.

    The catalogue is that of the folder; for the national scenario it is made from the folder's `nation.yaml`,
    with the provinces of the day on which it begins. Raises `LocatedError` if a file is invalid or missing.
    """
    catalogue = load_catalogue(folder)
    if name == NATIONAL and (folder / _NATION).is_file():
        file = _NATION if folder is PACKAGED else f"{folder}/{_NATION}"
        return nation_of(_read(folder / _NATION, file), catalogue.services, today)
    scenario = load_scenario(name, catalogue, folder)
    return catalogue, scenario if today is None else moved(scenario, today)


def load_scenario(name: str, catalogue: Catalogue, folder: Traversable = PACKAGED) -> Scenario:
    """Return a scenario, given its name in a folder or the path of a YAML file.

    Raises `LocatedError`, with file, line and reason, if it is invalid or does not exist.
    """
    if name.endswith((".yaml", ".yml")):
        located = _read(Path(name), name)
    elif name in scenario_names(folder):
        located = _read(folder / f"{name}.yaml", f"{name}.yaml")
    else:
        there = one_of(name, scenario_names(folder))
        raise LocatedError(name, 1, f"no such scenario; {there}, or give a .yaml file")
    scenario = located.convert(Scenario)
    check_scenario(scenario, catalogue, located)
    return scenario


def _read(path: Traversable, name: str) -> Located:
    try:
        data = path.read_bytes()
        if len(data) > LARGEST_FILE_BYTES:
            raise LocatedError(name, 1, f"larger than {LARGEST_FILE_BYTES // 1_000_000} MB")
        return Located(data.decode("utf-8"), name)
    except (OSError, UnicodeDecodeError) as error:
        raise LocatedError(name, 1, f"cannot be read: {error}") from error


def write_log(run: Run, path: Path, progress: Callable[[int], None], truth_file: Path | None = None) -> Truth:
    """Write a run's log to a file, and its truth next to that or to ``truth_file``; return the truth.

    ``progress`` is called with the log time reached, in epoch milliseconds.
    """
    with seldom_collected(), log_writer(path) as log:
        for reached_ms, lines in run.lines():
            log.write_lines([lines])
            progress(reached_ms)
    truth = run.truth()
    write_truth(truth, truth_file or truth_path(path))
    return truth


def drain(run: Run, progress: Callable[[int], None]) -> Truth:
    """Run to the end without keeping the log, and return the truth."""
    for _ in _watched(run.records(), progress):
        pass
    return run.truth()


async def publish_log(
    run: Run,
    connection: Mapping[str, Any],
    *,
    speed: float | None,
    progress: Callable[[int], None],
    topic_names: Mapping[str, str] | None = None,
) -> Truth:
    """Publish a run's log to Kafka and return the truth.

    With a ``speed`` the records are sent that many times faster than they were logged. ``progress`` is
    called with the log time reached. Raises `PublishError` if the broker, a topic or a partition is
    missing.
    """
    await publish(_watched(run.records(), progress), connection, speed=speed, topic_names=topic_names)
    return run.truth()


async def topic_partitions(connection: Mapping[str, Any]) -> int:
    """Return how many partitions both event topics have.

    Raises `PublishError` if they do not have the same number, or are missing.
    """
    lookups, submissions = (
        await partitions_of(connection, LOOKUPS),
        await partitions_of(connection, SUBMISSIONS),
    )
    if lookups != submissions:
        raise PublishError(
            f"topic {LOOKUPS} has {lookups} partitions, {SUBMISSIONS} has {submissions}; "
            "the simulation needs the same number of both"
        )
    return lookups


def _watched(records: Iterable[Record], progress: Callable[[int], None]) -> Iterator[Record]:
    for number, record in enumerate(records):
        if number % 1_000 == 0:
            progress(record.logged_at_ms)
        yield record


def truth_path(path: Path) -> Path:
    """Return the path of a log file's truth."""
    return path.with_name(path.name + ".truth.json")


def write_truth(truth: Truth, path: Path) -> None:
    """Write the truth as indented JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as file:
        file.write(msgspec.json.format(msgspec.json.encode(truth), indent=1) + b"\n")
