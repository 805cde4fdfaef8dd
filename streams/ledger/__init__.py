"""The auditors' ledger in SQL: written by `record`, read by `serve`, the command line and the reports.

Everything in it comes from the topics ``link.outages``, ``link.windows`` and ``link.exclusions`` and can be
made again from them. Revisions are kept as the bytes that stood on the topic; all else is derived.
"""
