"""Mutated input for every decoder: no crash, no hang, no growth. A seed repeats its inputs."""

import gc
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from random import Random

import psutil

HANG_SECONDS = 1.0
MOST_GROWTH_BYTES = 64 * 1024 * 1024
TOKENS = (
    *(b"{", b"}", b"[", b"]", b'"', b",", b":", b"null", b"true", b"NaN", b"\n", b"\r\n", b"\x00", b"\xff"),
    *(b"-1", b"-0", b"1e999", b"0x10", b"9" * 30, b"1700000000000", b"221845392000000"),
    *(b"\\u0000", b"\\ud800", b"\xc2\x85", b"\x1b[31m", b"\xef\xbb\xbf", b"../", b"%s", b"' OR 1=1 --"),
    *(b"[" * 2_000, b'{"a":' * 1_500, b"(" * 500),
)


@dataclass(frozen=True)
class Target:
    """Something that takes bytes: how it is called, what it may raise, and where mutations begin."""

    run: Callable[[bytes], object]
    raises: tuple[type[Exception], ...] = ()
    corpus: list[bytes] = field(default_factory=list)


class FindingError(AssertionError):
    """A piece of input that a target does not survive as it should."""


def mutated(rng: Random, corpus: list[bytes]) -> bytes:
    """Return a piece of input made from the corpus."""
    data = bytearray(rng.choice(corpus) if corpus else b"")
    for _ in range(rng.choice((1, 1, 2, 4, 12))):
        at = rng.randrange(len(data) + 1)
        until = min(len(data), at + rng.choice((1, 1, 3, 20, 200)))
        kind = rng.randrange(7)
        if kind == 0:
            data[at:at] = rng.choice(TOKENS)
        elif kind == 1:
            data[at:until] = rng.choice(TOKENS)
        elif kind == 2:
            del data[at:until]
        elif kind == 3 and data:
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        elif kind == 4:
            data[at:at] = data[at:until] * rng.choice((1, 2, 50))
        elif kind == 5:
            other = rng.choice(corpus) if corpus else b""
            data[at:] = other[rng.randrange(len(other) + 1) :]
        else:
            del data[at:]
    return bytes(data)


@contextmanager
def bounded(seconds: float) -> Iterator[None]:
    """Raise `FindingError` within what takes longer."""

    def ring(*_: object) -> None:
        raise FindingError(f"longer than {seconds:g} s")

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def check(target: Target, data: bytes, hang_seconds: float = HANG_SECONDS) -> None:
    """Run a target on a piece of input; raise `FindingError` where it does not survive it as it should."""
    try:
        with bounded(hang_seconds):
            target.run(data)
    except target.raises:
        return
    except FindingError:
        raise
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        raise FindingError(f"{type(error).__name__}: {error}") from error


def fuzz(
    target: Target, seed: int, *, seconds: float = 1e9, inputs: int = 1 << 60
) -> tuple[int, list[tuple[bytes, str]]]:
    """Try mutated inputs until the time or their number is used up; return how many, and the findings."""
    rng, findings, tried = Random(seed), [], 0
    process, until = psutil.Process(), time.monotonic() + seconds
    grown_from = 0
    while tried < inputs and time.monotonic() < until:
        data = mutated(rng, target.corpus)
        tried += 1
        try:
            check(target, data)
        except FindingError as finding:
            findings.append((data, str(finding)))
        if tried == 500:
            gc.collect()
            grown_from = process.memory_info().rss
    gc.collect()
    growth = process.memory_info().rss - grown_from if grown_from else 0
    if growth > MOST_GROWTH_BYTES:
        findings.append((b"", f"{growth / 1e6:.0f} MB more after {tried} inputs"))
    return tried, findings
