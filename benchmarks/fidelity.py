"""Predictions beside all recorded runs of the real autoscaler.

    python benchmarks/fidelity.py --write

prints the tables of docs/fidelity.md and, with --write, replaces them there, draws the figure and puts an overview into
the README. Nothing here is a timed test; the goals that hold are assertions in tests/fidelity.
"""

from __future__ import annotations

import argparse
import functools
import re
import statistics
import sys
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.pages import ROOT, put, table
from kpasim.engines.outcome import Outcome
from kpasim.engines.params import SECOND_NS
from kpasim.results.tables import read_run_folder
from kpasim.studies.compare import FIGURES, Comparison, ServiceTimes, compare
from kpasim.studies.measured import clocks
from kpasim.studies.measured.align import changes_of, common
from tests.real_runs import folder, names

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

PAGE, PROGRAM = "docs/fidelity.md", "benchmarks/fidelity.py"
FIGURE = ROOT / "docs" / "images" / "fidelity.svg"

RELATIVE = {"p50_s": 1.0, "p95_s": 2.0, "mean_s": 1.0, "max_s": 2.0, "total_s": 1.0, "pod_seconds": 2.0}
"""Metrics whose error counts in percent, and the goal for the median error [%]."""
ABSOLUTE = {"first_scale_out_s": 0.8, "desired_zero_after_last_s": 1.0}
"""Metrics whose error counts in seconds, and the goal for the median error [s]."""
TITLES = {
    "p50_s": "p50 %",
    "p95_s": "p95 %",
    "mean_s": "mean %",
    "max_s": "max %",
    "total_s": "test duration %",
    "pod_seconds": "pod s %",
    "first_scale_out_s": "first scale-out s",
    "desired_zero_after_last_s": "scale-to-zero decision s",
}
COVERED = {
    "p50_s": "p50",
    "p90_s": "p90",
    "p95_s": "p95",
    "p99_s": "p99",
    "mean_s": "mean",
    "max_s": "max",
    "total_s": "test duration",
    "pod_seconds": "pod s",
    "first_scale_out_s": "first scale-out",
    "desired_zero_after_last_s": "scale-to-zero decision",
    "replicas_zero_after_last_s": "scale to zero",
}
"""Metrics whose intervals are looked at."""
COVERAGE = (0.85, 0.98)
"""How many of the measured values a 90 % interval, widened, should hold."""
ALLOWED_SHARE, ALLOWED_S = 0.01, 0.02
"""What an interval is widened by, for the measurement itself."""
EXACT_PODS = 0.92
"""Goal: share of runs whose peak pods are predicted exactly."""
ALL = "all"
"""The group of all runs."""
SKETCHED = ("s1-warm-def", "s2-warm-def")
"""Runs that a sketch of 120 lines was once tried on; a group of their own."""
ENOUGH = 3
"""Runs of a group that a share is worth something for."""
TRIALS = 1_000
"""How often an exact model is tried."""
FAR_P95 = 10.0
"""A p95 that is missed by more than this [%] is listed."""

STATES = {True: ("inside its interval", "#0072B2", "o"), False: ("outside", "#D55E00", "X")}
"""Name, colour and marker of a measured value by whether the interval holds it."""

Metric = Mapping[str, float | None]


@dataclass(frozen=True)
class Row:
    """What one comparison leaves for the tables.

    Attributes:
        name: Of the run.
        path: Of its requests.
        metrics: Measured and predicted values.
        ticks: How the policy answers to the measured averages.
        changes: Changes of desired: how many were measured, missed and too many, and how far apart in time [s].
        by_chance: How many of these changes an exact model would miss without knowledge of phases.
        created_off_s: How far apart the creations of pods are [s].
        drawn: Each metric in every replication; not a number where it has none.
    """

    name: str
    path: str
    metrics: Mapping[str, Metric]
    ticks: Mapping[str, float]
    changes: tuple[float, float, float, float | None]
    by_chance: float
    created_off_s: tuple[float, ...]
    drawn: Mapping[str, NDArray[np.float64]]

    @property
    def family(self) -> str:
        """The family of runs, s1 to s6."""
        return self.name.partition("-")[0]


def row_of(comparison: Comparison, path: str) -> Row:
    """The row of a comparison, without its tables."""
    both = zip(comparison.pod_created_s["measured"], comparison.pod_created_s["predicted"], strict=True)
    changes = comparison.changes
    return Row(
        comparison.name,
        path,
        comparison.metrics,
        comparison.ticks,
        (changes.measured, changes.missed, changes.extra, changes.off_s),
        changes.measured * changes_by_chance(comparison.result.outcomes),
        tuple(abs(a - b) for a, b in both if a is not None and b is not None),
        {name: comparison.result.figures[FIGURES[name]] for name in (*COVERED, "max_pods")},
    )


def changes_by_chance(outcomes: Sequence[Outcome]) -> float:
    """Share of the changes of desired that a perfect simulator misses, which knows as little.

    Ten replications in turn are taken as the measurement, and compared with ten others.
    """
    each = [changes_of(one) for one in outcomes[:20]]
    there = missed = 0
    for measured in each[::2]:
        for simulated in each[1::2]:
            there += len(measured)
            missed += len(measured) - len(common(measured, simulated))
    return missed / there if there else 0.0


def activator_of(name: str) -> str:
    """Which activator process a run was made with: those named k and a number with one, all others with another.

    Nothing recorded says so, but the averages of each group agree on one place of the reports.
    """
    return "k" if re.search(r"-k\d+$", name) else "others"


@functools.cache
def ruled_out() -> dict[str, dict[str, NDArray[np.bool_]]]:
    """Of each activator, the places of its reports that each run on it rules out; without runs that say nothing."""
    found: dict[str, dict[str, NDArray[np.bool_]]] = {}
    for name in names():
        run, tables, _ = read_run_folder(folder(name))
        out = clocks.ruled_out(run, tables)
        if out is not None:
            found.setdefault(activator_of(name), {})[name] = out
    return found


def places_by_others(only: Iterable[str]) -> dict[str, tuple[int, ...]]:
    """Where each run's activator reports within the wall-clock second [ns], by the other runs on it."""
    runs = {name: ruled_out()[activator_of(name)] for name in only}
    return {name: clocks.agreed(out for other, out in on.items() if other != name) for name, on in runs.items()}


def rows(
    replications: int,
    service_times: ServiceTimes,
    *,
    align: bool = False,
    only: Iterable[str],
    places: Mapping[str, tuple[int, ...]] | None = None,
) -> list[Row]:
    """Compare all runs, or those named, with or without what other runs say of the place of the reports."""
    found = []
    for name in only:
        run, _, _ = read_run_folder(folder(name))
        result = compare(
            folder(name),
            replications=replications,
            service_times=service_times,
            align=align,
            seed=1,
            engine="compiled",
            report_places_ns=(places or {}).get(name, ()),
        )
        found.append(row_of(result, str(run["path"])))
        print(f"{len(found):3d} {name}", file=sys.stderr)
    return found


def error(name: str, metric: Metric) -> float | None:
    """Error of a prediction in the unit of its goal; ``None`` where there is nothing to compare."""
    measured, predicted = metric["measured"], metric["predicted"]
    if measured is None or predicted is None:
        return None
    return abs(predicted - measured) * (100.0 / measured if name in RELATIVE else 1.0)


def inside(metric: Metric, *, widened: bool = True) -> bool:
    """Whether the measured value lies in the interval, widened if asked; a prediction of nothing is outside."""
    measured, low, high = metric["measured"], metric["lo"], metric["hi"]
    assert measured is not None
    if low is None or high is None:
        return False
    wide = max(ALLOWED_SHARE * abs(measured), ALLOWED_S) if widened else 0.0
    return low - wide <= measured <= high + wide


def median_error(name: str, group: list[Row]) -> float | None:
    """Median error over a group of runs."""
    errors = [found for row in group if (found := error(name, row.metrics[name])) is not None]
    return statistics.median(errors) if errors else None


def chance_off(name: str, group: list[Row]) -> NDArray[np.float64]:
    """Error of an exact model if each replication in turn were the measured run.

    It knows neither the clock phases nor the gateway's random choices.

    Returns:
        Shape ``(runs, replications)``, in the unit of the metric's goal; not a number where nothing was measured.
    """
    drawn = np.array([row.drawn[name] for row in group])
    drawn[[row.metrics[name]["measured"] is None for row in group]] = np.nan
    off = np.abs(drawn - nanmedian(drawn, axis=1)[:, np.newaxis])
    return np.asarray(off / drawn * 100.0 if name in RELATIVE else off)


def nanmedian(values: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
    """Medians of what is a number; not a number where nothing is."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return np.asarray(np.nanmedian(values, axis=axis))


def chance_errors(name: str, group: list[Row]) -> tuple[float, float]:
    """Median error that an exact model would make, and the one that it would exceed in one of twenty cases."""
    medians = nanmedian(chance_off(name, group), axis=0)
    return float(np.nanmean(medians)), float(np.nanquantile(medians, 0.95))


def chance_kept(found: list[Row]) -> dict[str, float]:
    """How often an exact model would keep the goals of all runs, of every family and path, and of each alone.

    For each run a replication picked at random stands for what was measured; groups are judged as they are here.
    """
    rng = np.random.default_rng(1)
    picked = rng.integers(len(found[0].drawn["max_pods"]), size=(len(found), TRIALS))
    names = (*RELATIVE, *ABSOLUTE, "max_pods")
    off = {name: np.take_along_axis(chance_off(name, found), picked, axis=1) for name in names}
    kept = {}
    for group, members in groups(found).items():
        places = [found.index(row) for row in members]
        good = np.mean(off["max_pods"][places] == 0.0, axis=0) >= EXACT_PODS
        for name, goal in {**RELATIVE, **ABSOLUTE}.items():
            good &= ~(nanmedian(off[name][places], axis=0) > goal)
        kept[group] = good
    every = np.all(list(kept.values()), axis=0)
    return {**{group: float(good.mean()) for group, good in kept.items()}, "every family and path": float(every.mean())}


def kept_line(found: list[Row]) -> str:
    """How often an exact model would meet all goals, in words."""
    *each, (together, often) = chance_kept(found).items()
    parts = ", ".join(f"{group} {100 * share:.0f} %" for group, share in each)
    return (
        "Upper bound: how often an exact model with unknown clock phases and random routing would meet all goals "
        f"in the row: {parts}. All goals of {together}: {100 * often:.1f} %."
    )


def chance_coverage(name: str, group: list[Row]) -> float | None:
    """Share of values inside the widened intervals if each replication in turn were the measured run."""
    shares = []
    for row in group:
        metric, drawn = row.metrics[name], row.drawn[name]
        if metric["measured"] is not None and metric["lo"] is not None:
            shares.append(np.mean([inside({**metric, "measured": one}) for one in drawn if not np.isnan(one)]))
    return float(np.mean(shares)) if shares else None


def coverage(name: str, group: list[Row], *, widened: bool = True) -> float | None:
    """Share of a group's runs in which the measured value is inside."""
    there = [row.metrics[name] for row in group if row.metrics[name]["measured"] is not None]
    return statistics.fmean(inside(metric, widened=widened) for metric in there) if there else None


def pooled_coverage(group: list[Row], *, widened: bool = True) -> float:
    """Share of all measured values of a group's runs that are inside."""
    there = [row.metrics[name] for row in group for name in COVERED]
    return statistics.fmean(inside(metric, widened=widened) for metric in there if metric["measured"] is not None)


def exact_pods(group: list[Row]) -> float:
    """Share of a group's runs whose peak pods are predicted exactly."""
    both = [row.metrics["max_pods"] for row in group]
    return statistics.fmean(one["predicted"] == one["measured"] for one in both)


def chance_pods(group: list[Row]) -> tuple[float, float]:
    """Share of exact peak pods of an exact model, and the share that it falls below in one of twenty cases."""
    shares = np.mean(chance_off("max_pods", group) == 0.0, axis=0)
    return float(np.mean(shares)), float(np.quantile(shares, 0.05))


def width(name: str, group: list[Row]) -> float:
    """Median width of the intervals [% of the measured value]."""
    widths = []
    for row in group:
        metric = row.metrics[name]
        if metric["lo"] is not None and metric["hi"] is not None and metric["measured"]:
            widths.append(100.0 * (metric["hi"] - metric["lo"]) / metric["measured"])
    return statistics.median(widths)


def groups(found: list[Row]) -> dict[str, list[Row]]:
    """All runs, each family, each path."""
    named: dict[str, list[Row]] = {ALL: found}
    for row in sorted(found, key=lambda one: one.family):
        named.setdefault(row.family, []).append(row)
    for row in sorted(found, key=lambda one: one.path):
        named.setdefault(row.path, []).append(row)
    return named


def error_table(found: list[Row]) -> str:
    """One line for each group; what misses its goal is bold, with what an exact model would show."""
    lines = []
    sketched = [row for row in found if row.name.startswith(SKETCHED)]
    named = {**groups(found), **({" and ".join(SKETCHED): sketched} if sketched else {})}
    for group, members in named.items():
        cells = []
        for name, goal in {**RELATIVE, **ABSOLUTE}.items():
            number = median_error(name, members)
            if number is None:
                cells.append("-")
            elif number > goal:
                usual, seldom = chance_errors(name, members)
                cells.append(f"**{number:.2f}** ({usual:.1f}, {seldom:.1f})")
            else:
                cells.append(f"{number:.2f}")
        exact = exact_pods(members)
        cells.append(f"{exact:.2f}")
        if exact < EXACT_PODS:
            usual, seldom = chance_pods(members)
            cells[-1] = f"**{exact:.2f}** ({usual:.2f}, {seldom:.2f})"
        lines.append([group, str(len(members)), *cells])
    goals = [f"≤ {goal:g}" for goal in {**RELATIVE, **ABSOLUTE}.values()]
    lines.append(["goal", "", *goals, f"≥ {EXACT_PODS:g}"])
    return table(["", "runs", *TITLES.values(), "pods exact"], lines)


def coverage_table(found: list[Row]) -> str:
    """One line for each group; a miss is bold: of a metric over all runs, of all together in a group large enough."""
    lines = []
    for group, members in groups(found).items():
        numbers = [coverage(name, members) for name in COVERED]
        cells = ["-" if one is None else bold(f"{one:.2f}", group == ALL and not covered(one)) for one in numbers]
        together = pooled_coverage(members)
        cells.append(bold(f"{together:.2f}", len(members) >= ENOUGH and not covered(together)))
        lines.append([group, str(len(members)), *cells])
    bare = [coverage(name, found, widened=False) for name in COVERED]
    shares = [*bare, pooled_coverage(found, widened=False)]
    lines.append(["all, not widened", str(len(found)), *("-" if one is None else f"{one:.2f}" for one in shares)])
    exact = [chance_coverage(name, found) for name in COVERED]
    known = [one for one in exact if one is not None]
    shares = [*exact, statistics.fmean(known)]
    lines.append(["an exact model", "", *("-" if one is None else f"{one:.2f}" for one in shares)])
    return table(["", "runs", *COVERED.values(), "together"], lines)


def covered(share: float) -> bool:
    """Whether intervals hold as many values as they should, to two digits."""
    return COVERAGE[0] <= round(share, 2) <= COVERAGE[1]


def bold(text: str, wrong: bool) -> str:
    """Text, marked where it misses a goal."""
    return f"**{text}**" if wrong else text


def far(found: list[Row]) -> str:
    """Runs whose p95 is missed by more than ``FAR_P95``."""
    lines = []
    for row in found:
        metric = row.metrics["p95_s"]
        wrong = error("p95_s", metric)
        if wrong is not None and wrong > FAR_P95:
            numbers = [f"{metric[key]:.2f}" for key in ("measured", "predicted", "lo", "hi")]
            lines.append([row.name, *numbers[:2], f"{numbers[2]} to {numbers[3]}", "yes" if inside(metric) else "no"])
    return table(["run", "p95 measured s", "predicted s", "90 %", "inside"], lines)


def in_short(recorded: list[Row], aligned: list[Row]) -> str:
    """The result in two sentences."""

    def said(found: list[Row]) -> str:
        names = ("p50_s", "p95_s", "mean_s", "pod_seconds")
        return ", ".join(f"{COVERED[name]} {median_error(name, found):.2f} %" for name in names)

    exact = f"{100 * exact_pods(recorded):.0f} %"
    return (
        f"Median errors: {said(recorded)}; peak pods are exact in {exact} of the runs. "
        f"With phase-aligned clocks: {said(aligned)}."
    )


OVERVIEW = {
    "p50_s": "p50 latency",
    "p95_s": "p95 latency",
    "mean_s": "mean latency",
    "max_s": "max latency",
    "pod_seconds": "pod seconds",
    "first_scale_out_s": "first scale-out",
    "desired_zero_after_last_s": "scale-to-zero decision",
}
"""What the README shows."""


def overview(found: list[Row]) -> str:
    """Errors and coverage over all runs, a line for each metric."""
    lines = []
    for name, title in OVERVIEW.items():
        off, inside_share = median_error(name, found), coverage(name, found)
        assert off is not None
        assert inside_share is not None
        lines.append([title, f"{off:.2f} {'%' if name in RELATIVE else 's'}", f"{100 * inside_share:.0f} %"])
    lines.append(["peak pods", "0 pods", f"exact in {100 * exact_pods(found):.0f} %"])
    return table([f"of {len(found)} recorded runs", "median error", "measured inside the 90 % interval"], lines)


def ticks_line(found: list[Row]) -> str:
    """How many rows of ticks the policy decides otherwise."""
    total = sum(int(row.ticks["rows"]) for row in found)
    kinds = ("desired", "panic_mode", "excess_burst_capacity")
    wrong = {kind: sum(int(row.ticks[kind]) for row in found) for kind in kinds}
    runs = [row.name for row in found if any(row.ticks[kind] for kind in kinds)]
    where = f" (in {', '.join(runs)})" if runs else ""
    parts = ", ".join(f"{kind.replace('_', ' ')} {count}" for kind, count in wrong.items())
    return f"{total:,} rows; decided otherwise: {parts}{where}."


def places_line() -> str:
    """Where the reports of each activator lie, and how many of its runs contradict."""
    parts = []
    for group, runs in sorted(ruled_out().items()):
        places = [place / SECOND_NS for place in clocks.agreed(runs.values())]
        against = int(np.sum(list(runs.values()), axis=0).min())
        span = f"{min(places):.2f} to {max(places):.2f} s" if len(places) > 1 else f"{places[0]:.2f} s"
        parts.append(f"{span} ({group}; {against} of {len(runs)} runs rule it out)")
    return f"Reporting phase of the activators within the wall-clock second: {', '.join(parts)}."


def aligned_lines(found: list[Row]) -> str:
    """Changes of desired and creations of pods with phase-aligned clocks, by path."""
    lines = []
    for group, members in groups(found).items():
        measured = sum(row.changes[0] for row in members)
        missed = sum(row.changes[1] for row in members)
        extra = sum(row.changes[2] for row in members)
        off = [row.changes[3] for row in members if row.changes[3] is not None]
        created = [value for row in members for value in row.created_off_s]
        lines.append(
            [
                group,
                str(len(members)),
                f"{measured:.0f}",
                f"{100 * missed / measured:.1f}" if measured else "-",
                f"{100 * extra / measured:.1f}" if measured else "-",
                f"{100 * sum(row.by_chance for row in members) / measured:.1f}" if measured else "-",
                f"{statistics.median(off):.3f}" if off else "-",
                f"{statistics.median(created):.3f}" if created else "-",
            ]
        )
    heads = ["", "runs", "changes", "missed %", "extra %", "by chance %", "apart s", "pods created, apart s"]
    return table(heads, lines)


def picture(found: list[Row]) -> Figure:
    """Measured over predicted, with intervals, for the p95 and pod seconds of every run."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.0, 4.4), layout="constrained")
    FigureCanvasAgg(figure)
    for axis, name, title in zip(
        figure.subplots(1, 2), ("p95_s", "pod_seconds"), ("p95 latency [s]", "pod seconds"), strict=True
    ):
        for row in found:
            metric = row.metrics[name]
            measured, predicted, low, high = (metric[key] for key in ("measured", "predicted", "lo", "hi"))
            if measured is None or predicted is None or low is None or high is None:
                continue
            name_of_state, colour, marker = STATES[inside(metric)]
            axis.plot([measured, measured], [low, high], color=colour, linewidth=1.5, alpha=0.6)
            axis.plot(measured, predicted, marker, color=colour, markersize=4, label=name_of_state)
        ends = axis.get_xlim()
        axis.plot(ends, ends, color="black", linewidth=0.8, zorder=0)
        axis.set(xscale="log", yscale="log", xlabel=f"measured {title}", ylabel=f"predicted {title}")
        once = dict(zip(*reversed(axis.get_legend_handles_labels()), strict=True))
        axis.legend(once.values(), once.keys(), frameon=False)
    return figure


def main() -> None:
    """Compare, print, and write where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--replications", type=int, default=200)
    parser.add_argument("--only", nargs="*", default=list(names()), help="names of runs")
    parser.add_argument("--write", action="store_true", help="replace the tables of docs/fidelity.md, draw the figure")
    asked = parser.parse_args()
    places = places_by_others(asked.only)
    recorded = rows(asked.replications, "recorded", only=asked.only, places=places)
    anywhere = rows(asked.replications, "recorded", only=asked.only)
    declared = rows(asked.replications, "declared", only=asked.only)
    aligned = rows(min(asked.replications, 100), "recorded", align=True, only=asked.only)
    widths = ", ".join(f"{TITLES[name].rstrip(' %')} {width(name, recorded):.1f} %" for name in ("p50_s", "p95_s"))
    text = "\n\n".join(
        [
            f"Made with {asked.replications} replications of each of {len(recorded)} runs.",
            places_line(),
            in_short(recorded, aligned),
            "### Median absolute error, recorded service times\n\n"
            "Bold: the goal is missed. In brackets: the median error of an exact model with unknown clock phases and "
            "random routing, in the median case and in the worst of twenty cases; for pods its share likewise.",
            error_table(recorded),
            kept_line(recorded),
            "### Without the phase from other runs",
            error_table(anywhere),
            "### Coverage of the 90 % interval, recorded service times",
            coverage_table(recorded),
            f"Median width of the intervals: {widths}, pod seconds {width('pod_seconds', recorded):.1f} %.",
            "### Coverage of the 90 % interval, declared service times",
            coverage_table(declared),
            "### Phase-aligned clocks (`--align`)",
            error_table(aligned),
            aligned_lines(aligned),
            "### Ticks",
            ticks_line(recorded),
            f"### Runs whose p95 is missed by more than {FAR_P95:g} %",
            far(recorded),
        ]
    )
    print(text)
    if asked.write:
        from kpasim.report.paper import save

        put(PAGE, PROGRAM, text)
        put("README.md", PROGRAM, overview(recorded))
        save(picture(recorded), FIGURE)


if __name__ == "__main__":
    main()
