"""What a sweep says: a row for each setting, the Pareto front of cost against latency, what each axis does."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from kpasim.arrays import Bools, Floats, Ints
from kpasim.errors import RunError
from kpasim.results import cost, summary
from kpasim.results.display import NOTHING, counted, signed
from kpasim.results.files import atomic_write, plain
from kpasim.results.paired import difference
from kpasim.results.summary import Figures, finite, rounded
from kpasim.spec.difference import is_load
from kpasim.studies.grid import pareto

DIGITS = 7
"""Significant digits of numbers in answers."""


@dataclass
class SweepResult:
    """All replications of all settings, and the answers they give.

    Attributes:
        about: What was simulated, see `studies.sweep.Plan.about`.
        figures: Each figure, cost included, with shape ``(settings, replications)``.
    """

    about: Mapping[str, Any]
    figures: Figures = field(repr=False)

    @classmethod
    def read(cls, about: Mapping[str, Any], table: Path) -> SweepResult:
        """The result whose replications lie in a Parquet file.

        Raises:
            RunError: The file is damaged, or is not of this sweep.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        shape = (len(about["settings"]), about["replications"])
        known = {"setting", "replication", *about["axes"]}
        try:
            rows = pq.read_table(table, memory_map=False)
            names = [name for name in rows.column_names if name not in known]
            figures = {name: rows[name].to_numpy().astype(np.float64).reshape(shape) for name in names}
        except (pa.ArrowException, OSError, ValueError) as error:
            reason = str(error).partition("\n")[0]
            raise RunError(f"{table}: cannot be read as the replications of this sweep ({reason})") from error
        if "requests" not in figures or "horizon_s" not in figures:
            raise RunError(f"{table}: cannot be read as the replications of this sweep (columns are missing)")
        return cls(about, figures)

    @property
    def settings(self) -> list[dict[str, Any]]:
        """The values of each setting, by path."""
        return list(self.about["settings"])

    @property
    def replications(self) -> int:
        """Replications of each setting."""
        return int(self.about["replications"])

    @property
    def horizon_s(self) -> float:
        """End of every run [s], from the start of the load."""
        return float(np.max(self.figures["horizon_s"]))

    @cached_property
    def cost_figure(self) -> str:
        """What is called cost: money, a month's for a load that goes on, else GPU-seconds or pod-seconds."""
        if self.about["currency"]:
            return "cost.per_month" if self.about["per_month"] else "cost.amount"
        return "gpu_seconds" if np.nanmax(self.figures["gpu_seconds"], initial=0.0) > 0 else "pod_seconds"

    @property
    def cost_unit(self) -> str:
        """Unit of `costs`, in words."""
        if self.about["currency"]:
            return f"{self.about['currency']} {'per month' if self.about['per_month'] else 'per run'}"
        return {"gpu_seconds": "GPU-seconds", "pod_seconds": "pod-seconds"}[self.cost_figure]

    @cached_property
    def costs(self) -> Floats:
        """Mean cost of each setting, because costs add up; NaN where a replication has none."""
        return np.asarray(np.mean(self.figures[self.cost_figure], axis=1))

    def medians(self, figure: str) -> Floats:
        """Median of a figure over the replications that have it, NaN for a setting where most lack it."""
        middle: Floats = self._spread[figure][0]
        return middle

    def intervals(self, figure: str) -> Floats:
        """Ends of the 90 % interval of a figure in each setting, shape ``(2, settings)``."""
        ends: Floats = self._spread[figure][1:]
        return ends

    @cached_property
    def _spread(self) -> dict[str, Floats]:
        """Median and ends of the 90 % interval of each figure, shape ``(3, settings)``: `summary.aggregate` of all."""
        return {name: summary.spread(values) for name, values in self.figures.items()}

    @cached_property
    def error_shares(self) -> Floats:
        """Failed requests of each setting as a share of those that ended, all replications together.

        NaN where none ended.
        """
        names = ("requests", "ok", "errors")
        return summary.error_share({name: self.figures[name].sum(axis=1) for name in names})

    def values(self, axis: str) -> list[Any]:
        """The value of an axis in each setting: numbers where all are numbers, else text."""
        return cells([one[axis] for one in self.settings])

    @cached_property
    def _told(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Medians, and 90 % intervals where there is one, as `row` gives them: nested columns."""
        medians, intervals = {}, {}
        for name, (middle, *ends) in self._spread.items():
            if not name.startswith("cost.") and name != "horizon_s":
                medians[name] = summary.numbers(name, middle)
                each = zip(medians[name], *(summary.numbers(name, end) for end in ends), strict=True)
                intervals[name] = [None if known is None else [low, high] for known, low, high in each]
        return summary.nested(medians), summary.nested(intervals)

    @cached_property
    def _shares(self) -> list[float | None]:
        return [finite(share) for share in self.error_shares.tolist()]

    @cached_property
    def _bills(self) -> list[dict[str, Any]]:
        """What each setting costs; empty without prices."""
        money = {name.removeprefix("cost."): one for name, one in self.figures.items() if name.startswith("cost.")}
        return cost.aggregate_bills_of_each(money, self.about["currency"]) if money else []

    def row(self, number: int) -> dict[str, Any]:
        """One setting: its values, medians, 90 % intervals and cost."""
        medians, intervals = (summary.member(columns, number) for columns in self._told)
        return {
            "setting": number,
            "settings": self.about["settings"][number],
            "medians": medians,
            "intervals": intervals,
            "error_share": self._shares[number],
            "cost": self._bills[number] if self._bills else None,
        }

    @cached_property
    def order(self) -> list[int]:
        """Numbers of all settings in ascending order of cost, those without one last."""
        return [int(number) for number in np.argsort(self.costs, kind="stable")]

    @cached_property
    def rows(self) -> list[dict[str, Any]]:
        """One row for each setting, see `row`, in ascending order of cost."""
        return [self.row(number) for number in self.order]

    @cached_property
    def changes(self) -> Ints:
        """How many axes of each setting have another value than the experiment as it is."""
        now = {path: value_text(value) for path, value in self.about.get("now", {}).items()}
        return np.array([sum(value_text(one[path]) != now.get(path) for path in one) for one in self.settings])

    @property
    def now(self) -> int | None:
        """Number of the setting that is the experiment as it is, None where the sweep has none."""
        return int(np.argmin(self.changes)) if 0 in self.changes else None

    def front(self, percentile: str) -> list[int]:
        """Numbers of the settings on the Pareto front of cost against a percentile, the cheapest first.

        Settings with more failed requests than the sweep allows are left out. Of equal ones it is the one that changes
        least of the experiment.
        """
        latencies = _as_told(self.medians(latency(percentile)))
        return pareto.front(_as_told(self.costs), latencies, self._allowed, self.changes)

    @property
    def _allowed(self) -> Bools:
        return np.asarray(self.error_shares <= self.about["most_errors"])

    def why_no_front(self, percentile: str) -> str:
        """Why no setting is on the Pareto front; empty where one is."""
        if self.front(percentile):
            return ""
        if self._allowed.any():
            return f"No Pareto front: no setting with few enough failed requests has both a cost and a {percentile}."
        if np.isnan(self.error_shares).all():
            return "No Pareto front: no request had a response in any setting."
        least, most = share_text(float(np.nanmin(self.error_shares))), share_text(self.about["most_errors"])
        return f"No Pareto front: {least} of requests or more failed in every setting (most-errors: {most})."

    def pareto(self, percentile: str | None = None) -> list[dict[str, Any]]:
        """The Pareto front of cost against a latency (the sweep's first percentile by default), the cheapest first.

        Returns:
            For each point ``setting``, ``settings``, ``cost``, the percentile, an interval for each (90 % predictive),
            and ``next``: what the next, more expensive point changes: mean difference, its interval (``None`` with too
            few replications) and a verdict for each, see `results.paired`, ``significant`` where both are, and whether
            the replications were ``paired``, which those of different loads are not. ``next`` is ``None`` for the last
            point.
        """
        percentile = percentile or self.about["percentiles"][0]
        numbers = self.front(percentile)
        points = []
        for place, number in enumerate(numbers):
            later = numbers[place + 1] if place + 1 < len(numbers) else None
            points.append(
                {
                    "setting": number,
                    "settings": self.settings[number],
                    "cost": rounded(float(self.costs[number]), DIGITS),
                    "cost_interval": self._interval(self.cost_figure, number),
                    percentile: self._median(latency(percentile), number),
                    f"{percentile}_interval": self._interval(latency(percentile), number),
                    "next": None if later is None else self._step(number, later, percentile),
                }
            )
        return points

    def _step(self, number: int, later: int, percentile: str) -> dict[str, Any]:
        changes: dict[str, Any] = {}
        significant = True
        before, after = self.settings[number], self.settings[later]
        paired = all(value_text(before[path]) == value_text(after[path]) for path in before if is_load(path))
        for name, figure in (("cost", self.cost_figure), (percentile, latency(percentile))):
            found = difference(self.figures[figure][later], self.figures[figure][number], paired=paired, figures=2)
            significant = significant and found.significant
            ends = [found.low, found.high]
            changes[name] = None if np.isnan(found.mean) else rounded(found.mean, DIGITS)
            changes[f"{name}_interval"] = [rounded(end, DIGITS) for end in ends] if np.isfinite(ends).all() else None
            changes[f"{name}_significant"] = found.significant
            changes[f"{name}_verdict"] = found.verdict
        return {"setting": later, **changes, "significant": significant, "paired": paired}

    def _median(self, figure: str, number: int) -> float:
        return rounded(float(self._spread[figure][0, number]), DIGITS)

    def _interval(self, figure: str, number: int) -> list[float]:
        return [rounded(float(end), DIGITS) for end in self._spread[figure][1:, number]]

    def varied(self, points: Iterable[Mapping[str, Any]]) -> list[str]:
        """Axes that differ among rows or points; all of them where none does."""
        settings = [point["settings"] for point in points]
        axes: list[str] = list(self.about["axes"])
        return [axis for axis in axes if len({value_text(one[axis]) for one in settings}) > 1] or axes

    def common(self, points: Sequence[Mapping[str, Any]]) -> str:
        """What the words for each point leave out because all have it, in a sentence; empty where that is nothing."""
        varied = self.varied(points)
        same = [axis for axis in self.about["axes"] if axis not in varied]
        return f"All of these: {label(points[0]['settings'], same)}." if same else ""

    def effects(self, percentile: str | None = None) -> dict[str, Any]:
        """The effect of each axis on cost, failed requests and latency percentiles; see `pareto.effect`."""
        names = dict.fromkeys([*([percentile] if percentile else []), *self.about["percentiles"]])
        outcomes = {"cost": self.costs, "error_share": self.error_shares}
        outcomes |= {name: self.medians(latency(name)) for name in names}
        values = {axis: self.values(axis) for axis in self.about["axes"]}
        pairs = self.about.get("design", "grid") == "grid"
        return {
            axis: pareto.effect(own, outcomes, [values[other] for other in values if other != axis], pairs=pairs)
            for axis, own in values.items()
        }

    def to_dict(self, percentile: str | None = None) -> dict[str, Any]:
        """What ``kpasim sweep --json`` prints."""
        percentile = percentile or self.about["percentiles"][0]
        return {
            "sweep": self.about["name"],
            "experiment": self.about["experiment"],
            "seed": self.about["seed"],
            "replications": self.replications,
            "horizon_s": self.horizon_s,
            "percentile": percentile,
            "now": self.now,
            "cost_unit": self.cost_unit,
            "prices": self.about.get("prices", {}),
            "rows": self.rows,
            "pareto": self.pareto(percentile),
            "why_no_pareto": self.why_no_front(percentile) or None,
            "effects": self.effects(),
            "refused": self.about["refused"],
        }

    def write(self, folder: str | Path, percentile: str | None = None) -> None:
        """Write the answers as ``sweep.json``, and one row for each setting as ``rows.csv`` and ``rows.parquet``."""
        import pyarrow.csv
        import pyarrow.parquet as pq

        folder = Path(folder)
        found = self.to_dict(percentile)
        # All but the settings of a row is plain already; to see that of each value takes longer than to write them.
        rows = [row | {"settings": plain(row["settings"])} for row in found["rows"]]
        with atomic_write(folder / "sweep.json") as file:
            # On one line: thousands of rows are for machines, and indenting takes longer than simulating some of them.
            file.write(json.dumps(plain({**found, "rows": []}) | {"rows": rows}, allow_nan=False) + "\n")
        table = self._row_table(percentile)
        with atomic_write(folder / "rows.parquet", "wb") as file:
            pq.write_table(table, file)
        with atomic_write(folder / "rows.csv", "wb") as file:
            pyarrow.csv.write_csv(table, file)

    def _row_table(self, percentile: str | None) -> Any:
        """One row for each setting in ascending order of cost: axes, medians, and the ends of their intervals."""
        import pyarrow as pa

        first = set(self.front(percentile or self.about["percentiles"][0]))
        medians, intervals = (dict(summary.flattened(columns)) for columns in self._told)
        bills = [dict(summary.flattened(bill, "cost.")) for bill in self._bills]
        money = {name: [bill[name] for bill in bills] for name in (bills or [{}])[0]}
        intervals |= {name.replace("intervals.", ""): ends for name, ends in money.items() if ".intervals." in name}
        figures = medians | {"error_share": self._shares}
        figures |= {name: values for name, values in money.items() if "intervals." not in name}

        def in_order(values: Sequence[Any]) -> list[Any]:
            return [values[number] for number in self.order]

        columns = {"setting": self.order, "front": [number in first for number in self.order]}
        columns |= {axis: in_order(self.values(axis)) for axis in self.about["axes"]}
        for name, values in figures.items():
            columns[name] = in_order(values)
            for place, end in enumerate(("low", "high") if name in intervals else ()):
                ends = in_order(intervals[name])
                columns[f"{name}.{end}"] = [None if one is None else one[place] for one in ends]
        return pa.table(columns)


def _as_told(values: Floats) -> Floats:
    """Values with the digits that `SweepResult.row` gives them: differences that nobody sees decide about nothing."""
    return np.array([rounded(value, DIGITS) for value in values.tolist()])


def effects_note(result: SweepResult) -> str:
    """How effects are compared where combinations were refused; empty where none was."""
    refused = len(result.about["refused"])
    if not refused:
        return ""
    left_out = counted(refused, "refused combination")
    if result.about.get("design", "grid") != "grid":
        return f"{left_out}: the effects of all axes are fitted together, as if they added up."
    note = f"{left_out}: values are compared between settings that differ in this axis only."
    alone = any(level["cost"] is None for effect in result.effects().values() for level in effect["levels"])
    return f"{note} {NOTHING}: no such setting." if alone else note


def share_text(share: float | None) -> str:
    """A share in per cent; a dash where there is none."""
    return NOTHING if share is None or np.isnan(share) else f"{100 * share:.3g} %"


def latency(percentile: str) -> str:
    """The figure of a percentile."""
    return f"latency_s.{percentile}"


_PLAN: dict[str, Any] = {
    "name": str, "experiment": str, "seed": int, "replications": int, "axes": list, "settings": list, "refused": list,
    "prices": dict, "percentiles": list, "now": dict,
}  # fmt: skip
"""Types of the values that `SweepResult` and its pages take from a plan."""


def read_plan(folder: Path) -> dict[str, Any]:
    """What a sweep left in ``plan.json``: ``fingerprints`` and ``about``.

    Raises:
        RunError: It is missing, or not a plan.
    """
    path = folder / "plan.json"
    try:
        plan = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise RunError(f"{folder}: holds no sweep (plan.json is missing)") from None
    except (OSError, ValueError, RecursionError) as error:
        raise RunError(f"{path}: cannot be read ({error})") from None
    about = plan.get("about") if isinstance(plan, dict) else None
    if not isinstance(about, dict) or not isinstance(plan.get("fingerprints"), dict):
        raise RunError(f"{path}: cannot be read (it holds no plan of a sweep)")
    wrong = [name for name, kind in _PLAN.items() if not isinstance(about.get(name), kind)]
    rows: list[Any] = about["settings"] if not wrong else []
    if not wrong and not all(isinstance(row, dict) and set(row) == set(about["axes"]) for row in rows):
        wrong = ["settings"]
    if wrong or not rows or about["replications"] < 1 or not about["percentiles"]:
        raise RunError(f"{path}: cannot be read ({', '.join(wrong) or 'settings'}: not those of a sweep)")
    return {"fingerprints": plan["fingerprints"], "about": about}


def load_result(folder: str | Path) -> SweepResult:
    """The result that a finished sweep left in a folder.

    Raises:
        RunError: There is none.
    """
    folder = Path(folder)
    about = read_plan(folder)["about"]
    if not (folder / "replications.parquet").exists():
        raise RunError(f"{folder}: the sweep in it is not finished (go on with kpasim sweep --resume)")
    return SweepResult.read(about, folder / "replications.parquet")


def label(settings: Mapping[str, Any], varied: Iterable[str] = ()) -> str:
    """Settings in a few words, those of some paths only: ``max-scale 4, min-scale 1``."""
    return ", ".join(f"{short(path)} {value_text(settings[path])}" for path in varied or settings)


def step_text(step: Mapping[str, Any] | None, percentile: str) -> str:
    """What the next point of a front changes, in a few words."""
    if step is None:
        return ""
    said = []
    for name, unit in (("cost", ""), (percentile, " s")):
        verdict = step[f"{name}_verdict"]
        said.append(f"{signed(name, step[name])}{unit}" if step[f"{name}_significant"] else f"{name}: {verdict}")
    same = step["cost_verdict"] == step[f"{percentile}_verdict"] and not step["cost_significant"]
    return step["cost_verdict"] if same else ", ".join(said)


def short(path: str) -> str:
    """The last part of a setting's path, with its section where that says little by itself."""
    head, _, last = path.rpartition(".")
    last = last.rpartition("/")[2]
    return last if len(last) > 4 else f"{head.rpartition('.')[2]} {last}"


def cells(values: Sequence[Any]) -> list[Any]:
    """Values of an axis as a table has them: numbers where all are numbers, else text."""
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        return list(values) if all(isinstance(value, int) for value in values) else [float(value) for value in values]
    return [value_text(value) for value in values]


def value_text(value: Any) -> str:
    """A value of an axis as people read it: the names of instance types joined by commas, ``default`` for none.

    A mapping with a kind, such as an autoscaler or a load, is ``spare (pods 2)``.
    """
    if value is None:
        return "default"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:.12g}"
    if isinstance(value, list | tuple):
        return ",".join(value_text(one) for one in value)
    if isinstance(value, dict) and "name" not in value and "kind" in value:
        rest = ", ".join(f"{key} {value_text(one)}" for key, one in value.items() if key != "kind")
        return f"{value['kind']} ({rest})" if rest else str(value["kind"])
    return str(value["name"]) if isinstance(value, dict) and "name" in value else str(value)
