"""The policy held against the averages that a real autoscaler observed, tick by tick."""

from __future__ import annotations

import itertools
from typing import Any

from kpasim.engines.params import SECOND_NS, Params
from kpasim.policy import decider, delay
from kpasim.results.tables import Tables

PRINTED = 0.0005
"""Averages and targets are printed with three decimals."""


def check(tables: Tables, params: Params) -> dict[str, Any]:
    """What the policy makes of each measured row's ``stable``, ``panic`` and ``ready_pods``.

    A printed number stands for any within half of its last digit: a row agrees if one of the corners of that box gives
    what was measured.

    Returns:
        ``rows``; how many rows disagree in raw desired pods (``desired``), panic mode (``panic_mode``) and excess burst
        capacity (``excess_burst_capacity``); and the first that does (``first``).
    """
    ticks = tables.ticks
    wrong = {"desired": 0, "panic_mode": 0, "excess_burst_capacity": 0}
    first: float | None = None
    panic = None
    for index in range(len(ticks["t_s"])):
        row = {name: column[index] for name, column in ticks.items()}
        disagreements = {"desired", "panic_mode", "excess_burst_capacity"}
        next_panic = None
        for stable, observed in corners(float(row["stable"]), float(row["panic"])):
            answer, state = decide(params, row, stable, observed, panic)
            found = {name for name, value in answer.items() if value != measured(row)[name]}
            if next_panic is None or len(found) < len(disagreements):
                next_panic = state
            # Each quantity may lie at its own corner of the box.
            disagreements &= found
        panic = next_panic
        if bool(row["panic_mode"]) != (panic is not None and panic[0] != decider.NEVER_NS):
            # Go on from what was measured, so that one disagreement is counted once.
            since = int(row["t_s"] * SECOND_NS)
            panic = (since if row["panic_mode"] else decider.NEVER_NS, 0)
        for name in disagreements:
            wrong[name] += 1
        if disagreements and first is None:
            first = float(row["t_s"])
    return {"rows": len(ticks["t_s"]), **wrong, "first": first}


def corners(stable: float, panic: float) -> list[tuple[float, float]]:
    """The averages that a printed pair may stand for."""

    def around(value: float) -> tuple[float, ...]:
        return (value, max(value - PRINTED, 0.0), value + PRINTED)

    return list(itertools.product(around(stable), around(panic)))


def measured(row: dict[str, Any]) -> dict[str, Any]:
    """The measured answers of a row."""
    return {
        "desired": (int(row["desired_stable"]), int(row["desired_panic"])),
        "panic_mode": int(row["panic_mode"]),
        "excess_burst_capacity": float(row["excess_burst_capacity"]),
    }


def decide(
    params: Params, row: dict[str, Any], stable: float, observed: float, panic: tuple[int, int] | None
) -> tuple[dict[str, Any], tuple[int, int]]:
    """The policy's answers to one row, and the panic state after it."""
    import numpy as np

    now_ns = int(row["t_s"] * SECOND_NS)
    limits = decider.Limits(
        params.max_scale_up_rate,
        params.max_scale_down_rate,
        params.target_value,
        params.total_value,
        params.target_burst_capacity,
        params.panic_threshold,
        params.stable_window_s * SECOND_NS,
        params.activation_scale,
        params.reachable,
    )
    state = np.array(panic if panic is not None else (decider.NEVER_NS, 0), dtype=np.int64)
    ready = int(row["ready_pods"])
    _, excess, raw_stable, raw_panic, _ = decider.tick(
        limits, state, delay.new_slots(0.0), now_ns, ready, stable, observed
    )
    answer = {
        "desired": (raw_stable, raw_panic),
        "panic_mode": int(state[decider.PANIC_SINCE_NS] != decider.NEVER_NS),
        "excess_burst_capacity": excess,
    }
    return answer, (int(state[0]), int(state[1]))
