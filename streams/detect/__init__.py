"""From measurements to link states, windows and outages.

``rule.py`` decides, ``history.py`` keeps one link's facts and re-judges them when late ones come,
``detector.py`` merges the measurements of one partition, ``app.py`` is the Faust application.
"""

from typing import Final

APP_ID: Final = "portallink-detect"
"""The Faust application's id, which is its consumer group's name."""
MEASURE_GROUP: Final = "portallink-measure"
"""The consumer group of `measure`, from whose commits `detect` knows how far it has read."""
