"""Real third-party servers as local processes: Kafka, Prometheus, Alertmanager, PostgreSQL, Chromium.

Nothing here is a substitute. Each module finds or downloads the real program, starts it on the loopback
interface with free ports, waits until it answers, and makes sure that it ends.
"""
