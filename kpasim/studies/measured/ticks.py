"""The policy held against the averages that a real autoscaler observed, tick by tick."""

import itertools
from typing import Any

import numpy as np

from kpasim.engines.model import kpa
from kpasim.engines.params import SECOND_NS, Params
from kpasim.policy import decider, delay
from kpasim.results.tables import Tables

PRINTED = 0.0005
"""Averages and times are printed with three decimals."""
APART_NS = 1_000_000
"""A difference of two printed times is known to twice that."""

Panic = tuple[int, int]
"""Since when [ns] the autoscaler has been in panic, and the most pods that it asked for meanwhile."""
CALM: Panic = (decider.NEVER_NS, 0)


def check(tables: Tables, params: Params) -> dict[str, Any]:
    """What the policy makes of each measured row's ``stable``, ``panic`` and ``ready_pods``.

    A printed number stands for any within half of its last digit. A row agrees if numbers within what was printed give
    what was measured: averages within 0.0005, and times, of which only the difference to the tick that panic was last
    due at counts, within 0.001 s.

    Returns:
        ``rows``; how many rows disagree in raw desired pods (``desired``), panic mode (``panic_mode``) and excess burst
        capacity (``excess_burst_capacity``); and the time of the first that does (``first``).
    """
    ticks = tables.ticks
    wrong = {"desired": 0, "panic_mode": 0, "excess_burst_capacity": 0}
    first: float | None = None
    panic = CALM
    for index in range(len(ticks["t_s"])):
        row = {name: column[index] for name, column in ticks.items()}
        expected = measured(row)
        disagreements = set(wrong)
        states: list[Panic] = []
        for stable, observed, late_ns in corners(float(row["stable"]), float(row["panic"])):
            answer, state = decide(params, row, stable, observed, panic, late_ns)
            # Each quantity may lie at its own corner of the box.
            disagreements -= {name for name, value in answer.items() if value == expected[name]}
            if answer["panic_mode"] == expected["panic_mode"]:
                states.append(state)
        if states:
            panic = states[0]
        elif row["panic_mode"]:
            # Go on from what was measured, so that one disagreement is counted once.
            panic = panic if panic != CALM else (_time_ns(row), 0)
        else:
            panic = CALM
        for name in disagreements:
            wrong[name] += 1
        if disagreements and first is None:
            first = float(row["t_s"])
    return {"rows": len(ticks["t_s"]), **wrong, "first": first}


def corners(stable: float, panic: float) -> list[tuple[float, float, int]]:
    """Averages that a printed pair may stand for, and how much later [ns] the tick may have been; as printed first."""

    def around(value: float) -> tuple[float, ...]:
        return (value, max(value - PRINTED, 0.0), value + PRINTED)

    return list(itertools.product(around(stable), around(panic), (0, -APART_NS, APART_NS)))


def measured(row: dict[str, Any]) -> dict[str, Any]:
    """The measured answers of a row."""
    return {
        "desired": (int(row["desired_stable"]), int(row["desired_panic"])),
        "panic_mode": int(row["panic_mode"]),
        "excess_burst_capacity": float(row["excess_burst_capacity"]),
    }


def decide(
    params: Params, row: dict[str, Any], stable: float, observed: float, panic: Panic, late_ns: int = 0
) -> tuple[dict[str, Any], Panic]:
    """The policy's answers to a row with other averages [requests], ``late_ns`` later, and the panic state after it."""
    now_ns = _time_ns(row) + late_ns
    state = np.array(panic, dtype=np.int64)
    limits, ready = kpa.limits(params, params.reachable), int(row["ready_pods"])
    _, excess, raw_stable, raw_panic, _ = decider.tick(
        limits, state, delay.new_slots(0.0), now_ns, ready, stable, observed
    )
    since_ns = int(state[decider.PANIC_SINCE_NS])
    answer = {
        "desired": (raw_stable, raw_panic),
        "panic_mode": int(since_ns != decider.NEVER_NS),
        "excess_burst_capacity": excess,
    }
    # Times are kept as printed; their uncertainty is not to add up.
    return answer, (since_ns - late_ns if since_ns == now_ns else since_ns, int(state[decider.MAX_PANIC_PODS]))


def _time_ns(row: dict[str, Any]) -> int:
    return round(float(row["t_s"]) * SECOND_NS)
