"""The links that went down together, as `record` shows them to alerting."""

import msgspec
import sqlalchemy as sa
import worked_month as month
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from streams import telemetry
from streams.model.record import Record
from streams.record.ledger import Ledger, RecordSettings
from streams.telemetry.contract import INCIDENT_LINK


async def test_links_that_went_down_together_are_shown_until_they_are_back(ledger: sa.Engine) -> None:
    """Two outages that began together are one incident in the gauge, one that began later is none of it, and
    what has ended is gone.
    """
    told = telemetry.configure("record", level="error")
    worker = Ledger(ledger, Ed25519PrivateKey.generate(), RecordSettings(), lambda _: None)
    at = month.at(3, 9)
    starts = {"a > npd": at, "b > npd": at + 20_000, "c > npd": at + 900_000}
    records: list[Record] = []

    def revised(number: int, link: str, *, end_ms: int | None) -> None:
        one = month.outage(
            f"s{number}", "down", "provider", starts[link], starts[link] + 60_000, 1, link=link
        )
        status = "open" if end_ms is None else "closed"
        revision = 1 if end_ms is None else 2
        one = msgspec.structs.replace(one, end_ms=end_ms, status=status, revision=revision, reason="opened")
        body = msgspec.json.encode(one, order="deterministic")
        records.append(Record("link.outages", 0, len(records), at, b"", body))

    for number, link in enumerate(starts):
        revised(number, link, end_ms=None)
    await worker.apply(records)
    shown = told.store.labels(INCIDENT_LINK)
    assert {link for _, _, link in shown} == {"a > npd", "b > npd"}
    assert len({incident for incident, _, _ in shown}) == 1
    assert {cause for _, cause, _ in shown} <= {"provider", "exchange platform", "access line"}
    before = len(records)
    for number, link in enumerate(starts):
        revised(number, link, end_ms=starts[link] + 1_800_000)
    await worker.apply(records[before:])
    assert told.store.labels(INCIDENT_LINK) == frozenset()
