"""Commands that run the pipeline: the demo, stages, the broker, topics, rules, alerts."""
