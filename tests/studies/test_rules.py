"""Reasons of decisions."""

from kpasim.policy.rules import RULES
from kpasim.studies.explain import REASONS


def test_every_rule_has_a_reason_in_words() -> None:
    """What an engine writes into the table of decisions can be explained."""
    assert set(RULES) == set(REASONS)
