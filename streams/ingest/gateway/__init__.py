"""Access logs of any gateway, by a map: lines to fields, calls to events, events in the order of time.

`formats` turns text into the values that a mapper wants, `files` reads a file to its end, `order` brings
events of calls, which are logged when they end, into the order of event time. All of it is pure.
"""
