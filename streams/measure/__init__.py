"""From raw records to measurements: decode, drop duplicates, pair, sum, cut. The hot path.

``meter.py`` holds the state of one source partition; ``shell.py`` reads Kafka and publishes.
"""
