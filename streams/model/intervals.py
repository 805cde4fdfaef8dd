"""Sets of time as sorted, disjoint, half-open intervals ``[start_ms, end_ms)``.

Every availability figure is the length of such a set, so figures are exact in integer milliseconds and do not
depend on the order of computation.
"""

from collections.abc import Iterable
from itertools import pairwise

Interval = tuple[int, int]
Intervals = list[Interval]
"""Sorted by start, none empty, none touching the next."""


def union(intervals: Iterable[Interval]) -> Intervals:
    """Return the set covered by any intervals, in whatever order they come; empty ones vanish.

    >>> union([(5, 9), (1, 3), (3, 4), (7, 7)])
    [(1, 4), (5, 9)]
    """
    merged: Intervals = []
    for start, end in sorted(intervals):
        if end <= start:
            continue
        if merged and start <= merged[-1][1]:
            if end > merged[-1][1]:
                merged[-1] = (merged[-1][0], end)
        else:
            merged.append((start, end))
    return merged


def intersection(first: Intervals, second: Intervals) -> Intervals:
    """Return what lies in both sets.

    >>> intersection([(0, 10), (20, 30)], [(5, 25)])
    [(5, 10), (20, 25)]
    """
    common: Intervals = []
    i = j = 0
    while i < len(first) and j < len(second):
        start, end = max(first[i][0], second[j][0]), min(first[i][1], second[j][1])
        if start < end:
            common.append((start, end))
        if first[i][1] < second[j][1]:
            i += 1
        else:
            j += 1
    return common


def difference(kept: Intervals, removed: Intervals) -> Intervals:
    """Return what lies in the first set and not in the second.

    >>> difference([(0, 10)], [(2, 4), (9, 12)])
    [(0, 2), (4, 9)]
    """
    left: Intervals = []
    j = 0
    for start, end in kept:
        cursor = start
        while j < len(removed) and removed[j][1] <= cursor:
            j += 1
        k = j
        while k < len(removed) and removed[k][0] < end:
            if removed[k][0] > cursor:
                left.append((cursor, removed[k][0]))
            cursor = max(cursor, removed[k][1])
            k += 1
        if cursor < end:
            left.append((cursor, end))
    return left


def clip(intervals: Intervals, start_ms: int, end_ms: int) -> Intervals:
    """Return the part of a set within ``[start_ms, end_ms)``."""
    return [
        (max(start, start_ms), min(end, end_ms))
        for start, end in intervals
        if start < end_ms and start_ms < end and start_ms < end_ms
    ]


def length_ms(intervals: Intervals) -> int:
    """Return the total length of a set.

    >>> length_ms([(0, 10), (20, 25)])
    15
    """
    return sum(end - start for start, end in intervals)


def is_canonical(intervals: Intervals) -> bool:
    """Return whether a list is sorted, disjoint and free of empty or touching intervals."""
    return all(start < end for start, end in intervals) and all(a[1] < b[0] for a, b in pairwise(intervals))
