"""A sweep file: an experiment, the settings to vary, and how.

experiment: hey50x5.yaml
axes:
  service.annotations.target-utilization-percentage: [50, 70, 100]
  service.annotations.max-scale: {from: 2, to: 10, step: 2}
  config-autoscaler.stable-window: {from: 20s, to: 2m, steps: 4, scale: log}
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from kpasim.errors import ExperimentError, Problem
from kpasim.spec.base import Count, Place, Spec, Whole, line_of, validate, wrong
from kpasim.spec.experiment import Experiment, load
from kpasim.spec.quantities import PositiveSeconds, Share, duration_text, seconds
from kpasim.spec.yamlfile import Document, read_mapping, refuse_other_kinds

MOST_SETTINGS = 100_000
"""Most rows of one sweep."""
_MOST_TRIES = 100

Percentile = Literal["p10", "p25", "p50", "p75", "p90", "p95", "p99", "mean", "max"]
"""A figure of the latency of successful requests."""


class Range(Spec):
    """Evenly spaced values between two ends, both included."""

    first: float | str = Field(alias="from")
    """First value: a number, or a duration such as `20s`."""
    last: float | str = Field(alias="to")
    """Last value."""
    step: float | str | None = None
    """Distance from one value to the next."""
    steps: Annotated[int, Field(strict=True, ge=2, le=100_000)] | None = None
    """Number of values, instead of `step`."""
    scale: Literal["linear", "log"] = "linear"
    """Whether values are apart by equal differences or by equal factors."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        try:
            low, high = self._number(self.first), self._number(self.last)
            step = None if self.step is None else self._number(self.step)
        except ValueError as err:
            raise wrong(str(err)) from None
        if isinstance(self.first, str) != isinstance(self.last, str):
            raise wrong("from and to are of different kinds (two numbers, or two durations)")
        if high <= low:
            raise wrong("to is not above from")
        if self.scale == "log" and (low <= 0 or step is not None):
            raise wrong("scale: log needs steps, and from above 0")
        if step is not None and (self.steps is not None or step <= 0 or (high - low) / step > 100_000):
            raise wrong("needs step or steps (one of them, step above 0 and not tiny)")
        return self

    @staticmethod
    def _number(value: float | str) -> float:
        number = seconds(value) if isinstance(value, str) else float(value)
        if not math.isfinite(number):
            raise ValueError("from and to must be finite")
        return number

    def values(self) -> list[Any]:
        """All values; 5 of them where neither `step` nor `steps` is given."""
        low, high = self._number(self.first), self._number(self.last)
        if self.step is not None:
            step = self._number(self.step)
            count = math.floor((high - low) / step + 1e-9) + 1
            return [self._written(low + index * step) for index in range(count)]
        count = self.steps or 5
        return [self.at(index / (count - 1)) for index in range(count)]

    def at(self, u: float) -> Any:
        """The value at a share of the way from the first to the last."""
        low, high = self._number(self.first), self._number(self.last)
        if self.step is not None:
            values = self.values()
            return values[min(int(u * len(values)), len(values) - 1)]
        if u in {0, 1}:
            return self._written(high if u else low)
        if self.scale == "log":
            number = low * (high / low) ** u
            # Four digits are enough for anybody, unless the ends differ by less.
            short = float(f"{number:.4g}")
        else:
            number = low + u * (high - low)
            short = round(number, 3 - math.floor(math.log10(high - low)))
        return self._written(short if low <= short <= high and high > 1.1 * low else number)

    def _written(self, number: float) -> Any:
        """A value as a file has it: whole where both ends are whole numbers, a duration where they are durations."""
        if isinstance(self.first, str):
            whole = self._number(self.first).is_integer() and self._number(self.last).is_integer()
            return duration_text(round(number) if whole else round(number, 3))
        parts = (self.first, self.last, 0.0 if self.step is None else self.step)
        if all(float(part).is_integer() for part in parts):
            return round(number)
        return float(f"{number:.12g}")


class Sweep(Spec):
    """Many settings of one experiment, all played with the same random numbers."""

    experiment: str
    """The experiment, relative to this file."""
    fixed: dict[str, Any] = Field(default_factory=dict, alias="with")
    """Settings that differ from the experiment in all rows, by path."""
    axes: dict[str, list[Any] | Range] = Field(min_length=1)
    """What is varied: for each setting's path its values, or a range of them."""
    design: Literal["grid", "latin-hypercube", "sobol"] = "grid"
    """All combinations, or a sample of `settings` of them."""
    settings: Count | None = None
    """Rows of a sampled design."""
    replications: Count | None = None
    """How often each row is played; as the experiment says when not given."""
    seed: Whole | None = None
    """Seed of all rows and of the sample; as the experiment says when not given."""
    horizon_s: PositiveSeconds | None = None
    """End of every run, the same for all rows so that their costs compare; when neither this nor the experiment gives
    one, it is the longest time that any run takes by itself."""
    percentiles: tuple[Percentile, ...] = Field(default=("p95",), min_length=1)
    """Latencies that cost is weighed against; the first is that of the table."""
    most_errors: Share = 0.01
    """Rows with a larger share of failed requests stay out of the Pareto front: who fails fast is not quick."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        empty = [path for path, axis in self.axes.items() if isinstance(axis, list) and not axis]
        if empty:
            raise wrong(f"axes.{empty[0]} has no values (list at least one)")
        if (self.design == "grid") != (self.settings is None):
            raise wrong("settings belongs to sampled designs (latin-hypercube, sobol), which need it")
        count = self.settings or math.prod(len(values) for values in self.values().values())
        if count > MOST_SETTINGS:
            raise wrong(f"asks for {count:,} settings (at most {MOST_SETTINGS:,}; list fewer values or sample)")
        return self

    def values(self) -> dict[str, list[Any]]:
        """All values of each axis."""
        return {path: axis if isinstance(axis, list) else axis.values() for path, axis in self.axes.items()}

    def grid(self) -> list[dict[str, Any]]:
        """All combinations, the last axis changing fastest."""
        axes = self.values()
        return [dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())]

    def at(self, shares: Sequence[float]) -> dict[str, Any]:
        """The settings at a point of the unit cube, one share for each axis."""
        found: dict[str, Any] = {}
        for (path, axis), u in zip(self.axes.items(), shares, strict=True):
            found[path] = axis.at(u) if isinstance(axis, Range) else axis[min(int(u * len(axis)), len(axis) - 1)]
        return found


def load_sweep(path: str | Path) -> tuple[Sweep, Experiment]:
    """Read a sweep file and its experiment, with the sweep's own settings in it.

    Every value of every axis is tried by itself, so that a wrong one is found before anything runs; values that are
    wrong together only, such as a min-scale above a max-scale, are left to whoever plays them.

    Raises:
        ExperimentError: Everything that is wrong with the file.
    """
    document = read_mapping(path, kind="a sweep")
    refuse_other_kinds(document, path, kind="a sweep")
    sweep = validate(Sweep, document.data, path, document.lines)
    base = Path() if str(path) == "-" else Path(path).parent
    file = base / sweep.experiment
    if not file.exists():
        message = f"{str(file)!r} does not exist (paths are relative to this file)"
        raise ExperimentError(path, [Problem("experiment", message, line_of(("experiment",), document.lines))])
    return sweep, _Trial(sweep, document).experiment(load(file))


class _Trial:
    """Tries the values of a sweep on its experiment and collects what is wrong."""

    def __init__(self, sweep: Sweep, document: Document) -> None:
        self._sweep = sweep
        self._document = document
        self._problems: list[Problem] = []

    def experiment(self, experiment: Experiment) -> Experiment:
        """The experiment with what holds for all rows.

        Raises:
            ExperimentError: A value is refused.
        """
        for key, value in self._sweep.fixed.items():
            experiment = self._attempt(experiment, {key: value}, ("with", key)) or experiment
        own = {
            "replications": self._sweep.replications,
            "seed": self._sweep.seed,
            "horizon": self._sweep.horizon_s,
        }
        own = {key: value for key, value in own.items() if value is not None}
        if own:
            experiment = self._attempt(experiment, own, ()) or experiment
        for key, values in self._sweep.values().items():
            self._axis(experiment, key, values)
        if self._problems:
            raise ExperimentError(self._document.path, self._problems)
        return experiment

    def _axis(self, experiment: Experiment, key: str, values: list[Any]) -> None:
        """Say what is wrong with the first value of an axis that is refused, alone and beside all others."""
        if key in {"replications", "seed", "horizon"}:
            line = line_of(("axes", key), self._document.lines)
            self._problems.append(Problem(f"axes.{key}", "is the same for all rows (write it beside axes)", line))
            return
        for index, value in enumerate(values):
            refusal = _refusal(experiment, {key: value})
            if refusal is None or self._right_beside_others(experiment, key, value):
                continue
            place = ("axes", key, index) if isinstance(self._sweep.axes[key], list) else ("axes", key)
            self._blame(refusal, place, f"axes.{key}")
            return

    def _right_beside_others(self, experiment: Experiment, key: str, value: Any) -> bool:
        """Whether a value that is refused alone is accepted together with some value of another axis."""
        return any(
            _refusal(experiment, {other: beside, key: value}) is None
            for other, choices in self._sweep.values().items()
            if other != key
            for beside in choices[:_MOST_TRIES]
        )

    def _attempt(self, experiment: Experiment, settings: Mapping[str, Any], place: Place) -> Experiment | None:
        try:
            return experiment.with_settings(settings)
        except ExperimentError as error:
            self._blame(error, place, ".".join(str(part) for part in place))
            return None

    def _blame(self, error: ExperimentError, place: Place, name: str) -> None:
        line = line_of(place, self._document.lines)
        self._problems += [Problem(name, one.message, line) for one in error.problems]


def _refusal(experiment: Experiment, settings: Mapping[str, Any]) -> ExperimentError | None:
    """Why an experiment cannot have these settings, None where it can."""
    try:
        experiment.with_settings(settings)
    except ExperimentError as error:
        return error
    return None
