"""From measurements to link states, windows and outages.

``rule/`` decides, ``link/history.py`` keeps one link's facts and judges them again when late ones arrive,
``detector.py`` merges the measurements of one partition, ``app.py`` is the Faust application.
"""

from typing import Final

APP_ID: Final = "portallink-detect"
"""The Faust application's id, which is its consumer group's name."""
MEASURE_GROUP: Final = "portallink-measure"
"""The consumer group of `measure`; its commits tell `detect` how far `measure` has read."""
