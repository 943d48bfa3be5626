"""When within its scrape interval the rate of a load changed, as far as counts and requests in flight tell.

Of an interval only the number of requests is recorded. Its neighbours tell more: where one has many and the other none,
the load ended or began inside, and the number says about when. Where it stands out from both, something went on for a
part of it. And requests in flight at its end came shortly before. Each possibility is a profile: the rate of the
neighbour on the left until some time, another rate for a stretch, then that of the neighbour on the right. A profile is
as likely as the counts and the requests in flight are under it (Bayes), and each replication draws one for each
interval. How often rates change at all, all intervals tell together.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from kpasim.arrays import Floats, Ints

PLACES = 12
"""Parts of an interval at whose edges the rate may change."""
CHANGES = np.array([0.02, 0.1, 0.3])
"""Chances that the rate changes within an interval, or between two, that are tried; equally likely before anything is
known."""
SHAPE = 0.5
"""Shape of the gamma distribution of rates before anything is known; its mean is the rate at which a
request of the recording is sent on the mean."""
UNSURE = 0.02
"""Chance that a request is in flight, or is not, whatever the profile says: durations vary. Assumed."""
DISPERSIONS = 0.5 ** np.arange(6)
"""Indices of dispersion of counts that are tried: 1 of a Poisson process, less where clients wait for responses or for
a clock."""
POISSON = 0.5
"""Chance, before anything is known, that requests do not depend on each other. Assumed; the others share the rest."""
EQUAL = 0.1
"""Intervals of the same length differ by no more than this share of it."""
AT_ONCE = 4096
"""Intervals whose profiles are computed at a time."""


def _profiles() -> tuple[Floats, Floats, Floats, Ints]:
    """Begin and end of the stretch of each profile, as shares of the interval, its chance within its group, and that.

    The first four groups do not change: they have the rate of both neighbours, of that on the left, of that on the
    right, of none. Then come those that change once from the rate on the left to that on the right, those that change
    once from or to a rate of their own (and within a neighbour), and those that change twice.
    """
    edges = np.arange(PLACES + 1) / PLACES
    begins, ends = (places.ravel() for places in np.meshgrid(edges, edges, indexing="ij"))
    at_left, at_right = (begins == 0.0) & (ends > 0.0), (begins < 1.0) & (ends == 1.0)
    inside = (begins > 0.0) & (ends < 1.0)
    even = [(np.zeros(1), np.ones(1))] * 4
    changing = (inside & (begins == ends), at_left ^ at_right, inside & (begins < ends))
    groups = (*even, *((begins[chosen], ends[chosen]) for chosen in changing))
    chances = []
    for low, high in groups:
        # Where nothing else is known, a stretch of any length is as likely on a logarithmic scale.
        weight = 1.0 / np.where(low < high, high - low, 1.0)
        chances.append(weight / weight.sum())
    begin, end = (np.concatenate([group[place] for group in groups]) for place in (0, 1))
    return begin, end, np.concatenate(chances), np.repeat(np.arange(len(groups)), [len(one) for one in chances])


def _chances_of_groups(change: Floats) -> Floats:
    """Chances of the groups of profiles, one row for each chance of a change."""
    even = 1.0 - change
    once, twice = change * even**2, change**2 * even
    return np.stack((even**3, once, once, twice, once, 2.0 * twice, change**2), axis=1)


BEGIN, END, CHANCE, GROUP = _profiles()
IS_STEP = BEGIN == END
OF_GROUPS = _chances_of_groups(CHANGES)


class Around(NamedTuple):
    """What is known of intervals and of their neighbours, one value for each.

    Attributes:
        requests: Requests sent in it.
        length_s: Its length [s].
        before: Requests of the interval before.
        before_s: Its length [s]; 0 where there is none.
        after: Requests of the interval after.
        after_s: Its length [s]; 0 where there is none.
        in_flight: Requests in flight at its end; NaN where that is not known.
        lasting_s: How long requests last that are in flight then [s].
    """

    requests: Floats
    length_s: Floats
    before: Floats
    before_s: Floats
    after: Floats
    after_s: Floats
    in_flight: Floats
    lasting_s: Floats


def around(length_s: Floats, requests: Floats, in_flight: Floats, lasting_s: Floats) -> Around:
    """Intervals that follow each other, each beside its neighbours."""
    before, before_s = (np.concatenate(([0.0], values[:-1])) for values in (requests, length_s))
    after, after_s = (np.concatenate((values[1:], [0.0])) for values in (requests, length_s))
    return Around(requests, length_s, before, before_s, after, after_s, in_flight, lasting_s)


class Placing(NamedTuple):
    """Profiles of intervals.

    Attributes:
        cumulated: Chances of the profiles, added up, one row for each interval.
        left: Requests of an interval at the rate of its neighbour on the left, as a share of those that it has.
        right: The same on the right.
        dispersions: Chances of ``DISPERSIONS``, added up.
    """

    cumulated: NDArray[np.float32]
    left: Floats
    right: Floats
    dispersions: Floats

    def dispersion(self, drawn: float) -> float:
        """The index of dispersion that a uniform number chooses."""
        return float(DISPERSIONS[min(int(np.searchsorted(self.dispersions, drawn)), len(DISPERSIONS) - 1)])

    def shares(self, even: Floats, requests: Ints, slot: Ints, drawn: Floats) -> Floats:
        """Where requests are sent, each as a share of its interval.

        ``even`` is where they would be sent at an even rate, interval by interval. Each interval has a number of
        ``requests`` and a ``slot``, whose profile a uniform number ``drawn`` for it chooses.
        """
        chosen = (self.cumulated < drawn[:, np.newaxis]).sum(axis=1).clip(0, len(CHANCE) - 1)
        masses = _masses(self.left, self.right, chosen)
        first, last, begin, end = (np.repeat(one[slot], requests) for one in (*masses, BEGIN[chosen], END[chosen]))
        with np.errstate(invalid="ignore", divide="ignore"):
            early = begin * even / first
            inner = begin + (end - begin) * (even - first) / (1.0 - first - last)
            late = 1.0 - (1.0 - end) * (1.0 - even) / last
        return np.select([even < first, even < 1.0 - last], [early, inner], late)


def placing(known: Around) -> Placing:
    """The profiles of intervals by what is known of them."""
    rate = known.requests / known.length_s
    mean = float((known.requests + SHAPE) @ rate + SHAPE) / float((known.requests + SHAPE).sum())
    parts = [
        _placing(Around(*(values[place : place + AT_ONCE, np.newaxis] for values in known)), SHAPE / mean)
        for place in range(0, len(known.requests), AT_ONCE)
    ]
    chance, left, right = (np.concatenate(one) for one in zip(*parts, strict=True))
    chance *= _of_groups(chance)[GROUP]
    cumulated = np.cumsum(chance, axis=1)
    return Placing(cumulated / cumulated[:, -1:], left, right, _dispersions(known))


def _of_groups(chance: NDArray[np.float32]) -> Floats:
    """Chances of the groups of profiles, as all intervals tell together how often rates change."""
    firsts = np.flatnonzero(np.diff(GROUP, prepend=-1))
    # The likelihood of an interval is that of its neighbours' counts as well, so each count is there three times.
    log_chance = np.log(np.add.reduceat(chance, firsts, axis=1) @ OF_GROUPS.T).sum(axis=0) / 3.0
    weight = np.exp(log_chance - log_chance.max())
    return np.asarray(weight / weight.sum() @ OF_GROUPS)


def _dispersions(known: Around) -> Floats:
    """Chances of ``DISPERSIONS``, added up, by how much the counts of neighbours differ.

    The difference of two has the variance of both together times the index of dispersion. Where the rate changed it has
    anyone up to their sum.
    """
    same = (known.after_s > 0.0) & (np.abs(known.after_s - known.length_s) <= EQUAL * known.length_s)
    both = known.requests + known.after
    of = same & (both > 0)
    apart, both = (known.after - known.requests)[of, np.newaxis], both[of, np.newaxis]
    same_rate, another = _normal(apart, DISPERSIONS * both + 1 / 6), _normal(apart, both**2 + both)
    log_chance = np.stack([np.log((1.0 - one) * same_rate + one * another).sum(axis=0) for one in CHANGES])
    before = np.full(len(DISPERSIONS), (1.0 - POISSON) / (len(DISPERSIONS) - 1))
    before[0] = POISSON
    found = before * np.exp(log_chance - log_chance.max()).sum(axis=0)
    return np.asarray(np.cumsum(found / found.sum()))


def _normal(values: Floats, variance: Floats) -> Floats:
    """Density of the normal distribution around 0."""
    return np.asarray(np.exp(-0.5 * values**2 / variance) / np.sqrt(2.0 * np.pi * variance))


def spaced(requests: Ints, dispersion: float, gaps: Floats, begins: Floats) -> Floats:
    """Where within its interval each request is sent, as a share, ascending in every interval.

    The gaps between requests have a gamma distribution, whose shape is that of the index of dispersion; the gap across
    the end of an interval goes on at its begin. With an index of 1 it is a Poisson process. ``gaps`` are uniform
    numbers, one for each request, and ``begins`` one for each interval.
    """
    from scipy.special import gammaincinv

    long = -np.log1p(-gaps) if dispersion == 1.0 else gammaincinv(1.0 / dispersion, gaps)
    sums = np.cumsum(np.maximum(long, 1e-300))
    last = np.cumsum(requests) - 1
    before = np.concatenate(([0.0], sums[last[:-1]]))
    first = sums[np.concatenate(([0], last[:-1] + 1))] - before
    total = np.maximum(sums[last] - before, 1e-300)
    past = sums - np.repeat(before + (1.0 - begins) * first, requests)
    return np.asarray(past / np.repeat(total, requests)).clip(0, 1)


def _placing(known: Around, scale_s: float) -> tuple[NDArray[np.float32], Floats, Floats]:
    """Chances of profiles in their groups, times how likely they make what is known, of few intervals in columns.

    ``scale_s`` goes with ``SHAPE``. Also the rates of the neighbours, see ``Placing``.
    """
    requests, length_s, before, before_s, after, after_s, in_flight, lasting_s = known
    left, right = (
        (count + SHAPE) / (long_s + scale_s) * length_s / np.maximum(requests, 1.0)
        for count, long_s in ((before, before_s), (after, after_s))
    )
    here, on_left, on_right = (requests, length_s), (before, before_s), (after, after_s)
    of_left, of_right = _log_chance([on_left], scale_s), _log_chance([on_right], scale_s)
    outer = requests * (left * BEGIN + right * (1.0 - END))
    step = of_left + of_right + _log_poisson(requests, outer)
    own = of_left + of_right + _log_chance([(np.maximum(requests - outer, 0.0), length_s * (END - BEGIN))], scale_s)
    log_chance = np.where(IS_STEP, step, np.where(outer <= requests, own, -np.inf))
    log_chance[:, :1] = _log_chance([on_left, here, on_right], scale_s)
    log_chance[:, 1:2] = _log_chance([on_left, here], scale_s) + of_right
    log_chance[:, 2:3] = _log_chance([here, on_right], scale_s) + of_left
    share = lasting_s / length_s
    late = np.clip(_late(*_masses(left, right, np.arange(len(CHANCE))), share), UNSURE, 1.0 - UNSURE)
    there = np.minimum(in_flight, requests)
    seen = there * np.log(late) + (requests - there) * np.log1p(-late)
    # Requests that last longer than the interval may have been sent before it.
    log_chance += np.where(np.isfinite(in_flight) & (share < 1.0), seen, 0.0)
    chance = CHANCE * np.exp(log_chance - log_chance.max(axis=1, keepdims=True))
    return chance.astype(np.float32), left[:, 0], right[:, 0]


def _masses(left: Floats, right: Floats, profile: Ints) -> tuple[Floats, Floats]:
    """Shares of the requests before and after the stretch of a profile; those of a step are all of them."""
    first, last = left * BEGIN[profile], right * (1.0 - END[profile])
    total = np.where(IS_STEP[profile], first + last, 1.0)
    return first / total, last / total


def _late(first: Floats, last: Floats, share: Floats) -> Floats:
    """Share of the requests in the last part of an interval, which is such a share of it, under every profile."""
    inner = np.where(IS_STEP, 0.0, 1.0 - first - last)
    parts = ((first, BEGIN, 1.0 - BEGIN), (inner, END - BEGIN, 1.0 - END), (last, 1.0 - END, 0.0))
    found = [mass * np.clip((share - behind) / np.maximum(length, 1e-12), 0.0, 1.0) for mass, length, behind in parts]
    return np.asarray(found[0] + found[1] + found[2])


def _log_chance(counts: Sequence[tuple[Floats, Floats]], scale_s: float) -> Floats:
    """Log of the chance of counts, each in so many seconds, of one Poisson process whose rate has the gamma prior."""
    from scipy.special import gammaln, xlogy

    count, long_s = counts[0]
    found = xlogy(count, long_s) - gammaln(count + 1.0)
    for more, further_s in counts[1:]:
        found = found + xlogy(more, further_s) - gammaln(more + 1.0)
        count, long_s = count + more, long_s + further_s
    found += gammaln(count + SHAPE) - gammaln(SHAPE) + SHAPE * np.log(scale_s)
    return np.asarray(found - (count + SHAPE) * np.log(scale_s + long_s))


def _log_poisson(count: Floats, expected: Floats) -> Floats:
    from scipy.special import gammaln, xlogy

    return np.asarray(xlogy(count, np.maximum(expected, 1e-300)) - expected - gammaln(count + 1.0))
