"""Whether an interval holds what was measured."""

SURE_SHARE, SURE_S = 0.01, 0.001
"""How sure a measured value is: to 1 %, and to a millisecond at best."""

Z90 = 1.6448536269514722
"""Standard deviations from the middle of a normal distribution to the ends of its central 90 %."""


def holds(low: float, high: float, measured: float) -> bool:
    """Whether a measured value lies inside an interval, or so near to it that the measurement cannot tell."""
    unsure = max(SURE_SHARE * abs(measured), SURE_S)
    return low - unsure <= measured <= high + unsure
