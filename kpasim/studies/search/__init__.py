"""Searching settings for the cheapest that keep a promise: the parts of ``studies.tune``."""
