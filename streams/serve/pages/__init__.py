"""The pages for people: what stands now, months, links, one outage's story, reports, the proof.

Server-rendered; nothing comes from elsewhere, and the one script only keeps an open page current.
"""
