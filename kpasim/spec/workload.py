"""What the clients do: one mapping with a `kind`, for each way of sending requests.

`hey` is a closed loop: a worker sends its next request when the last one has ended. All others are open loops: requests
are sent at their times, whether or not earlier ones have ended. What else is to be known of a kind (its rate, its
arrivals, whether it goes on) is said by its class, so that a new kind is a class in this file.

The n-th uniform number belongs to the n-th request (to the n-th batch or change of rate where there are such), so a
workload of another rate under the same seed meets the same luck.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Annotated, Any, ClassVar, Literal, NamedTuple, Self

import numpy as np
from pydantic import Field, model_validator

from kpasim.arrays import Floats
from kpasim.spec import rates
from kpasim.spec.base import Count, Flag, Positive, Spec, wrong
from kpasim.spec.quantities import PositiveRate, PositiveSeconds, Rate, Seconds, Share
from kpasim.spec.rates import Uniforms

Arrivals = Literal["poisson", "constant"]
STATES = 1 << 40
"""Index of the first uniform number that changes of rate draw on, far from those of requests."""


class Words(NamedTuple):
    """How numbers are said to people.

    Attributes:
        rate: A rate per second in the unit that people would choose.
        seconds: A time.
        counted: A number of things, with their name.
    """

    rate: Callable[[float], str]
    seconds: Callable[[float], str]
    counted: Callable[[int, str], str]


class Sessions(Spec):
    """Returning clients, for sticky sessions."""

    count: Count = 1
    """Number of clients: a worker of `hey` is always the same client, other requests have a random client."""
    cookies: Flag = True
    """Whether the clients keep cookies; `hey` does not."""


class _Load(Spec):
    """What every kind of load says of itself.

    Attributes:
        is_closed: Whether requests wait for earlier ones to end.
        goes_on: Whether the load would go on like this: it has no end of its own.
        has_parts: Whether its requests can be made a few at a time.
    """

    is_closed: ClassVar[bool] = False
    goes_on: ClassVar[bool] = False
    has_parts: ClassVar[bool] = False
    _grows_by: ClassVar[tuple[str, ...]] = ("rate",)

    timeout_s: Seconds = 0.0
    """Client timeout; 0 for none."""
    sessions: Sessions | None = None
    """Returning clients; by default each request has a new client."""

    def in_words(self, words: Words) -> str:
        """What the clients do, without for how long: `poisson arrivals, 0.5/s`."""
        raise NotImplementedError

    def times(self, factor: float) -> dict[str, Any]:
        """Fields, by their names in files, with which the load is larger by a factor."""
        return {str(type(self).model_fields[name].alias): factor * getattr(self, name) for name in self._grows_by}

    @property
    def length_s(self) -> float | None:
        """How long requests are sent; None where only their number, or a file, says so."""
        return getattr(self, "duration_s", None)

    @property
    def repeats_after_s(self) -> float:
        """Time after which the load repeats itself; 0 for never."""
        return 0.0


class Hey(_Load):
    """The load tool hey: `concurrency` workers in a closed loop, each sending floor(requests / concurrency)."""

    is_closed: ClassVar[bool] = True

    kind: Literal["hey"]
    requests: Count = 200
    """hey's `-n`: requests in total, rounded down to a multiple of the workers."""
    concurrency: Count = 50
    """hey's `-c`: workers, all starting at once."""
    timeout_s: Seconds = 20.0
    """hey's `-t`: client timeout; 0 for none. hey's own default is 20 s."""
    qps: Rate = 0.0
    """hey's `-q`: maximum rate of each worker [requests per second]; 0 for no limit."""
    duration_s: PositiveSeconds | None = None
    """hey's `-z`: duration of the load, instead of a number of requests."""
    think_time_s: Seconds = 0.0
    """Time that a worker waits after each response before it goes on; hey itself does not wait."""
    sessions: Sessions | None = None
    """Clients that keep cookies; hey itself keeps none."""

    @model_validator(mode="after")
    def _enough(self) -> Self:
        if self.duration_s is None and self.requests < self.concurrency:
            raise wrong(
                f"requests = {self.requests} is below concurrency = {self.concurrency} (hey refuses -n below -c)"
            )
        return self

    @property
    def per_worker(self) -> int | None:
        """Requests that each worker sends; `None` when only the clock ends the load."""
        return None if self.duration_s is not None else self.requests // self.concurrency

    def in_words(self, words: Words) -> str:
        each = self.per_worker
        requests = "requests" if each is None else words.counted(self.concurrency * each, "request")
        return f"{words.counted(self.concurrency, 'hey client')}, {requests}"

    def times(self, factor: float) -> dict[str, Any]:
        clients = max(self.concurrency + 1, round(factor * self.concurrency))
        more = {} if self.per_worker is None else {"requests": clients * self.per_worker}
        return {"concurrency": clients, **more}


class OpenLoop(_Load):
    """Requests that are sent at times of their own."""

    _is_random: ClassVar[bool] = False

    @property
    def is_random(self) -> bool:
        """Whether requests come at random, not at equal distances in what is expected."""
        return self._is_random or getattr(self, "arrivals", "constant") == "poisson"

    def without_chance(self) -> OpenLoop:
        """The same load with requests at equal distances in what is expected, where it is random and can be told."""
        return self.model_copy(update={"arrivals": "constant"}) if self.is_random else self

    def times_s(self, uniforms: Uniforms) -> Floats:
        """When requests are sent, from the start of the load [s]; ascending but for rounding."""
        raise NotImplementedError

    def most_requests(self) -> int:
        """A number of requests that no replication exceeds, but for one in 10**15."""
        raise NotImplementedError


class Rated(OpenLoop):
    """An open loop that has a rate."""

    has_parts: ClassVar[bool] = True

    def rate_of_time(self, uniforms: Uniforms) -> rates.Rate:
        """Requests per second over time; drawn where it is random itself."""
        raise NotImplementedError

    def times_s(self, uniforms: Uniforms) -> Floats:
        """Requests come whenever the rate has added up to another whole number, or at random."""
        return rates.events(self.rate_of_time(uniforms), uniforms, poisson=self.is_random)

    def most_requests(self) -> int:
        expected = self.rate_of_time(_no_uniforms).total
        return rates.most(expected) if self.is_random else math.floor(expected + rates.ROUNDING)


def _no_uniforms(count: int, first: int) -> Floats:
    raise AssertionError("a certain rate needs no random numbers")


class Steady(Rated):
    """A rate that stays the same."""

    goes_on: ClassVar[bool] = True

    kind: str
    rate: PositiveRate
    """Mean requests per second."""
    duration_s: PositiveSeconds
    """How long requests are sent."""

    def rate_of_time(self, uniforms: Uniforms) -> rates.Rate:
        return rates.Steps([self.rate], [self.duration_s])

    def without_chance(self) -> OpenLoop:
        """The same rate at equal distances."""
        return Constant(kind="constant", rate=self.rate, duration_s=self.duration_s) if self.is_random else self

    def in_words(self, words: Words) -> str:
        return f"{self.kind} arrivals, {words.rate(self.rate)}"


class Constant(Steady):
    """Requests at equal distances."""

    kind: Literal["constant"]


class Poisson(Steady):
    """Requests at random, independent of each other."""

    _is_random: ClassVar[bool] = True

    kind: Literal["poisson"]


class Phase(Spec):
    """A phase with a constant rate."""

    rate: Rate
    """Requests per second; 0 for a pause."""
    duration_s: PositiveSeconds
    """Duration of the phase."""


class Steps(Rated):
    """Phases of different rates, in sequence."""

    kind: Literal["steps"]
    phases: tuple[Phase, ...] = Field(min_length=1)
    """The phases in order."""
    arrivals: Arrivals = "poisson"
    """Whether requests within a phase come at random or at equal distances."""

    @property
    def length_s(self) -> float | None:
        """All phases together."""
        return sum(one.duration_s for one in self.phases)

    def rate_of_time(self, uniforms: Uniforms) -> rates.Rate:
        """The phases' rates, one after the other."""
        return rates.Steps([one.rate for one in self.phases], [one.duration_s for one in self.phases])

    def in_words(self, words: Words) -> str:
        low, high = (words.rate(found([one.rate for one in self.phases])) for found in (min, max))
        spread = low if low == high else f"{low} to {high}"
        return f"{words.counted(len(self.phases), 'phase')} of {spread}"

    def times(self, factor: float) -> dict[str, Any]:
        return {f"phases.{place}.rate": factor * one.rate for place, one in enumerate(self.phases)}


class Ramp(Rated):
    """A rate that rises or falls linearly."""

    _grows_by: ClassVar[tuple[str, ...]] = ("from_rate", "to_rate")

    kind: Literal["ramp"]
    from_rate: Rate = Field(alias="from")
    """Requests per second at the beginning."""
    to_rate: Rate = Field(alias="to")
    """Requests per second at the end."""
    duration_s: PositiveSeconds
    """How long requests are sent."""
    arrivals: Arrivals = "poisson"
    """Whether requests arrive at random or regularly."""

    def rate_of_time(self, uniforms: Uniforms) -> rates.Rate:
        return rates.Ramp(self.from_rate, self.to_rate, self.duration_s)

    def in_words(self, words: Words) -> str:
        return f"a ramp from {words.rate(self.from_rate)} to {words.rate(self.to_rate)}"


class Diurnal(Rated):
    """A rate that swings like day and night: `mean * (1 + amplitude * sin(2 pi (t + phase) / period))`."""

    goes_on: ClassVar[bool] = True
    _grows_by: ClassVar[tuple[str, ...]] = ("mean",)

    kind: Literal["diurnal", "sinusoid"]
    """`diurnal` or its synonym `sinusoid`."""
    mean: PositiveRate
    """Mean requests per second."""
    amplitude: Share = 0.5
    """Swing as a share of the mean; 1 means silent nights."""
    period_s: PositiveSeconds = 86_400.0
    """Time from one peak to the next."""
    phase_s: Seconds = 0.0
    """Where in the period the load begins; 0 is the rising mean, a quarter of the period the peak."""
    duration_s: PositiveSeconds
    """How long requests are sent."""
    arrivals: Arrivals = "poisson"
    """Whether requests arrive at random or regularly."""

    @property
    def repeats_after_s(self) -> float:
        return self.period_s

    def rate_of_time(self, uniforms: Uniforms) -> rates.Rate:
        return rates.Wave(self.mean, self.amplitude, self.period_s, self.phase_s, self.duration_s)

    def in_words(self, words: Words) -> str:
        return f"a daily rhythm around {words.rate(self.mean)}"


class Bursts(Rated):
    """Random switching between a low and a high rate (a Markov-modulated Poisson process of two states)."""

    _is_random: ClassVar[bool] = True
    _grows_by: ClassVar[tuple[str, ...]] = ("low", "high")

    kind: Literal["bursts"]
    low: Rate
    """Requests per second between bursts."""
    high: PositiveRate
    """Requests per second in a burst."""
    low_for_s: PositiveSeconds
    """Mean time between bursts."""
    high_for_s: PositiveSeconds
    """Mean length of a burst."""
    duration_s: PositiveSeconds
    """How long requests are sent."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.high < self.low:
            raise wrong("high is below low (high must be at least low)")
        return self

    def without_chance(self) -> OpenLoop:
        """Bursts are random by themselves."""
        return self

    def most_requests(self) -> int:
        """As if the burst never ended."""
        return rates.most(self.high * self.duration_s)

    def rate_of_time(self, uniforms: Uniforms) -> rates.Rate:
        """A drawn sequence of low and high stretches; which comes first is drawn by how long each lasts."""
        mean_s = (self.low_for_s, self.high_for_s)
        high_first = bool(uniforms(1, STATES)[0] < mean_s[1] / (mean_s[0] + mean_s[1]))
        count = rates.most(2.0 * self.duration_s / (mean_s[0] + mean_s[1]))
        while True:
            high = (np.arange(count) + high_first) % 2 == 1
            lengths_s = -np.where(high, mean_s[1], mean_s[0]) * np.log1p(-uniforms(count, STATES + 1))
            ends_s = np.cumsum(lengths_s)
            if ends_s[-1] >= self.duration_s:
                break
            count *= 2
        used = int(np.searchsorted(ends_s, self.duration_s)) + 1
        lengths_s = lengths_s[:used]
        lengths_s[-1] -= ends_s[used - 1] - self.duration_s
        return rates.Steps(np.where(high[:used], self.high, self.low).tolist(), lengths_s.tolist())

    def in_words(self, words: Words) -> str:
        return f"bursts of {words.rate(self.high)} between {words.rate(self.low)}"


class Gamma(OpenLoop):
    """Requests whose distances are independent, more or less regular than at random (a renewal process)."""

    _is_random: ClassVar[bool] = True
    goes_on: ClassVar[bool] = True

    kind: Literal["gamma"]
    rate: PositiveRate
    """Mean requests per second."""
    cv: Annotated[Positive, Field(ge=0.05, le=20.0)] = 2.0
    """Coefficient of variation of the time from one request to the next: 1 is `poisson`, more comes in clusters, less
    is more regular."""
    duration_s: PositiveSeconds
    """How long requests are sent."""

    def without_chance(self) -> OpenLoop:
        """The same rate at equal distances."""
        return Constant(kind="constant", rate=self.rate, duration_s=self.duration_s)

    def times_s(self, uniforms: Uniforms) -> Floats:
        """Sums of gamma distributed distances, the first from the beginning of the load."""
        from scipy.special import gammaincinv

        shape, count = self.cv**-2, self.most_requests()
        sums = np.cumsum(gammaincinv(shape, uniforms(count, 0))) / (shape * self.rate)
        return np.asarray(sums[sums < self.duration_s], dtype=np.float64)

    def most_requests(self) -> int:
        """So many distances add up to less than the load lasts with a probability below 1 in 10**15."""
        from scipy.special import gammainc

        shape, expected = self.cv**-2, self.rate * self.duration_s
        count = rates.most(expected)
        while gammainc(count * shape, expected * shape) > 1e-15:
            count = math.ceil(1.2 * count)
        return count

    def in_words(self, words: Words) -> str:
        return f"arrivals of variation {self.cv:g}, {words.rate(self.rate)}"


class Batches(OpenLoop):
    """Several requests at the same time, repeatedly."""

    kind: Literal["batches"]
    size: Count
    """Requests in a batch."""
    every_s: PositiveSeconds
    """Mean time from one batch to the next."""
    arrivals: Arrivals = "constant"
    """Whether batches come at equal distances or at random."""
    duration_s: PositiveSeconds
    """Duration of the load; the first batch comes at once."""

    def times_s(self, uniforms: Uniforms) -> Floats:
        """Batches begin at once."""
        steady = rates.Steps([1.0 / self.every_s], [self.duration_s])
        further = rates.events(steady, uniforms, poisson=self.is_random)
        # A batch at the very end would be one too many.
        starts_s = np.concatenate(([0.0], further[further < self.duration_s * (1.0 - rates.ROUNDING)]))
        return np.repeat(starts_s, self.size)

    def most_requests(self) -> int:
        batches = self.duration_s / self.every_s
        return self.size * (1 + (rates.most(batches) if self.is_random else math.ceil(batches)))

    def in_words(self, words: Words) -> str:
        at_once = " at once" if self.size > 1 else ""
        return f"{words.counted(self.size, 'request')}{at_once} every {words.seconds(self.every_s)}"

    def times(self, factor: float) -> dict[str, Any]:
        return {"every": self.every_s / factor}


class Recorded(OpenLoop):
    """Arrivals out of a file, which `workloads.recorded` reads."""

    _grows_by: ClassVar[tuple[str, ...]] = ("speed",)

    file: str
    from_s: Seconds = 0.0
    """Time to skip, from the first arrival of the recording, or from the begin of the observation."""
    duration_s: PositiveSeconds | None = None
    """Length of the recording to use; by default all of it."""
    speed: Positive = 1.0
    """Speed-up of the recorded arrivals; service times do not change."""

    @property
    def length_s(self) -> float | None:
        """The file says."""
        return None

    def in_words(self, words: Words) -> str:
        return f"the requests of {self.file.rpartition('/')[2]}"


class Replay(Recorded):
    """Arrivals from a file: of a load tool (hey, k6, vegeta, JMeter ...), an access log, an Azure trace, or a CSV."""

    kind: Literal["replay"]
    file: str
    """The file, plain or compressed, relative to the experiment. The format of a known tool is detected."""
    arrival_column: str = Field(default="arrival", alias="arrival")
    """Column of arrival times in a CSV file: numbers, or dates and times of day."""
    function: str | None = None
    """Function or app of an Azure trace; by default all invocations are sent."""
    service_column: str | None = Field(default=None, alias="service")
    """Column of measured service times, used instead of the model's: on an instance type of factor 1, with a GPU to
    itself. An instance type's factor and sharing change them as they change the model's."""
    class_column: str | None = Field(default=None, alias="class")
    """Column that names the class of the request in the model."""
    time_unit: Literal["ns", "us", "ms", "s"] = "s"
    """Unit of both time columns."""
    limit: Count | None = None
    """Maximum number of requests."""


class GenTD26(Recorded):
    """The production trace, of 24 days, of a Stable Diffusion service of Alibaba (cluster-trace-v2026-GenAI)."""

    kind: Literal["gentd26"]
    file: str
    """The trace `lora_request_trace.csv`, plain or gzipped, relative to the experiment."""


class Observed(Recorded):
    """Arrivals that Prometheus recorded of a Knative service, read by `workloads.observed` out of an observation.

    The number of requests of each scrape interval is that of the observation in every replication; where within its
    interval a request was sent is drawn.
    """

    kind: Literal["observed"]
    file: str
    """The folder that `kpasim observe` wrote, relative to the experiment."""
    revision: str | None = None
    """Revision whose requests are sent; by default those of all revisions."""
    within: Literal["uniform", "inferred", "clustered"] = "uniform"
    """Where within its scrape interval a request is sent. `uniform`: independently at any time; `inferred`: likewise,
    at a rate that may change within the interval, as the intervals around it and the requests in flight make likely;
    `clustered`: all requests of the interval at the same random time."""


Workload = Annotated[
    Hey | Constant | Poisson | Steps | Ramp | Diurnal | Bursts | Gamma | Batches | Replay | GenTD26 | Observed,
    Field(discriminator="kind"),
]
"""Any of the workloads, told apart by `kind`."""

FILE_KINDS = (Replay, GenTD26)
"""Workloads that read a file."""
FOLDER_KINDS = (Observed,)
"""Workloads that read a folder."""
