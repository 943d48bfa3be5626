"""A posterior from simulated runs alone: regression-adjusted approximate Bayesian computation in shrinking regions.

The likelihood of a report under queueing and cold starts has no formula, but runs can be simulated by the thousand. A
pilot from the whole prior locates the posterior roughly; each further round simulates runs from the prior cut to a
region that surely holds it. As every round is the prior inside its region, all runs in the last region have the same
weight. In the end a small network learns mean and spread of each uncertain number from the lines of a report;
the runs that it takes for the measured one's neighbours are kept, and each is moved by what their lines differ.

Source:
    Fearnhead & Prangle, "Constructing summary statistics for approximate Bayesian computation: semi-automatic ABC",
    J. R. Statist. Soc. B 74 (2012), for the summaries; Blum & Francois, "Non-linear regression models for approximate
    Bayesian computation", Statistics and Computing 20 (2010), for the adjustment and its network; Deistler, Goncalves &
    Macke, "Truncated proposals for scalable and hassle-free simulation-based inference", NeurIPS 2022, for the regions.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from kpasim.arrays import Bools, Floats, Ints
from kpasim.studies.fit.network import Network

Derived = Callable[[Floats], Floats]
Simulate = Callable[[Floats, int], Floats]
"""From points of the prior and the index of the first run to features, one row each; ``NaN`` for a run without."""

LEAST_USABLE = 1_000
"""Runs of the whole prior that must have ended."""
LEAST_KEPT = 120
"""Runs that a posterior is made of, at least."""
REACH = 4.5
"""Standard deviations from its middle to the edge of a region."""
SHRINKING = 0.0
"""How much smaller, as a logarithm, the next region must be for another round."""
SWEEPS = 40
"""Random moves that make each point of a region independent of the one it began at."""
HIDDEN = 32
ROUGH_KEPT = 0.02
"""Share of runs taken for the measured one's neighbours between rounds."""
STRETCH = 3.0
"""Greatest factor by which what a run leaves open is scaled to what the measured one does."""
NEWTON_STEPS, STIFFNESS, MAX_DIVERGENCE = 50, 0.01, 1.0
"""Newton's steps to a tilted posterior, the regularisation of the tilt, and the maximum KL divergence of a tilted
posterior from the one before."""
SAMPLES = 1_000
"""Samples of which the best is taken."""
LINES_WEIGHT, FARTHEST = 1.0, 3.0
"""How much each line counts beside what the networks think of it, and the distance from which on none counts more."""


@dataclass(frozen=True)
class Plan:
    """How many runs are simulated.

    Attributes:
        first: Runs from the whole prior.
        rounds: Further rounds at most, before the last.
        each: Runs in each.
        last: Runs in the last round.
        networks: Networks that are averaged in the end.
        rough_steps: Steps that a network learns between rounds.
        steps: Steps that each learns in the end.
        kept: Share of the runs of the last region that the posterior is made of.
    """

    first: int = 5_000
    rounds: int = 6
    each: int = 1_500
    last: int = 10_000
    networks: int = 2
    rough_steps: int = 800
    steps: int = 2_000
    kept: float = 0.05

    @property
    def runs(self) -> int:
        """All of them."""
        return self.first + self.rounds * self.each + self.last


@dataclass(frozen=True)
class Posterior:
    """Weighted points that explain the measured report; standard normal under the prior.

    Attributes:
        z: Points, shape ``(points, parameters)``.
        weight: Weight of each; they sum to 1.
    """

    z: Floats
    weight: Floats

    def tilted(self, moments: Floats) -> Posterior:
        """The posterior with the smallest KL divergence from this one under which some numbers have a mean nearer to 0.

        Source:
            Robertson, Tallman & Whiteman, "Forecasting using relative entropy", J. Money, Credit and Banking 37 (2005).

        Args:
            moments: The numbers, shape ``(points, numbers)``.
        """
        stiffness = STIFFNESS
        while True:
            other = self._tilted(moments, stiffness)
            if self.divergence(other) <= MAX_DIVERGENCE:
                return other
            stiffness *= 4.0

    def _tilted(self, moments: Floats, stiffness: float) -> Posterior:
        slope, weight = np.zeros(moments.shape[1]), self.weight
        for _ in range(NEWTON_STEPS):
            apart = moments - weight @ moments
            curvature = apart.T @ (apart * weight[:, None]) + stiffness * np.eye(len(slope))
            slope = slope - np.linalg.solve(curvature, weight @ moments + stiffness * slope)
            score = np.log(self.weight) + moments @ slope
            weight = np.exp(score - score.max())
            weight /= weight.sum()
        return Posterior(self.z, weight)

    def divergence(self, other: Posterior) -> float:
        """KL divergence of another posterior of the same points from this one, in nats."""
        return float(np.sum(other.weight * np.log(np.maximum(other.weight, 1e-300) / self.weight)))

    def sample(self, count: int, rng: np.random.Generator) -> Floats:
        """Points with equal weights, in random order.

        Systematic resampling along the direction in which the points differ most represents few points evenly.
        """
        return np.asarray(self.z[self._rows(count, rng)])

    def sample_like(self, count: int, numbers: Floats, rng: np.random.Generator) -> Floats:
        """The same, the best of many samples: means of some numbers (a row for each point) are as of all."""
        wanted = self.weight @ numbers
        tried = [self._rows(count, rng) for _ in range(SAMPLES)]
        apart = [float(np.sum((numbers[rows].mean(axis=0) - wanted) ** 2)) for rows in tried]
        return np.asarray(self.z[tried[int(np.argmin(apart))]])

    def _rows(self, count: int, rng: np.random.Generator) -> Ints:
        centre = self.weight @ self.z
        _, _, directions = np.linalg.svd((self.z - centre) * np.sqrt(self.weight)[:, None], full_matrices=False)
        order = np.argsort((self.z - centre) @ directions[0], kind="stable")
        edges = np.cumsum(self.weight[order])
        places = np.searchsorted(edges / edges[-1], (np.arange(count) + rng.uniform()) / count)
        return np.asarray(rng.permutation(order[np.minimum(places, len(order) - 1)]))


def infer(
    simulate: Simulate,
    observed: Floats,
    parameters: int,
    rng: np.random.Generator,
    plan: Plan,
    derived: Derived = lambda z: np.zeros((len(z), 0)),
) -> Posterior:
    """The posterior of points whose prior is standard normal in each direction.

    Args:
        simulate: Simulates runs.
        observed: Features of the measured report.
        parameters: Directions of the prior.
        rng: Random numbers of the points.
        plan: How many runs.
        derived: Numbers that follow from a point, and that the features tell more of than of the point's own; one row
            for each point.

    Raises:
        ValueError: Hardly a run of the prior ends as the measured one did.
    """
    z = rng.standard_normal((plan.first, parameters))
    z, x = _usable(z, simulate(z, 0))
    if len(z) < LEAST_USABLE:
        raise ValueError(f"only {len(z):,} of {plan.first:,} runs ended in a like time, {LEAST_USABLE:,} are needed")
    done, size = plan.first, np.inf
    for number in range(plan.rounds + 1):
        region = Region.around(_near(z, x, observed, rng, derived, plan))
        # The posterior has been found once it no longer shrinks.
        last = number == plan.rounds or region.size > size - SHRINKING
        size = region.size
        inside = region.holds(z)
        new = region.sample(plan.last if last else plan.each, z[inside], rng)
        more, simulated = _usable(new, simulate(new, done))
        z, x = np.concatenate([z[inside], more]), np.concatenate([x[inside], simulated])
        done += len(new)
        if last:
            break
    return _adjusted(z, x, observed, rng, derived, plan)


def _usable(z: Floats, x: Floats) -> tuple[Floats, Floats]:
    good = np.isfinite(x).all(axis=1)
    return z[good], x[good]


@dataclass(frozen=True)
class Region:
    """An ellipsoid of the prior.

    Attributes:
        centre: Its middle.
        inverse: Inverse of the Cholesky factor of its scale matrix.
        root: That factor.
    """

    centre: Floats
    root: Floats
    inverse: Floats

    @classmethod
    def around(cls, z: Floats) -> Region:
        """One that holds points that are like these."""
        covariance = np.cov(z.T) + 1e-7 * np.eye(z.shape[1])
        root = np.linalg.cholesky(covariance)
        return cls(np.asarray(z.mean(axis=0)), np.asarray(root, dtype=np.float64), np.linalg.inv(root))

    @property
    def size(self) -> float:
        """Logarithm of what it covers, up to a constant."""
        return float(np.sum(np.log(np.diag(self.root))))

    def holds(self, z: Floats) -> Bools:
        """Which points are inside."""
        return np.asarray(np.sum(((z - self.centre) @ self.inverse.T) ** 2, axis=1) <= REACH**2)

    def sample(self, count: int, inside: Floats, rng: np.random.Generator) -> Floats:
        """Points of the prior inside, by hit-and-run: along a random line the prior is a normal distribution, cut."""
        from scipy.special import ndtr, ndtri

        starts = inside if len(inside) else self.centre[None]
        z = starts[rng.integers(len(starts), size=count)]
        for _ in range(SWEEPS):
            direction = rng.standard_normal(z.shape) @ self.root.T
            direction /= np.linalg.norm(direction, axis=1, keepdims=True)
            along, apart = direction @ self.inverse.T, (z - self.centre) @ self.inverse.T
            a, b = np.sum(along**2, axis=1), np.sum(along * apart, axis=1)
            half = np.sqrt(np.maximum(b * b - a * (np.sum(apart**2, axis=1) - REACH**2), 0.0)) / a
            middle = -np.sum(z * direction, axis=1)
            low, high = ndtr(-b / a - half - middle), ndtr(-b / a + half - middle)
            step = middle + ndtri(np.clip(low + rng.uniform(size=count) * (high - low), 1e-15, 1.0 - 1e-15))
            step = np.clip(step, -b / a - half, -b / a + half)
            z = z + step[:, None] * direction
        return z


def _columns(x: Floats, observed: Floats) -> Floats:
    """Features around the observed ones in units of their spread, held within bounds, and their squares.

    Features that never change are left out.
    """
    spread = 1.4826 * np.median(np.abs(x - np.median(x, axis=0)), axis=0)
    spread = np.where(spread > 0, spread, x.std(axis=0))
    used = spread > 1e-9
    held = 3.0 * np.tanh((x[:, used] - observed[used]) / spread[used] / 3.0)
    return np.concatenate([held, held**2], axis=1)


@dataclass(frozen=True)
class _Learned:
    """What networks make of the features of each run; numbers in units of the region.

    Attributes:
        mean: Posterior mean by the networks, shape ``(runs, parameters)``.
        spread: Posterior standard deviation by them.
        own_mean: The same for the measured report.
        own_spread: Likewise.
    """

    mean: Floats
    spread: Floats
    own_mean: Floats
    own_spread: Floats


def _learned(
    target: Floats, x: Floats, observed: Floats, rng: np.random.Generator, networks: int, steps: int
) -> _Learned:
    """The average of several networks, which differ in where they began."""
    columns = _columns(np.concatenate([x, observed[None]]), observed)
    inputs = columns / (columns[:-1].std(axis=0) + 1e-9)
    mean = np.zeros((len(inputs), target.shape[1]))
    log_variance = mean.copy()
    for _ in range(networks):
        network = Network(inputs.shape[1], target.shape[1], HIDDEN, rng)
        network.train(inputs[:-1], target, rng, steps)
        one = network(inputs)
        mean += one[0] / networks
        log_variance += one[1] / networks
    spread = np.exp(0.5 * log_variance)
    return _Learned(mean[:-1], spread[:-1], mean[-1], spread[-1])


def _near(z: Floats, x: Floats, observed: Floats, rng: np.random.Generator, derived: Derived, plan: Plan) -> Floats:
    """Points whose runs are nearest to the measured one, as they are: what is moved may be moved too far."""
    target = _standard(np.concatenate([z, derived(z)], axis=1))
    found = _learned(target, x, observed, rng, 1, plan.rough_steps)
    apart = (found.mean - found.own_mean) / (target - found.mean).std(axis=0)
    near, _ = _neighbours(apart, x, observed, max(LEAST_KEPT, int(ROUGH_KEPT * len(z))))
    return z[near]


def _standard(values: Floats) -> Floats:
    return np.asarray((values - values.mean(axis=0)) / values.std(axis=0))


def _adjusted(
    z: Floats, x: Floats, observed: Floats, rng: np.random.Generator, derived: Derived, plan: Plan
) -> Posterior:
    """The nearest runs, each moved and stretched by what the networks make of its lines and of the measured ones."""
    target = _standard(np.concatenate([z, derived(z)], axis=1))
    found = _learned(target, x, observed, rng, plan.networks, plan.steps)
    left = target - found.mean
    apart = (found.mean - found.own_mean) / left.std(axis=0)
    near, kernel = _neighbours(apart, x, observed, max(LEAST_KEPT, int(plan.kept * len(z))))
    left, apart = left[near, : z.shape[1]], apart[near]
    # What the networks leave of a trend among the neighbours is taken out in a straight line.
    plain = np.concatenate([np.ones((len(near), 1)), apart], axis=1)
    scaled = plain * kernel[:, None]
    trend = np.linalg.solve(plain.T @ scaled + 1e-3 * np.eye(plain.shape[1]), scaled.T @ left)
    # Far from all examples a network may think anything of the spread too.
    own_mean, own_spread = found.own_mean[: z.shape[1]], found.own_spread[: z.shape[1]]
    stretch = np.clip(own_spread / found.spread[near, : z.shape[1]], 1.0 / STRETCH, STRETCH)
    moved = own_mean + trend[0] + stretch * (left - plain @ trend)
    return Posterior(z.mean(axis=0) + z.std(axis=0) * moved, kernel)


def _neighbours(apart: Floats, x: Floats, observed: Floats, count: int) -> tuple[Ints, Floats]:
    """The runs nearest to the measured one, and their weights (Epanechnikov's).

    Near are runs of which the networks think the same, and whose statistics are close: of a report that no run quite
    resembles the networks alone may think anything.
    """
    square = np.sum(apart**2, axis=1)
    some = np.argsort(square, kind="stable")[: max(count, len(square) // 4)]
    spread = x[some].std(axis=0)
    used = spread > 1e-9
    lines = ((x[:, used] - observed[used]) / spread[used]) ** 2
    square += LINES_WEIGHT * np.sum(np.minimum(lines, FARTHEST**2), axis=1)
    near = np.argsort(square, kind="stable")[: min(count, len(square))]
    kernel = np.maximum(1.0 - square[near] / max(square[near[-1]], 1e-12), 0.0) + 1e-12
    return near, kernel / kernel.sum()
