"""What a supervisor is told: alive is not ready, and who moves no more is not alive."""

import io
import urllib.error
import urllib.request

from streams import telemetry
from streams.telemetry.health import Health


def answer(port: int, path: str) -> tuple[int, str]:
    """Return status and text of an answer."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as got:
            return got.status, got.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_readiness_follows_the_stage_and_liveness_its_progress():
    """A stage that waits is alive and not ready; one that is ready and moves no more is neither."""
    stage = telemetry.Telemetry("measure", "json", stream=io.StringIO())
    now = [0.0]
    health = stage.store.ledger(Health)
    health._clock, health._stall = lambda: now[0], 300.0
    port = stage.start_http()
    try:
        stage.emit(telemetry.StageReady(ready=False))
        assert (answer(port, "/healthz")[0], answer(port, "/readyz")[0]) == (200, 503)
        stage.emit(telemetry.StageReady(ready=True))
        stage.emit(telemetry.StageMoved())
        assert (answer(port, "/healthz")[0], answer(port, "/readyz")[0]) == (200, 200)
        now[0] = 301.0
        assert answer(port, "/healthz") == (503, "nothing has moved for 301 s\n")
        assert answer(port, "/readyz")[0] == 503
        stage.emit(telemetry.StageMoved())
        assert (answer(port, "/healthz")[0], answer(port, "/readyz")[0]) == (200, 200)
    finally:
        stage.stop_http()
