"""Real third-party servers run as local processes: Kafka, Prometheus, Alertmanager, PostgreSQL, Chromium.

Nothing here is a stand-in. Each module finds or fetches the real program, starts it on the loopback
interface with free ports, waits until it answers, and makes sure that it ends.
"""
