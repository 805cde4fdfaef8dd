"""The whole pipeline on one machine: broker, stages, a simulated morning, and the results."""
