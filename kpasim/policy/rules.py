"""What limited a decision: codes and names for all autoscalers, Knative's own first (``decider.RULES``)."""

from kpasim.policy import decider

(
    METRIC, TOLERANCE, STABILIZED, UP_LIMIT, DOWN_LIMIT, MAXIMUM, MINIMUM, NO_METRIC, OFF, WAKES, COOLED_DOWN, FALLBACK,
    FORECAST,
) = range(len(decider.RULES), len(decider.RULES) + 13)  # fmt: skip
RULES = (
    *decider.RULES, "metric", "tolerance", "stabilized", "scale-up-limit", "scale-down-limit", "maximum", "minimum",
    "no-metric", "off", "wakes", "cooled-down", "fallback", "forecast",
)  # fmt: skip
"""Names of the rules, by code."""
