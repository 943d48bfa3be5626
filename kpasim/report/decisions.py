"""What the autoscaler decided in a run, one entry for each change, and why."""

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
    revision = run.experiment.revision if run.experiment else None
    least, most = (revision.min_scale, revision.max_scale) if revision else (0, 0)
    found: list[dict[str, Any]] = []
    before = None
    for i, t_s in enumerate(ticks["t_s"].tolist()):
        asks_stable, asks_panic, ready, panic_mode = (
            int(ticks[name][i]) for name in ("desired_stable", "desired_panic", "ready_pods", "panic_mode")
        )
        desired = int(ticks["desired"][i]) if "desired" in ticks else None
        rule = str(ticks["rule"][i]) if "rule" in ticks else ""
        key = (desired, rule, asks_stable, asks_panic, ready, panic_mode)
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
                "t_s": t_s,
                "kind": "poke" if "poke" in ticks and ticks["poke"][i] == 1 else "tick",
                "stable": float(ticks["stable"][i]),
                "asks_stable": asks_stable,
                "panic": float(ticks["panic"][i]),
                "asks_panic": asks_panic,
                "ready": ready,
                "panicking": panic_mode == 1,
                "desired": desired,
                "pods": pods,
                "rule": rule,
                "reason": reason,
            }
        )
    return found


def in_words(one: Mapping[str, Any]) -> list[str]:
    """A decision in two short lines."""
    said = f"{one['kind']} at {one['t_s']:.1f} s"
    if one["desired"] is not None:
        said += f": {one['desired']}, {shown(one['reason'] or one['rule'])}"
    elif one["panicking"]:
        said += ", panicking"
    seen = (f"{window} {one[window]:.2f} asks for {one[f'asks_{window}']}" for window in ("stable", "panic"))
    return [said, f"{', '.join(seen)}; {one['ready']} ready"]
