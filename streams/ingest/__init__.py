"""Records of other systems, brought into the vocabulary of this one.

X-Road's operational monitoring is the one real input so far: `xroad_files` reads its shapes, `xroad_record`
checks and reduces one record, `xroad_outcome` says what became of the call, `xroad_calls` pairs the two
sides, `xroad_events` makes lookup events of them. All but `xroad_files` is pure.
"""
