"""Trials and synthetic histories that evaluate the detection; not part of the product."""
