"""The whole pipeline on one machine: broker, stages, simulated morning, and what comes out of it."""
