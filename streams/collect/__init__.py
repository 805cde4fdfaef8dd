"""OpenTelemetry's spans, live: an OTLP receiver, and the Kafka topics of a Collector, to the event topics.

`watching`, `bodies` and `answers` are pure: who is alive, what a body holds, what OTLP answers. `delivery`
hands events to Kafka; `over_http` and `over_grpc` receive by way of `receiver`, `topic` reads what a
Collector wrote to Kafka; `shell` runs them together.

Nothing is acknowledged before the broker has it. A span arrives when its call has ended, so that its request
is told late by as long as the call took; an outcome counts where it became known and carries when it was
asked, so only the count of requests is corrected afterwards. Heartbeats are sent `HOLD_MS` late, as no batch
arrives sooner.
"""
