"""Receives OpenTelemetry spans, by OTLP or from a Collector's Kafka topics, and publishes them as events.

`watching`, `bodies` and `answers` are pure: which sources are alive, a body's content, OTLP's responses.
`delivery` sends events to Kafka; `over_http` and `over_grpc` receive and pass on to `receiver`; `topic` reads
what a Collector wrote to Kafka; `shell` runs them together.

Nothing is acknowledged before the broker has it. A span arrives when its call has ended, so its request is
reported late by the duration of the call. An outcome counts when it became known and carries its request
time, so only the count of requests is corrected afterwards. Heartbeats are sent `HOLD_MS` late, because no
batch arrives sooner.
"""
