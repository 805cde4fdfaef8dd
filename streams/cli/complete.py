"""Values that a shell completes: those that are known without asking a broker or a ledger."""

from collections.abc import Callable, Iterable


def one_of(values: Callable[[], Iterable[str]]) -> Callable[[str], list[str]]:
    """Return a completer that offers those of some values that begin as typed.

    >>> one_of(lambda: ["ndjson", "parquet"])("p")
    ['parquet']
    """

    def completed(incomplete: str) -> list[str]:
        return [value for value in values() if value.startswith(incomplete)]

    return completed
