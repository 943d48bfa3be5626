"""Predictions beside recorded runs of the real autoscaler, with the goals as assertions."""
