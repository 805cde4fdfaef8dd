"""A real Prometheus on this machine."""

from collections.abc import Sequence
from pathlib import Path

from streams.servers.http_server import HttpServer


class Prometheus(HttpServer):
    """Prometheus with the given configuration file, its samples under `directory`.

    It reloads its configuration on `POST /-/reload`. `extra_arguments` go on its command
    line.
    """

    program = "prometheus"

    def __init__(
        self, directory: Path, config: Path, *, port: int | None = None, extra_arguments: Sequence[str] = ()
    ) -> None:
        super().__init__(directory, port=port)
        self._config = config.absolute()
        self._extra_arguments = extra_arguments

    def arguments(self, port: int) -> Sequence[str | Path]:
        """Return the command line after the program's name."""
        return [
            f"--config.file={self._config}",
            f"--storage.tsdb.path={self.directory / 'data'}",
            f"--web.listen-address=127.0.0.1:{port}",
            "--web.enable-lifecycle",
            *self._extra_arguments,
        ]
