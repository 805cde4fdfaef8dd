"""A client for the HTTP APIs of a running Prometheus and Alertmanager."""

import json
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from typing import Any

TIMEOUT_SECONDS = 60


class WatchApiError(RuntimeError):
    """Prometheus or Alertmanager refused a request; the message holds the request and the answer."""


class PrometheusApi:
    """The HTTP API of one Prometheus at ``url``; times are epoch seconds."""

    def __init__(self, url: str) -> None:
        self._url = url.rstrip("/")

    def instant(self, expr: str, at: float | None = None) -> list[dict[str, Any]]:
        """Return the series of an instant query: ``metric`` labels and one ``value`` each."""
        return self._vector("query", {"query": expr} | ({} if at is None else {"time": f"{at:.3f}"}))

    def ranged(self, expr: str, start: float, end: float, step_seconds: float) -> list[dict[str, Any]]:
        """Return the series of a range query: ``metric`` labels and ``values`` each."""
        span = {"start": f"{start:.3f}", "end": f"{end:.3f}", "step": f"{step_seconds:.3f}"}
        return self._vector("query_range", {"query": expr, **span})

    def label_values(self, label: str, match: str, start: float, end: float) -> list[str]:
        """Return the values of a label among the series that a selector matches."""
        asked = {"match[]": match, "start": f"{start:.3f}", "end": f"{end:.3f}"}
        found: list[str] = self._ask(f"label/{label}/values", asked)
        return found

    def alerts(self) -> list[dict[str, Any]]:
        """Return the alerts that are pending or firing."""
        found: list[dict[str, Any]] = self._ask("alerts", {})["alerts"]
        return found

    def rules(self) -> Iterator[dict[str, Any]]:
        """Yield every rule with its health, last error and evaluation time."""
        for group in self._ask("rules", {})["groups"]:
            yield from group["rules"]

    def targets(self) -> list[dict[str, Any]]:
        """Return the active scrape targets."""
        found: list[dict[str, Any]] = self._ask("targets", {})["activeTargets"]
        return found

    def _vector(self, path: str, asked: dict[str, str]) -> list[dict[str, Any]]:
        answer = self._ask(path, asked)
        if answer["resultType"] == "scalar":
            return [{"metric": {}, "value": answer["result"]}]
        found: list[dict[str, Any]] = answer["result"]
        return found

    def _ask(self, path: str, asked: dict[str, str]) -> Any:
        return get_json(f"{self._url}/api/v1/{path}", asked)["data"]


class AlertmanagerApi:
    """The HTTP API of one Alertmanager at ``url``."""

    def __init__(self, url: str) -> None:
        self._url = url.rstrip("/")

    def groups(self) -> list[dict[str, Any]]:
        """Return the alert groups as they would be notified, including silenced and inhibited ones."""
        found: list[dict[str, Any]] = get_json(f"{self._url}/api/v2/alerts/groups", {})
        return found


def get_json(url: str, asked: dict[str, str]) -> Any:
    """Return the JSON answer of a URL; raise WatchApiError with the server's message."""
    request = f"{url}?{urllib.parse.urlencode(asked)}" if asked else url
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as answer:  # noqa: S310 - the caller's own
            return json.load(answer)
    except urllib.error.HTTPError as error:
        said = error.read().decode("utf-8", "replace")
        raise WatchApiError(f"{asked or url}: {error.code}: {said[:500]}") from error
    except OSError as error:
        raise WatchApiError(f"{url} does not answer: {error}") from error
