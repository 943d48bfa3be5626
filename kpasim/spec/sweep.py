"""A sweep file: an experiment, the settings to vary, and how.

experiment: hey50x5.yaml
over:
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
from kpasim.spec.base import Count, Spec, Whole, line_of, validate, wrong
from kpasim.spec.experiment import Experiment, load
from kpasim.spec.quantities import duration_text, seconds
from kpasim.spec.yamlfile import read_mapping

_MOST_POINTS = 1_000_000


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
        number = low * (high / low) ** u if self.scale == "log" else low + u * (high - low)
        return self._written(number)

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
    """Many variants of one experiment."""

    experiment: str
    """The experiment, relative to this file."""
    settings: dict[str, Any] = Field(default_factory=dict, alias="with")
    """Settings that differ from the experiment in all variants, by path."""
    over: dict[str, list[Any] | Range] = Field(min_length=1)
    """What is varied: for each setting's path its values, or a range of them."""
    design: Literal["grid", "latin-hypercube", "sobol", "random"] = "grid"
    """All combinations, or a sample of `points` of them."""
    points: Count | None = None
    """Variants of a sampled design."""
    replications: Count | None = None
    """How often each variant is played; as the experiment says when not given."""
    seed: Whole | None = None
    """Seed of all variants and of the sample; as the experiment says when not given."""
    objectives: tuple[str, ...] = ("cost", "latency_s.p95")
    """Figures that the Pareto front weighs against each other, the less the better."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        empty = [path for path, axis in self.over.items() if isinstance(axis, list) and not axis]
        if empty:
            raise wrong(f"over.{empty[0]} has no values (list at least one)")
        if (self.design == "grid") != (self.points is None):
            raise wrong("points belongs to sampled designs (latin-hypercube, sobol, random), which need it")
        if self.design == "grid" and math.prod(len(values) for values in self.axes().values()) > _MOST_POINTS:
            raise wrong(f"asks for more than {_MOST_POINTS:,} variants (use a sampled design)")
        return self

    def axes(self) -> dict[str, list[Any]]:
        """All values of each setting."""
        return {path: axis if isinstance(axis, list) else axis.values() for path, axis in self.over.items()}

    def variants(self) -> list[dict[str, Any]]:
        """The settings of each variant of a grid, the last setting changing fastest."""
        axes = self.axes()
        return [dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())]

    def variant_at(self, shares: Sequence[float]) -> dict[str, Any]:
        """The settings at a point of the unit cube, one share for each setting."""
        found: dict[str, Any] = {}
        for (path, axis), u in zip(self.over.items(), shares, strict=True):
            found[path] = axis.at(u) if isinstance(axis, Range) else axis[min(int(u * len(axis)), len(axis) - 1)]
        return found


def load_sweep(path: str | Path) -> tuple[Sweep, Experiment]:
    """Read a sweep file and its experiment, with the sweep's own settings in it.

    Every value of every setting is tried by itself, so that a wrong one is found before anything runs; only what
    values contradict each other in is left to the variants.

    Raises:
        ExperimentError: Everything that is wrong with the file.
    """
    document = read_mapping(path, kind="a sweep")
    sweep = validate(Sweep, document.data, path, document.lines)
    base = Path() if str(path) == "-" else Path(path).parent
    file = base / sweep.experiment
    if not file.exists():
        message = f"{str(file)!r} does not exist (paths are relative to this file)"
        raise ExperimentError(path, [Problem("experiment", message, line_of(("experiment",), document.lines))])
    experiment = load(file)
    problems: list[Problem] = []

    def attempt(settings: Mapping[str, Any], place: tuple[str, str], before: Experiment) -> Experiment:
        try:
            return before.with_settings(settings)
        except ExperimentError as error:
            line = line_of(place, document.lines)
            problems.extend(Problem(f"{place[0]}.{place[1]}", one.message, line) for one in error.problems)
            return before

    if sweep.settings:
        experiment = attempt(sweep.settings, ("with", next(iter(sweep.settings))), experiment)
    for key, values in sweep.axes().items():
        for value in values:
            before = len(problems)
            attempt({key: value}, ("over", key), experiment)
            if len(problems) > before:
                break
    if problems:
        raise ExperimentError(path, problems)
    updates = {"replications": sweep.replications, "seed": sweep.seed}
    return sweep, experiment.with_settings({key: value for key, value in updates.items() if value is not None})
