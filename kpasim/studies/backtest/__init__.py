"""Backtests: what Prometheus recorded of a service, predicted from its arrivals, and then under other settings."""
