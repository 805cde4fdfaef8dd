"""Run one program that must not outlive the process that asked for it.

Started as a separate script (standard library only, so it starts in a few milliseconds):

    python leash.py PARENT_PID STOP_SIGNAL GRACE_SECONDS PROGRAM ARGUMENT...

It stops the program on SIGTERM, or when its parent is gone, however the parent ended: an orphan gets a new
parent id, which even `kill -9` cannot prevent. On Linux the kernel also kills the program if the leash itself
is killed.

    python leash.py detach PROGRAM ARGUMENT...

starts the program in a new session, prints its process id and leaves it running.
"""

import ctypes
import os
import signal
import subprocess
import sys
import time

POLL_SECONDS = 0.1
PR_SET_PDEATHSIG = 1  # from <linux/prctl.h>


def main(arguments: list[str]) -> int:
    """Run the program named by the arguments; the exit code is the program's own."""
    if arguments[0] == "detach":
        return detach(arguments[1:])
    return hold(arguments[3:], int(arguments[0]), int(arguments[1]), float(arguments[2]))


def detach(argv: list[str]) -> int:
    """Start a program that outlives this one and print its process id."""
    # Its stderr goes to stdout: our own stderr is a pipe, which the caller reads to the end.
    program = subprocess.Popen(
        argv, stdin=subprocess.DEVNULL, stderr=subprocess.STDOUT, start_new_session=True
    )
    print(program.pid, file=sys.stderr, flush=True)
    # Skip interpreter shutdown, which would warn about the child that is meant to keep running.
    os._exit(0)


def hold(argv: list[str], parent_pid: int, stop_signal: int, grace_seconds: float) -> int:
    """Run a program until it ends, the parent is gone or SIGTERM arrives; then give it time to end."""
    stop_asked = False

    def ask_stop(_number: int, _frame: object) -> None:
        nonlocal stop_asked
        stop_asked = True

    signal.signal(signal.SIGTERM, ask_stop)
    program = subprocess.Popen(
        argv,
        stdin=subprocess.DEVNULL,
        preexec_fn=_die_with_parent if sys.platform == "linux" else None,  # noqa: PLW1509 - one thread only
    )
    while program.poll() is None and not stop_asked and os.getppid() == parent_pid:
        time.sleep(POLL_SECONDS)
    if program.poll() is None:
        program.send_signal(stop_signal)
        try:
            program.wait(grace_seconds)
        except subprocess.TimeoutExpired:
            program.kill()
    return program.wait()


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]) & 0xFF)
