"""Execution of runs: engine, processes, and capacity."""
