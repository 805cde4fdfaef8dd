"""Trials and made-up histories that judge the detection; not part of the product."""
