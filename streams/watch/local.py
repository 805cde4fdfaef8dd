"""Prometheus and Alertmanager on this machine, monitoring local processes.

For the demo and for tests. ``pace`` says how much faster than the wall clock event time runs: scrapes, rule
windows and waits are shortened by the same factor, so that a rule over an hour of event time still covers an
hour of event time. Alerts on the wall clock itself have no meaning then and are left out.
"""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import yaml
from msgspec.structs import replace

from streams.servers.alertmanager import Alertmanager
from streams.servers.prometheus import Prometheus
from streams.watch.api import AlertmanagerApi, PrometheusApi
from streams.watch.promql import span_at
from streams.watch.rules import alertmanager_files, rule_files
from streams.watch.settings import WatchSettings

SCRAPE_SECONDS = 15
# Four scrapes per second are enough; at a faster pace there are fewer scrapes per minute of event time.
FASTEST_SCRAPE_SECONDS = 0.25


class LocalWatch:
    """A running pair; ``targets`` maps each stage to the loopback ports of its processes.

    Entering raises PartUnavailableError if Prometheus or Alertmanager is unavailable, PartError if one does
    not start; leaving stops both. `retarget` adds processes that start later.
    """

    def __init__(
        self,
        directory: Path,
        targets: Mapping[str, Sequence[int]],
        *,
        settings: WatchSettings | None = None,
        pace: float = 1,
        prometheus_port: int | None = None,
        alertmanager_port: int | None = None,
    ) -> None:
        chosen = settings or WatchSettings()
        if pace != 1:
            chosen = replace(chosen, pipeline=replace(chosen.pipeline, watermark_lag_seconds=None))
        self._directory = directory.absolute()
        self._settings = chosen
        self._pace = pace
        self._ports = (prometheus_port, alertmanager_port)
        self._running = ExitStack()
        self._write(targets)

    def __enter__(self) -> Self:
        prometheus_port, alertmanager_port = self._ports
        with ExitStack() as starting:
            self._alertmanager = starting.enter_context(
                Alertmanager(
                    self._directory / "alertmanager", self._alertmanager_config, port=alertmanager_port
                )
            )
            self._write_config(self._alertmanager.url)
            self._prometheus = starting.enter_context(
                Prometheus(self._directory / "prometheus", self._config, port=prometheus_port)
            )
            self._running = starting.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._running.close()

    @property
    def prometheus_url(self) -> str:
        """Address of the running Prometheus."""
        return self._prometheus.url

    @property
    def alertmanager_url(self) -> str:
        """Address of the running Alertmanager."""
        return self._alertmanager.url

    @property
    def prometheus(self) -> PrometheusApi:
        """The API of the running Prometheus."""
        return PrometheusApi(self.prometheus_url)

    @property
    def alertmanager(self) -> AlertmanagerApi:
        """The API of the running Alertmanager."""
        return AlertmanagerApi(self.alertmanager_url)

    def retarget(self, targets: Mapping[str, Sequence[int]]) -> None:
        """Scrape these processes from now on; Prometheus notices the changed file by itself."""
        self._targets.write_text(
            yaml.safe_dump(
                [
                    {"targets": [f"127.0.0.1:{port}" for port in ports], "labels": {"process": stage}}
                    for stage, ports in targets.items()
                    if ports
                ]
            ),
            "utf-8",
        )

    @property
    def _config(self) -> Path:
        return self._directory / "prometheus.yml"

    @property
    def _alertmanager_config(self) -> Path:
        return self._directory / "alertmanager.yml"

    @property
    def _targets(self) -> Path:
        return self._directory / "targets.yml"

    def _write(self, targets: Mapping[str, Sequence[int]]) -> None:
        self._directory.mkdir(parents=True, exist_ok=True)
        written = alertmanager_files(self._settings, self._pace) | rule_files(self._settings, self._pace)
        for name, text in written.items():
            (self._directory / name).write_text(text, "utf-8")
        self.retarget(targets)

    def _write_config(self, alertmanager_url: str) -> None:
        interval = span_at(1)(max(SCRAPE_SECONDS / self._pace, FASTEST_SCRAPE_SECONDS))
        config: dict[str, Any] = {
            "global": dict.fromkeys(("scrape_interval", "scrape_timeout", "evaluation_interval"), interval),
            "rule_files": [str(self._directory / name) for name in rule_files(self._settings)],
            "scrape_configs": [
                {"job_name": "portallink", "file_sd_configs": [{"files": [str(self._targets)]}]}
            ],
            "alerting": {
                "alertmanagers": [
                    {"static_configs": [{"targets": [alertmanager_url.removeprefix("http://")]}]}
                ]
            },
        }
        self._config.write_text(yaml.safe_dump(config, sort_keys=False), "utf-8")
