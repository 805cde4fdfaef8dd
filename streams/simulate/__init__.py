"""The simulated city: portals, links and people as numbers, with faults whose truth is known.

``data/`` holds the catalogue and the scenarios; ``city`` is their vocabulary; what is
wrong in them is named by file and line. ``timetable`` says when people come, ``faults`` lays the faults out
in time, ``links`` answers one attempt, ``engine`` walks each dossier along its path, ``broker`` brings the
records into broker order, ``truth`` keeps account. All of it is pure; ``shell`` does the I/O.
"""
