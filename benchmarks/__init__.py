"""Speed, fidelity and load: ratios and tables, never timed tests."""
