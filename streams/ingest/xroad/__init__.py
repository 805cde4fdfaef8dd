"""X-Road's operational-monitoring records."""
