"""A portal in Python, instrumented: asks an address so many times, and exports its spans as it is told.

    python python_portal.py http|grpc ADDRESS COUNT [SECONDS_BETWEEN]

The exporter is configured by OpenTelemetry's variables alone, as a city would do it.
"""

import sys
import time
from contextlib import suppress

import requests
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpExporter
from opentelemetry.instrumentation.requests import RequestsInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor


def main(way: str, address: str, count: int, pause_seconds: float) -> None:
    """Ask, and end once everything is exported."""
    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(GrpcExporter() if way == "grpc" else HttpExporter()))
    RequestsInstrumentor().instrument(tracer_provider=provider)
    for n in range(count):
        with suppress(requests.RequestException):
            requests.get(f"{address}/citizens/{n}", timeout=5)
        time.sleep(pause_seconds)
    provider.shutdown()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4]) if len(sys.argv) > 4 else 0.0)
