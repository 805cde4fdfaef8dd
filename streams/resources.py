"""Files that come with the package: topic schemas, deployment files and dashboards.

In a checkout they are in `schemas/`, `deploy/` and `grafana/` at its root. The wheel contains the same
folders inside the package, under `streams/files/`, so that only `streams` is installed (see
`pyproject.toml`).
"""

from pathlib import Path
from typing import Final, Literal

Folder = Literal["schemas", "deploy", "grafana"]

_PACKAGE: Final = Path(__file__).resolve().parent


def resource_folder(name: Folder) -> Path:
    """Return the folder of that name, from the installed package or from the checkout.

    Raises:
        FileNotFoundError: the installation is incomplete.
    """
    for folder in (_PACKAGE / "files" / name, _PACKAGE.parent / name):
        if folder.is_dir():
            return folder
    raise FileNotFoundError(f"the folder {name}/ is missing from this installation of portallink")
