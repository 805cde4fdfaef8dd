"""Programs on a leash end with who started them, and say why when they do not start."""

import socket
import subprocess
import sys
import time

import psutil
import pytest

from streams.servers.errors import PartError
from streams.servers.process import LeashedProcess, answers_http, free_port, start_detached, wait_until

PYTHON = sys.executable
SLEEP = "import time; print('up', flush=True); time.sleep(600)"
STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); " + SLEEP


def wait_for_output(log, text="up"):
    """Wait until the program has said something."""
    deadline = time.monotonic() + 20
    while text not in log.read_text():
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.02)


def children_of(process):
    """Return the programs that a leash holds."""
    return psutil.Process(process.pid).children(recursive=True)


def assert_gone(processes):
    """No process is left, save ones that nobody has collected."""
    _, alive = psutil.wait_procs(processes, timeout=20)
    assert [process for process in alive if process.status() != psutil.STATUS_ZOMBIE] == []


@pytest.mark.parametrize("code", [SLEEP, STUBBORN])
def test_stop_ends_the_program(tmp_path, code):
    """A stopped program is gone, one that ignores the signal too, after its time of grace."""
    with LeashedProcess([PYTHON, "-c", code], log=tmp_path / "log", grace_seconds=0.5) as process:
        wait_for_output(tmp_path / "log")
        held = children_of(process)
        assert len(held) == 1
        assert process.alive()
    assert not process.alive()
    assert_gone(held)


def test_program_ends_when_its_leash_is_killed(tmp_path):
    """Even if the leash itself is killed with SIGKILL, the program does not stay behind."""
    process = LeashedProcess([PYTHON, "-c", STUBBORN], log=tmp_path / "log")
    wait_for_output(tmp_path / "log")
    held = children_of(process)
    psutil.Process(process.pid).kill()
    process.stop()
    assert_gone(held)


def test_program_ends_when_its_starter_is_killed(tmp_path):
    """A program ends though its starter, killed with SIGKILL, could not stop it."""
    log = tmp_path / "log"
    script = (
        "import sys, time, pathlib\n"
        "from streams.servers.process import LeashedProcess\n"
        "process = LeashedProcess(sys.argv[2:], log=pathlib.Path(sys.argv[1]))\n"
        "print(process.pid, flush=True)\n"
        "time.sleep(600)\n"
    )
    with subprocess.Popen(
        [PYTHON, "-c", script, log, PYTHON, "-c", SLEEP], stdout=subprocess.PIPE, text=True
    ) as starter:
        leash = psutil.Process(int(starter.stdout.readline()))
        wait_for_output(log)
        held = [leash, *leash.children(recursive=True)]
        starter.kill()
    assert_gone(held)


def test_detached_program_is_nobodys_child(tmp_path):
    """A detached program is in a session of its own and writes to its log."""
    log = tmp_path / "log"
    process = psutil.Process(start_detached([PYTHON, "-c", SLEEP], log=log))
    try:
        wait_for_output(log)
        assert process.pid not in {child.pid for child in psutil.Process().children(recursive=True)}
    finally:
        process.kill()
    assert_gone([process])


def test_missing_program_is_reported_with_its_name(tmp_path):
    """A program that does not exist ends the wait at once, and the error names it."""
    log = tmp_path / "log"
    with (
        LeashedProcess(["/nowhere/server"], log=log) as process,
        pytest.raises(PartError, match=r"(?s)a server ended while starting.*/nowhere/server"),
    ):
        wait_until(lambda: False, alive=process.alive, what="a server", log=log, timeout_seconds=20)


def test_taken_port_is_not_free():
    """The preferred port is given if it is free and another one if it is not."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert free_port(port) != port
        assert not answers_http(f"http://127.0.0.1:{free_port()}/")
    assert free_port(port) == port
