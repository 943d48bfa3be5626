"""Arrivals of requests."""
