"""Which pods the autoscaler asks for their statistics each second, and how the answers become one.

Source:
    knative/serving@98e5ef9, pkg/autoscaler/metrics/stats_scraper.go, pkg/autoscaler/metrics/sample_size.go,
    pkg/resources/pods.go
"""

import math

from kpasim.arrays import Floats, Ints

CONFIDENCE = 1.96 * 1.96 * 100.0 / 25.0
"""Sample needed of an unbounded population: (critical value)² · variance / (margin of error)²."""

# Fields of a statistic.
CONCURRENCY = 0
PROXIED_CONCURRENCY = 1
COUNT = 2
PROXIED_COUNT = 3
FIELDS = 4


def sample_size(population: float) -> float:
    """How many pods of ``population`` are asked; a whole number when that is one.

    Source: sample_size.go, ``populationMeanSampleSize``.
    """
    if population <= 3:
        return max(float(population), 0.0)
    return float(math.ceil(population * CONFIDENCE / (population + CONFIDENCE - 1.0)))


def choose_pods(
    pods: Ints,
    count: int,
    started_ns: Ints,
    answers: Ints,
    keys: Floats,
    now_ns: int,
    window_ns: int,
    wanted: int,
    chosen: Ints,
) -> int:
    """Write the pods whose statistics count in one scrape to ``chosen``, at most ``wanted``, and count them.

    Pods that have run for a stable window come first, at random; younger ones, again at random, fill up. A pod that
    does not answer is replaced by the next in that order. When fewer than ``wanted`` are found, Knative drops the whole
    scrape.

    The first ``count`` of ``pods`` are the ready ones; start times and ``answers`` (non-zero where a pod answers in
    time) are indexed by pod, the random ``keys`` by place in ``pods``: lower ones are preferred.

    Source: stats_scraper.go, ``serviceScraper.scrapePods``; pods.go, ``PodAccessor.PodIPsSplitByAge``.
    """
    # ``chosen`` first holds places in ``pods``, kept in order of preference by insertion: it has 16 entries or so.
    found = 0
    last_young, last_key = False, -math.inf
    for place in range(count):
        # Most of many pods end here: the last one that was found is old, and comes before any with a higher key.
        if found == wanted and not last_young and last_key <= keys[place]:
            continue
        pod = pods[place]
        if answers[pod] == 0:
            continue
        young = now_ns - started_ns[pod] < window_ns
        slot = found
        while slot > 0:
            rival = chosen[slot - 1]
            rival_young = now_ns - started_ns[pods[rival]] < window_ns
            if rival_young < young or (rival_young == young and keys[rival] <= keys[place]):
                break
            slot -= 1
        if slot >= wanted:
            continue
        if found < wanted:
            found += 1
        for later in range(found - 1, slot, -1):
            chosen[later] = chosen[later - 1]
        chosen[slot] = place
        last = chosen[found - 1]
        last_young, last_key = now_ns - started_ns[pods[last]] < window_ns, keys[last]
    for slot in range(found):
        chosen[slot] = pods[chosen[slot]]
    return found


def extrapolate(total: float, sample: float, population: float) -> float:
    """What ``population`` pods do together when ``sample`` of them add up to ``total``.

    Source: pkg/autoscaler/metrics/collector.go, ``Stat.average``.
    """
    return total / sample * population


def combine(
    statistics: Floats, chosen: Ints, count: int, sample: float, population: float
) -> tuple[float, float, float, float]:
    """One statistic of the whole revision from those of the first ``count`` chosen pods.

    ``statistics`` holds the latest of each pod, shape ``(pods, FIELDS)``; sums are divided by the sample size and
    multiplied by the ready pods.

    Returns:
        Concurrency, proxied concurrency, arrivals per second, proxied arrivals per second.

    Source: stats_scraper.go, ``computeAverages``.
    """
    concurrency = 0.0
    proxied_concurrency = 0.0
    arrivals = 0.0
    proxied_arrivals = 0.0
    for place in range(count):
        pod = chosen[place]
        concurrency += statistics[pod, CONCURRENCY]
        proxied_concurrency += statistics[pod, PROXIED_CONCURRENCY]
        arrivals += statistics[pod, COUNT]
        proxied_arrivals += statistics[pod, PROXIED_COUNT]
    return (
        extrapolate(concurrency, sample, population),
        extrapolate(proxied_concurrency, sample, population),
        extrapolate(arrivals, sample, population),
        extrapolate(proxied_arrivals, sample, population),
    )


def net(value: float, proxied: float) -> float:
    """What the autoscaler records of a pod's figure: proxied requests were counted at the activator already.

    Source: pkg/autoscaler/metrics/collector.go, ``collection.record``.
    """
    return value - proxied
