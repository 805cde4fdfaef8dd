"""A real Alertmanager on this machine."""

from collections.abc import Sequence
from pathlib import Path

from streams.servers.http_server import HttpServer


class Alertmanager(HttpServer):
    """Alertmanager with the given configuration file, its silences and notifications under `directory`."""

    program = "alertmanager"

    def __init__(self, directory: Path, config: Path, *, port: int | None = None) -> None:
        super().__init__(directory, port=port)
        self._config = config.absolute()

    def arguments(self, port: int) -> Sequence[str | Path]:
        """Return the command line after the program's name."""
        return [
            f"--config.file={self._config}",
            f"--storage.path={self.directory / 'data'}",
            f"--web.listen-address=127.0.0.1:{port}",
            # A single instance needs no peers; by default it would listen for them on every interface.
            "--cluster.listen-address=",
        ]
