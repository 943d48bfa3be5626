"""The cold start out of how long requests waited, where scrapes alone leave it open.

A request that finds no free pod waits for one to start, so the recorded latency tells how long starts take. How much,
the simulation says: the present is predicted with cold starts from all over the interval that the scrapes allow, and
those stay that predict the recorded mean latency. It depends on where within their scrape intervals the requests came
as well, so all ways to place them are tried, and count by how well they can explain it.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from kpasim.arrays import Floats
from kpasim.results.intervals import Z90
from kpasim.studies.backtest.compare import backtest
from kpasim.studies.backtest.prepare import COLD_START, DRAWS, Prepared, in_seconds, with_arrivals, with_cold_start
from kpasim.studies.run import after

OPEN = 0.25
"""Share of the cold start that its interval is wide, from which on the waits are asked."""
ROUNDS, LITTLE = 3, 0.7
"""Rounds of trials, each with the cold starts that the one before has left. Latencies are a line in the cold start only
where the interval is not too wide: a round that leaves more than this share of it is the last one."""
MOST_REQUESTS = 50_000
"""Windows with more of them have so many starts that scrapes tell the cold start; trials of them would take long."""
STEPS = 400
WAYS = ("inferred", "uniform", "clustered")
"""Ways to place requests within their scrape intervals."""


def narrowed(prepared: Prepared, progress: Callable[[int], None] = lambda done: None) -> Prepared:
    """The same with the cold starts that predict the recorded mean latency; as it was where scrapes tell them.

    ``progress`` is called with the number of trials finished so far, out of ``trials(prepared)``.

    Raises:
        KpasimError: It cannot be simulated.
    """
    start = prepared.times.start
    if start is None or not trials(prepared):
        return prepared
    found = prepared
    for place in range(ROUNDS):
        bounds_s = _explaining(found, after(progress, place * len(WAYS) * DRAWS))
        if bounds_s is None:
            break
        before = found.times.start
        assert before is not None
        left = (bounds_s[1] - bounds_s[0]) / (before.high_s - before.low_s)
        if place and left > LITTLE:
            break  # The same latency tells nothing twice: what was a line in a wide interval is one here.
        narrow = replace(start, mean_s=0.5 * sum(bounds_s), low_s=bounds_s[0], high_s=bounds_s[1], notes=())
        found = with_cold_start(found, replace(narrow, source=f"{start.source}, and how long requests waited"))
        if left > LITTLE or not _is_open(found):
            break
    if found is prepared:
        return prepared
    note = (
        f"The pods at scrapes leave the cold start between {start.low_s:.3g} and {start.high_s:.3g} s. Of these, the "
        "ones that predict the recorded mean latency are taken, so that it does not test the prediction by itself: "
        "kube-state-metrics, or --cold-start, would."
    )
    notes = (*(one for one in prepared.notes if one not in start.notes), note)
    return replace(found, notes=notes)


def _explaining(prepared: Prepared, progress: Callable[[int], None]) -> tuple[float, float] | None:
    """The bounds of the cold starts that explain the recorded mean latency [s], out of trials of those drawn now."""
    start, experiment = prepared.times.start, prepared.whole.experiment
    assert start is not None
    tried_s = np.array([in_seconds(draw[COLD_START]) for draw in experiment.raw["model"]["posterior"]])
    found: list[Floats] = []
    recorded_s = math.nan
    current = experiment.raw["workload"]["within"]
    for within in (current, *(one for one in WAYS if one != current)):
        placed = with_arrivals(prepared, within)
        figures = backtest(placed, DRAWS, after(progress, len(found) * DRAWS)).figures
        latency = next(one for one in figures if one.name == "mean_latency_s")
        found.append(latency.drawn)
        recorded_s = latency.recorded
    return likely(tried_s, found, recorded_s, (start.low_s, start.high_s))


def trials(prepared: Prepared) -> int:
    """How many replications ``narrowed`` simulates at most."""
    ended = sum(float(one.ended.sum()) for one in prepared.traffic.passages)
    # Past the activator a wait for a pod is not part of the recorded latency.
    wanted = _is_open(prepared) and prepared.traffic.direct < 0.5 and ended <= MOST_REQUESTS
    return ROUNDS * len(WAYS) * DRAWS if wanted else 0


def _is_open(prepared: Prepared) -> bool:
    """Whether the cold start is known to a wide interval only."""
    start = prepared.times.start
    return start is not None and start.high_s - start.low_s > OPEN * start.mean_s


def likely(
    tried_s: Floats, latencies_s: Sequence[Floats], recorded_s: float, within_s: tuple[float, float]
) -> tuple[float, float] | None:
    """The cold starts under which a mean latency is likely; ``None`` where it does not depend on them.

    The latency is taken as a line in the cold start with the scatter of the trials about it (the regression of M.
    Beaumont, W. Zhang and D. Balding, Genetics 162, 2002), the cold start as uniform before it is known.

    Args:
        tried_s: Cold starts that were tried [s].
        latencies_s: Mean latencies that they predict [s], for each way to place requests; the first is the one in use.
        recorded_s: The mean latency to explain [s].
        within_s: Least and longest cold start [s].
    """
    if not (math.isfinite(recorded_s) and np.isfinite(latencies_s).all()):
        return None
    grid_s = np.linspace(*within_s, STEPS)
    log_weight = np.full(STEPS, -np.inf)
    for place, latency_s in enumerate(latencies_s):
        slope, at_0_s = np.polyfit(tried_s, latency_s, 1)
        scatter_s = max(1e-6, float(np.std(latency_s - at_0_s - slope * tried_s, ddof=2)))
        error = scatter_s / (math.sqrt(len(tried_s)) * float(np.std(tried_s)))
        if not place and slope <= Z90 * error:
            return None
        away = (recorded_s - at_0_s - slope * grid_s) / scatter_s
        log_weight = np.logaddexp(log_weight, -0.5 * away**2 - math.log(scatter_s))
    weight = np.exp(log_weight - log_weight.max())
    weight /= weight.sum()
    mean_s = float(weight @ grid_s)
    # A uniform distribution with this mean and spread: so the draws are.
    half_s = math.sqrt(3.0 * float(weight @ (grid_s - mean_s) ** 2))
    return max(within_s[0], mean_s - half_s), min(within_s[1], mean_s + half_s)
