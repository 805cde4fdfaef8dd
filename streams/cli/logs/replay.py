"""`portallink replay`: a log back into topics."""

import asyncio
import contextlib
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
from aiokafka.errors import KafkaError
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeElapsedColumn

from streams.cli.outcome import Words, fail, notes, print_json, refuse, say
from streams.kafka.connection import ConnectionSettingsError, kafka_connection
from streams.kafka.publish import Pace, PublishError, publish
from streams.kafka.topics import TopicCreationError, Topics, create_topics
from streams.logs.capture import CaptureError, Wish, capture
from streams.logs.file import LogFileError
from streams.logs.player import INPUT_TOPICS, Selection, looped
from streams.logs.read import read_log
from streams.model.times import TimeTextError, parse_time_ms

PAUSE_KEYS = (" ", "p")


def replay(
    log: Annotated[
        Path | None, typer.Argument(help="Log file (NDJSON, .zst, Parquet) or captured folder.")
    ] = None,
    *,
    from_topic: Annotated[
        list[str] | None, typer.Option(help="Replay this topic instead of a file; repeatable.")
    ] = None,
    speed: Annotated[
        float | None, typer.Option(help="Times the original pace [default: as fast as possible].", min=0.001)
    ] = None,
    topic: Annotated[
        list[str] | None,
        typer.Option(help="Topics to replay [default: the two event topics and link.rules]; repeatable."),
    ] = None,
    since: Annotated[str | None, typer.Option(help="Start at this time, by the broker's clock.")] = None,
    until: Annotated[str | None, typer.Option(help="End before this time.")] = None,
    skip: Annotated[int, typer.Option(help="Skip this many records.", min=0)] = 0,
    limit: Annotated[int | None, typer.Option(help="Stop after this many records.", min=0)] = None,
    repeat: Annotated[int, typer.Option(help="Play this many times; 0 repeats forever.", min=0)] = 1,
    suffix: Annotated[str, typer.Option(help="Suffix of the topics to write to.")] = "",
    create: Annotated[bool, typer.Option(help="Create the topics that are missing.")] = False,
    bootstrap_servers: Annotated[
        str | None, typer.Option(help="Broker to write to [default: KAFKA_BOOTSTRAP_SERVERS].")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Publish a log again with its keys, values, partitions and order, at its own pace or faster.

    Space, `p` or the signal SIGUSR1 pauses and resumes. Ctrl-C stops and tells how to continue. The original
    broker times travel in a header, so that the stages judge the replay like the original. Times without an
    offset are Asia/Ho_Chi_Minh.
    """
    if (log is None) == (not from_topic):
        refuse("name either a log or --from-topic")
    try:
        selection = Selection(
            topics=tuple(topic or from_topic or INPUT_TOPICS),
            since_ms=None if since is None else parse_time_ms(since),
            until_ms=None if until is None else parse_time_ms(until),
            skip=skip,
            limit=limit,
        )
        source = kafka_connection() if from_topic else {}
        target = kafka_connection(bootstrap_servers)
    except (TimeTextError, ConnectionSettingsError) as error:
        refuse(error)
    if from_topic and not suffix and source["bootstrap_servers"] == target["bootstrap_servers"]:
        refuse("--from-topic onto the same topic of the same broker would never end; give --suffix")
    with contextlib.ExitStack() as stack:
        if log is None:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="portallink-replay-")))
            log = folder / "log"
            _fetch(log, source, from_topic or [])
        elif not log.exists():
            refuse(f"{log}: no such file")
        _play(log, selection, target, speed, repeat, suffix, create, as_json)


def _fetch(folder: Path, source: dict[str, Any], topics: list[str]) -> None:
    try:
        asyncio.run(capture(folder, source, [Wish(name) for name in topics]))
    except (CaptureError, OSError) as error:
        fail(error)


def _play(
    log: Path,
    selection: Selection,
    target: dict[str, Any],
    speed: float | None,
    repeat: int,
    suffix: str,
    create: bool,
    as_json: bool,
) -> None:
    names = {name: f"{name}-{suffix}" for name in selection.topics} if suffix else {}
    pace = Pace(speed)
    state = {"confirmed": 0}
    total = _total(selection, log, repeat)
    columns = (Words("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=notes, transient=True) as bar:
        task = bar.add_task("replaying", total=total)

        def progress(confirmed: int) -> None:
            state["confirmed"] = confirmed
            bar.update(task, completed=confirmed)

        def toggle() -> None:
            pace.resume() if pace.paused else pace.pause()
            bar.update(task, description="paused (space goes on)" if pace.paused else "replaying")

        async def run() -> int:
            if create:
                written = Topics().suffixed(suffix)
                await create_topics(target, written, partitions=_partitions(log))
            with _controls(toggle, pace.stop):
                records = looped(lambda: selection.of(read_log(log)), repeat)
                return await publish(records, target, topic_names=names, progress=progress, pace=pace)

        try:
            confirmed = asyncio.run(run())
        except LogFileError as error:
            notes.print(f"{state['confirmed']:,} records before that are on the topics")
            refuse(error)
        except (PublishError, TopicCreationError, KafkaError) as error:
            fail(error)
    if pace.stopped:
        go_on = f"; --skip {selection.skip + confirmed} goes on after them" if repeat == 1 else ""
        fail(f"ended early; {confirmed:,} records are on the topics{go_on}")
    if as_json:
        written_to = {name: names.get(name, name) for name in selection.topics}
        print_json({"records": confirmed, "topics": written_to})
    else:
        say(f"{confirmed:,} records replayed to {target['bootstrap_servers']}")


def _total(selection: Selection, log: Path, repeat: int) -> int | None:
    """Return how many records will be played where that is known without reading the log."""
    return selection.limit * repeat if selection.limit is not None and repeat and log.is_file() else None


def _partitions(log: Path) -> dict[str, int]:
    """Return the partition counts that the event topics of a log need at least."""
    needed: dict[str, int] = {}
    for record in read_log(log):
        if record.topic in INPUT_TOPICS:
            needed[record.topic] = max(needed.get(record.topic, 0), record.partition + 1)
    return needed


@contextlib.contextmanager
def _controls(toggle: Callable[[], None], stop: Callable[[], None]) -> Iterator[None]:
    """Toggle on SIGUSR1, and on the pause keys where a person sits at the terminal; stop on SIGINT."""
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGUSR1, toggle)
    for name in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(name, stop)
    if not (sys.stdin is not None and sys.stdin.isatty()):
        yield
        return
    import termios  # noqa: PLC0415 - not on every system, and useless without a terminal
    import tty  # noqa: PLC0415

    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)
    tty.setcbreak(descriptor)
    loop.add_reader(descriptor, lambda: toggle() if sys.stdin.read(1) in PAUSE_KEYS else None)
    try:
        yield
    finally:
        loop.remove_reader(descriptor)
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)
