"""The Kafka room: connection, declared topics, publishing, and reading a range to its end."""
