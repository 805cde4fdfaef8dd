"""portallink measures how stable the link between portals and the population database is.

The pipeline's packages are ``measure``, ``detect``, ``record`` and ``serve``, fed by ``simulate``, ``ingest``
and ``replay``. ``model`` is their common vocabulary. See ``ARCHITECTURE.md``.
"""

__version__ = "0.1.0"
