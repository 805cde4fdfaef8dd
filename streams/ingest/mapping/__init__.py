"""Calls that others logged, mapped to events: by a map that a person writes, whatever the source.

A *map* says which fields of a line, or of a span, mean what. `said` is the map as it is written, `mapper`
applies it to the values of one call; `times`, `names` and `rules` are its parts, `private` holds what may
never become a name. All of it is pure and knows nothing of files: the fields come in by name and events come
out, so that lines of access logs and OpenTelemetry's spans go the same way.

Order of calls: `said.Map` from a document, `mapper.Mapper(map)`, then for each call `Mapper.events` with the
values of `Mapper.fields`, in that order.
"""
