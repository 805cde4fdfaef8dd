"""`portallink demo`: a newcomer's first command."""

import shutil
import signal
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer
from rich.live import Live

from streams.cli.outcome import fail, results
from streams.demo.board import comparison, try_next
from streams.demo.match import match_up
from streams.demo.shell import Demo, DemoError
from streams.kafka.publish import PublishError
from streams.servers.errors import PartError

DEFAULT_SPEED = 60.0


def demo(
    *,
    once: Annotated[
        bool, typer.Option("--once", help="Play as fast as possible, print what was found, and end.")
    ] = False,
    speed: Annotated[
        float | None,
        typer.Option(help="Times real time [default: 60; with --once: as fast as possible].", min=0.1),
    ] = None,
) -> None:
    """Play a simulated Monday morning with faults through the whole pipeline, on a real Kafka.

    Everything listens on 127.0.0.1 only, and stops with this command.
    """
    pace = speed or (None if once else DEFAULT_SPEED)
    # Asked to end in whichever way, it leaves nothing running and nothing behind.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    folder = Path(tempfile.mkdtemp(prefix="portallink-demo-"))
    results.print(
        "portallink demo: one city, four links, a Monday morning from 07:00 to 12:00 (Asia/Ho_Chi_Minh).\n"
        "Một buổi sáng thứ Hai mô phỏng: kết nối nào tới CSDL dân cư bị gián đoạn, từ lúc nào đến lúc nào.",
    )
    try:
        with ExitStack() as stack:
            with results.status("starting Kafka and the stages"):
                running = stack.enter_context(Demo(folder, pace, results))
            _play(running, once=once)
    except (DemoError, PartError, PublishError) as error:
        fail(error)
    except KeyboardInterrupt:
        results.print("stopped")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _play(running: Demo, *, once: bool) -> None:
    with Live(running.board, console=results, refresh_per_second=4, transient=once) as live:
        outages = running.play(live.refresh)
    truth = running.truth
    assert truth is not None, "play returns when the simulation is through"
    matches = match_up(truth.faults, outages, truth.end_ms)
    results.print(comparison(matches))
    missed = sum(match.outage is None for match in matches)
    false = sum(match.fault is None for match in matches)
    results.print(f"{len(matches) - missed - false} found, {missed} missed, {false} false")
    if not once:
        places = running.board.addresses
        results.print(running.board.places())
        results.print()
        results.print(try_next(str(running.folder), places["Kafka"], places["page"]))
        while True:
            time.sleep(3600)
