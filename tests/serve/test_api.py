"""The interface: the hand-worked figures, the right refusals, nothing leaked."""

import base64
import csv
import io
import json

import polars as pl
import pytest
import sqlalchemy as sa
import worked_month as month
from fastapi import FastAPI
from running import Running, running

from streams import telemetry
from streams.serve.access import Access
from streams.serve.app import create_app
from streams.serve.limit import RateLimit

pytestmark = pytest.mark.slow

API = "/api/v1"


def bearer(token: str) -> dict[str, str]:
    """Return the header that shows a token."""
    return {"Authorization": f"Bearer {token}"}


@pytest.mark.parametrize("calendar", ["24x7", "office-hours"])
def test_summary_is_hand_worked(client: Running, tokens, calendar: str) -> None:
    """The interface gives every figure of docs/availability.md."""
    answer = client.get(
        f"{API}/summary",
        params={"month": month.MONTH, "calendar": calendar},
        headers=bearer(tokens["viewer"]),
    ).json()
    expected = month.HAND_WORKED[calendar]
    assert {name: answer["total"][name] for name in expected} == expected
    assert {name: answer["links"][0][name] for name in expected} == expected
    assert answer["question"]["timezone"] == "Asia/Ho_Chi_Minh"


def test_same_rows_as_csv_and_parquet(client: Running, tokens) -> None:
    """Content negotiation changes the form, not the rows."""

    def get(accept: str):
        headers = bearer(tokens["viewer"]) | {"Accept": accept}
        return client.get(f"{API}/outages", params={"month": month.MONTH}, headers=headers)

    rows = get("application/json").json()["outages"]
    table = list(csv.DictReader(io.StringIO(get("text/csv").content.decode("utf-8-sig"))))
    frame = pl.read_parquet(io.BytesIO(get("application/vnd.apache.parquet").content))
    ids = [row["outage_id"] for row in rows]
    assert [row["outage_id"] for row in table] == ids == frame["outage_id"].to_list()
    assert [int(row["counted_ms"]) for row in table] == frame["counted_ms"].to_list()
    assert get("image/png").status_code == 406
    assert (
        get("text/csv;q=0.5, application/json;q=0.9").headers["content-type"].startswith("application/json")
    )


def test_pages_and_etags(client: Running, tokens) -> None:
    """Cursors lead through the whole list; a known answer is not sent again."""
    headers = bearer(tokens["viewer"])
    ids, after = [], None
    while True:
        params = {"month": month.MONTH, "limit": 3} | ({"after": after} if after else {})
        answer = client.get(f"{API}/outages", params=params, headers=headers).json()
        ids += [row["outage_id"] for row in answer["outages"]]
        after = answer["next"]
        if after is None:
            break
    assert len(ids) == len(set(ids)) == 7
    first = client.get(f"{API}/links", headers=headers)
    again = client.get(f"{API}/links", headers=headers | {"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


OF_VIEWERS = """links summary coverage outages outages/hcmc-npd-o1 outages/hcmc-npd-o1/revisions incidents
exclusions heads heads/latest"""
OF_AUDITORS = """outages/hcmc-npd-o1/evidence outages/hcmc-npd-o1/revisions/1/proof trail
logs/link.outages/0/consistency?first=1"""
PATHS = {"viewer": OF_VIEWERS.split(), "auditor": OF_AUDITORS.split()}


@pytest.mark.parametrize(("role", "path"), [(role, path) for role, paths in PATHS.items() for path in paths])
def test_each_route_wants_its_role(client: Running, tokens, role: str, path: str) -> None:
    """Without a token, with a wrong, an expired or a lesser one: 401, 401, 401, 403, and nothing told."""

    def get(headers: dict[str, str]):
        return client.get(f"{API}/{path}", headers=headers)

    assert get(bearer(tokens[role])).status_code == 200
    for headers in ({}, bearer("plk_wrong"), bearer(tokens["expired"]), {"Authorization": "Basic eDp5"}):
        refused = get(headers)
        assert refused.status_code == 401
        assert refused.headers["content-type"] == "application/problem+json"
        assert set(refused.json()) == {"type", "title", "status", "detail"}
        assert "hcmc" not in refused.text
    if role == "auditor":
        assert get(bearer(tokens["viewer"])).status_code == 403


SCRIPT = "<script>alert(1)</script>"
HOSTILE = ["' OR 1=1 --", "../../etc/passwd", SCRIPT, "%00", "a" * 5_000, "\u202e", "-1", "1e999"]
PARAMETERS = ["link", "month", "from", "as_of", "calendar", "after", "limit", "unheard_of"]


@pytest.mark.parametrize("value", HOSTILE)
@pytest.mark.parametrize("name", PARAMETERS)
def test_hostile_parameters(client: Running, tokens, name: str, value: str) -> None:
    """Whatever a parameter holds, the answer has no rows or is a refusal that repeats none of it."""
    answer = client.get(f"{API}/outages", params={name: value}, headers=bearer(tokens["viewer"]))
    assert answer.status_code in (200, 404, 422)
    if answer.status_code == 200:
        assert answer.json() == {"outages": [], "next": None}
    else:
        assert answer.headers["content-type"] == "application/problem+json"
        assert value not in answer.json()["detail"]


def test_operator_excludes_and_it_is_on_the_trail(client: Running, app: FastAPI, tokens, excluded) -> None:
    """Only an operator publishes an exclusion, under the token's name; who asked what is kept."""
    body = {
        "link": month.LINK,
        "from": "2025-05-02T08:00",
        "to": "2025-05-02T09:00",
        "kind": "exclusion",
        "reason": "Cáp đứt",
    }
    for role, status in (("viewer", 403), ("auditor", 403), ("operator", 202)):
        posted = client.post(f"{API}/exclusions", json=body, headers=bearer(tokens[role]))
        assert posted.status_code == status
    assert [(one.author, one.link, one.reason) for one in excluded] == [
        ("operator-one", month.LINK, "Cáp đứt")
    ]
    wrong = client.post(
        f"{API}/exclusions", json=body | {"to": body["from"]}, headers=bearer(tokens["operator"])
    )
    assert wrong.status_code == 422
    withdrawn = f"{API}/exclusions/{month.exclusions()[-1].exclusion_id}/withdrawal"
    again = client.post(withdrawn, json={"reason": "again"}, headers=bearer(tokens["operator"]))
    assert again.status_code == 409
    app.state.services.trail.flush()
    trail = client.get(f"{API}/trail", params={"limit": 1000}, headers=bearer(tokens["auditor"])).json()[
        "trail"
    ]
    posts = [(row["who"], row["status"]) for row in trail if row["action"] == f"POST {API}/exclusions"]
    assert posts[-4:] == [
        ("viewer-one", 403),
        ("auditor-one", 403),
        ("operator-one", 202),
        ("operator-one", 422),
    ]
    assert excluded[0].exclusion_id in next(row["subject"] for row in trail if row["status"] == 202)


def test_approval_and_history_of_an_exclusion(client: Running, tokens) -> None:
    """Only an operator approves, and only what waits for it; every revision is told."""
    maintenance, agreed, approval, mistaken, _ = month.exclusions()

    def approve(name: str, role: str = "operator"):
        path = f"{API}/exclusions/{name}/approval"
        return client.post(path, json={"reason": "checked"}, headers=bearer(tokens[role]))

    assert approve(agreed.exclusion_id, "auditor").status_code == 403
    assert approve("x-none").status_code == 404
    for refused, why in ((agreed, "approved already"), (maintenance, "announced"), (mistaken, "withdrawn")):
        answer = approve(refused.exclusion_id)
        assert answer.status_code == 409
        assert why in answer.json()["detail"]
    headers = bearer(tokens["viewer"])
    told = client.get(f"{API}/exclusions/{agreed.exclusion_id}/revisions", headers=headers).json()[
        "revisions"
    ]
    assert [(one["author"], one["approved"]) for one in told] == [("audit", False), (approval.author, True)]
    page = client.get(f"/exclusions/{agreed.exclusion_id}", headers=headers).text
    assert all(words in page for words in (agreed.reason, approval.reason, "inspectorate"))
    assert client.get(f"{API}/exclusions/x-none/revisions", headers=headers).status_code == 404
    assert client.get("/exclusions/x-none", headers=headers).status_code == 404


def test_rate_limit(month_ledger: sa.Engine) -> None:
    """Who asks too often is told to wait, and how long."""
    telemetry.configure("serve", level="error")
    app = create_app(month_ledger, Access([], "viewer"), limit=RateLimit(per_second=0.5, burst=3))
    with running(app) as client:
        answers = [client.get(f"{API}/links") for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert 1 <= int(answers[-1].headers["retry-after"]) <= 3


def test_a_failure_tells_nothing(app: FastAPI, tokens, monkeypatch) -> None:
    """An error of ours is a 500 without a trace in it."""
    monkeypatch.setattr("streams.serve.api.links_answer", lambda _: 1 / 0)
    with running(app) as quiet:
        answer = quiet.get(f"{API}/links", headers=bearer(tokens["viewer"]))
    assert answer.status_code == 500
    assert answer.json() == {"type": "about:blank", "title": "Internal error", "status": 500}


def test_proofs_over_http(client: Running, tokens) -> None:
    """A revision's proof holds by the published algorithm, for the present size and an earlier one."""
    from streams.ledger.proof import merkle

    for size in (None, 15):
        params = {} if size is None else {"size": size}
        path = f"{API}/outages/hcmc-npd-o1/revisions/3/proof"
        proof = client.get(path, params=params, headers=bearer(tokens["auditor"])).json()
        hashes = [bytes.fromhex(digest) for digest in proof["path"]]
        leaf, root = bytes.fromhex(proof["leaf_hash"]), bytes.fromhex(proof["root"])
        assert merkle.inclusion_holds(leaf, proof["leaf"], proof["size"], hashes, root)
    missing = client.get(f"{API}/outages/none/revisions/1/proof", headers=bearer(tokens["auditor"]))
    assert missing.status_code == 404


CURSORS = [
    '[1, "\\ud800"]',
    '[1, "\\udfff x"]',
    '[1, "\\u0000"]',
    "[" * 400,
    "[1, 2]",
    '["1", "x"]',
    "[true, null]",
    "[1e400, 1]",
    '[99999999999999999999, "x"]',
    '{"a": 1, "b": 2}',
    '"ab"',
    "null",
    "\x00\x01\x02",
]


@pytest.mark.parametrize("said", CURSORS)
@pytest.mark.parametrize("path", [f"{API}/outages?", f"{API}/incidents?", "/link?link=hcmc-npd&", "/report?"])
def test_a_cursor_that_no_page_gave(client: Running, tokens, path: str, said: str) -> None:
    """Whatever a cursor decodes to, it is refused as no cursor, and never an internal error."""
    cursor = base64.urlsafe_b64encode(said.encode()).decode().rstrip("=")
    address = f"{path}month={month.MONTH}&after={cursor}"
    assert client.get(address, headers=bearer(tokens["viewer"])).status_code == 422


@pytest.mark.parametrize("field", ["link", "reason"])
def test_half_a_surrogate_in_an_exclusion(client: Running, tokens, excluded, field: str) -> None:
    """A body whose text is no text in any encoding is refused, and nothing is published."""
    said = {"link": month.LINK, "reason": "x", "kind": "exclusion"} | {field: "x\ud800"}
    body = json.dumps(said | {"from": "2025-05-02T08:00", "to": "2025-05-02T09:00"})
    headers = bearer(tokens["operator"]) | {"Content-Type": "application/json"}
    answer = client.post(f"{API}/exclusions", content=body, headers=headers)
    assert (answer.status_code, excluded) == (422, [])
