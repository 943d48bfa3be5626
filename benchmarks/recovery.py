"""Does calibrating with a report of hey find the truth again? Simulated load tests whose model is known, and fitted.

    python benchmarks/recovery.py                      50 load tests of 200 requests
    python benchmarks/recovery.py --requests 50        of 50 requests
    python benchmarks/recovery.py --out FILE           keeps each study in FILE, and goes on where it ended
    python benchmarks/recovery.py --only 7 14 --effort 5     two of them, each with five times as many runs

Each truth is drawn at random: a lognormal service time, and pods whose machines are provided one after the other. Of
each load test only the text that hey would have printed is used. Printed are how often 90 % intervals hold the truth,
how wide the posterior of the median service time is (beside how wide it would be if each request's service time were
known: no method that sees only a report can be surer), and where the truth ranks among the draws. Even ranks are those
of a posterior as wide as it should be, a U those of one that is too narrow; two tests look for them.
"""

import argparse
import json
import math
import os
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
from kpasim.studies.fit import candidates as shapes

ROOT = Path(__file__).parents[1]
FIGURES = ("service_p50_s", "service_spread_s", "start_mean_s")
BINS = 5
SEED = 1000
WALKERS, STEPS, BURN_IN = 40, 1500, 500

Floats = NDArray[np.float64]


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


def figures(true: dict[str, float]) -> Floats:
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


def load_tests(requests: int) -> Experiment:
    """The experiment behind all of them."""
    published: Experiment = kpasim.load(ROOT / "experiments" / "hey50x5.yaml")
    return published.with_settings({"workload.requests": requests, "workload.timeout": "0s"})


def study(experiment: Experiment, number: int, folder: Path, effort: float = 1.0) -> dict[str, Any]:
    """One load test, calibrated with."""
    true = truth(np.random.default_rng(SEED + number))
    run = kpasim.simulate(behind(experiment, true), replications=1, seed=SEED + number, engine="compiled").tables()
    file = folder / f"{number}.txt"
    file.write_text(report(run.requests).text(), encoding="utf-8")
    begun, spent = time.perf_counter(), time.process_time()
    found = kpasim.calibrate(file, experiment, candidate="serialised", seed=number, effort=effort)
    wall_s, cpu_s = time.perf_counter() - begun, time.process_time() - spent
    wanted = figures(true)
    draws = np.array([found.draws[name] for name in FIGURES])
    low, high = np.quantile(draws, [0.05, 0.95], axis=1)
    return {
        "number": number,
        "truth": wanted.tolist(),
        "inside": ((low <= wanted) & (wanted <= high)).tolist(),
        "rank": (draws < wanted[:, None]).mean(axis=1).tolist(),
        "width": ((high - low) / wanted).tolist(),
        "sd": float(draws[0].std() / wanted[0]),
        "sd_if_known": known(run.requests["service_s"], run.requests["latency_s"], np.random.default_rng(number)),
        "wall_s": wall_s,
        "cpu_s": cpu_s,
    }


def known(service_s: Floats, latency_s: Floats, rng: np.random.Generator) -> float:
    """Posterior sd of the median, as a share of it, under the same prior if each request's service time were known.

    Sampled by the stretch moves of Goodman & Weare (2010) on the exact likelihood.
    """
    parameters = shapes.service_parameters(float(latency_s.min()), float(latency_s.mean()))

    def values(z: Floats) -> dict[str, Floats]:
        return {one.name: one.value(z[:, place]) for place, one in enumerate(parameters)}

    def density(z: Floats) -> Floats:
        return np.asarray(
            shapes.service_time(values(z)).log_density(service_s).sum(axis=1) - 0.5 * np.sum(z * z, axis=1)
        )

    tried = rng.standard_normal((20_000, len(parameters)))
    z = tried[np.argsort(-density(tried))[:WALKERS]]
    now, kept = density(z), []
    for step in range(STEPS):
        for half in (np.arange(WALKERS) < WALKERS // 2, np.arange(WALKERS) >= WALKERS // 2):
            mine, others = z[half], z[~half]
            partner = others[rng.integers(len(others), size=len(mine))]
            stretch = (rng.uniform(size=len(mine)) + 1.0) ** 2 / 2.0
            new = partner + stretch[:, None] * (mine - partner)
            wanted = density(new)
            take = np.log(rng.uniform(size=len(mine))) < (z.shape[1] - 1) * np.log(stretch) + wanted - now[half]
            z[half], now[half] = np.where(take[:, None], new, mine), np.where(take, wanted, now[half])
        if step >= BURN_IN:
            kept.append(shapes.service_time(values(z)).quantile(0.5))
    medians = np.concatenate(kept)
    return float(medians.std() / np.median(medians))


def even(ranks: Floats) -> tuple[float, float, float]:
    """Tests of whether ranks are even.

    Returns:
        How far their mean square distance from the middle is above that of even ranks, in standard errors; the chance
        of more under even ranks (small for a U, near 1 for a dome); and the p-value of Kolmogorov and Smirnov's test.
    """
    from scipy.stats import kstest

    above = (np.mean((ranks - 0.5) ** 2) - 1.0 / 12.0) / math.sqrt(1.0 / 180.0 / len(ranks))
    return float(above), 1.0 - NormalDist().cdf(float(above)), float(kstest(ranks, "uniform").pvalue)


def summary(done: list[dict[str, Any]]) -> list[str]:
    """What the studies say, in lines."""
    inside, ranks, width = (np.array([one[key] for one in done]) for key in ("inside", "rank", "width"))
    sd, least = np.array([one["sd"] for one in done]), np.array([one["sd_if_known"] for one in done])
    said = []
    for place, name in enumerate(FIGURES):
        bars = np.histogram(ranks[:, place], bins=BINS, range=(0.0, 1.0))[0].tolist()
        above, chance, p = even(ranks[:, place])
        said.append(
            f"{name}: {inside[:, place].sum()} of {len(done)} inside 90 % ({inside[:, place].mean():.0%}), "
            f"median width {np.median(width[:, place]):.0%}, ranks in fifths {bars}; "
            f"U {above:+.1f} standard errors (p {chance:.2f}), evenness p {p:.2f}"
        )
    few, could = int((sd <= 0.1).sum()), int((least <= 0.1).sum())
    said.append(
        f"sd of the median service time: median {np.median(sd):.1%}, mean {sd.mean():.1%}, at most 10 % in {few}, "
        f"greatest {sd.max():.1%}"
    )
    said.append(
        f"if each service time were known: median {np.median(least):.1%}, mean {least.mean():.1%}, "
        f"at most 10 % in {could}, greatest {least.max():.1%}"
    )
    times = np.array([[one["wall_s"], one["cpu_s"]] for one in done])
    said.append(
        f"one calibration: median {np.median(times[:, 0]):.0f} s ({np.median(times[:, 1]):.0f} s of CPU), "
        f"greatest {times[:, 0].max():.0f} s ({times[:, 1].max():.0f} s)"
    )
    return said


def main() -> None:
    """Run the studies and print what they say."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--studies", type=int, default=50)
    parser.add_argument("--only", type=int, nargs="+", help="numbers of the studies, instead of the first ones")
    parser.add_argument("--requests", type=int, default=200)
    parser.add_argument("--effort", type=float, default=1.0, help="how many times as many runs each calibration plays")
    parser.add_argument("--out", type=Path, help="file of studies, one a line; those in it are not done again")
    asked = parser.parse_args()
    experiment = load_tests(asked.requests)
    before = asked.out.read_text(encoding="utf-8").splitlines() if asked.out and asked.out.exists() else []
    found = {one["number"]: one for one in map(json.loads, before)}
    done = []
    with tempfile.TemporaryDirectory() as folder:
        for number in asked.only or range(asked.studies):
            one = found.get(number) or study(experiment, number, Path(folder), asked.effort)
            done.append(one)
            if asked.out and number not in found:
                with asked.out.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(one) + "\n")
            said = ", ".join(
                f"{name} {value:.2f} rank {rank:.2f}"
                for name, value, rank in zip(FIGURES, one["truth"], one["rank"], strict=True)
            )
            times = f"{one['cpu_s']:.0f} s of CPU, {one['wall_s']:.0f} s"
            sds = f"sd of the median {one['sd']:.1%} (known times {one['sd_if_known']:.1%})"
            print(f"{number}: {said}; {sds}; {times}", flush=True)
    print(f"{len(done)} load tests of {asked.requests} requests, {os.cpu_count()} cores")
    print("\n".join(summary(done)))


if __name__ == "__main__":
    main()
