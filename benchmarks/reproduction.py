"""How surely does a model fitted to the published report give that report again?

    python benchmarks/reproduction.py                  the model that is shipped, at 20 seeds of the experiment
    python benchmarks/reproduction.py --fits 1 2 3     models fitted by the same command with other seeds
    python benchmarks/reproduction.py --certain        the shipped model without its draws, as if nothing were uncertain

A run of the experiment (200 replications) gives the report again if the median of every line is within 5 % of the
published value, which lies inside the 90 % interval, and if that is no wider than 60 % of the value.
"""

import argparse
from pathlib import Path

import numpy as np

import kpasim
from kpasim.records import read
from kpasim.spec.experiment import Experiment
from kpasim.studies.fit.lines import report_lines

ROOT = Path(__file__).parents[1]
REPORT = ROOT / "experiments" / "data" / "hey-50x5.txt"
NEAR, WIDEST = 0.05, 0.6


def fitted(experiment: Experiment, seed: int) -> Experiment:
    """The experiment with a model fitted as the shipped one is."""
    found = kpasim.calibrate(
        REPORT, experiment, candidate="serialised", service="two-kinds", reproduce=True, effort=3, seed=seed
    )
    model = {key: value for key, value in found.model.items() if key != "source"}
    changed: Experiment = experiment.with_settings({"model": model})
    return changed


def held(experiment: Experiment, published: dict[str, float], seed: int) -> tuple[list[str], list[float], float]:
    """The lines that miss, how far each line's median is from the published value, and the slowest request's width."""
    result = kpasim.simulate(experiment, seed=seed, engine="compiled")
    misses, apart, widths = [], [], {}
    for name, value in published.items():
        low, high = result.intervals["hey"][name]
        widths[name] = (high - low) / value
        apart.append(result.summary["hey"][name] / value - 1.0)
        if abs(apart[-1]) > NEAR or not low <= value <= high or high - low > WIDEST * value:
            misses.append(f"{name} {apart[-1]:+.1%}, interval {(high - low) / value:.0%} wide")
    return misses, apart, widths["slowest"]


def main() -> None:
    """Play, and print which lines miss."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--fits", type=int, nargs="*", default=[], help="seeds to fit with; none: the shipped model")
    parser.add_argument("--runs", type=int, default=20, help="seeds of the experiment, from 1 on")
    parser.add_argument("--certain", action="store_true", help="leave the draws of the shipped model out")
    asked = parser.parse_args()
    experiment = kpasim.load(ROOT / "experiments" / "hey50x5.yaml")
    if asked.certain:
        experiment = experiment.with_settings({"model.posterior": None})
    report = read(REPORT).summary
    assert report is not None
    published = report_lines(report)
    fits: list[int | None] = [*asked.fits] or [None]
    for fit in fits:
        own = experiment if fit is None else fitted(experiment, fit)
        passed, all_apart, widths = 0, [], []
        for seed in range(1, asked.runs + 1):
            misses, apart, width = held(own, published, seed)
            widths.append(width)
            passed += not misses
            all_apart.append(apart)
            print(f"  seed {seed}: {'; '.join(misses) or 'all lines hold'}", flush=True)
        name = "shipped model" if fit is None else f"fit with seed {fit}"
        said = ", ".join(f"{line} {one:+.1%}" for line, one in zip(published, np.mean(all_apart, axis=0), strict=True))
        print(f"interval of the slowest request: {min(widths):.0%} to {max(widths):.0%}, mean {np.mean(widths):.0%}")
        print(
            f"{name}: {passed} of {asked.runs} runs give every line again; mean error of the medians: {said}",
            flush=True,
        )


if __name__ == "__main__":
    main()
