"""Random draws that are the same on any machine and with any Python version.

Only `random.Random.random` is used, for which Python promises the same sequence for the same seed; it is a
multiple of 2**-53, and multiplying it by an integer and truncating are exactly rounded everywhere. No draw
uses the platform's libm: each distribution is a table of quantiles in whole milliseconds, made once in
decimal arithmetic (whose ``exp`` and ``ln`` are correctly rounded by specification), and a draw picks an
entry. Every concern has its own generator, seeded by hashing seed and name, so that adding draws in one place
changes nothing elsewhere.

A table cuts off a distribution's tail at its last quantile, (n - 1/2) / n. If the tail matters, as with
latencies, the last entry is replaced by a draw from a second table (`lognormal_tail`), which extends to one
in two million. Entries are quantiles, not means of their intervals, so the mean of a heavy-tailed table is
slightly below the distribution's.
"""

from decimal import Decimal, localcontext
from functools import lru_cache
from hashlib import sha256
from math import floor
from random import Random
from statistics import NormalDist
from typing import Final

TABLE_SIZE: Final = 1024

Table = tuple[int, ...]
"""Quantiles of a distribution, ascending and equally likely."""


def seeded(seed: int, name: str) -> Random:
    """Return the generator of one concern."""
    digest = sha256(f"{seed}/{name}".encode()).digest()
    return Random(int.from_bytes(digest[:8], "big"))  # noqa: S311 - a simulation, not a secret


def _midpoints(size: int) -> list[Decimal]:
    return [(Decimal(2 * i + 1)) / (2 * size) for i in range(size)]


@lru_cache(maxsize=4)
def _normal_quantiles(size: int) -> tuple[Decimal, ...]:
    """Return standard normal quantiles to six decimals, so that platforms cannot differ."""
    normal = NormalDist()
    return tuple(
        Decimal(round(normal.inv_cdf((i + 0.5) / size) * 1_000_000)) / 1_000_000 for i in range(size)
    )


@lru_cache(maxsize=64)
def _spread(sigma: float, size: int) -> tuple[Decimal, ...]:
    """Return the quantiles of a lognormal with median 1; cached, as this is slow and few sigmas are used."""
    spread = Decimal(repr(sigma))
    with localcontext() as context:
        context.prec = 28
        return tuple((spread * z).exp() for z in _normal_quantiles(size))


@lru_cache(maxsize=512)
def lognormal(median: float, sigma: float, size: int = TABLE_SIZE) -> Table:
    """Return a lognormal's quantiles, at least 1, for a ``median`` and a log standard deviation ``sigma``.

    >>> lognormal(100, 0.5, 3)
    (62, 100, 162)
    """
    with localcontext() as context:
        context.prec = 28
        centre = Decimal(repr(median))
        return tuple(max(1, round(centre * quantile)) for quantile in _spread(sigma, size))


@lru_cache(maxsize=512)
def lognormal_tail(median: float, sigma: float) -> Table:
    """Return the quantiles within the last entry of a lognormal's table, for draws that hit it.

    >>> lognormal(100, 0.5)[-2:], lognormal_tail(100, 0.5)[::1023]
    ((443, 520), (471, 1159))
    """
    normal = NormalDist()
    spread, centre = Decimal(repr(sigma)), Decimal(repr(median))
    tail = []
    with localcontext() as context:
        context.prec = 28
        for i in range(TABLE_SIZE):
            beyond = (1 - (i + 0.5) / TABLE_SIZE) / TABLE_SIZE
            z = Decimal(round(-normal.inv_cdf(beyond) * 1_000_000)) / 1_000_000
            tail.append(max(1, round(centre * (spread * z).exp())))
    return tuple(tail)


@lru_cache(maxsize=4)
def _gumbel_quantiles(size: int) -> tuple[Decimal, ...]:
    """Return the logarithms of an exponential's quantiles."""
    return tuple((-(1 - p).ln()).ln() for p in _midpoints(size))


@lru_cache(maxsize=64)
def _hazard(shape: float, size: int) -> tuple[Decimal, ...]:
    """Return the quantiles of a Weibull distribution with scale 1."""
    power = 1 / Decimal(repr(shape))
    return tuple((quantile * power).exp() for quantile in _gumbel_quantiles(size))


@lru_cache(maxsize=512)
def weibull(scale: float, shape: float, size: int = TABLE_SIZE) -> Table:
    """Return a Weibull distribution's quantiles; ``shape`` below 1: decreasing hazard, 1: exponential.

    >>> weibull(100, 1, 2)
    (29, 139)
    """
    with localcontext() as context:
        context.prec = 28
        scale_ = Decimal(repr(scale))
        return tuple(max(1, round(scale_ * quantile)) for quantile in _hazard(shape, size))


def exponential(mean: float, size: int = TABLE_SIZE) -> Table:
    """Return an exponential's quantiles."""
    return weibull(mean, 1, size)


def weibull_scale(mean: float, shape: float) -> float:
    """Return the scale with which the table of a Weibull distribution has the given mean.

    >>> round(weibull_scale(139, 1))
    139
    """
    unit = weibull(1_000_000, shape)
    return round(mean * 1_000_000 * len(unit) / sum(unit), 3)


def pick(table: Table, rng: Random) -> int:
    """Draw one entry."""
    return table[floor(rng.random() * len(table))]
