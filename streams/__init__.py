"""portallink: how stable is the link between the portal and the population database.

The packages are rooms in a row: ``measure``, ``detect``, ``record``, ``serve``, fed by ``simulate``,
``ingest`` and ``replay``. ``model`` is their common vocabulary. See ``ARCHITECTURE.md``.
"""

__version__ = "0.1.0"
