"""Searching settings for the cheapest that meet your SLOs: the parts of ``studies.tune``."""
