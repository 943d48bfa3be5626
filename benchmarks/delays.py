"""The figures in the docstrings of kpasim/spec/delays.py, counted from the recorded runs.

    python benchmarks/delays.py

counts each in ``tests/real_runs`` and prints a table: the delay, its default, what was measured, of how many values,
and the words that stand in its docstring. The exit status is 1 where words do not stand there.
"""

import itertools
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.evidence import FREE_S, OTHERS_WAIT, TICK_S, busy_runs, read, slots_of_newcomers, ticks_begin_s
from benchmarks.pages import table
from kpasim.engines.params import SECOND_NS
from kpasim.policy.pods import QUIET_NS
from kpasim.results.tables import Tables
from kpasim.spec.delays import Delays
from kpasim.spec.schema import schema
from kpasim.studies.measured.align import tick_phase_s
from tests.real_runs import names

DRAIN_S = QUIET_NS / SECOND_NS
OFF_S = 0.02
"""A decision so far from the clock of the ticks is an extra one."""
AT_ONCE_S = 1.0
"""One that comes so soon after the first request was asked for by it."""
SAME_CLOCK_S = 0.00005
"""Half of the resolution of requests' times: what is less is nothing."""
TOGETHER_S = 0.01
"""Requests sent within this time were sent together."""
HEYS_CLIENTS = 5
"""Clients of those runs by hey in which few enough send together to tell the order of arrivals."""
DEFAULTS = Delays()


class Count(NamedTuple):
    """What was measured of one delay."""

    delay: str
    """Its name in ``Delays``."""
    measured_s: float | None
    """What its default is to be held against [s]."""
    values: int
    """How many values that comes from."""
    words: str
    """What its docstring says of them."""


Counts = Iterator[Count]


def ms(values_s: list[float], share: float = 0.5, digits: int = 0) -> str:
    """A quantile of some times, in words."""
    # Recorded times are whole tenths of a millisecond: what floats add beyond must not decide how a half is rounded.
    return f"{round(1000 * float(np.quantile(values_s, share)), 6):.{digits}f} ms"


def median(values_s: list[float]) -> float:
    """Their median."""
    return float(np.median(values_s))


def by_hey(name: str) -> bool:
    """Whether hey was a run's client."""
    return bool(read(name)[0]["workload"]["kind"] == "hey")


def tick_jitter(tables: Tables) -> tuple[float, list[float], list[float]]:
    """The phase of the ticks, how late each tick is, and when there were other decisions [s]."""
    t_s = np.sort(tables.ticks["t_s"])
    phase_s = tick_phase_s(t_s)
    nth = np.round((t_s - phase_s) / TICK_S)
    off_s = t_s - phase_s - TICK_S * nth
    ticks: dict[float, int] = {}
    for place, period in enumerate(nth):
        if period not in ticks or abs(off_s[place]) < abs(off_s[ticks[period]]):
            ticks[period] = place
    others = [float(t_s[place]) for place in range(len(t_s)) if ticks[nth[place]] != place]
    return phase_s, [float(off_s[place]) for place in ticks.values()], others


def pod_objects() -> Counts:
    """From the latest decision before a pod to its object."""
    took_s: list[float] = []
    for name in names():
        _, tables = read(name)
        t_s, created_s = np.sort(tables.ticks["t_s"]), tables.pods["created_s"]
        before = np.searchsorted(t_s, created_s, side="right") - 1
        took_s += (created_s - t_s[before])[before >= 0].tolist()
    least_s, pods = float(np.quantile(took_s, 0.05)), len(took_s)
    yield Count("tick_to_pod_s", least_s, pods, f"measured, {ms(took_s, 0.05)} at p5 of {pods} pods")
    words = f"measured, decision to pod object {ms(took_s)} at the median, {ms(took_s, 0.9)} at p90 and "
    yield Count("api_jitter_s", median(took_s) - least_s, pods, words + f"{ms(took_s, 0.95)} at p95 of {pods} pods")


def status_writes() -> Counts:
    """From a change of replicas since the load began, where desired is not that already, to desired being that."""
    took_s: list[float] = []
    for name in names():
        scaling = read(name)[1].scaling
        t_s, replicas, desired = scaling["t_s"], scaling["replicas"], scaling["desired"]
        changes = [*(np.flatnonzero(np.diff(replicas)) + 1).tolist(), len(t_s)]
        for change, after in itertools.pairwise(changes):
            shown = np.flatnonzero(desired[change:after] == replicas[change])
            if t_s[change] > 0 and len(shown) and shown[0]:
                took_s.append(float(t_s[change + shown[0]] - t_s[change]))
    words = (
        f"measured, {ms(took_s)} at the median and {ms(took_s, 0.9)} at p90 of {len(took_s)} changes since the load "
    )
    yield Count("status_jitter_s", median(took_s), len(took_s), words + "began")


def ticks() -> Counts:
    """How late ticks are, and how long after the first object of the revision their clock began."""
    late_s: list[float] = []
    began_s: list[float] = []
    for name in names():
        _, tables = read(name)
        late_s += tick_jitter(tables)[1]
        began_s.append(ticks_begin_s(tables))
    words = f"measured, {ms(late_s)} at the median, {ms(late_s, 0.98)} at p98, {ms(late_s, 0.99)} at p99 and "
    words += f"{ms(late_s, 0.999)} at p99.9 of {len(late_s):,} ticks"
    yield Count("clock_jitter_s", median(late_s), len(late_s), words)
    words = f"measured, {ms(began_s)} at the median, {ms(began_s, 0.1)} at p10 and {ms(began_s, 0.9)} at p90 of "
    yield Count("creation_to_ticks_s", median(began_s), len(began_s), words + f"{len(began_s)} runs")


def probes() -> Counts:
    """When the activator sends the first request to a pod that is not yet Ready, after the phase of the ticks."""
    period_s = DEFAULTS.probe_period_s
    after_creation_s: list[float] = []
    before_tick_s: list[float] = []
    for name in names():
        run, tables = read(name)
        if run["path"] != "activator":
            continue
        requests, phase_s = tables.requests, tick_jitter(tables)[0]
        ready_s = dict(zip(tables.pods["pod"], tables.pods["ready_s"], strict=True))
        first = {pod: np.min(requests["server_arrival_s"][requests["pod"] == pod]) for pod in set(requests["pod"])}
        for pod, arrival_s in first.items():
            sent_s = requests["start_s"][requests["server_arrival_s"] == arrival_s].min()
            if sent_s + FREE_S < arrival_s < ready_s[pod]:
                off_s = float((arrival_s - phase_s + period_s / 2) % period_s - period_s / 2)
                before_tick_s.append(-off_s)
                after_creation_s.append(ticks_begin_s(tables) + off_s)
    late_s = [-one for one in before_tick_s]
    words = f"{ms(after_creation_s)} at the median of {len(after_creation_s)} pods, half of them between "
    words += (
        f"{ms(before_tick_s, 0.75)} before and {ms(late_s, 0.75)} after the autoscaler's phase, modulo {period_s} s"
    )
    yield Count("creation_to_probes_s", median(after_creation_s), len(before_tick_s), words)


def order_of_arrivals() -> Counts:
    """Pairs of requests that hey's clients sent together at the beginning: those that were served the other way."""
    reverse, apart_s = 0, []
    for name in names():
        run, tables = read(name)
        if run["path"] != "activator" or not by_hey(name) or run["workload"]["concurrency"] != HEYS_CLIENTS:
            continue
        first = np.argsort(tables.requests["start_s"], kind="stable")[:HEYS_CLIENTS]
        sent_s, served_s = tables.requests["start_s"][first], tables.requests["server_arrival_s"][first]
        for one in range(HEYS_CLIENTS):
            for other in range(one + 1, HEYS_CLIENTS):
                if sent_s[other] - sent_s[one] < TOGETHER_S and served_s[one] != served_s[other]:
                    apart_s.append(float(sent_s[other] - sent_s[one]))
                    reverse += bool(served_s[other] < served_s[one])
    made = np.sum(np.maximum(0.0, 1.0 - np.array(apart_s) / DEFAULTS.client_to_front_s) ** 2 / 2.0)
    words = f"of {len(apart_s)} pairs sent {ms(apart_s, 0.5, 1)} apart at the median {reverse} were served in reverse, "
    yield Count("client_to_front_s", None, len(apart_s), words + f"where this makes {made:.0f}")


def ways() -> Counts:
    """What a request that waits nowhere takes beyond its work, and what of that is after it."""
    whole_s: list[float] = []
    there_s: list[float] = []
    medians: dict[bool, list[float]] = {True: [], False: []}
    laid = 0
    for name in names():
        requests = read(name)[1].requests
        there = requests["server_arrival_s"] - requests["start_s"]
        beyond, alone = requests["latency_s"] - requests["service_s"], np.abs(there) < FREE_S
        whole_s += beyond[alone].tolist()
        there_s += there[alone].tolist() if not by_hey(name) else []
        ends_s = requests["start_s"] + requests["latency_s"]
        medians[by_hey(name)].append(float(np.median(ends_s - requests["server_start_s"] - requests["service_s"])))
        laid += by_hey(name) and abs(float(np.median(ends_s - requests["server_end_s"]))) < SAME_CLOCK_S
    both = medians[True] + medians[False]
    words = f"measured, {ms(there_s, 0.5, 1)} from client to container at the median of {len(there_s):,} requests of "
    yield Count("front_to_server_s", None, len(there_s), words + "open loops")
    words = f"measured, {ms(both, 0.5, 1)}, the median of the medians of {len(both)} runs: "
    words += f"{ms(medians[False], 0.5, 1)} in {len(medians[False])} by an open loop, {ms(medians[True], 0.5, 1)} in "
    words += f"{len(medians[True])} by hey, of which {laid} have their clocks set so that half of the responses arrive "
    words += "before they leave"
    yield Count("server_to_client_s", median(both), len(both), words)
    made_s = DEFAULTS.client_to_front_s / 2 + DEFAULTS.front_to_server_s + DEFAULTS.server_to_client_s
    words = f"{1000 * made_s:.1f} ms there and back, measured {ms(whole_s, 0.5, 1)} at the median of {len(whole_s):,} "
    yield Count("server_to_client_s", None, len(whole_s), words + "requests that waited nowhere")


def hand_overs() -> Counts:
    """From the end of a request to the arrival of one that waited, on pods of one slot."""
    took_s: list[float] = []
    for name in names():
        run, tables = read(name)
        if run["path"] != "activator" or run["service"]["containerConcurrency"] != 1:
            continue
        requests = tables.requests
        for pod in set(requests["pod"]):
            there = np.flatnonzero(requests["pod"] == pod)
            there = there[np.argsort(requests["server_arrival_s"][there], kind="stable")]
            ended_s, next_s = requests["server_end_s"][there][:-1], requests["server_arrival_s"][there][1:]
            waited = (requests["start_s"][there][1:] < ended_s - FREE_S) & (next_s < ended_s + FREE_S)
            took_s += (next_s - ended_s)[waited].tolist()
    words = f"measured, {ms(took_s, 0.5, 1)} at the median and {ms(took_s, 0.95, 1)} at p95 of {len(took_s):,} slots"
    yield Count("hand_over_s", median(took_s), len(took_s), words)


def newcomers() -> Counts:
    """Slots of containers with a limit that went to newcomers while others waited, at the activator."""
    quiet: list[tuple[int, int]] = []
    busy: list[tuple[int, int]] = []
    for name in names():
        run, tables = read(name)
        if run["path"] == "activator" and run["service"]["containerConcurrency"]:
            (busy if name in busy_runs() else quiet).append(slots_of_newcomers(tables, OTHERS_WAIT))
    (taken, given), (lost, of_busy) = (np.sum(one, axis=0).tolist() for one in (quiet, busy))
    words = f"measured, where three or more waited newcomers won {taken} of {given} slots in {len(quiet)} runs, and "
    yield Count("wake_s", None, given, words + f"{lost} of {of_busy} in {len(busy)} on a busy machine")


def extra_decisions() -> Counts:
    """From the first request being sent to the decision that it asked for."""
    took_s: list[float] = []
    for name in names():
        tables = read(name)[1]
        phase_s, _, others_s = tick_jitter(tables)
        asked_s = [one for one in others_s if one > 0 and (one - phase_s + OFF_S) % TICK_S > 2 * OFF_S]
        first_s = float(tables.requests["start_s"].min())
        took_s += [one - first_s for one in asked_s[:1] if one < first_s + AT_ONCE_S]
    words = f"measured, {ms(took_s, 0.5, 1)} at the median and {ms(took_s, 0.9, 1)} at p90 of {len(took_s)} runs, "
    yield Count("first_stat_s", median(took_s), len(took_s), words + "with the way from the client")


def first_direct() -> Counts:
    """From the readiness of a new pod to the first request sent past the activator that reaches it."""
    took_s: list[float] = []
    for name in names():
        run, tables = read(name)
        requests, scaling = tables.requests, tables.scaling
        if run["path"] == "activator":
            continue
        for pod, ready_s in zip(tables.pods["pod"], tables.pods["ready_s"], strict=True):
            sent_s = requests["start_s"][requests["pod"] == pod]
            mode = scaling["sks_mode"][max(0, int(np.searchsorted(scaling["t_s"], ready_s)) - 1)]
            if mode == "Serve" and ready_s > 0 and len(sent_s) and sent_s.min() > ready_s:
                took_s.append(float(sent_s.min() - ready_s))
    words = f"the soonest of {len(took_s)} new pods got its first request {ms(took_s, 0.0)} after it was ready"
    yield Count("endpoints_to_ingress_s", None, len(took_s), words)


def deletions() -> Counts:
    """From a pod without requests being asked to go to its being gone, less the drain of those that had started."""
    extra_s: list[float] = []
    for name in names():
        tables = read(name)[1]
        requests, pods = tables.requests, tables.pods
        for pod, asked_s, gone_s in zip(pods["pod"], pods["delete_requested_s"], pods["gone_s"], strict=True):
            if gone_s - asked_s >= 0 and not (requests["server_end_s"][requests["pod"] == pod] > asked_s).any():
                extra_s.append(float(gone_s - asked_s - (DRAIN_S if gone_s - asked_s >= DRAIN_S else 0.0)))
    words = f"measured, {ms(extra_s)} at the median, {ms(extra_s, 0.05)} at p5 and {ms(extra_s, 0.9)} at p90 of "
    words += f"{len(extra_s)} pods that had nothing to do"
    yield Count("deletion_extra_s", median(extra_s), len(extra_s), words)


MEASURED: tuple[Callable[[], Counts], ...] = (
    pod_objects, status_writes, ticks, probes, order_of_arrivals, ways, hand_overs, newcomers, extra_decisions,
    first_direct, deletions,
)  # fmt: skip


@cache
def docstrings() -> dict[str, str]:
    """What the docstring of each delay says, without the ends of its lines."""
    properties = schema("experiment")["$defs"]["Delays"]["properties"]
    keys = {name: str(field.alias) for name, field in Delays.model_fields.items()}
    return {name: " ".join(properties[key]["description"].split()) for name, key in keys.items()}


def main() -> int:
    """Count, print, and say what does not stand in its docstring."""
    texts = docstrings()
    lines, counted, missing = [], set(), 0
    for count in MEASURED:
        for delay, measured_s, values, words in count():
            counted.add(delay)
            default = f"{1000 * getattr(DEFAULTS, delay):.1f}"
            measured = "" if measured_s is None else f"{1000 * measured_s:.1f}"
            there = words in texts[delay]
            missing += not there
            told = words if there else f"NOT in its docstring: {words}"
            lines.append((delay, default, measured, f"{values:,}", told))
    print(table(("delay", "default ms", "measured ms", "values", "words"), lines))
    print("\nNot measured: " + ", ".join(sorted(texts.keys() - counted)))
    return int(missing > 0)


if __name__ == "__main__":
    sys.exit(main())
