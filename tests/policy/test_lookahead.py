"""A forecast covers its quantile of what earlier days needed, a cold start ahead."""

import numpy as np
import pytest

from kpasim.policy import lookahead, spare
from tests.policy.unsimulated import lookahead_history

MINUTE_NS = 60_000_000_000
HOUR_NS = 60 * MINUTE_NS
DAY_NS = 24 * HOUR_NS


def settings(quantile: float = 0.95, ahead_s: float = 180, target: float = 1.0) -> lookahead.Settings:
    """A forecast by the day, in minutes."""
    return lookahead.Settings(quantile, round(ahead_s * 1e9), DAY_NS, MINUTE_NS, target)


def seen(given: lookahead.Settings, days: list[float], hour: int = 8) -> lookahead.History:
    """A history of one hour's demand on earlier days, from 0 on."""
    history = lookahead_history(given)
    for day, demand in enumerate(days):
        for minute in range(60):
            now_ns = day * DAY_NS + hour * HOUR_NS + minute * MINUTE_NS
            lookahead.observe(given, history, now_ns, demand, MINUTE_NS)
    return history


def test_pods_are_asked_for_a_cold_start_before_the_hour() -> None:
    """With three minutes ahead, the demand from 08:00 to 09:00 is met from 07:57 on, until it ends at 09:00."""
    given = settings(ahead_s=180)
    history = seen(given, [4.0])
    day = DAY_NS
    asked = [
        lookahead.desired(given, history, day + minute * MINUTE_NS, 0)
        for minute in (7 * 60 + 56, 7 * 60 + 57, 8 * 60 + 59, 9 * 60)
    ]
    assert asked == [0, 4, 4, 0]


@pytest.mark.parametrize(("quantile", "demand"), [(1.0, 7.0), (0.5, 4.0), (0.95, 6.7), (0.0, 1.0)])
def test_the_quantile_is_numpys(quantile: float, demand: float) -> None:
    """Seven days of 1 to 7, in any order, have the quantile that numpy finds."""
    given = settings(quantile, ahead_s=0)
    history = seen(given, [3.0, 7.0, 1.0, 5.0, 2.0, 6.0, 4.0])
    assert np.quantile([1, 2, 3, 4, 5, 6, 7], quantile) == pytest.approx(demand)
    assert lookahead.demand_at(given, history, 7 * DAY_NS + 8 * HOUR_NS) == pytest.approx(demand)


def test_the_larger_of_forecast_and_reactive_answer_counts() -> None:
    """A load that leaves the forecast is met as before; an answer that is not known yet stays so."""
    given = settings(ahead_s=0, target=2.0)
    history = seen(given, [7.0])
    now_ns = DAY_NS + 8 * HOUR_NS
    assert [lookahead.desired(given, history, now_ns, reactive) for reactive in (0, 4, 9, -1)] == [4, 4, 9, -1]


def test_only_the_last_seven_days_count() -> None:
    """A day of 50 is forgotten eight days later."""
    given = settings(1.0, ahead_s=0)
    history = seen(given, [50.0, *[2.0] * 8])
    assert lookahead.demand_at(given, history, 9 * DAY_NS + 8 * HOUR_NS) == 2.0


def test_without_earlier_days_nothing_is_forecast() -> None:
    """The first day is left to the reactive answer, and a day does not forecast itself."""
    given = settings(ahead_s=0)
    history = seen(given, [9.0])
    assert lookahead.demand_at(given, history, 8 * HOUR_NS + MINUTE_NS) == 0.0


@pytest.mark.parametrize(("pods", "with_spare"), [(0, 2), (5, 7), (-1, -1)])
def test_spare_pods_come_on_top(pods: int, with_spare: int) -> None:
    """The answer plus two, also at zero; an answer that is not known yet stays so."""
    assert spare.desired(pods, 2) == with_spare
