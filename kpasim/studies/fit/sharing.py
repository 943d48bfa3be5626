"""What it costs that requests share a GPU, from runs in which pods had several at once."""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from kpasim.arrays import Bools, Floats, Ints
from kpasim.studies.fit.families import LEAST_SIGMA, Sample, ends_90

ENOUGH = 10
"""Requests that must have shared their pod before a slow-down is fitted, and that must have reached its last level."""
MOST_TOGETHER = 64
BOOTSTRAPS = 100
MARGIN = 4.0
"""How much better, in the Bayesian information criterion, an assumption must fit than a simpler one."""
BEND = 0.3
"""How much the slope of a slow-down changes from one knot to the next, as far as the requests leave that open."""
WALK, WALKS = 5_000_000, (1000, 10_000)
"""Steps of the random walk: so many in all for each request, and their limits."""
WEAKEST = 1.0
"""Least curvature that steps are made for; where requests tell next to nothing the walk stays within some widths."""
DISTINGUISHED = 1.3
"""Contention factor up to which its interval must reach for the times to be called those of requests alone."""
LEAST_WORK_S = 1e-6
_HALF_LOG_TAU = 0.5 * math.log(2.0 * math.pi)
WAITED_S = 0.01
"""A request that begins later than this after its arrival waited inside the pod."""


@dataclass(frozen=True)
class Served:
    """Requests as their pods saw them, of one run or of several.

    Attributes:
        pod: Number of the pod of each request, different in every run.
        begin_s: When the container began to work on it.
        end_s: When it ended, or was last known to be worked on.
        complete: Whether the work was done at that time; else it takes longer.
        counts: Whether its time is a service time; one that failed shared the pod, and no more.
        arrival_s: When it came to the pod.
        group: Kind of request by number; each kind has a distribution of its own.
    """

    pod: Ints
    begin_s: Floats
    end_s: Floats
    complete: Bools
    counts: Bools
    arrival_s: Floats
    group: Ints

    def __len__(self) -> int:
        return len(self.pod)


@dataclass(frozen=True)
class Sharing:
    """What sharing a pod costs.

    Attributes:
        slots: Requests that a container works on at once, 0 where no limit of its own was seen.
        slowdown: Relative duration of a request while 1, 2, 3 ... share the pod, beginning with 1; as long as the
            measurement reached. Empty where no request shared its pod.
        intervals: 90 % interval of each.
        shared: Requests that shared their pod for some of their time.
        queued_unseen: Whether the limit was found from times that hold waiting inside the container.
        work: What each request would have taken alone; of all requests, in their order.
        resampled: The same of resamples, of the requests that count.
        curves: Contention factors of each of these; empty where none are taken for proven.
    """

    slots: int
    slowdown: tuple[float, ...]
    intervals: tuple[tuple[float, float], ...]
    shared: int
    queued_unseen: bool
    work: Sample
    resampled: Sequence[Sample]
    curves: Sequence[Floats] = ()


@dataclass(frozen=True)
class _Levels:
    """How long each request was one of 1, 2, 3 ...

    Attributes:
        spent_s: Shape ``(requests, levels)``; what is beyond the last level belongs to it.
        last: Level at the end of each request, as a place.
        exact: Whether its work was done then.
        group: Kind of request.
    """

    spent_s: Floats
    last: Ints
    exact: Bools
    group: Ints

    def take(self, rows: Ints) -> _Levels:
        return _Levels(self.spent_s[rows], self.last[rows], self.exact[rows], self.group[rows])


@dataclass(frozen=True)
class _Found:
    """One assumption, fitted."""

    served: Served
    levels: _Levels
    basis: Floats
    rises: Floats
    bic: float
    slots: int = 0

    @property
    def curve(self) -> Floats:
        return np.asarray(1.0 + self.basis @ self.rises)


def fit_sharing(served: Served, concurrency: int, rng: np.random.Generator, bootstraps: int = BOOTSTRAPS) -> Sharing:
    """How many requests a container works on at once, and how much they slow each other down.

    While k requests share a pod each gets 1 / slowdown(k) of its own speed. Work is lognormal, for each kind of
    request; a request that ends while k share is as likely as its work, divided by slowdown(k). Three curves are
    tried: none, a straight line, and straight lines between 1, 2, 4, 8 ... Requests that wait inside a container that
    works on fewer are seen either by their waiting or, where a file counts waiting as work, by how they end one after
    the other. A more complicated assumption is taken where it fits better by the Bayesian information criterion.
    """
    most = int(np.flatnonzero((_levels(served, MOST_TOGETHER).spent_s > 0.0).any(axis=0)).max(initial=0)) + 1
    waited = _waited_for_others(served, most)
    slots = most if waited and not 0 < concurrency <= most else 0
    found = _fitted(served, slots)
    if most > 1 and not waited and served.complete[served.counts].mean() > 0.95:
        for fewer in (one for one in (1, 2, 4, 8, 16, 32) if one < most):
            queued = _begun(served, fewer)
            if queued is not None:
                other = _fitted(queued, fewer)
                if other.bic + MARGIN < found.bic:
                    found = other
    levels, curve = found.levels, found.curve
    counts = np.flatnonzero(served.counts)
    kept = levels.take(counts)
    curves, works = [curve], [_work(kept, curve)]
    drawn = curves
    if bootstraps and len(curve) > 1:
        # How slow requests may be where no slow-down is taken for proven belongs to what is uncertain, too.
        likelihood = _Likelihood(kept, _basis(len(curve), straight=False))
        curves = list(1.0 + likelihood.draws(likelihood.best()[0], bootstraps, rng) @ likelihood.basis.T)
        drawn = curves
        if not len(found.rises):
            # Where requests that nearly all shared their pod tell nothing, either is as likely as the other.
            undecided = ends_90(curves)[1][-1] > DISTINGUISHED
            drawn = [one if undecided and place % 2 else curve for place, one in enumerate(curves)]
        works = [_work(kept.take(rng.integers(len(counts), size=len(counts))), one) for one in drawn]
    low, high = ends_90(curves)
    shared = int((levels.spent_s[counts, 1:].sum(axis=1) > LEAST_WORK_S).sum())
    return Sharing(
        slots=found.slots,
        slowdown=tuple(float(value) for value in curve) if len(curve) > 1 else (),
        intervals=tuple((float(a), float(b)) for a, b in zip(low, high, strict=True)) if len(curve) > 1 else (),
        shared=shared,
        queued_unseen=found.served is not served,
        work=_work(levels, curve),
        resampled=works,
        curves=drawn if np.max(drawn) > 1.0 else (),
    )


def _fitted(served: Served, slots: int) -> _Found:
    """The best curve of one assumption about slots."""
    levels = _levels(served, MOST_TOGETHER)
    kept = levels.take(np.flatnonzero(served.counts))
    reached = (kept.spent_s[:, ::-1].cumsum(axis=1)[:, ::-1] > LEAST_WORK_S).sum(axis=0)
    top = max(int((reached >= ENOUGH).sum()), 1)
    if top < levels.spent_s.shape[1]:
        levels = _Levels(
            np.column_stack((levels.spent_s[:, : top - 1], levels.spent_s[:, top - 1 :].sum(axis=1))),
            np.minimum(levels.last, top - 1),
            levels.exact,
            levels.group,
        )
        kept = levels.take(np.flatnonzero(served.counts))
    found: _Found | None = None
    curves = [np.zeros((top, 0))]
    if top > 1:
        curves.append(_basis(top, straight=True))
    if top > 2:
        curves.append(_basis(top, straight=False))
    for basis in curves:
        point, cost = _Likelihood(kept, basis).best()
        rises = point[len(point) - basis.shape[1] :]
        bic = 2.0 * cost + (basis.shape[1] + (slots > 0)) * math.log(len(kept.last))
        if found is None or bic + MARGIN < found.bic:
            found = _Found(served, levels, basis, rises, bic, slots)
    assert found is not None
    if found.basis.shape[1] == 1 and top > 2:
        # A line may be the simplest that fits, but how far it may bend belongs to what is uncertain.
        point = _Likelihood(kept, curves[-1]).best()[0]
        found = replace(found, basis=curves[-1], rises=point[len(point) - curves[-1].shape[1] :])
    return found


def _levels(served: Served, most: int) -> _Levels:
    """How long each request was one of 1, 2, 3 ... of its pod."""
    spent = np.zeros((len(served), most))
    last = np.zeros(len(served), dtype=np.int64)
    for pod in np.unique(served.pod):
        rows = np.flatnonzero(served.pod == pod)
        begin, end = served.begin_s[rows], served.end_s[rows]
        moments = np.unique(np.concatenate((begin, end)))
        together = np.searchsorted(np.sort(begin), moments[:-1], side="right")
        together -= np.searchsorted(np.sort(end), moments[:-1], side="right")
        level = np.clip(together, 1, most) - 1
        lasted = np.zeros((len(moments), most))
        lasted[np.arange(1, len(moments)), level] = np.diff(moments)
        until = lasted.cumsum(axis=0)
        first, final = np.searchsorted(moments, begin), np.searchsorted(moments, end)
        spent[rows] = until[final] - until[first]
        last[rows] = level[np.maximum(final - 1, 0)] if len(level) else 0
    return _Levels(spent, last, served.complete, served.group)


def _waited_for_others(served: Served, most: int) -> bool:
    """Whether requests waited inside pods while as many as ever were worked on: with a place free nobody waits."""
    waited = served.begin_s - served.arrival_s > WAITED_S
    if not waited.any():
        return False
    full = 0
    for pod in np.unique(served.pod[waited]):
        rows = served.pod == pod
        begin, end = np.sort(served.begin_s[rows]), np.sort(served.end_s[rows])
        came = served.arrival_s[rows & waited]
        inside = np.searchsorted(begin, came, side="right") - np.searchsorted(end, came, side="right")
        full += int((inside >= most).sum())
    return full >= ENOUGH and full > 0.5 * int(waited.sum())


def _begun(served: Served, slots: int) -> Served | None:
    """The same, had each pod worked on so many, first come first served; ``None`` where the ends contradict that."""
    begin = served.begin_s.copy()
    for pod in np.unique(served.pod):
        rows = np.flatnonzero(served.pod == pod)
        busy: list[float] = []
        # Those that came within some milliseconds may have changed places; the order of their ends tells.
        for row in rows[np.lexsort((served.end_s[rows], np.rint(served.begin_s[rows] / WAITED_S)))]:
            if len(busy) == slots:
                begin[row] = max(begin[row], heapq.heappop(busy))
            heapq.heappush(busy, float(served.end_s[row]))
    if (served.end_s - begin)[served.counts].min(initial=math.inf) <= LEAST_WORK_S:
        return None
    return replace(served, begin_s=begin)


def _basis(levels: int, *, straight: bool) -> Floats:
    """Rise of the curve between knots, shape ``(levels, knots - 1)``: one line, or one to each power of two."""
    knots = [1, levels] if straight else [*(2**power for power in range(10) if 2**power < levels), levels]
    at = np.arange(1, levels + 1)[:, None]
    left, right = np.array(knots[:-1]), np.array(knots[1:])
    return np.asarray(np.clip((at - left) / np.maximum(right - left, 1), 0.0, 1.0))


def _work(levels: _Levels, curve: Floats) -> Sample:
    """What requests would have taken alone."""
    work = levels.spent_s @ (1.0 / curve)
    return Sample(work, np.where(levels.exact, work, np.inf))


class _Likelihood:
    """Negative logarithm of the density of requests' ends, and its gradient.

    A point holds the middle of each kind's logarithms, the logarithm of its spread, and the rises of the curve.
    """

    def __init__(self, levels: _Levels, basis: Floats) -> None:
        self.levels, self.basis = levels, basis
        kinds, self.group = np.unique(levels.group, return_inverse=True)
        self.kinds, self.rises = len(kinds), basis.shape[1]
        self.steepest = 1.0 / np.diff(basis, axis=0).max(axis=0) if self.rises else np.zeros(0)
        self.bends = np.diff(np.diag(1.0 / self.steepest), axis=0) / BEND

    def start(self, turns: float) -> Floats:
        """A point without a slow-down (0), or where requests take turns (1)."""
        rises = turns * self.steepest
        logs = np.log(np.maximum(self.levels.spent_s @ (1.0 / (1.0 + self.basis @ rises)), LEAST_WORK_S))
        of_kind = [logs[self.group == kind] for kind in range(self.kinds)]
        spreads = [max(one.std(), 0.05) for one in of_kind]
        return np.concatenate(([one.mean() for one in of_kind], np.log(spreads), rises))

    def __call__(self, point: Floats) -> tuple[float, Floats]:
        from scipy.special import log_ndtr

        levels, group, count = self.levels, self.group, self.kinds
        middle, spread = point[:count][group], np.exp(point[count : 2 * count])[group]
        curve = 1.0 + self.basis @ point[2 * count :]
        work = np.maximum(levels.spent_s @ (1.0 / curve), LEAST_WORK_S)
        z = (np.log(work) - middle) / spread
        cost = np.log(work * spread * curve[levels.last]) + 0.5 * z * z + _HALF_LOG_TAU
        of_middle, of_spread = -z / spread, 1.0 - z * z
        if not (exact := levels.exact).all():
            beyond = log_ndtr(-z)
            hazard = np.exp(-0.5 * z * z - _HALF_LOG_TAU - beyond)
            cost = np.where(exact, cost, -beyond)
            of_middle = np.where(exact, of_middle, -hazard / spread)
            of_spread = np.where(exact, of_spread, -hazard * z)
        of_work = (exact - of_middle) / work
        ended = np.bincount(levels.last, exact / curve[levels.last], len(curve))
        slope = ended - (of_work @ levels.spent_s) / curve**2
        bend = self.bends @ point[2 * count :]
        gradient: Floats = np.concatenate((
            np.bincount(group, of_middle, count),
            np.bincount(group, of_spread, count),
            slope @ self.basis + self.bends.T @ bend,
        ))  # fmt: skip
        return float(cost.sum() + 0.5 * (bend @ bend)), gradient

    def best(self) -> tuple[Floats, float]:
        """The most likely point and its cost: the better of the ends of two searches."""
        from scipy.optimize import minimize

        least = math.log(LEAST_SIGMA)
        bounds = [(None, None)] * self.kinds + [(least, 3.0)] * self.kinds + [(0.0, None)] * self.rises
        ends = [
            minimize(self, self.start(turns), jac=True, method="L-BFGS-B", bounds=bounds)
            for turns in (0.0, 1.0)[: 1 + (self.rises > 0)]
        ]
        end = min(ends, key=lambda one: float(one.fun))
        return np.asarray(end.x), float(end.fun)

    def draws(self, best: Floats, count: int, rng: np.random.Generator) -> Floats:
        """Rises from the posterior under a flat prior, shape ``(count, rises)``: a random walk of Metropolis'.

        Its steps have the covariance of the normal approximation at the most likely point (Gelman et al., BDA3, 12.2).
        """
        # Requests tell best how long they took at the commonest level: that is walked in, not what they take alone.
        common = self.basis[int(self.levels.spent_s.sum(axis=0).argmax())]

        def at(place: Floats) -> Floats:
            rises = np.abs(place[2 * self.kinds :])
            return np.concatenate((
                place[: self.kinds] - math.log1p(common @ rises), place[self.kinds : 2 * self.kinds], rises
            ))  # fmt: skip

        def slope(place: Floats) -> Floats:
            gradient: Floats = self(at(place))[1]
            gradient[2 * self.kinds :] -= (
                gradient[: self.kinds].sum() * common / (1.0 + common @ place[2 * self.kinds :])
            )
            return np.asarray(gradient)

        size = len(best)
        place = best.copy()
        place[: self.kinds] += math.log1p(common @ best[2 * self.kinds :])
        steps = np.eye(size) * 1e-4
        hessian = np.array([(slope(place + step) - slope(place - step)) / 2e-4 for step in steps])
        values, vectors = np.linalg.eigh(0.5 * (hessian + hessian.T))
        scale = vectors / np.sqrt(np.maximum(values, WEAKEST)) * (2.38 / math.sqrt(size))
        length = int(np.clip(WALK / len(self.group), *WALKS))
        cost, kept = self(best)[0], []
        moves, chances = rng.standard_normal((length, size)) @ scale.T, np.log(rng.uniform(size=length))
        for move, chance in zip(moves, chances, strict=True):
            new = place + move
            new[2 * self.kinds :] = np.abs(new[2 * self.kinds :])
            new_cost = self(at(new))[0]
            if chance < cost - new_cost:
                place, cost = new, new_cost
            kept.append(place[2 * self.kinds :])
        return np.asarray(np.array(kept)[np.linspace(length // 4, length - 1, count).astype(int)])
