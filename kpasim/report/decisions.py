"""What the autoscaler decided in a run, one entry for each change, and why."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kpasim.report.drawing import shown
from kpasim.report.evidence import Evidence
from kpasim.studies.explain import REASONS


def decisions(run: Evidence) -> list[dict[str, Any]]:
    """What the autoscaler decided, one entry for each change of what it saw or answered.

    Returns:
        ``t_s``, ``kind`` (tick or poke), ``stable``, ``asks_stable``, ``panic``, ``asks_panic``, ``ready``,
        ``panicking``, ``desired`` and what bounds leave of it, ``pods`` (``None`` where the run does not say), ``rule``
        and ``reason`` in words.
    """
    ticks = run.tables.ticks
    found: list[dict[str, Any]] = []
    before = None
    most = run.experiment.revision.max_scale if run.experiment else 0
    least = run.experiment.revision.min_scale if run.experiment else 0
    for i in range(len(ticks["t_s"])):
        desired = int(ticks["desired"][i]) if "desired" in ticks else None
        rule = str(ticks["rule"][i]) if "rule" in ticks else ""
        asks = int(ticks["desired_stable"][i]), int(ticks["desired_panic"][i])
        key = (desired, rule, asks, int(ticks["ready_pods"][i]), int(ticks["panic_mode"][i]))
        if key == before:
            continue
        before = key
        reason, pods = REASONS.get(rule, ""), desired
        if desired is not None and most and desired > most:
            reason, pods = f"{reason}; max-scale caps it at {most}", most
        elif desired is not None and desired < least:
            reason, pods = f"{reason}; min-scale raises it to {least}", least
        found.append(
            {
                "t_s": float(ticks["t_s"][i]),
                "kind": "poke" if "poke" in ticks and ticks["poke"][i] == 1 else "tick",
                "stable": float(ticks["stable"][i]),
                "asks_stable": asks[0],
                "panic": float(ticks["panic"][i]),
                "asks_panic": asks[1],
                "ready": int(ticks["ready_pods"][i]),
                "panicking": int(ticks["panic_mode"][i]) == 1,
                "desired": desired,
                "pods": pods,
                "rule": rule,
                "reason": reason,
            }
        )
    return found


def in_words(one: Mapping[str, Any]) -> list[str]:
    """A decision in two or three short lines."""
    lines = []
    if one["desired"] is not None:
        lines.append(f"{one['kind']} at {one['t_s']:.1f} s: {one['desired']}, {shown(one['reason'] or one['rule'])}")
    else:
        lines.append(f"{one['kind']} at {one['t_s']:.1f} s{', panicking' if one['panicking'] else ''}")
    lines.append(f"stable {one['stable']:.2f} asks for {one['asks_stable']}, "
                 f"panic {one['panic']:.2f} asks for {one['asks_panic']}; {one['ready']} ready")  # fmt: skip
    return lines
