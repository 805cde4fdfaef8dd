"""Maps OpenTelemetry's spans to events: OTLP as protobuf or JSON, wherever its bytes came from.

`wire` finds the spans in an export's bytes, `protobuf` and `jsonform` read their fields, `names` knows the
old names of fields, `export` applies the maps. All of it is pure.
"""
