"""The auditors' ledger in SQL: written by `record`, read by `serve`, the command line and the reports.

Everything in it comes from the topics ``link.outages``, ``link.windows``, ``link.exclusions`` and
``link.retirements`` and can be rebuilt from them. Revisions are kept as the bytes published on the topic;
everything else is derived.
"""
