"""Lines of access logs as gateways write them, made by the tests: one call in each gateway's real format."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from random import Random

LOCAL = timezone(timedelta(hours=7))
PATH = "/citizens/079090001234?token=secret"
CLIENT = "203.0.113.9"


@dataclass(frozen=True)
class LoggedCall:
    """A call: when it began, how long it took, and how it ended: ok, missing, refused, timeout or gone."""

    start_ms: int
    took_ms: int = 120
    ended: str = "ok"
    number: int = 0

    @property
    def status(self) -> int:
        """The status that most gateways note."""
        return {"ok": 200, "missing": 404, "refused": 502, "timeout": 504, "gone": 499}[self.ended]

    @property
    def answered(self) -> bool:
        """Whether the upstream answered."""
        return self.ended in ("ok", "missing")

    @property
    def request_id(self) -> str:
        """An id as gateways make them."""
        return f"{Random(self.number * 1_000_003 + self.start_ms).getrandbits(128):032x}"

    def begun(self, zone=UTC) -> datetime:
        """When it began."""
        return at(self.start_ms, zone)

    def over(self, zone=UTC) -> datetime:
        """When it ended."""
        return at(self.start_ms + self.took_ms, zone)


def at(ms: int, zone=UTC) -> datetime:
    """Return a time in a zone."""
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=ms)).astimezone(zone)


def clf(moment: datetime) -> str:
    """Return a time as the common log format has it."""
    return f"{moment:%d/%b/%Y:%H:%M:%S %z}"


def seconds(ms: int) -> str:
    """Return a duration as nginx has it."""
    return f"{ms / 1000:.3f}"


def iso_z(moment: datetime, digits: int = 3) -> str:
    """Return a time in UTC with so many digits of a second."""
    fraction = f"{moment.microsecond:06d}".ljust(9, "0")[:digits]
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%S}.{fraction}Z"


def nginx_json(call: LoggedCall) -> str:
    """Nginx with the log_format of docs/gateways.md; every variable is text."""
    reached = call.ended != "refused"
    return json.dumps(
        {
            "msec": f"{(call.start_ms + call.took_ms) / 1000:.3f}",
            "remote_addr": CLIENT,
            "request_id": call.request_id,
            "host": "dichvucong.example.vn",
            "uri": PATH.partition("?")[0],
            "status": str(call.status),
            "proxy_host": "npd",
            "upstream_addr": "10.0.0.7:8080",
            "upstream_status": "-" if call.ended == "gone" else str(call.status),
            "upstream_connect_time": "0.001" if reached else "-",
            "upstream_header_time": seconds(call.took_ms) if call.answered else "-",
            "upstream_response_time": seconds(call.took_ms),
        }
    )


def nginx_combined(call: LoggedCall) -> str:
    """nginx, combined with timings."""
    connect = "-" if call.ended == "refused" else "0.001"
    header = seconds(call.took_ms) if call.answered else "-"
    return (
        f'{CLIENT} - - [{clf(call.over(LOCAL))}] "GET {PATH} HTTP/1.1" {call.status} 157 "-" "curl/8.5.0 \\"x\\"" '
        f'rt={seconds(call.took_ms)} uct="{connect}" uht="{header}" urt="{seconds(call.took_ms)}"'
    )


def ingress_nginx(call: LoggedCall) -> str:
    """ingress-nginx's default format; a call that is refused is tried at two addresses, one of IPv6."""
    address, length, took, status = "10.1.4.20:8080", "612", seconds(call.took_ms), str(call.status)
    if call.ended == "refused":
        address, length = "10.1.4.20:8080, [2001:db8::7]:8080", "0, 0"
        took, status = f"0.000, {seconds(call.took_ms)}", "502, 502"
    if call.ended == "gone":
        status = "-"
    return (
        f'{CLIENT} - - [{clf(call.over(UTC))}] "GET {PATH} HTTP/2.0" {call.status} 612 "-" "Mozilla/5.0 (X11)" 512 '
        f"{seconds(call.took_ms)} [city-npd-8080] [] {address} {length} {took} {status} {call.request_id}"
    )


def haproxy(call: LoggedCall) -> str:
    """HAProxy's HTTP log behind syslog's beginning; local time."""
    ended = {"ok": "----", "missing": "----", "refused": "SC--", "timeout": "sH--", "gone": "CH--"}[
        call.ended
    ]
    status = {"refused": 503, "gone": 400}.get(call.ended, call.status)
    begun = call.begun(LOCAL)
    took = call.took_ms
    timers = f"0/0/1/{took - 1}/{took}" if call.answered else f"0/0/-1/-1/{took}"
    server = "<NOSRV>" if call.ended == "refused" else "npd1"
    return (
        f"{call.over(LOCAL):%b %d %H:%M:%S} lb1 haproxy[812]: {CLIENT}:51034 "
        f"[{begun:%d/%b/%Y:%H:%M:%S}.{begun.microsecond // 1000:03d}] fe_https~ npd/{server} {timers} {status} 1024 - - "
        f'{ended} 12/10/3/2/0 0/0 {{dichvucong.example.vn}} {{}} "GET {PATH} HTTP/1.1"'
    )


def envoy_json(call: LoggedCall) -> str:
    """Envoy's JSON log with Istio's names; numbers as text, as older versions have them."""
    flags = {"refused": "UF,URX", "timeout": "UT", "gone": "DC"}.get(call.ended, "-")
    return json.dumps(
        {
            "authority": "npd.example.vn",
            "bytes_received": "0",
            "bytes_sent": "846",
            "downstream_remote_address": f"{CLIENT}:13456",
            "duration": str(call.took_ms),
            "method": "GET",
            "path": PATH,
            "protocol": "HTTP/1.1",
            "request_id": call.request_id,
            "response_code": {"refused": "503", "gone": "0"}.get(call.ended, str(call.status)),
            "response_flags": flags,
            "start_time": iso_z(call.begun()),
            "upstream_cluster": "outbound|8080||npd.city.svc.cluster.local",
            "upstream_host": "10.56.1.111:8080",
            "upstream_service_time": str(call.took_ms) if call.answered else "-",
            "upstream_transport_failure_reason": "delayed_connect_error:_111"
            if call.ended == "refused"
            else "-",
        }
    )


def istio_text(call: LoggedCall) -> str:
    """Istio's default text log."""
    flags = {"refused": "UF,URX", "timeout": "UT", "gone": "DC"}.get(call.ended, "-")
    status = {"refused": 503, "gone": 0}.get(call.ended, call.status)
    details = {"refused": "upstream_reset_before_response_started{connection_failure}"}.get(
        call.ended, "via_upstream"
    )
    reason = "delayed_connect_error:_111" if call.ended == "refused" else "-"
    return (
        f'[{iso_z(call.begun())}] "GET {PATH} HTTP/1.1" {status} {flags} {details} - "{reason}" 0 95 {call.took_ms} '
        f'{call.took_ms if call.answered else "-"} "-" "curl/8.5.0" "{call.request_id}" "npd:8080" "10.44.1.27:80" '
        f"outbound|8080||npd.city.svc.cluster.local 10.44.1.23:37652 10.0.45.184:8080 {CLIENT}:46520 - default"
    )


def kong(call: LoggedCall) -> str:
    """Kong's file-log, shortened to what is common to its versions, and some more."""
    waited = call.took_ms - 2 if call.answered else -1
    return json.dumps(
        {
            "request": {
                "id": call.request_id,
                "method": "GET",
                "uri": PATH,
                "size": 75,
                "headers": {"host": "npd"},
            },
            "response": {"status": call.status, "size": 434, "headers": {"via": "1.1 kong/3.8.0"}},
            "route": {"id": "5a1d", "name": "verify-citizen", "paths": ["/citizens"]},
            "service": {"id": "97f4", "name": "npd", "host": "npd.internal", "port": 443},
            "latencies": {"proxy": waited, "kong": 2, "request": call.took_ms},
            "source": "upstream" if call.answered else "kong",
            "tries": [{"ip": "10.0.0.7", "port": 443, "balancer_latency": 0}],
            "started_at": call.start_ms,
            "client_ip": CLIENT,
            "workspace_name": "default",
        }
    )


def apisix(call: LoggedCall) -> str:
    """APISIX's loggers without a format of their own; times are floats."""
    return json.dumps(
        {
            "request": {
                "url": f"http://gw:9080{PATH}",
                "uri": PATH,
                "method": "GET",
                "headers": {},
                "size": 85,
            },
            "response": {"status": call.status, "headers": {"server": "APISIX/3.9.0"}, "size": 118},
            "server": {"hostname": "gw-1", "version": "3.9.0"},
            "upstream": None if call.ended == "refused" else "10.0.0.7:8080",
            "service_id": "npd",
            "route_id": "verify-citizen",
            "client_ip": CLIENT,
            "start_time": call.start_ms,
            "latency": call.took_ms + 0.00011,
            "upstream_latency": call.took_ms - 1,
            "apisix_latency": 1.00011,
        }
    )


def wso2(call: LoggedCall) -> str:
    """WSO2's apim_metrics.log: an answer, or a fault, which has no durations."""
    begun = call.begun()
    about = {
        "apiName": "npd",
        "apiVersion": "1.0.0",
        "apiMethod": "GET",
        "apiContext": "/npd/1.0.0",
        "apiResourceTemplate": "/citizens/{id}",
        "applicationName": "so-tu-phap",
        "correlationId": call.request_id,
        "gatewayType": "SYNAPSE",
        "userIp": CLIENT,
        "requestTimestamp": iso_z(begun),
    }
    if call.ended in ("refused", "timeout"):
        message = "CONNECTION_TIMEOUT" if call.ended == "timeout" else "CONNECTION_SUSPENDED"
        event, said = (
            "faulty",
            {"errorType": "TARGET_CONNECTIVITY", "errorCode": 101503, "errorMessage": message},
        )
        said |= {"proxyResponseCode": 500, "targetResponseCode": -1}
    else:
        event = "response"
        said = {"proxyResponseCode": call.status, "targetResponseCode": call.status}
        said |= {"responseLatency": call.took_ms, "backendLatency": call.took_ms - 1}
    shown = call.over(LOCAL)
    return (
        f"{shown:%H:%M:%S},{shown.microsecond // 1000:03d} [-] [PassThroughMessageProcessor-188]  INFO ELKCounterMetric "
        f"apimMetrics: apim:{event}, properties :{json.dumps(about | said)}"
    )


def traefik(call: LoggedCall) -> str:
    """Traefik's JSON log; durations in nanoseconds."""
    return json.dumps(
        {
            "ClientAddr": f"{CLIENT}:51034",
            "ClientHost": CLIENT,
            "DownstreamStatus": call.status,
            "Duration": call.took_ms * 1_000_000,
            "OriginDuration": (call.took_ms - 1) * 1_000_000 if call.answered else 0,
            "OriginStatus": call.status,
            "RequestMethod": "GET",
            "RequestPath": PATH,
            "RouterName": "verify@file",
            "ServiceName": "npd@file",
            "StartUTC": iso_z(call.begun(), 9),
            "StartLocal": call.begun(LOCAL).isoformat(),
            "level": "info",
            "msg": "",
            "time": f"{call.over(LOCAL):%Y-%m-%dT%H:%M:%S}+07:00",
        }
    )


def apache(call: LoggedCall) -> str:
    """Apache httpd with the LogFormat of docs/gateways.md; its time is when the request came."""
    status = {"refused": 503, "gone": 200}.get(call.ended, call.status)
    return (
        f'{CLIENT} - - [{clf(call.begun(LOCAL))}] "GET {PATH} HTTP/1.1" {status} 299 "-" "Mozilla/5.0" '
        f"{call.took_ms * 1000} balancer://npd {call.request_id[:27]}"
    )


def aws_alb(call: LoggedCall) -> str:
    """Return an entry of an Application Load Balancer."""
    status = {"refused": 502, "gone": 460}.get(call.ended, call.status)
    target_status = call.status if call.answered else "-"
    times = f"0.000 {seconds(call.took_ms)} 0.000" if call.answered else "-1 -1 -1"
    group = "arn:aws:elasticloadbalancing:ap-southeast-1:123456789012:targetgroup/npd/943f017f100becff"
    return (
        f"https {iso_z(call.over(), 6)} app/city/50dc6c495c0c9188 {CLIENT}:2817 10.0.0.1:80 {times} {status} "
        f'{target_status} 34 366 "GET https://www.example.vn:443{PATH} HTTP/1.1" "curl/8.5.0" '
        f"ECDHE-RSA-AES128-GCM-SHA256 TLSv1.2 {group} "
        f'"Root=1-58337262-{call.request_id[:24]}" "www.example.vn" "session-reused" 1 {iso_z(call.begun(), 6)} '
        '"forward" "-" "-" "10.0.0.1:80" "200" "-" "-" TID_1234abcd5678ef90'
    )


WRITERS: dict[str, Callable[[LoggedCall], str]] = {
    "nginx-json": nginx_json,
    "nginx-combined": nginx_combined,
    "ingress-nginx": ingress_nginx,
    "haproxy": haproxy,
    "envoy-json": envoy_json,
    "istio-text": istio_text,
    "kong": kong,
    "apisix": apisix,
    "wso2": wso2,
    "traefik": traefik,
    "apache": apache,
    "aws-alb": aws_alb,
}
COARSE_MS = {"nginx-combined": 1_000, "ingress-nginx": 1_000, "apache": 1_000}
"""How coarse the times of a gateway are, where that is more than a millisecond."""


def day_of_calls(start_ms: int, down_from_s: int, down_s: int, *, seconds_: int = 86_400, every_s: int = 60):
    """Return a day of calls: one a minute, one a second around a time when each is refused."""
    rng = Random(f"{start_ms}/{down_from_s}")
    calls, second, number = [], 0, 0
    while second < seconds_:
        number += 1
        busy = down_from_s - 300 <= second < down_from_s + down_s + 300
        start = start_ms + second * 1_000 + rng.randrange(900)
        down = down_from_s <= second < down_from_s + down_s
        if down:
            calls.append(LoggedCall(start, rng.randrange(1, 20), "refused", number))
        else:
            took = round(rng.lognormvariate(5, 0.4))
            calls.append(LoggedCall(start, took, "missing" if rng.random() < 0.02 else "ok", number))
        second += 1 if busy else every_s
    return sorted(calls, key=lambda call: call.start_ms + call.took_ms)
