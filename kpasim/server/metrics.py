"""Counters of one server process, written as Prometheus reads them."""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Mapping

BUCKETS_S = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0)
"""Upper bounds of the histograms [s]; a last one without bound is added."""


class Histogram:
    """How many durations fell at or below each bound, their number and their sum [s]."""

    def __init__(self) -> None:
        self.counts = [0] * (len(BUCKETS_S) + 1)
        self.sum_s = 0.0

    def add(self, seconds: float) -> None:
        """Count one duration [s]."""
        self.counts[bisect_left(BUCKETS_S, seconds)] += 1
        self.sum_s += seconds

    def lines(self, name: str) -> Iterable[str]:
        """The samples of the histogram called `name`."""
        below = 0
        for bound, count in zip((*BUCKETS_S, "+Inf"), self.counts, strict=True):
            below += count
            yield f'{name}_bucket{{le="{bound}"}} {below}'
        yield f"{name}_sum {self.sum_s:.6f}"
        yield f"{name}_count {below}"


class Metrics:
    """What the process has counted since it started.

    Attributes:
        responses: Answers to txt2img requests by status; 499 stands for a client that left.
        service: Time from the start of generation to its end [s], successful requests only.
        queue: Time from admission to the start of generation [s], the same requests.
    """

    def __init__(self) -> None:
        self.responses: Counter[int] = Counter()
        self.images = 0
        self.service = Histogram()
        self.queue = Histogram()

    def text(self, *, gauges: Mapping[str, tuple[str, float]], stages_s: Mapping[str, float]) -> str:
        """Everything in Prometheus' text format.

        `gauges` holds values of the moment, ``{name: (help, value)}``; `stages_s` what each stage of the process's own
        start took.
        """
        lines = ["# HELP txt2img_requests_total Responses to txt2img requests by status; 499: the client disconnected."]
        lines.append("# TYPE txt2img_requests_total counter")
        lines += [f'txt2img_requests_total{{code="{code}"}} {n}' for code, n in sorted(self.responses.items())]
        lines += ["# HELP txt2img_images_total Images made.", "# TYPE txt2img_images_total counter"]
        lines.append(f"txt2img_images_total {self.images}")
        for name, about, histogram in (
            ("txt2img_service_seconds", "Time that generation took, of successful requests.", self.service),
            ("txt2img_queue_seconds", "Time that the same requests waited for a slot.", self.queue),
        ):
            lines += [f"# HELP {name} {about}", f"# TYPE {name} histogram", *histogram.lines(name)]
        lines.append("# HELP txt2img_start_stage_seconds Stages of this process's start.")
        lines.append("# TYPE txt2img_start_stage_seconds gauge")
        lines += [f'txt2img_start_stage_seconds{{stage="{stage}"}} {s:.6f}' for stage, s in stages_s.items()]
        for name, (about, value) in gauges.items():
            lines += [f"# HELP {name} {about}", f"# TYPE {name} gauge", f"{name} {value:.6f}".removesuffix(".000000")]
        return "\n".join(lines) + "\n"
