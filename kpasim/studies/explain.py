"""Why it scaled: the decisions of a run in words."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from kpasim.engines.params import Params
    from kpasim.results.tables import Tables

REASONS = {
    "stable": "the stable window asks for it",
    "panic": "the panic window asks for it",
    "up-rate": "max-scale-up-rate allows no more",
    "down-rate": "max-scale-down-rate allows no less",
    "activation": "activation-scale",
    "held": "panic never scales down",
    "delay": "scale-down-delay holds it",
}
"""What each rule of ``policy.decider.RULES`` means."""

MOST_MOMENTS = 40


def moments(tables: Tables) -> list[tuple[str, ...]]:
    """Rows of a timeline: every change of the objects under load, with what was observed last.

    Returns:
        Texts: time, ready, starting, pending, draining, observed (panic average), desired, panic, path, remark.
    """
    scaling, ticks, pods = tables.scaling, tables.ticks, tables.pods
    t = scaling["t_s"]
    rows: list[tuple[str, ...]] = []
    previous: tuple[str, ...] | None = None
    for index in range(len(t)):
        if index + 1 < len(t) and t[index + 1] < 0:
            continue
        # Rows within the same instant tell of one change.
        if index + 1 < len(t) and t[index + 1] - t[index] < 0.05:
            continue
        last_tick = int(np.searchsorted(ticks["t_s"], t[index], side="right")) - 1
        observed = f"{max(0.0, ticks['panic'][last_tick]):.2f}" if last_tick >= 0 else ""
        panic = "panic" if last_tick >= 0 and ticks["panic_mode"][last_tick] == 1 else ""
        states = pods_at(tables, float(t[index]) + 0.05)
        state = (
            *(str(states[name]) for name in ("ready", "starting", "pending", "draining")),
            observed,
            "" if scaling["desired"][index] < 0 else str(scaling["desired"][index]),
            panic,
            str(scaling["sks_mode"][index]),
        )
        key = (*state[:4], *state[5:])
        if key != previous:
            rows.append((f"{t[index]:.1f}s", *state, ""))
            previous = key
    gone = pods["gone_s"][~np.isnan(pods["gone_s"])]
    if len(gone) == len(pods["gone_s"]) and len(gone):
        rows.append((f"{gone.max():.1f}s", "0", "0", "0", "0", "", rows[-1][6] if rows else "", "", "", "all gone"))
    if len(rows) > MOST_MOMENTS:
        left_out = len(rows) - MOST_MOMENTS
        middle = ("...", *[""] * 8, f"{left_out} more changes")
        rows = [*rows[: MOST_MOMENTS // 2], middle, *rows[-MOST_MOMENTS // 2 :]]
    return rows


def pods_at(tables: Tables, time_s: float) -> dict[str, int]:
    """How many pods were ready, starting, pending and draining at a time."""
    pods = tables.pods

    def since(column: str) -> NDArray[np.bool_]:
        times = pods.get(column, pods["created_s"])
        return ~np.isnan(times) & (times <= time_s)

    there = since("created_s") & ~since("gone_s")
    staying = there & ~since("delete_requested_s")
    scheduled = since("scheduled_s")
    return {
        "ready": int((staying & since("ready_s")).sum()),
        "starting": int((staying & scheduled & ~since("ready_s")).sum()),
        "pending": int((staying & ~scheduled).sum()),
        "draining": int((there & ~staying).sum()),
    }


def explanation(tables: Tables, params: Params) -> Iterator[str]:
    """One line for each decision: what was observed, what the windows asked for, which rule decided, and bounds."""
    ticks = tables.ticks
    before: tuple[object, ...] | None = None
    skipped = 0
    for index in range(len(ticks["t_s"])):
        desired, rule = int(ticks["desired"][index]), str(ticks["rule"][index])
        ready, panic = int(ticks["ready_pods"][index]), int(ticks["panic_mode"][index])
        key = (desired, rule, ready, panic, int(ticks["desired_stable"][index]), int(ticks["desired_panic"][index]))
        if key == before:
            skipped += 1
            continue
        if skipped:
            yield f"           ... {skipped} more ticks with the same answer"
            skipped = 0
        before = key
        kind = "poke" if ticks["poke"][index] else "tick"
        bound = ""
        if params.max_scale and desired > params.max_scale:
            bound = f"; max-scale caps it at {params.max_scale}"
        elif desired < params.min_scale:
            bound = f"; min-scale raises it to {params.min_scale}"
        excess = ticks["excess_burst_capacity"][index]
        path = "activator in the path" if excess < 0 else "pods direct"
        yield (
            f"{ticks['t_s'][index]:9.2f}s {kind}: stable {ticks['stable'][index]:.2f} asks for "
            f"{ticks['desired_stable'][index]}, panic {ticks['panic'][index]:.2f} asks for "
            f"{ticks['desired_panic'][index]} (target {ticks['target'][index]:g}), {ready} ready"
            f"{', panicking' if panic else ''} -> {desired}: {REASONS[rule]}{bound}; "
            f"excess burst capacity {excess:.0f}, {path}"
        )
    if skipped:
        yield f"           ... {skipped} more ticks with the same answer"
