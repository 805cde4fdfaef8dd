"""Access to Kafka: connection, declared topics, publishing, reading ranges, and the stages' loop."""
