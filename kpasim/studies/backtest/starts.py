"""Cold starts out of an observation: from the creation of a pod to Ready.

kube-state-metrics has the times of each pod. Without it the autoscaler's gauges tell how many pods were starting at
each scrape (``kn_revision_pods_not_ready_count`` includes terminating pods), and ``process_start_time_seconds`` of the
queue-proxies when each pod's processes began, whatever the scrape interval.
"""

from dataclasses import dataclass

import numpy as np

from kpasim.arrays import Floats
from kpasim.errors import RunError
from kpasim.records.prometheus.observation import Observation
from kpasim.results.intervals import Z90
from kpasim.studies.backtest.pods import begun, gauge

TIME_LIMIT_S = 3600.0
"""A start that takes longer is none: the pod was not Ready for another reason."""
LATEST_STARTS = 500
"""Starts that are looked at, the latest ones."""
STEPS = 160


@dataclass(frozen=True)
class ColdStart:
    """Time from the creation of a pod to Ready.

    Attributes:
        mean_s: Mean, or where only an interval is known its middle [s].
        low_s: Lower end of what fits the records [s].
        high_s: Upper end [s].
        starts: Starts that it was measured on.
        source: Where it comes from, in words.
        notes: What the resolution hides, a sentence each.
    """

    mean_s: float
    low_s: float
    high_s: float
    starts: int
    source: str
    notes: tuple[str, ...] = ()


def cold_start(observation: Observation) -> ColdStart:
    """The cold start that an observation shows.

    Raises:
        RunError: No pod started within the window, or nothing tells how long it took.
    """
    found = _from_pods(observation) or _from_gauges(observation)
    if found is None:
        raise RunError(f"{observation.namespace}/{observation.service}: no pod was seen to start (give --cold-start)")
    return found


def _from_pods(observation: Observation) -> ColdStart | None:
    def times(metric: str) -> dict[str, float]:
        found = {}
        for one in observation.find(metric, "kube-state-metrics"):
            values = one.values[~np.isnan(one.values)]
            if len(values):
                found[one.pod] = float(values[0])
        return found

    created, ready = times("kube_pod_created"), times("kube_pod_status_ready_time")
    took_s = np.array([ready[pod] - created[pod] for pod in created if pod in ready and ready[pod] > created[pod]])
    took_s = took_s[took_s < TIME_LIMIT_S]
    if not len(took_s):
        return None
    mean_s, error_s = float(took_s.mean()), float(took_s.std() / np.sqrt(len(took_s)))
    # Kubernetes keeps both times in whole seconds.
    low_s, high_s = mean_s - Z90 * error_s - 0.5, mean_s + Z90 * error_s + 0.5
    return ColdStart(mean_s, max(0.0, low_s), high_s, len(took_s), "times of pods in kube-state-metrics")


def starting(observation: Observation) -> tuple[Floats, Floats]:
    """Times of the autoscaler's scrapes [s since 1970] and pods that were created and not yet Ready at each."""
    not_ready = gauge(observation, "kn_revision_pods_not_ready_count")
    terminating = gauge(observation, "kn_revision_pods_terminating_count")
    times_s = np.intersect1d(not_ready[0], terminating[0])
    return times_s, not_ready[1][np.isin(not_ready[0], times_s)] - terminating[1][np.isin(terminating[0], times_s)]


def _from_gauges(observation: Observation) -> ColdStart | None:
    times_s, counts = starting(observation)
    begun_s = begun(observation)
    if not len(times_s):
        return None
    begun_s = begun_s[begun_s > times_s[0]][-LATEST_STARTS:]
    if not len(begun_s):
        return None
    interval_s = observation.interval_s.get("autoscaler", 0.0)
    seen = times_s >= begun_s[0] - 2 * interval_s
    times_s, counts = times_s[seen], counts[seen]
    longest_s = _longest_s(times_s, counts, len(begun_s), interval_s)
    # Pods are created ``before_s`` ahead of their processes and Ready ``after_s`` behind them.
    grid_s = np.linspace(0.0, longest_s, STEPS)
    # A query_range shows samples at multiples of its step, each up to a step after its scrape: always the same time.
    late_s = np.linspace(0.0, observation.step_s, 7) if observation.step_s else np.zeros(1)
    best, fitting = np.inf, np.zeros((0, 2))
    for at_s in (times_s - late for late in late_s.tolist()):
        ready = np.stack([np.searchsorted(begun_s, at_s - after_s, side="right") for after_s in grid_s])
        for before_s in np.linspace(0.0, longest_s / 2, 13):
            there = np.searchsorted(begun_s, at_s + before_s, side="right")
            apart = np.abs(there - ready - counts).sum(axis=1)
            best = min(best, float(apart.min()))
            fitting = np.concatenate((fitting, np.stack((apart, before_s + grid_s), axis=1)))
    near = fitting[fitting[:, 0] <= best + 1.5, 1]
    low_s, high_s = float(near.min()), float(near.max())
    notes: tuple[str, ...] = ()
    if high_s - low_s > 0.25 * (high_s + low_s) / 2:
        notes = (
            f"At one scrape every {interval_s:g} s the cold start is only known to lie between {low_s:.0f} and "
            f"{high_s:.0f} s: kube-state-metrics, or --cold-start, would tell it.",
        )
    return ColdStart(0.5 * (low_s + high_s), low_s, high_s, len(begun_s), "pods that were starting at scrapes", notes)


def _longest_s(times_s: Floats, counts: Floats, starts: int, interval_s: float) -> float:
    """A time that no mean cold start exceeds [s]: four times what the starting pods add up to, and two scrapes."""
    pod_s = float(np.sum(np.diff(times_s) * 0.5 * (counts[1:] + counts[:-1]))) if len(times_s) > 1 else 0.0
    return min(TIME_LIMIT_S, 2.0 * interval_s + 3.0 * max(0.0, pod_s) / starts)
