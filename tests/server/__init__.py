"""Tests of the txt2img server."""
