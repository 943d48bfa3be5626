"""Predictions of runs that were measured later, as ``kpasim validate`` and ``kpasim compare --model`` make them.

    python benchmarks/validation.py --write
    python benchmarks/validation.py --seed 2     how much of it is chance

prints the tables of docs/fidelity.md about predictions and, with --write, replaces them there. Live runs are predicted
again from what was measured before their load. Of the other recorded runs one of each container is calibrated with
``kpasim calibrate`` and predicts the rest of that container. Intervals are widened as in benchmarks/fidelity.py.
"""

import argparse
import json
import math
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.fidelity import COVERED, inside
from benchmarks.pages import put, table
from kpasim.cluster.calibration import Calibration, Crowd
from kpasim.results.tables import Tables, read_run_folder
from kpasim.studies.compare import FIGURES, Measured, compare
from tests import live_runs, real_runs

PAGE, PROGRAM = "docs/fidelity.md", "benchmarks/validation.py"
JUDGED = ("p50_s", "p95_s", "mean_s", "total_s", "pod_seconds")
"""Metrics of the goal for recorded runs."""
GOAL_LIVE, GOAL_REAL = 0.85, 0.88


@dataclass(frozen=True)
class Row:
    """One run and its prediction.

    Attributes:
        name: Of the run.
        by: Of the run that the model was calibrated on; empty where it was the run's own calibration.
        held: For each metric whether its 90 % interval holds the measured value.
        metrics: Measured and predicted values.
    """

    name: str
    by: str
    held: Mapping[str, bool]
    metrics: Mapping[str, Mapping[str, float | None]]


def row_of(name: str, by: str, metrics: Mapping[str, Mapping[str, float | None]], judged: Iterable[str]) -> Row:
    """A row of the metrics that were measured; a prediction of nothing is outside."""
    there = [metric for metric in judged if metrics[metric]["measured"] is not None]
    return Row(name, by, {metric: inside(metrics[metric]) for metric in there}, metrics)


def calibrated(model: Mapping[str, Any], tables: Tables, seed: int = 1) -> Mapping[str, Any]:
    """The model that the present rules make of what was measured before the load.

    An older calibration kept the latencies of single requests, one start dated half a probe early, and of 2, 3 and 4
    requests at once the mean of twice as many, whose error follows from the spread of single requests. Pods that were
    started before the load tell of starts, too.
    """
    service = model["service-time"]
    values = service["time"].get("values")
    if values is None:  # a model that a person wrote; there was no calibration
        return model
    solo_s = np.array(values)
    spread = float(solo_s.std(ddof=1) / solo_s.mean())
    crowds = tuple(
        Crowd(count, ratio, spread * math.sqrt(1 / (2 * count) + 1 / len(solo_s)))
        for count, ratio in enumerate(service.get("slowdown", ()), start=1)
        if count > 1
    )
    start_s = float(model["cold-start"]["stages"][0]["time"].removesuffix("s"))
    before = tables.pods["created_s"] < 0.0
    took_s = (tables.pods["ready_s"] - tables.pods["created_s"])[before]
    starts_s = [(start_s - 0.5, start_s + 0.5), *((float(one) - 1.0, float(one)) for one in took_s)]
    return Calibration(starts_s, solo_s, crowds, 0, "a calibration before the load").model("again", seed)


def live_rows(seed: int = 1) -> list[Row]:
    """The live runs, predicted from their own calibration and the arrivals that were sent."""
    rows = []
    for name in live_runs.names():
        run, tables, _ = read_run_folder(live_runs.folder(name))
        model = calibrated(run["experiment"]["model"], tables, seed)
        found = compare(Measured(run, tables), model=model, seed=seed)
        rows.append(row_of(name, "", found.metrics, FIGURES))
    return rows


def containers() -> dict[str, list[str]]:
    """Names of recorded runs by the container that they had."""
    found: dict[str, list[str]] = {}
    for name in real_runs.names():
        run = json.loads((real_runs.folder(name) / "run.json").read_text())
        found.setdefault(json.dumps(run["container"], sort_keys=True), []).append(name)
    return {key: names for key, names in found.items() if len(names) > 1}


def real_rows(seed: int = 1) -> list[Row]:
    """Recorded runs, each predicted by a model that was calibrated on the run of its container with most requests."""
    from kpasim.studies.calibrate import calibrate
    from kpasim.studies.measured.described import experiment_of

    rows = []
    for names in containers().values():
        read = {name: read_run_folder(real_runs.folder(name))[:2] for name in names}
        by = max(names, key=lambda name: len(read[name][1].requests["id"]))  # the first of them where several have it
        model = calibrate(real_runs.folder(by), experiment_of(*read[by]), seed=seed).model
        for name in names:
            if name != by:
                found = compare(Measured(*read[name]), model=model, seed=seed)
                rows.append(row_of(name, by, found.metrics, JUDGED))
    return rows


def share(rows: Iterable[Row], metric: str | None = None, *, widened: bool = True) -> float:
    """Share of the measured values, of one metric or of all, that their intervals hold."""
    held = [inside(row.metrics[name], widened=widened) for row in rows for name in row.held if metric in (None, name)]
    return float(np.mean(held)) if held else math.nan


def text(seed: int = 1) -> str:
    """The tables."""
    live, real = live_rows(seed), real_rows(seed)
    by = {row.by for row in real}
    groups = [(first, [row for row in real if row.by == first]) for first in sorted(by)]
    lines = [
        [first, str(len(rows)), *(f"{share(rows, metric, widened=False):.2f}" for metric in JUDGED),
         f"{share(rows, widened=False):.2f}", f"{share(rows):.2f}"]
        for first, rows in [*groups, ("all", real)]
    ]  # fmt: skip
    heads = ["calibrated on", "runs", *(COVERED[name] for name in JUDGED), "all", "all, widened"]
    return "\n\n".join([
        f"Live runs: {share(live):.0%} of {sum(len(row.held) for row in live)} measured values lie inside the 90 % "
        f"interval (goal {GOAL_LIVE:.0%}; {share(live, widened=False):.0%} if it is not widened).",
        table(["run", "inside", "outside"], (
            [row.name, f"{sum(row.held.values())} of {len(row.held)}",
             ", ".join(name.removesuffix("_s").replace("_", " ") for name, found in row.held.items() if not found)]
            for row in live
        )),
        f"Recorded runs by a model that was calibrated on another run of the same container: "
        f"{share(real, widened=False):.1%} of {sum(len(row.held) for row in real)} measured values lie inside the 90 % "
        f"interval as it is (goal {GOAL_REAL:.0%}; {share(real):.0%} if it is widened).",
        table(heads, lines, to_the_right=True),
    ])  # fmt: skip


def main() -> None:
    """Print the tables, and put them where the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help=f"replace the tables in {PAGE}")
    parser.add_argument("--seed", type=int, default=1, help="of calibrations and predictions; the tables have 1")
    options = parser.parse_args()
    found = text(options.seed)
    print(found)
    if options.write:
        put(PAGE, PROGRAM, found)


if __name__ == "__main__":
    main()
