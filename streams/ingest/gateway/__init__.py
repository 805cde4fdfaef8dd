"""Access logs of any gateway, read with a map: lines to fields, calls to events, events in order of time.

`formats` turns text into the values that a mapper needs, `files` reads a file to its end, `order` sorts
events by event time, as calls are logged when they end. All of it is pure.
"""
