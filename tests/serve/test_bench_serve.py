"""The benchmark of the auditors' questions, small: every question is answered and timed."""

from streams.bench.ledger_fill import Size
from streams.bench.serve import bench_serve
from streams.ledger.store.database import sqlite_url


def test_bench_answers_every_question(tmp_path) -> None:
    """A small made-up ledger is filled, asked every kind of question, and the times come out in order."""
    size = Size(links=4, days=366, outages=80, window_days=310)
    result = bench_serve(sqlite_url(tmp_path / "ledger.db"), size, times=2)
    assert result["rows"] == {"links": 4, "windows": 4 * 310 * 1440, "outages": 80, "exclusions": 55}
    assert {kind.split()[0].strip(",") for kind in result["questions"]} == {
        "page",
        "summary",
        "outages",
        "incidents",
    }
    for times in result["questions"].values():
        assert 0 < times["p50_ms"] <= times["p95_ms"] <= times["max_ms"] <= 60_000
        assert 0 < times["cpu_ms"] <= times["cpu_p95_ms"] * 2
        assert times["database_cpu_ms"] == 0
        assert times["kilobytes"] > 0
    again = bench_serve(sqlite_url(tmp_path / "ledger.db"), size, times=2)
    assert again["rows"] == {"outages": 80}
