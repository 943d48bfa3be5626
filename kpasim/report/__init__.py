"""Figures and the HTML report, made from tables only."""
