"""Why it scaled: the decisions of a run in words."""

from bisect import bisect_right
from collections import deque
from collections.abc import Iterator

import numpy as np

from kpasim.engines import params as of
from kpasim.engines.params import SECOND_NS, Params
from kpasim.policy import schedule
from kpasim.results.display import clock, counted
from kpasim.results.frames import Columns
from kpasim.results.states import STATES, pods_by_state
from kpasim.results.tables import Tables
from kpasim.spec.quantities import duration_text
from kpasim.spec.scaling import Other, Scaling
from kpasim.spec.yamlfile import packaged

REASONS: dict[str, str] = packaged("reasons.toml")
"""What each rule of ``policy.rules.RULES`` means."""

MOST_NAMES = 3
"""Pods that are named one by one when the same happens to them."""
AT_ONCE_S = 0.05
"""What happens within this time is told in one line."""
LONGEST_TICK_S = 3.0
"""Knative's decisions further apart than this had none in between for want of data: ticks come every 2 s, at most 1 s
late."""
METRICS = {
    of.CONCURRENCY: "requests in flight",
    of.RATE: "requests/s",
    of.UTILIZATION: "% busy",
    of.ONGOING: "requests",
    of.CPU: "% of the CPU request",
}
"""Units of other autoscalers' metrics, by their code."""


def moments(tables: Tables) -> list[tuple[str, ...]]:
    """Rows of a timeline: every change of the objects under load, with what was observed last.

    Returns:
        Texts: time, ready, starting, pending, terminating, the average that decided (that of the panic window in panic
        mode, else that of the stable window), desired, panic, path, remark.
    """
    scaling, ticks, pods = tables.scaling, tables.ticks, tables.pods
    t = scaling["t_s"]
    end_s = float(np.max(t, initial=0.0))
    rows: list[tuple[str, ...]] = []
    previous: tuple[str, ...] | None = None
    for index in range(len(t)):
        # Before the load only the last row counts, and rows within the same instant tell of one change.
        if index + 1 < len(t) and (t[index + 1] < 0 or t[index + 1] - t[index] < AT_ONCE_S):
            continue
        last_tick = int(np.searchsorted(ticks["t_s"], t[index], side="right")) - 1
        panic = "panic" if last_tick >= 0 and ticks["panic_mode"][last_tick] == 1 else ""
        observed = f"{max(0.0, ticks[panic or 'stable'][last_tick]):.2f}" if last_tick >= 0 else ""
        states = pods_by_state(pods, np.array([t[index] + AT_ONCE_S]))
        state = (
            *(str(states[name][0]) for name in STATES),
            observed,
            "" if scaling["desired"][index] < 0 else str(scaling["desired"][index]),
            panic,
            str(scaling["sks_mode"][index]),
        )
        key = (*state[:4], *state[5:])
        if key != previous:
            rows.append((clock(float(t[index]), end_s), *state, ""))
            previous = key
    gone = pods["gone_s"][~np.isnan(pods["gone_s"])]
    if len(gone) == len(pods["gone_s"]) and len(gone):
        rows.append(
            (clock(float(gone.max()), end_s), "0", "0", "0", "0", "", rows[-1][6] if rows else "", "", "", "all gone")
        )
    return rows


def explanation(tables: Tables, params: Params) -> Iterator[str]:
    """The whole story in lines: each decision with its reason, and what happened to objects, pods and path between.

    A decision says what was observed, what the windows asked for, which rule decided, and bounds. Decisions with the
    same answer as the one before are counted only; where nothing is known, no decision is made, and that is said, too.
    """
    ticks = tables.ticks
    happened = deque(_changes(tables))
    end_s = float(np.max(ticks["t_s"], initial=0.0))
    before: tuple[object, ...] | None = None
    skipped = 0
    knative = params.autoscaler == of.KPA
    for index, t_s in enumerate(ticks["t_s"].tolist()):
        desired, rule = int(ticks["desired"][index]), str(ticks["rule"][index])
        ready, panic = int(ticks["ready_pods"][index]), int(ticks["panic_mode"][index])
        key = (desired, rule, ready, panic, int(ticks["desired_stable"][index]), int(ticks["desired_panic"][index]))
        silent = knative and index > 0 and t_s - ticks["t_s"][index - 1] > LONGEST_TICK_S
        if key != before or silent or (happened and happened[0][0] <= t_s):
            if skipped:
                yield _more(skipped)
                skipped = 0
            if silent:
                yield _no_data(_stamp(float(ticks["t_s"][index - 1]), end_s), int(ticks["desired"][index - 1]))
            while happened and happened[0][0] <= t_s:
                yield _line(*happened.popleft(), end_s)
        if key == before and not silent:
            skipped += 1
            continue
        before = key
        yield _decision(tables, params, index, end_s)
    if skipped:
        yield _more(skipped)
    if knative and before and happened and happened[-1][0] - ticks["t_s"][-1] > LONGEST_TICK_S:
        yield _no_data(_stamp(float(ticks["t_s"][-1]), end_s), int(ticks["desired"][-1]))
    for one in happened:
        yield _line(*one, end_s)


def why(tables: Tables, params: Params, scaling: Scaling) -> list[str]:
    """Why a replication scaled, in at most four sentences: first scale-out, peak, first scale-in after it, and zero."""
    ticks = tables.ticks
    t_s, desired = ticks["t_s"], ticks["desired"].astype(np.int64)
    limits = [_bounds(params, float(time_s)) for time_s in t_s]
    bounded = np.array([min(max(pods, least), most) for pods, (least, most) in zip(desired, limits, strict=True)])
    under_load = np.flatnonzero(t_s >= 0)
    if len(under_load) == 0:
        return ["It did not scale: the autoscaler decided nothing under load."]
    first = int(under_load[0])
    replicas = tables.scaling["replicas"][tables.scaling["t_s"] <= 0.0]
    before = int(replicas[-1]) if len(replicas) else 0
    peak = int(first + np.argmax(bounded[first:]))
    out = next((one for one in under_load.tolist() if bounded[one] > before), None)
    end_s = float(np.nanmax(np.concatenate([t_s, tables.scaling["t_s"]])))
    found: list[str] = []

    def tell(what: str, index: int, of: str) -> None:
        at, pods = clock(float(t_s[index]), end_s), counted(bounded[index], "pod")
        found.append(f"{what} at {at}{of}{pods}: {_because(ticks, params, index)}")

    if out is None:
        because = _because(ticks, params, peak)
        met = f"{counted(before, 'pod')} met the target"
        found.append(f"It did not scale out: {met}. {because[0].upper()}{because[1:]}")
    else:
        tell("Scale-out", out, f" from {before} to ")
        if peak != out and bounded[peak] > bounded[out]:
            tell("Peak", peak, ": ")
    back = next((one for one in range(peak + 1, len(t_s)) if bounded[one] < bounded[peak]), None)
    if back is not None:
        tell("Scale-in", back, f" from {bounded[peak]} to ")
    zero = np.flatnonzero((tables.scaling["replicas"] == 0) & (tables.scaling["t_s"] > t_s[peak]))
    if len(zero) and before + bounded[peak] > 0:
        moment = clock(float(tables.scaling["t_s"][zero[0]]), end_s)
        reason = f"no request was in flight for the stable window ({duration_text(params.stable_window_s)})"
        reason = scaling.why_zero if isinstance(scaling, Other) else reason
        found.append(f"To zero at {moment}: {reason}.")
    return found


def _bounds(params: Params, time_s: float) -> tuple[int, int]:
    """Minimum and maximum of pods at a time: those of the annotations, and a schedule's."""
    least, most = params.min_scale, params.max_scale or schedule.UNBOUNDED
    if len(params.schedule) and time_s >= 0:
        own_least, own_most = schedule.bounds(params.schedule, int(time_s * SECOND_NS))
        least, most = max(least, own_least), min(most, own_most)
    return min(least, most), most


def _because(ticks: Columns, params: Params, index: int) -> str:
    """Why a decision was what it was, in a sentence."""
    rule = str(ticks["rule"][index])
    if params.autoscaler != of.KPA:
        text = f"the metric was {_number(ticks['stable'][index])} {METRICS[params.metric]}"
        text += f", target {ticks['target'][index]:.4g} {'a pod' if params.is_average else 'in all'}"
        return f"{text}{'' if rule == 'metric' else f'; {REASONS[rule]}'}."
    panicking = ticks["panic_mode"][index] == 1
    window = "panic" if panicking and rule != "stable" else "stable"
    length = duration_text(params.panic_window_s if window == "panic" else params.stable_window_s)
    unit = "requests/s" if params.metric_rps else "requests in flight"
    text = f"the {window} window ({length}) saw {_number(ticks[window][index])} {unit}"
    text += f", target {ticks['target'][index]:g} a pod"
    if rule not in {"stable", "panic"}:
        text += f"; {REASONS[rule]}"
    if params.spare:
        text += f"; {params.spare} spare pod{'s' * (params.spare > 1)} added"
    return f"{text}{_bounded(params, float(ticks['t_s'][index]), int(ticks['desired'][index]))}."


def _bounded(params: Params, time_s: float, desired: int, what: str = "") -> str:
    """What the bounds of pods make of a decision; empty where they allow it."""
    least, most = _bounds(params, time_s)
    if desired > most:
        return f"; {'max-scale' if most == params.max_scale else 'the schedule'} caps {what or desired} at {most}"
    if desired < least:
        return f"; {'min-scale' if least == params.min_scale else 'the schedule'} raises {what or desired} to {least}"
    return ""


def _decision(tables: Tables, params: Params, index: int, end_s: float) -> str:
    """One decision in words."""
    ticks = tables.ticks
    desired, rule = int(ticks["desired"][index]), str(ticks["rule"][index])
    if params.autoscaler != of.KPA:
        return (
            f"{_stamp(float(ticks['t_s'][index]), end_s)} tick: {_number(ticks['stable'][index])} "
            f"{METRICS[params.metric]} (target {ticks['target'][index]:.4g}), {ticks['ready_pods'][index]} ready -> "
            f"{desired}: {REASONS[rule]}"
        )
    bound = _bounded(params, float(ticks["t_s"][index]), desired, "it")
    excess = ticks["excess_burst_capacity"][index]
    path = "activator in the path" if excess < 0 else "pods direct"
    return (
        f"{_stamp(float(ticks['t_s'][index]), end_s)} {'poke' if ticks['poke'][index] else 'tick'}: "
        f"stable {_number(ticks['stable'][index])} asks for "
        f"{ticks['desired_stable'][index]}, panic {_number(ticks['panic'][index])} asks for "
        f"{ticks['desired_panic'][index]} (target {ticks['target'][index]:g}), {ticks['ready_pods'][index]} ready"
        f"{', panicking' if ticks['panic_mode'][index] else ''} -> {desired}: {REASONS[rule]}{bound}; "
        f"excess burst capacity {excess:.0f}, {path}"
    )


def _changes(tables: Tables) -> Iterator[tuple[float, str]]:
    """When something happened to objects, pods and path, and what."""
    events: list[tuple[float, str, str]] = []
    scaling, pods = tables.scaling, tables.pods
    for column, name in (("replicas", "replicas"), ("pa_active", "active"), ("sks_mode", "path")):
        values = scaling[column].tolist()
        events += [
            (t_s, f"{name} {old} -> {new}", "")
            for t_s, old, new in zip(scaling["t_s"][1:].tolist(), values, values[1:], strict=False)
            if old not in {new, ""}
        ]
    late = pods["created_s"] < pods["scheduled_s"] if "scheduled_s" in pods else np.zeros(len(pods["pod"]), dtype=bool)
    for column, what, of_them in (
        ("created_s", "created", None),
        ("scheduled_s", "got a machine", late),
        ("ready_s", "ready", None),
        ("delete_requested_s", "terminating", None),
        ("gone_s", "gone", None),
    ):
        times = pods.get(column)
        if times is None:
            continue
        there = ~np.isnan(times) if of_them is None else ~np.isnan(times) & of_them
        events += [(float(times[row]), what, str(pods["pod"][row])) for row in np.flatnonzero(there)]
    events.sort(key=lambda one: one[0])
    begin = 0
    while begin < len(events):
        end = bisect_right(events, events[begin][0] + AT_ONCE_S, lo=begin, key=lambda one: one[0])
        together = events[begin:end]
        begin = end
        words = [text for _, text, pod in together if not pod]
        for what in dict.fromkeys(text for _, text, pod in together if pod):
            names = [pod for _, text, pod in together if text == what and pod]
            words.append(f"{len(names)} pods {what}" if len(names) > MOST_NAMES else f"{', '.join(names)} {what}")
        yield together[0][0], "; ".join(words)


def _line(t_s: float, text: str, end_s: float) -> str:
    return f"{_stamp(t_s, end_s)}       {text}"


def _stamp(t_s: float, end_s: float) -> str:
    """A time to the hundredth of a second; of runs of an hour or more as a clock shows it."""
    if end_s < 3600:
        return f"{t_s:9.2f}s"
    sign, time_s = "-" if t_s < 0 else "", abs(t_s)
    return f"{sign}{time_s // 3600:.0f}:{time_s // 60 % 60:02.0f}:{time_s % 60:05.2f}".rjust(11)


def _more(count: int) -> str:
    return f"           ... {count} more tick{'s' if count > 1 else ''} with the same answer"


def _no_data(stamp: str, desired: int) -> str:
    return f"           ... no data after {stamp.strip()}: nothing is decided, {desired} stands"


def _number(value: float) -> str:
    """Two decimals, and no sign before zero."""
    return f"{round(float(value), 2) + 0.0:.2f}"
