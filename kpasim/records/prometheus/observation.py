"""An observation: the series that Prometheus recorded of one Knative service, at the times of the server.

A folder of three files: ``observation.json`` (service, revisions, window, scrape intervals, queries, gaps, counter
resets, what was missing), ``labels.parquet`` (one row for each series) and ``series.parquet`` (all samples, one row
each, in the order of ``labels.parquet`` and then of time).

Names and labels are those of Knative 1.19 and later (OpenTelemetry), durations are seconds, whatever was recorded;
``Series.name`` keeps the name as served. Counters stay counters: nothing is differenced, no reset is removed.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np

from kpasim.arrays import Floats
from kpasim.errors import RecordError
from kpasim.results import folders
from kpasim.results.files import atomic_write, write_json

FORMAT = 1
MARK = folders.MARKS["observation"]
LABELS, SAMPLES = "labels.parquet", "series.parquet"

Role = Literal["autoscaler", "activator", "queue-proxy", "kube-state-metrics"]
"""The program that a series speaks for. kube-state-metrics is the only role outside Knative."""
ROLES: tuple[Role, ...] = ("autoscaler", "activator", "queue-proxy", "kube-state-metrics")
Target = tuple[Role, str, str]
"""Role, instance and pod."""


@dataclass(frozen=True, eq=False)
class Series:
    """One series: a metric of one target with one set of labels.

    Attributes:
        metric: Name in the vocabulary of Knative 1.19 (``kn_revision_pods_count``), of kube-state-metrics, or of
            Prometheus itself (``up``).
        role: The program that exported it.
        kind: ``counter`` (also the parts of a histogram) or ``gauge``.
        unit: ``s``, ``pods``, ``requests``, ``unix s`` and so on; empty for a pure number.
        name: The metric's name as served.
        labels: Labels as served, in the vocabulary of Knative 1.19 (``k8s_namespace_name``, ``kn_service_name``,
            ``kn_revision_name``, ``http_response_status_code``, ``le`` in seconds; the rest as it came).
        revision: Revision it belongs to, also where only the target's ``target_info`` or the pod's name says so; empty
            for what belongs to no single revision (``up`` of the activator).
        pod: Pod that it speaks of: of the target, or of the service for kube-state-metrics. Empty where unknown.
        instance: Target (address and port).
        from_zero: Counter of which the first sample counts from 0, since it began inside the window.
        times_s: Times of the samples as the server gave them [s since 1970], strictly rising.
        values: Values. ``NaN`` is a staleness marker or a ``NaN`` of the target: no value there.
    """

    metric: str
    role: Role
    kind: Literal["counter", "gauge"]
    unit: str
    name: str
    labels: dict[str, str]
    revision: str
    pod: str
    instance: str
    from_zero: bool
    times_s: Floats
    values: Floats

    @property
    def target(self) -> Target:
        """The target that it comes from."""
        return self.role, self.instance, self.pod

    @property
    def le(self) -> float:
        """Upper bound of a bucket [s]; ``NaN`` for what is no bucket."""
        return float(self.labels.get("le", "nan"))

    @property
    def known(self) -> Series:
        """The series without the samples that have no value."""
        there = ~np.isnan(self.values)
        return replace(self, times_s=self.times_s[there], values=self.values[there])

    def increments(self) -> Floats:
        """What a counter grew by up to each sample since the one before.

        The first sample's is its value where it counts from 0, else 0; so is that of a first sample after a reset.
        ``NaN`` samples have 0, and the next sample has all since the last known.
        """
        known = ~np.isnan(self.values)
        values = self.values[known]
        result = np.zeros(len(self.values))
        if len(values):
            steps = np.diff(values, prepend=0.0 if self.from_zero else values[0])
            result[known] = np.where(steps < 0, values, steps)
        return result


@dataclass(frozen=True)
class Revision:
    """A revision and when it was there.

    Attributes:
        first_s: First sample of it [s since 1970].
        last_s: Last sample that speaks of a revision that existed. A deleted revision may be exported for longer.
        exported_until_s: Last sample of all.
        note: Why ``last_s`` is before ``exported_until_s``; empty where they are equal.
    """

    name: str
    first_s: float
    last_s: float
    exported_until_s: float
    note: str = ""


@dataclass(frozen=True)
class Gap:
    """A stretch without samples where there should have been some.

    Attributes:
        begin_s: Last sample before it [s since 1970].
        end_s: First sample after it.
        role: Role whose targets it concerns; empty for all of them (Prometheus was away, or its clock jumped ahead).
        instance: Target; empty for all of the role.
    """

    begin_s: float
    end_s: float
    role: str = ""
    instance: str = ""


@dataclass(frozen=True)
class Reset:
    """Counters of one target that fell: its process began again.

    Attributes:
        before_s: Last sample before the fall [s since 1970]. What was counted after it is lost.
        after_s: First sample after the fall.
        series: How many of its counters fell.
    """

    before_s: float
    after_s: float
    role: str
    instance: str
    pod: str
    series: int


@dataclass(frozen=True)
class Query:
    """A question to the server, as it was asked."""

    query: str
    begin_s: float
    end_s: float
    step_s: float = 0.0


@dataclass(frozen=True, eq=False)
class Observation:
    """The series of one Knative service within a window.

    Attributes:
        begin_s: Begin of the window [s since 1970]: what was asked for, or the first sample where that came later.
        end_s: End of the window, or the last sample where that came earlier.
        generation: ``opentelemetry`` (Knative 1.19 and later), ``opencensus`` (up to 1.18) or ``both``.
        interval_s: Scrape interval of each role [s], the median distance of its samples.
        step_s: 0 where the samples are the server's own; else the step of the ``query_range`` that made them, so that
            their times are multiples of the step and not times of scrapes.
        histogram_step_s: The same for the buckets of histograms, which may be fetched at a coarser step.
        time_zone: Time zone in which to name days and hours. The times of samples are seconds since 1970 all the same.
        source: Where the samples come from: the server's URL without credentials, or files.
        queries: Questions to the server. Empty for files.
        revisions: By first sample.
        missing: What a backtest would need and was not found, a sentence each.
        notes: What else a user should know, a sentence each.
        series: All series, ordered by metric, role, revision and pod.
    """

    service: str
    namespace: str
    begin_s: float
    end_s: float
    generation: str
    series: tuple[Series, ...]
    interval_s: dict[str, float] = field(default_factory=dict)
    step_s: float = 0.0
    histogram_step_s: float = 0.0
    time_zone: str = "UTC"
    source: str = ""
    queries: tuple[Query, ...] = ()
    revisions: tuple[Revision, ...] = ()
    gaps: tuple[Gap, ...] = ()
    resets: tuple[Reset, ...] = ()
    missing: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @cached_property
    def _by_metric(self) -> dict[str, list[Series]]:
        index: dict[str, list[Series]] = {}
        for series in self.series:
            index.setdefault(series.metric, []).append(series)
        return index

    def find(self, metric: str, role: Role | None = None, **labels: str) -> list[Series]:
        """Series of a metric, in the observation's order, of a role where one is given and with these labels.

        ``metric`` is as in `Series.metric`; ``revision``, ``pod`` and ``instance`` stand for the attributes.
        """
        return [
            series
            for series in self._by_metric.get(metric, ())
            if role in (None, series.role)
            and all(
                value == (getattr(series, key) if key in _ATTRIBUTES else series.labels.get(key))
                for key, value in labels.items()
            )
        ]

    @property
    def samples(self) -> int:
        """Samples in all series."""
        return sum(len(series.times_s) for series in self.series)

    def write(self, folder: str | Path) -> None:
        """Write the observation as a folder, atomically, in place of an earlier one.

        Raises:
            RunError: The folder holds something else, another process writes into it, or it cannot be written.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        lengths = [len(series.times_s) for series in self.series]
        samples = pa.table(
            {
                "series": np.repeat(np.arange(len(lengths), dtype=np.int32), lengths),
                "t_s": np.concatenate([np.empty(0), *(series.times_s for series in self.series)]),
                "value": np.concatenate([np.empty(0), *(series.values for series in self.series)]),
            }
        )
        text = {name: pa.array([str(getattr(s, name)) for s in self.series], pa.string()) for name in _TEXTS}
        labels = pa.table(
            {
                "series": pa.array(range(len(lengths)), pa.int32()),
                **text,
                "from_zero": pa.array([series.from_zero for series in self.series], pa.bool_()),
                "labels": pa.array([sorted(s.labels.items()) for s in self.series], pa.map_(pa.string(), pa.string())),
            }
        )
        with folders.writing(folder, "observation") as place:
            folders.clear(place, "observation")
            for name, table in ((SAMPLES, samples), (LABELS, labels)):
                with atomic_write(place / name, "wb") as file:
                    pq.write_table(table, file, compression="zstd")
            write_json(place / MARK, {"format": FORMAT, **self.metadata()})

    def metadata(self) -> dict[str, Any]:
        """All but the series, as ``observation.json`` has it."""
        about = asdict(replace(self, series=()))
        del about["series"]
        return about | {"series": len(self.series), "samples": self.samples}

    @classmethod
    def read(cls, folder: str | Path) -> Observation:
        """The observation that a folder holds.

        Raises:
            RecordError: It holds none, or one of another format, or its files do not belong together.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        place = Path(folder)
        for name in (MARK, LABELS, SAMPLES):
            if not (place / name).is_file():
                raise RecordError.of(place, f"is no observation: it has no {name} (kpasim observe)")
        try:
            about = json.loads((place / MARK).read_text(encoding="utf-8"))
            if not isinstance(about, dict) or about.pop("format", None) != FORMAT:
                raise RecordError.of(place / MARK, f"must be {FORMAT} (observe again)", place="format")
            labels = pq.read_table(place / LABELS).to_pydict()
            samples = pq.read_table(place / SAMPLES)
            count, total = about.pop("series"), about.pop("samples")
            if (count, total) != (len(labels["series"]), len(samples)):
                raise RecordError.of(place, "its files are not of one observation (observe again)")
            ends = np.cumsum(np.bincount(samples["series"].to_numpy(), minlength=count))
            times, values = samples["t_s"].to_numpy(), samples["value"].to_numpy()
            series = tuple(
                Series(
                    **{name: labels[name][index] for name in _TEXTS},
                    labels=dict(labels["labels"][index]),
                    from_zero=labels["from_zero"][index],
                    times_s=times[begin:end],
                    values=values[begin:end],
                )
                for index, (begin, end) in enumerate(zip([0, *ends[:-1]], ends, strict=True))
            )
            for key, kind in _LISTS.items():
                about[key] = tuple(kind(**item) for item in about[key])
            about["missing"], about["notes"] = tuple(about["missing"]), tuple(about["notes"])
            return cls(series=series, **about)
        except OSError as error:
            raise RecordError.of(place, f"cannot be read: {_in_a_line(error.strerror or error)}") from None
        except (ValueError, KeyError, TypeError, pa.ArrowException) as error:
            raise RecordError.of(place, f"is no observation that can be read: {_in_a_line(error)}") from None


_ATTRIBUTES = ("revision", "pod", "instance")
_TEXTS = ("metric", "role", "kind", "unit", "name", *_ATTRIBUTES)
_LISTS: dict[str, type[Any]] = {"queries": Query, "revisions": Revision, "gaps": Gap, "resets": Reset}


def _in_a_line(error: object) -> str:
    return " ".join(str(error).split())[:200]
