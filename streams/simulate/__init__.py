"""The simulated city: portals, links and people as numbers, and faults whose true effects are known.

``data/`` holds the catalogue and the scenarios, ``city`` their types; errors in them are reported by file and
line. ``timetable`` determines when people come, ``faults`` schedules the faults, ``links`` answers one
attempt, ``engine`` moves each dossier along its path, ``broker`` puts the records in broker order, ``truth``
records what really happened. All of it is pure; ``shell`` does the I/O.
"""
