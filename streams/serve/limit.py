"""How often each caller may ask: a token bucket, refilled evenly, one for each caller."""

from msgspec import Struct


class _Bucket(Struct):
    tokens: float
    filled_at: float


class RateLimit:
    """Admits ``burst`` requests at once and ``per_second`` after that, by caller; pure but for its state."""

    def __init__(self, per_second: float = 20.0, burst: int = 100, callers: int = 10_000) -> None:
        self._per_second, self._burst, self._callers = per_second, burst, callers
        self._buckets: dict[str, _Bucket] = {}

    def wait_seconds(self, caller: str, now_seconds: float) -> float:
        """Admit a request and return 0, or return how long to wait before the next one is admitted."""
        bucket = self._buckets.pop(caller, None) or _Bucket(self._burst, now_seconds)
        self._buckets[caller] = bucket
        if len(self._buckets) > self._callers:
            del self._buckets[next(iter(self._buckets))]
        refill = (now_seconds - bucket.filled_at) * self._per_second
        bucket.tokens, bucket.filled_at = min(bucket.tokens + refill, self._burst), now_seconds
        if bucket.tokens < 1:
            return (1 - bucket.tokens) / self._per_second
        bucket.tokens -= 1
        return 0.0
