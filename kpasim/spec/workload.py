"""What the clients do: one mapping with a `kind`, for each way of sending requests.

`hey` is a closed loop: a worker sends its next request when the last one is answered. All others are open loops:
requests are sent at their times, whether or not earlier ones are answered.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from kpasim.spec.base import Count, Flag, Positive, Spec, wrong
from kpasim.spec.quantities import PositiveRate, PositiveSeconds, Rate, Seconds, Share

Arrivals = Literal["poisson", "constant"]


class Sessions(Spec):
    """Clients that come back, as sticky sessions see them."""

    count: Count = 1
    """Different clients: a worker of `hey` is always the same one, other requests are one's at random."""
    cookies: Flag = True
    """Whether the clients keep cookies; `hey` does not."""


class Hey(Spec):
    """The load tool hey: `concurrency` workers in a closed loop, each sending floor(requests / concurrency)."""

    kind: Literal["hey"]
    """`hey`."""
    requests: Count = 200
    """hey's `-n`: requests in total. What does not divide by the workers is not sent."""
    concurrency: Count = 50
    """hey's `-c`: workers, all starting at once."""
    timeout_s: Seconds = 20.0
    """hey's `-t`: when a client gives up on a request; 0 for never. hey's own default is 20 s."""
    qps: Rate = 0.0
    """hey's `-q`: most requests per second of each worker; 0 for no limit."""
    duration_s: PositiveSeconds | None = None
    """hey's `-z`: keep sending that long instead of counting requests."""
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


class _Open(Spec):
    """What all open loops share."""

    timeout_s: Seconds = 0.0
    """When a client gives up on a request; 0 for never."""
    sessions: Sessions | None = None
    """Clients that come back; without it every request is a stranger."""


class Constant(_Open):
    """Requests at equal distances."""

    kind: Literal["constant"]
    """`constant`."""
    rate: PositiveRate
    """Requests per second."""
    duration_s: PositiveSeconds
    """How long requests are sent."""


class Poisson(_Open):
    """Requests at random, independent of each other."""

    kind: Literal["poisson"]
    """`poisson`."""
    rate: PositiveRate
    """Mean requests per second."""
    duration_s: PositiveSeconds
    """How long requests are sent."""


class Phase(Spec):
    """A stretch of time with one rate."""

    rate: Rate
    """Requests per second; 0 for a pause."""
    duration_s: PositiveSeconds
    """How long it lasts."""


class Steps(_Open):
    """Phases of different rates, one after the other."""

    kind: Literal["steps"]
    """`steps`."""
    phases: tuple[Phase, ...] = Field(min_length=1)
    """The phases in order."""
    arrivals: Arrivals = "poisson"
    """Whether requests within a phase come at random or at equal distances."""


class Ramp(_Open):
    """A rate that rises or falls in a straight line."""

    kind: Literal["ramp"]
    """`ramp`."""
    from_rate: Rate = Field(alias="from")
    """Requests per second at the beginning."""
    to_rate: Rate = Field(alias="to")
    """Requests per second at the end."""
    duration_s: PositiveSeconds
    """How long requests are sent."""
    arrivals: Arrivals = "poisson"
    """Whether requests come at random or as the rate adds up to whole numbers."""


class Diurnal(_Open):
    """A rate that swings like day and night: `mean * (1 + amplitude * sin(2 pi (t + phase) / period))`."""

    kind: Literal["diurnal", "sinusoid"]
    """`diurnal` or `sinusoid`, two words for the same."""
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
    """Whether requests come at random or as the rate adds up to whole numbers."""


class Bursts(_Open):
    """Random switching between a low and a high rate (a Markov-modulated Poisson process of two states)."""

    kind: Literal["bursts"]
    """`bursts`."""
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


class Batches(_Open):
    """Several requests at the same instant, again and again."""

    kind: Literal["batches"]
    """`batches`."""
    size: Count
    """Requests in a batch."""
    every_s: PositiveSeconds
    """Mean time from one batch to the next."""
    arrivals: Arrivals = "constant"
    """Whether batches come at equal distances or at random."""
    duration_s: PositiveSeconds
    """How long batches are sent; the first one comes at once."""


class Replay(_Open):
    """Arrivals from a file: of a load tool (hey, k6, vegeta, JMeter ...), an access log, an Azure trace, or a CSV."""

    kind: Literal["replay"]
    """`replay`."""
    file: str
    """The file, plain or compressed, relative to the experiment. The layout of a known tool decides by itself."""
    arrival_column: str = Field(default="arrival", alias="arrival")
    """Column of arrival times in a CSV file: numbers, or dates and times of day."""
    function: str | None = None
    """Of an Azure trace the function or the app whose invocations are sent; all of them without it."""
    service_column: str | None = Field(default=None, alias="service")
    """Column of measured service times, used instead of the model's: on an instance type of factor 1, with a GPU to
    itself. An instance type's factor and sharing change them as they change the model's."""
    class_column: str | None = Field(default=None, alias="class")
    """Column that names the class of the request in the model."""
    time_unit: Literal["ns", "us", "ms", "s"] = "s"
    """Unit of both time columns."""
    speed: Positive = 1.0
    """How much faster than recorded requests are sent; service times stay."""
    from_s: Seconds = 0.0
    """Skip that much of the recording, counted from its first arrival."""
    duration_s: PositiveSeconds | None = None
    """How much of the recording to use."""
    limit: Count | None = None
    """Most requests to use."""


class GenTD26(_Open):
    """The production trace of a Stable Diffusion service that Alibaba published (cluster-trace-v2026-GenAI)."""

    kind: Literal["gentd26"]
    """`gentd26`."""
    file: str
    """The trace `lora_request_trace.csv`, plain or gzipped, relative to the experiment."""
    from_s: Seconds = 0.0
    """Skip that much of the trace, counted from its first request."""
    duration_s: PositiveSeconds | None = None
    """How much of the trace to use; all of its 24 days without it."""
    speed: Positive = 1.0
    """How much faster than recorded requests are sent."""


Workload = Annotated[
    Hey | Constant | Poisson | Steps | Ramp | Diurnal | Bursts | Batches | Replay | GenTD26,
    Field(discriminator="kind"),
]
"""Any of the workloads, told apart by `kind`."""

FILE_KINDS = (Replay, GenTD26)
"""Workloads that read a file."""
