"""Does calibrating with a report of hey find the truth again? Simulated load tests whose model is known, and fitted.

    python benchmarks/recovery.py                      50 load tests of 200 requests
    python benchmarks/recovery.py --requests 50        of 50 requests

Each truth is drawn at random: a lognormal service time, and pods whose machines are provided one after the other. Of
each load test only the text that hey would have printed is used. Printed are how often 90 % intervals hold the truth,
how wide the posterior of the median service time is, and where the truth ranks among the draws: even ranks are
those of a posterior as wide as it should be, a U those of one that is too narrow.
"""

from __future__ import annotations

import argparse
import math
import tempfile
import time
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

import kpasim
from kpasim.results.hey import report
from kpasim.spec.experiment import Experiment

ROOT = Path(__file__).parents[1]
FIGURES = ("service_p50_s", "service_spread_s", "start_mean_s")
BINS = 5
SEED = 1000


def truth(rng: np.random.Generator) -> dict[str, float]:
    """The numbers behind one load test."""

    def log_uniform(low: float, high: float) -> float:
        return float(low * (high / low) ** rng.uniform())

    return {
        "median": log_uniform(2.0, 30.0),
        "sigma": log_uniform(0.05, 0.6),
        "start": log_uniform(5.0, 600.0),
        "share": float(rng.uniform(0.02, 0.98)),
        "spread": log_uniform(0.05, 0.6),
    }


def figures(true: dict[str, float]) -> NDArray[np.float64]:
    """What is to be found again, in the order of ``FIGURES``."""
    half = NormalDist().inv_cdf(0.95) * true["sigma"]
    spread = true["median"] * (math.exp(half) - math.exp(-half))
    return np.array([true["median"], spread, true["start"] * math.exp(0.5 * true["spread"] ** 2)])


def behind(experiment: Experiment, true: dict[str, float]) -> Experiment:
    """The experiment with the true model."""

    def lognormal(median: float, sigma: float) -> dict[str, Any]:
        return {"distribution": "lognormal", "median": f"{median}s", "sigma": sigma}

    machine, rest = true["start"] * true["share"], true["start"] * (1.0 - true["share"])
    stages = [
        {"name": "provision", "kind": "provision", "at-a-time": 1, "time": lognormal(machine, true["spread"])},
        {"name": "start", "kind": "start", "time": lognormal(rest, true["spread"])},
    ]
    return experiment.with_settings(
        {
            "model.posterior": None,
            "model.service-time.time": lognormal(true["median"], true["sigma"]),
            "model.cold-start.stages": stages,
        }
    )


def study(experiment: Experiment, number: int, folder: Path) -> dict[str, Any]:
    """One load test, calibrated with."""
    true = truth(np.random.default_rng(SEED + number))
    run = kpasim.simulate(behind(experiment, true), replications=1, seed=SEED + number, engine="compiled").tables()
    file = folder / f"{number}.txt"
    file.write_text(report(run.requests).text(), encoding="utf-8")
    begun, spent = time.perf_counter(), time.process_time()
    found = kpasim.calibrate(file, experiment, explanation="one-at-a-time", seed=number)
    wall_s, cpu_s = time.perf_counter() - begun, time.process_time() - spent
    wanted = figures(true)
    draws = np.array([found.draws[name] for name in FIGURES])
    low, high = np.quantile(draws, [0.05, 0.95], axis=1)
    return {
        "truth": wanted,
        "inside": (low <= wanted) & (wanted <= high),
        "rank": (draws < wanted[:, None]).mean(axis=1),
        "width": (high - low) / wanted,
        "sd": float(draws[0].std() / wanted[0]),
        "wall_s": wall_s,
        "cpu_s": cpu_s,
    }


def main() -> None:
    """Run the studies and print what they say."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--studies", type=int, default=50)
    parser.add_argument("--first", type=int, default=0, help="number of the first study")
    parser.add_argument("--requests", type=int, default=200)
    asked = parser.parse_args()
    experiment = kpasim.load(ROOT / "experiments" / "hey50x5.yaml").with_settings(
        {"workload.requests": asked.requests, "workload.timeout": "0s"}
    )
    done = []
    with tempfile.TemporaryDirectory() as folder:
        for number in range(asked.first, asked.first + asked.studies):
            one = study(experiment, number, Path(folder))
            done.append(one)
            said = ", ".join(
                f"{name} {value:.2f} rank {rank:.2f}"
                for name, value, rank in zip(FIGURES, one["truth"], one["rank"], strict=True)
            )
            times = f"{one['cpu_s']:.0f} s of CPU, {one['wall_s']:.0f} s"
            print(f"{number}: {said}; sd of the median {one['sd']:.1%}; {times}", flush=True)
    inside = np.array([one["inside"] for one in done])
    ranks = np.array([one["rank"] for one in done])
    sd = np.array([one["sd"] for one in done])
    print(f"{len(done)} load tests of {asked.requests} requests")
    for place, name in enumerate(FIGURES):
        bars = np.histogram(ranks[:, place], bins=BINS, range=(0.0, 1.0))[0].tolist()
        width = np.median([one["width"][place] for one in done])
        held = f"{inside[:, place].sum()} of {len(done)} inside 90 %"
        print(f"{name}: {held}, median width {width:.0%}, ranks in fifths {bars}")
    few = int((sd <= 0.1).sum())
    print(f"sd of the median service time: median {np.median(sd):.1%}, mean {sd.mean():.1%}, at most 10 % in {few}")


if __name__ == "__main__":
    main()
