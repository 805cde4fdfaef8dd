"""Logs again: captured from topics, played back into them, analysed, compared and explained.

From a notebook::

    from streams import replay

    result = replay.analyze("monday.ndjson.zst")
    result.outages.to_polars()
"""
