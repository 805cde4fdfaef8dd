"""Work on logs: analyse, compare, explain and query them, and keep golden scenarios.

From a notebook::

    from streams import replay

    result = replay.analyze("monday.ndjson.zst")
    result.final().to_polars()
    replay.diff(result, replay.analyze("monday.ndjson.zst", rule="stricter.json"))
    replay.query("SELECT link, count(*) FROM lookups GROUP BY link", "monday.ndjson.zst")
"""

from streams.replay.diff import Diff, diff
from streams.replay.explain import Explanation, explain
from streams.replay.notebook import analyze, query, read
from streams.replay.results import Results, Table

__all__ = ["Diff", "Explanation", "Results", "Table", "analyze", "diff", "explain", "query", "read"]
