"""Look-ahead: as many pods as the same time of earlier days needed, a cold start ahead.

A model of the predictive autoscaler AHPA of Alibaba Cloud (ACK) as it is documented: a quantile of the demand of
earlier days at ``now + ahead``, or the reactive answer where that is larger, within the bounds of the time of day
(``kpasim.policy.schedule``). AHPA's own forecast is not published; this is the plainest forecast with its settings.

State is a ``History``: the demand of each slot of the earlier periods, kept in a ring. ``remember`` fills it before a
run, ``observe`` writes it while the run goes on.

Source:
    Alibaba Cloud, "Use AHPA to enable predictive scaling in Knative" (2026), ``prediction.quantile`` and
    ``scaleUpForward``; "AHPA overview"
"""

import math
from typing import NamedTuple

from kpasim.arrays import Floats, Ints

SUM, WEIGHT_NS = 0, 1
"""Columns of ``History.slots``: demand times time, and the time it was seen [ns]."""


class Settings(NamedTuple):
    """What a forecast needs to know.

    Attributes:
        quantile: Share of the earlier demands to be covered, in (0, 1].
        ahead_ns: ``scaleUpForward``: how far to look ahead, about a cold start.
        period_ns: Length after which the load repeats; a day, or a week.
        slot_ns: Length of the steps of time that are compared.
        target: Demand that one pod is to carry.
    """

    quantile: float
    ahead_ns: int
    period_ns: int
    slot_ns: int
    target: float


class History(NamedTuple):
    """Demand of earlier periods and of the current one; the arrays change in place.

    Attributes:
        slots: Demand of each slot, shape ``((periods + 1) * slots in a period, 2)``; the slots of period ``p`` begin at
            row ``p % (periods + 1) * slots in a period``. A slot without time was not seen.
        owner: Number of the period that each row holds, shape ``(periods + 1,)``.
        sorted: Room for sorting one demand per period, shape ``(periods + 1,)``.
    """

    slots: Floats
    owner: Ints
    sorted: Floats


def slots_of(settings: Settings) -> int:
    """Slots in a period; the last one may be shorter."""
    return -(-settings.period_ns // settings.slot_ns)


def remember(settings: Settings, history: History, period: int, demand: Floats) -> None:
    """Take the mean demand of each slot of a whole period, shape ``(slots in a period,)``."""
    row = period % len(history.owner)
    history.owner[row] = period
    for slot in range(len(demand)):
        place = row * len(demand) + slot
        history.slots[place, SUM] = demand[slot] * float(settings.slot_ns)
        history.slots[place, WEIGHT_NS] = float(settings.slot_ns)


def observe(settings: Settings, history: History, now_ns: int, demand: float, length_ns: int) -> None:
    """Remember a demand, in the unit of ``Settings.target``, that lasted ``length_ns``; times are from period 0."""
    period = now_ns // settings.period_ns
    row = period % len(history.owner)
    first = row * slots_of(settings)
    if history.owner[row] != period:
        history.owner[row] = period
        for place in range(first, first + slots_of(settings)):
            history.slots[place, SUM] = 0.0
            history.slots[place, WEIGHT_NS] = 0.0
    place = first + now_ns % settings.period_ns // settings.slot_ns
    history.slots[place, SUM] += demand * length_ns
    history.slots[place, WEIGHT_NS] += length_ns


def demand_at(settings: Settings, history: History, then_ns: int) -> float:
    """The quantile of the demands that earlier periods had at a time; 0 when none was seen.

    Between two demands the quantile is interpolated, as numpy does by default.
    """
    period = then_ns // settings.period_ns
    slot = then_ns % settings.period_ns // settings.slot_ns
    seen = 0
    for row in range(len(history.owner)):
        seen_at = row * slots_of(settings) + slot
        weight = history.slots[seen_at, WEIGHT_NS]
        if history.owner[row] >= period or history.owner[row] <= period - len(history.owner) or weight <= 0.0:
            continue
        demand = history.slots[seen_at, SUM] / weight
        place = seen
        while place > 0 and history.sorted[place - 1] > demand:
            history.sorted[place] = history.sorted[place - 1]
            place -= 1
        history.sorted[place] = demand
        seen += 1
    if seen == 0:
        return 0.0
    position = settings.quantile * (seen - 1)
    below = math.floor(position)
    above = min(below + 1, seen - 1)
    low, high = float(history.sorted[below]), float(history.sorted[above])
    return low + (position - below) * (high - low)


def highest(settings: Settings, history: History, now_ns: int) -> float:
    """The largest forecast from now to the end of the look-ahead: pods come early, and stay until the rush is over."""
    demand = demand_at(settings, history, now_ns)
    then_ns = now_ns - now_ns % settings.slot_ns + settings.slot_ns
    while then_ns <= now_ns + settings.ahead_ns:
        demand = max(demand, demand_at(settings, history, then_ns))
        then_ns += settings.slot_ns
    return demand


def desired(settings: Settings, history: History, now_ns: int, reactive: int) -> int:
    """Pods to ask for: those of the largest forecast or those of the reactive answer, whichever is more.

    An answer below 0 is not known yet and stays so. Times are from the begin of period 0.
    """
    if reactive < 0:
        return reactive
    return max(reactive, math.ceil(highest(settings, history, now_ns) / settings.target))
