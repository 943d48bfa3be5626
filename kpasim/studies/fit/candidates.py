"""Candidate models of a run's pod starts, which a report of hey is compared with.

Each candidate is a shape of the model with a handful of uncertain numbers. A point of the prior is a vector of
independent standard normal numbers, one for each parameter; `Parameter.value` turns each into its own unit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from kpasim.arrays import Array, Floats

if TYPE_CHECKING:
    from kpasim.engines.params import Params
    from kpasim.spec.experiment import Experiment
    from kpasim.studies.fit.starts import StageFit


@dataclass(frozen=True)
class Parameter:
    """An uncertain number with its prior.

    Attributes:
        name: What it is.
        low: Least value.
        high: Greatest value.
        log: Whether its logarithm is uniform between the bounds, else the number itself.
        exp: Whether bounds and uniformity are those of the number's logarithm instead.
        unit: ``"s"``, or empty.
    """

    name: str
    low: float
    high: float
    log: bool = True
    exp: bool = False
    unit: str = ""

    def value(self, z: Floats) -> Floats:
        """The number for standard normal ``z``."""
        from scipy.special import ndtr

        share = ndtr(z)
        found = self.low * (self.high / self.low) ** share if self.log else self.low + (self.high - self.low) * share
        return np.asarray(np.exp(found) if self.exp else found)

    def says(self) -> str:
        """The prior in words."""
        unit = f" {self.unit}" if self.unit else ""
        way = "log-uniform" if self.log else "uniform"
        of = "its logarithm " if self.exp else ""
        return f"{of}{way} between {self.low:.4g} and {self.high:.4g}{unit}"


QUICK = 1.5
"""How far below their median the quickest of the fast requests are, in spreads; of them a report's first lines tell."""

STEEPEST = 1.0
"""Greatest spread of the logarithm of what exceeds the least service time."""

Values = Mapping[str, Floats]
"""Values of parameters by name, one for each run."""


@dataclass(frozen=True)
class Timing:
    """A lognormal time, a shifted one, or a mixture of two, in each of several runs; shape ``(runs,)`` each.

    Attributes:
        median: Median; where there is a shift, of what exceeds it.
        sigma: Spread of its logarithm.
        shift: Least time, if not 0.
        share: Share of the first where there are two, else 1.
        second: Median and spread of the second.
    """

    median: Floats
    sigma: Floats
    shift: Floats | None = None
    share: Floats | None = None
    second: tuple[Floats, Floats] | None = None

    def ppf(self, u: Floats) -> Floats:
        """Seconds for uniform numbers, those of one run after those of the other, as many of each.

        As in model files a mixture takes its first part of the uniform numbers for the first component.
        """
        from scipy.special import ndtri

        rows = np.clip(u, 2.0**-54, 1.0 - 2.0**-53).reshape(len(self.median), -1)
        if self.share is None or self.second is None:
            found = self.median[:, None] * np.exp(self.sigma[:, None] * ndtri(rows))
            if self.shift is not None:
                found += self.shift[:, None]
            return np.asarray(found.reshape(u.shape))
        share = self.share[:, None]
        first = rows < share
        own = np.where(first, rows / share, (rows - share) / (1.0 - share))
        median = np.where(first, self.median[:, None], self.second[0][:, None])
        sigma = np.where(first, self.sigma[:, None], self.second[1][:, None])
        return np.asarray((median * np.exp(sigma * ndtri(np.clip(own, 2.0**-54, 1.0 - 2.0**-53)))).reshape(u.shape))

    def mean(self) -> Floats:
        """Mean of each."""
        first = self.median * np.exp(0.5 * self.sigma**2)
        if self.share is None or self.second is None:
            return np.asarray(first if self.shift is None else first + self.shift)
        second = self.second[0] * np.exp(0.5 * self.second[1] ** 2)
        return np.asarray(self.share * first + (1.0 - self.share) * second)

    def log_density(self, times_s: Floats) -> Floats:
        """Logarithm of the density of each at some times, shape ``(runs, times)``."""
        if self.share is not None and self.second is not None:
            first, second = Timing(self.median, self.sigma), Timing(*self.second)
            return np.logaddexp(
                first.log_density(times_s) + np.log(self.share)[:, None],
                second.log_density(times_s) + np.log1p(-self.share)[:, None],
            )
        above = times_s - (0.0 if self.shift is None else self.shift[:, None])
        log = np.log(np.maximum(above, 1e-300))
        score = (log - np.log(self.median)[:, None]) / self.sigma[:, None]
        found = -0.5 * score**2 - log - np.log(self.sigma)[:, None] - 0.5 * np.log(2.0 * np.pi)
        return np.asarray(np.where(above > 0.0, found, -np.inf))

    def quantile(self, share: float) -> Floats:
        """A quantile of each, by bisection."""
        from scipy.special import ndtr, ndtri

        if self.share is None or self.second is None:
            above = self.median * np.exp(self.sigma * ndtri(share))
            return np.asarray(above if self.shift is None else above + self.shift)
        ends = [np.log(m) + s * ndtri(share) for m, s in ((self.median, self.sigma), self.second)]
        low, high = np.minimum(*ends), np.maximum(*ends)
        for _ in range(50):
            middle = 0.5 * (low + high)
            below = self.share * ndtr((middle - np.log(self.median)) / self.sigma)
            below = below + (1.0 - self.share) * ndtr((middle - np.log(self.second[0])) / self.second[1])
            low, high = np.where(below < share, middle, low), np.where(below < share, high, middle)
        return np.asarray(np.exp(0.5 * (low + high)))


class Timed(Protocol):
    """What turns uniform numbers into times."""

    def ppf(self, u: Floats) -> Floats:
        """Seconds for uniform numbers."""
        ...


@dataclass(frozen=True)
class Candidate:
    """A shape of the model.

    Attributes:
        name: Its name on the command line.
        says: What it says about the run.
        starts: Parameters of the start, besides those of the service time.
        stages: Stages of a start as a model file has them, without their times.
        times: Times of these stages.
        settings: What else differs from run to run: fields of ``Params``, one row for each run.
    """

    name: str
    says: str
    starts: tuple[Parameter, ...]
    stages: tuple[Mapping[str, Any], ...]
    times: Callable[[Values], Sequence[Timed]]
    settings: Callable[[Values, Params], dict[str, Array]] = lambda values, params: {}

    def fits(self, experiment: Experiment) -> bool:
        """Whether an experiment has what the candidate is about."""
        return self.name != "two-types" or (experiment.cluster.nodes is None and len(experiment.instance_types) > 1)


def service_time(values: Values) -> Timing:
    """The service time of each run: a shifted lognormal time, or a mixture of two lognormal ones, the second slower."""
    if "fast share" not in values:
        median, spread = values["service median"], values["service spread"]
        sigma = spread * (STEEPEST / spread) ** values["service skew"]
        above = median * spread / sigma
        return Timing(above, sigma, shift=median - above)
    spread, slower = values["fast spread"], values["slow over fast"]
    fast = values["fastest requests"] * np.exp(QUICK * spread)
    return Timing(fast, spread, share=values["fast share"], second=(fast * slower, values["slow spread"]))


def derived(values: Values) -> Floats:
    """Of each run what requests tell more of than of its parameters: median, mean and spread of the service time."""
    time = service_time(values)
    spread = time.quantile(0.95) / time.quantile(0.05)
    return np.log(np.stack([time.quantile(0.5), time.mean(), spread], axis=1))


SERVICES = ("one-kind", "two-kinds")
"""Shapes of the service time: requests of one kind, or a share of slower requests."""


def service_parameters(fastest_s: float, average_s: float, service: str = "one-kind") -> tuple[Parameter, ...]:
    """Parameters of the service time.

    Either all requests are of one kind: a shifted lognormal time, whose median and spread (of its logarithm around the
    median) a report tells of, and whose skew lies between that of a lognormal time (0) and that of a least time with a
    long tail (1). Or there are two kinds: fast requests that are much alike, and a share of slower ones.

    The logarithm of the median is uniform without end; bounds are put where the report rules out what lies beyond: no
    request is faster than its own service, and on average it is served for less time than its client waits.
    """
    least_s, most_s = fastest_s / 4.0, 2.0 * average_s
    if service == "one-kind":
        return (
            Parameter("service median", least_s, most_s, unit="s"),
            Parameter("service spread", 0.01, 0.8),
            Parameter("service skew", 0.0, 1.0, log=False),
        )
    return (
        Parameter("fastest requests", least_s, most_s, unit="s"),
        Parameter("fast spread", 0.005, 0.3),
        Parameter("fast share", 0.05, 0.95, log=False),
        Parameter("slow over fast", 0.05, 1.2, exp=True),
        Parameter("slow spread", 0.005, 0.3),
    )


def _whole(values: Values) -> list[Timing]:
    return [_lognormal(values, values["cold start"])]


def _parts(values: Values) -> list[Timing]:
    whole, part = values["cold start"], values["machine's share"]
    return [_lognormal(values, whole * part), _lognormal(values, whole * (1.0 - part))]


def _lognormal(values: Values, median: Floats) -> Timing:
    return Timing(median, values["cold-start spread"])


def _bandwidth(values: Values, params: Params) -> dict[str, Array]:
    alone_s = values["cold start"] * values["data's share"]
    bandwidth = np.tile(params.stage_bandwidth, (len(alone_s), 1))
    bandwidth[:, 0] = params.stage_bytes[0] / np.maximum(alone_s, 1e-3)
    return {"stage_bandwidth": bandwidth}


def _types(values: Values, params: Params) -> dict[str, Array]:
    count = len(values["cold start"])
    factor, most = np.tile(params.type_factor, (count, 1)), np.tile(params.pool_max, (count, 1))
    factor[:, 0], factor[:, 1] = 1.0, values["slowness of the second type"]
    most[:, 0] = np.ceil(values["instances of the first type"])
    most[:, 1] = -1
    return {"type_factor": factor, "pool_max": most.astype(np.int64)}


_START = Parameter("cold start", 5.0, 600.0, unit="s")
_SPREAD = Parameter("cold-start spread", 0.05, 0.6)
_STAGE = {"name": "start", "kind": "start"}

CANDIDATES = {
    one.name: one
    for one in (
        Candidate(
            "serialised",
            "serialised provisioning: one machine after another",
            (_START, Parameter("machine's share", 0.0, 1.0, log=False), _SPREAD),
            ({"name": "provision", "kind": "provision", "at-a-time": 1}, _STAGE),
            _parts,
        ),
        Candidate(
            "independent",
            "pods start in parallel, with independent times",
            (_START, _SPREAD),
            (_STAGE,),
            _whole,
        ),
        Candidate(
            "shared-bandwidth",
            "pods start in parallel and share the bandwidth of a connection",
            (_START, Parameter("data's share", 0.0, 1.0, log=False), _SPREAD),
            ({"name": "data", "kind": "pull", "bandwidth": {"size": "1G", "shared-bandwidth": "100M"}}, _STAGE),
            # The transfer has no time of its own, it comes from the bandwidth.
            lambda values: [_lognormal(values, values["cold start"] * (1.0 - values["data's share"]))],
            _bandwidth,
        ),
        Candidate(
            "two-types",
            "pods start in parallel on two types of GPU, the second slower",
            (
                _START,
                _SPREAD,
                Parameter("slowness of the second type", 0.25, 4.0),
                Parameter("instances of the first type", 0.0, 4.0, log=False),
            ),
            (_STAGE,),
            _whole,
            _types,
        ),
        Candidate(
            "slow-first-request",
            "pods start in parallel, and the first request of each pod waits for the model",
            (_START, _SPREAD, Parameter("first request", 1.0, 300.0, unit="s")),
            (_STAGE, {"name": "load", "kind": "start", "when": "first-request"}),
            lambda values: [*_whole(values), _lognormal(values, values["first request"])],
        ),
    )
}
"""Candidates by name, in the order in which they are tried."""


def measured(starts: Sequence[StageFit]) -> Candidate:
    """What is left to explain where the start was measured: the service time alone."""
    from pydantic import TypeAdapter

    from kpasim.spec.distributions import Time
    from kpasim.studies.fit.modelfile import written

    kind: TypeAdapter[Timed] = TypeAdapter(Time)
    stages = tuple(
        {"name": one.name, "kind": one.kind, "time": written(one.time.time)}
        | ({"at-a-time": one.at_a_time} if one.at_a_time else {})
        for one in starts
    )
    times = [kind.validate_python(one.time.time) for one in starts]
    return Candidate("measured", "pods start as measured", (), stages, lambda values: times)
