"""Maps calls logged by other systems to events, with a map that a person writes.

A *map* states what the fields of a line, or of a span, mean. `said` is the map as written, `mapper` applies
it to the values of one call; `times`, `names` and `rules` are its parts, `private` defines what must never
become a name. All of it is pure and independent of files: it takes fields by name and returns events, so
access logs and OpenTelemetry's spans are handled alike.

Order of calls: `said.Map` from a document, `mapper.Mapper(map)`, then for each call `Mapper.events` with the
values of `Mapper.fields`, in that order.
"""
