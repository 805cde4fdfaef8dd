"""Range-based precision and recall (Tatbul, Lee, Zdonik, Alam, Gottschlich, NeurIPS 2018).

Point-wise scores favour long events, and event-wise scores accept a detection that covers one minute of an
hour. Here each true range earns ``alpha`` for being touched at all, and the rest for the covered share
divided by the number of ranges that cover it, so that a fragmented detection is worth less. Precision is the
same the other way round, without the reward for touching. The bias over a range is flat and the cardinality
factor 1/x, the paper's defaults.
"""

from collections.abc import Sequence

from streams.model.intervals import Interval, intersection, length_ms, union

ALPHA = 0.5


def overlap_reward(of: Interval, by: Sequence[Interval]) -> float:
    """Return the share of a range that others cover, divided by their number.

    >>> overlap_reward((0, 10), [(0, 4), (6, 10), (20, 30)])
    0.4
    """
    touching = [other for other in by if other[0] < of[1] and of[0] < other[1]]
    if not touching:
        return 0.0
    covered = length_ms(intersection([of], union(touching)))
    return covered / (of[1] - of[0]) / len(touching)


def range_recall(true: Sequence[Interval], found: Sequence[Interval], alpha: float = ALPHA) -> list[float]:
    """Return each true range's reward, from 0 to 1.

    >>> range_recall([(0, 10), (20, 30)], [(5, 10)])
    [0.75, 0.0]
    """
    rewards = []
    for one in true:
        touched = any(other[0] < one[1] and one[0] < other[1] for other in found)
        rewards.append(alpha * touched + (1 - alpha) * overlap_reward(one, found))
    return rewards


def range_precision(true: Sequence[Interval], found: Sequence[Interval]) -> list[float]:
    """Return each found range's reward: how much of it is true.

    >>> range_precision([(0, 10)], [(5, 15), (20, 30)])
    [0.5, 0.0]
    """
    return [overlap_reward(one, true) for one in found]
