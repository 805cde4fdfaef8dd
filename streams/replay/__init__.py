"""Work on logs: analyse, compare, explain and query them, and keep golden scenarios.

From a notebook::

    from streams import replay

    result = replay.analyze("monday.ndjson.zst")
    result                      # as the last line of a cell: a drawing and a table
    result.final().to_polars()
    replay.explain("npd", "monday.ndjson.zst")
    replay.diff(result, replay.analyze("monday.ndjson.zst", rule="stricter.json"))
    replay.query("SELECT link, count(*) FROM lookups GROUP BY link", "monday.ndjson.zst")
"""

from streams.replay.diff import Diff, diff
from streams.replay.explain import Explanation
from streams.replay.notebook import analyze, explain, query, read
from streams.replay.results import Results, Table

__all__ = ["Diff", "Explanation", "Results", "Table", "analyze", "diff", "explain", "query", "read"]
