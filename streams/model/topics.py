"""The names of the topics, declared once; `schemas/` holds what each carries and how it is created."""

from typing import Final

SUBMISSIONS: Final = "portal.submissions"
LOOKUPS: Final = "npd.lookups"
MEASUREMENTS: Final = "link.measurements"
WINDOWS: Final = "link.windows"
OUTAGES: Final = "link.outages"
OUTAGES_LATEST: Final = "link.outages.latest"
EXCLUSIONS: Final = "link.exclusions"
RETIREMENTS: Final = "link.retirements"
RULES: Final = "link.rules"
"""Not events but the rules that judge them; read, captured and replayed together with events."""
DEAD_LETTERS: Final = "pipeline.dead_letters"
