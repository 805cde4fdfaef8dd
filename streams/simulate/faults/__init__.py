"""Faults: their causes, what each side sees of them, and when and where they occur."""
