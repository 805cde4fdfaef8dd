"""OpenTelemetry's spans, mapped to events: OTLP as protobuf or JSON, wherever its bytes came from.

`wire` finds the spans in an export's bytes, `protobuf` and `jsonform` read their fields, `names` knows what
fields were called before, `export` puts them through the maps. All of it is pure.
"""
