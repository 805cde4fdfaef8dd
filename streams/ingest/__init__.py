"""Imports records of other systems into the vocabulary of this one.

`xroad` reads X-Road's operational monitoring data and pairs the two sides of each call. `gateway` reads the
access logs of any gateway with a map that a person writes; `mapping` is the map, which other sources share.
`tally`, `values` and `status` are shared by all imports. `shell` reads maps; everything else is pure.
"""
