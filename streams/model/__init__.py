"""The common vocabulary: events, measurements, outages, and the arithmetic of slots and sketches.

Everything here is pure and knows nothing of Kafka, files, clocks or logs. Every room may import it.
"""
