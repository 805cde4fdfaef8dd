"""Records of other systems, brought into the vocabulary of this one.

`xroad` reads X-Road's operational monitoring and pairs the two sides of each call. `gateway` reads the access
logs of any gateway by a map that a person writes; `mapping` is the map, which other sources share. `tally`,
`values` and `status` are what all imports have in common. `shell` reads maps; all else is pure.
"""
