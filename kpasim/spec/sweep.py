"""A sweep file: an experiment, the settings to vary, and how.

experiment: hey50x5.yaml
axes:
  service.annotations.target-utilization-percentage: [50, 70, 100]
  service.annotations.max-scale: {from: 2, to: 10, step: 2}
  config-autoscaler.stable-window: {from: 20s, to: 2m, steps: 4, scale: log}
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AllowInfNan, Discriminator, Field, PrivateAttr, Tag, model_validator

from kpasim.errors import ExperimentError, Problem
from kpasim.spec.base import Count, Place, Spec, Whole, line_of, problem_at, validate, wrong
from kpasim.spec.difference import is_comment, meaning
from kpasim.spec.experiment import Experiment, load
from kpasim.spec.objects import refuse_other_kinds
from kpasim.spec.quantities import PositiveSeconds, Share, duration_text, seconds
from kpasim.spec.yamlfile import Document, read_mapping

MOST_SETTINGS = 100_000
"""Most rows of one sweep."""
MOST_VALUES = 100_000
"""Most values of one range."""
_MOST_TRIES = 100
_DIGITS = 6
"""Digits of a value of a range, counted from the distance between two of them: thirds are not endless."""
_LARGEST = 1e15
"""Largest number of a range: beyond, neighbours are further apart than their digits."""
_SOMEWHERE = 0.3137
"""A point of a range that is no whole number, to find out whether a setting takes one."""

Percentile = Literal["p10", "p25", "p50", "p75", "p90", "p95", "p99", "mean", "max"]
"""A figure of the latency of successful requests."""


_End = Annotated[float, AllowInfNan(True)] | str
"""A number or a duration; one without an end gets a message of its own."""


class Range(Spec):
    """Evenly spaced values between two ends, both included."""

    first: _End = Field(alias="from")
    """First value: a number, or a duration such as `20s`."""
    last: _End = Field(alias="to")
    """Last value."""
    step: _End | None = None
    """Distance from one value to the next."""
    steps: Annotated[int, Field(strict=True, ge=2)] | None = None
    """Number of values, instead of `step`."""
    scale: Literal["linear", "log"] = "linear"
    """Spacing of the values: equal differences or equal factors."""

    _whole: bool = PrivateAttr(default=False)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        try:
            low, high = self._number(self.first), self._number(self.last)
            step = None if self.step is None else self._number(self.step)
        except ValueError as err:
            raise wrong(str(err)) from None
        durations = isinstance(self.first, str)
        if durations != isinstance(self.last, str) or (isinstance(self.step, str) and not durations):
            raise wrong("from and to are of different kinds (two numbers, or two durations)")
        if high <= low:
            raise wrong("to is not above from")
        if self.scale == "log" and (low <= 0 or step is not None):
            raise wrong("scale: log needs steps, and from above 0")
        if self.scale == "log" and not math.isfinite(high / low):
            raise wrong("from is too near to 0 for scale: log")
        if step is not None and (self.steps is not None or step <= 0):
            raise wrong("needs step or steps (one of them, step above 0)")
        count = self.steps or (1.0 + (high - low) // step if step else 5)
        if count > MOST_VALUES:
            raise wrong(f"asks for {count:,.0f} values (at most {MOST_VALUES:,}; make step larger or steps fewer)")
        return self

    @staticmethod
    def _number(value: float | str) -> float:
        number = seconds(value) if isinstance(value, str) else float(value)
        if not abs(number) <= _LARGEST:
            raise ValueError(f"from and to must be at most {_LARGEST:g}")
        return number

    @property
    def ends_are_whole(self) -> bool:
        """Whether its ends, and its step, are whole numbers or whole seconds."""
        return all(self._number(one).is_integer() for one in (self.first, self.last, self.step or 0.0))

    def in_whole_numbers(self) -> Range:
        """The same range for a setting that takes whole numbers only: values are rounded, and doubles left out."""
        copy = self.model_copy()
        copy._whole = True
        return copy

    def values(self) -> list[Any]:
        """All values; 5 of them where neither `step` nor `steps` is given."""
        low, high = self._number(self.first), self._number(self.last)
        if self.step is not None:
            step = self._number(self.step)
            count = math.floor((high - low) / step + 1e-9) + 1
            numbers = [_rounded(low + index * step, step) for index in range(count)]
        else:
            count = self.steps or 5
            numbers = [self._between(index / (count - 1), count) for index in range(count)]
        if self._whole:
            numbers = [float(round(number)) for number in numbers]
        every_whole = all(number.is_integer() for number in numbers)
        return list(dict.fromkeys(self._written(number, every_whole) for number in numbers))

    def at(self, u: float) -> Any:
        """The value at a share of the way from the first to the last."""
        if self.step is not None:
            values = self.values()
            return values[min(int(u * len(values)), len(values) - 1)]
        number = self._between(u, 2)
        if u not in {0, 1}:
            # Four digits are enough for a sample, unless the ends differ by less.
            low, high = self._number(self.first), self._number(self.last)
            short = float(f"{number:.4g}") if self.scale == "log" else _rounded(number, high - low, 4)
            number = short if low <= short <= high and high > 1.1 * low else number
        if self._whole:
            number = float(round(number))
        return self._written(number, self._whole)

    def _between(self, u: float, count: int) -> float:
        """The number at a share of the way, as one of ``count`` values."""
        low, high = self._number(self.first), self._number(self.last)
        if u in {0, 1}:
            return high if u else low
        if self.scale == "log":
            number = low * (high / low) ** u
            return _rounded(number, number * ((high / low) ** (1 / (count - 1)) - 1))
        return _rounded(low + u * (high - low), (high - low) / (count - 1))

    def _written(self, number: float, whole: bool) -> Any:
        """A value as a file has it: a duration where the ends are durations."""
        if isinstance(self.first, str):
            return duration_text(number)
        return round(number) if whole else number


_List = Annotated[list[Any], Tag("list of values")]
_Range = Annotated[Range, Tag("range of values")]


def _tag(axis: Any) -> str:
    return "range of values" if isinstance(axis, Mapping | Range) else "list of values"


def _rounded(number: float, distance: float, digits: int = _DIGITS) -> float:
    """A number with so many digits of the distance to its neighbour."""
    return round(number, digits - 1 - math.floor(math.log10(distance))) if distance else number


class Sweep(Spec):
    """Many settings of one experiment, all simulated with the same random numbers."""

    experiment: str
    """The experiment, relative to this file."""
    fixed: dict[str, Any] = Field(default_factory=dict, alias="with")
    """Settings that differ from the experiment in all rows, by path."""
    axes: dict[str, Annotated[_List | _Range, Discriminator(_tag)]] = Field(min_length=1)
    """Settings to vary: for each path its values, or a range."""
    design: Literal["grid", "latin-hypercube", "sobol"] = "grid"
    """All combinations, or a sample of `settings` of them."""
    settings: Count | None = None
    """Rows of a sampled design."""
    replications: Count | None = None
    """Replications of each row; those of the experiment when not given."""
    seed: Whole | None = None
    """Seed of all rows and of the sample; that of the experiment when not given."""
    horizon_s: PositiveSeconds | None = None
    """End of every run, the same for all rows so that their costs compare; when neither this nor the experiment gives
    one, it is the longest time that any run takes by itself."""
    percentiles: tuple[Percentile, ...] = Field(default=("p95",), min_length=1)
    """Latency percentiles to compare cost with; the first is shown in the table."""
    most_errors: Share = 0.01
    """Rows with a larger share of failed requests stay out of the Pareto front: latencies are of successes only."""

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
        """All values of each axis, each once."""
        return {path: _each_once(axis) if isinstance(axis, list) else axis.values() for path, axis in self.axes.items()}

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


def _each_once(values: list[Any]) -> list[Any]:
    """Values without doubles: what is written the same, or is the same number or duration."""
    found: dict[str, Any] = {}
    for value in values:
        found.setdefault(json.dumps(meaning(value), sort_keys=True, default=str), value)
    return list(found.values())


def load_sweep(path: str | Path, cluster_config: Sequence[str | Path] = ()) -> tuple[Sweep, Experiment]:
    """Read a sweep file and its experiment, with the sweep's own settings in it; ConfigMaps are given as for `load`.

    Every value of every axis is tried by itself, so that a wrong one is found before anything runs; values that are
    wrong together only, such as a min-scale above a max-scale, are refused later, row by row.

    Raises:
        ExperimentError: Everything that is wrong with the file.
    """
    document = read_mapping(path, kind="a sweep")
    refuse_other_kinds(document, path, kind="a sweep")
    sweep = validate(Sweep, document.data, path, document.lines)
    file = Path(path).parent / sweep.experiment
    if not file.exists():
        message = f"{str(file)!r} does not exist (paths are relative to this file)"
        raise document.error(("experiment",), message)
    trial = _Trial(sweep, document, load(file, cluster_config=cluster_config))
    trial.run()
    return trial.sweep, trial.experiment


class _Trial:
    """Tries the values of a sweep on its experiment and collects what is wrong.

    Attributes:
        sweep: The sweep, whose ranges are of whole numbers where settings take no others.
        experiment: The experiment with what holds for all rows.
    """

    def __init__(self, sweep: Sweep, document: Document, experiment: Experiment) -> None:
        self.sweep = sweep
        self.experiment = experiment
        self._document = document
        self._problems: list[Problem] = []

    def run(self) -> None:
        """Take the sweep's own settings into the experiment, and try those of its axes.

        Raises:
            ExperimentError: A value is refused.
        """
        for key, value in self.sweep.fixed.items():
            self._set({key: value}, ("with", key))
        given = self.sweep
        own = {"replications": given.replications, "seed": given.seed, "horizon": given.horizon_s}
        self._set({key: value for key, value in own.items() if value is not None}, ())
        axes = {key: self._in_its_numbers(key, axis) for key, axis in self.sweep.axes.items()}
        self.sweep = self.sweep.model_copy(update={"axes": axes})
        for key, values in self.sweep.values().items():
            self._axis(key, values)
        if self._problems:
            raise ExperimentError(self._document.path, self._problems)

    def _axis(self, key: str, values: list[Any]) -> None:
        """Say what is wrong with the first value of an axis that is refused."""
        own = key in {"replications", "seed", "horizon"}
        if own or is_comment(key):
            message = "is the same for all rows (write it beside axes)"
            message = message if own else "changes neither simulation nor bill (leave it out)"
            self._problems.append(problem_at(("axes", key), message, self._document.lines))
            return
        for index, value in enumerate(values):
            if refusal := self._refusal(key, value):
                place = ("axes", key, index) if isinstance(self.sweep.axes[key], list) else ("axes", key)
                self._blame(refusal, place, f"axes.{key}")
                return

    def _in_its_numbers(self, key: str, axis: list[Any] | Range) -> list[Any] | Range:
        """An axis whose range is of whole numbers where the setting takes no others."""
        if isinstance(axis, list) or not axis.ends_are_whole:
            return axis
        numbers = axis.values() if self.sweep.design == "grid" else [*axis.values(), axis.at(_SOMEWHERE)]
        whole = axis.in_whole_numbers()
        rounded = [*whole.values(), whole.at(_SOMEWHERE)]
        known = set(rounded)
        odd = next((number for number in numbers if number not in known), None)
        if odd is None or self._refusal(key, odd) is None:
            return axis
        return whole if any(self._refusal(key, number) is None for number in rounded[:_MOST_TRIES]) else axis

    def _refusal(self, key: str, value: Any) -> ExperimentError | None:
        """Why a value is refused alone, and together with each value of another axis; None where it is not."""
        alone = _refusal(self.experiment, {key: value})
        is_right = alone is None or any(
            _refusal(self.experiment, {other: beside, key: value}) is None
            for other, choices in self.sweep.values().items()
            if other != key
            for beside in choices[:_MOST_TRIES]
        )
        return None if is_right else alone

    def _set(self, settings: Mapping[str, Any], place: Place) -> None:
        try:
            self.experiment = self.experiment.with_settings(settings)
        except ExperimentError as error:
            self._blame(error, place, ".".join(str(part) for part in place))

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
