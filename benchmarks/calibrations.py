"""Does calibrating with run folders find the truth again? Simulated runs whose model is known, and fitted.

    python benchmarks/calibrations.py --write          400 runs, and their table in docs/guides/calibrate.md
    python benchmarks/calibrations.py --runs 40        the first 40 of them
    python benchmarks/calibrations.py --out FILE       keeps each study in FILE, and goes on where it ended

Each truth is drawn at random: containerConcurrency 1, 4 or 10, a lognormal service time, pods whose machines come
independently, and one of: nothing else, contention of requests that share a pod, serialised provisioning,
clients that give up, two classes of requests. Only the run folder is used, without the model in its run.json. Printed
are how often 90 % intervals contain the true value, and how often a structure was detected in error.
"""

import argparse
import json
import math
import tempfile
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

import kpasim
from benchmarks.pages import put, table
from kpasim.spec.experiment import Experiment, from_mapping
from kpasim.studies.calibrate import Calibration

CONCURRENCIES = (1, 4, 10)
KINDS = ("plain", "contention", "serialised", "timeouts", "two classes")
SEED = 7000
PAGE = "docs/guides/calibrate.md"
RUNS = 400

Floats = NDArray[np.float64]


def settings(number: int) -> tuple[str, int]:
    """Kind and containerConcurrency of a run; a pod that takes one request at a time has no contention factor."""
    cells = [(kind, one) for one in CONCURRENCIES for kind in KINDS if (kind, one) != ("contention", 1)]
    return cells[number % len(cells)]


def truth(kind: str, concurrency: int, rng: np.random.Generator) -> dict[str, Any]:
    """The numbers behind one run."""

    def log_uniform(low: float, high: float) -> float:
        return float(low * (high / low) ** rng.uniform())

    curve = [1.0]
    if concurrency > 1:
        rise, power = (log_uniform(0.15, 0.9), rng.uniform(0.7, 1.2)) if kind == "contention" else (0.0, 1.0)
        curve = [float(1.0 + rise * one**power) for one in range(concurrency)]
    return {
        "median": log_uniform(0.5, 20.0),
        "sigma": log_uniform(0.1, 0.6),
        "other": log_uniform(1.5, 6.0),
        "share": float(rng.uniform(0.3, 0.7)),
        "start": log_uniform(10.0, 60.0),
        "spread": log_uniform(0.05, 0.3),
        "curve": curve,
        "pods": int(rng.integers(5, 9)),
        "requests": int(rng.integers(150, 400)),
        "patience": float(rng.uniform(1.0, 2.0)),
    }


def experiment(kind: str, concurrency: int, true: dict[str, Any]) -> Experiment:
    """The experiment with the true model."""
    time = {"distribution": "lognormal", "median": true["median"], "sigma": true["sigma"]}
    service: dict[str, Any] = {"time": time}
    if kind == "two classes":
        slow = {**time, "median": true["median"] * true["other"]}
        shares = true["share"], 1.0 - true["share"]
        service = {
            "classes": [
                {"name": name, "share": share, "time": one}
                for name, share, one in zip(("small", "large"), shares, (time, slow), strict=True)
            ]
        }
    if concurrency > 1:
        service["slowdown"] = true["curve"]
    provision = {
        "name": "provision",
        "kind": "provision",
        "time": {"distribution": "lognormal", "median": true["start"], "sigma": true["spread"]},
        "at-a-time": int(kind == "serialised"),
    }
    slowest = true["median"] * true["curve"][-1]
    return from_mapping(
        {
            "service": {
                "apiVersion": "serving.knative.dev/v1",
                "kind": "Service",
                "metadata": {"name": "truth"},
                "spec": {
                    "template": {
                        "metadata": {"annotations": {"autoscaling.knative.dev/max-scale": str(true["pods"])}},
                        "spec": {
                            "containerConcurrency": concurrency,
                            "timeoutSeconds": 600,
                            "containers": [{"image": "truth"}],
                        },
                    }
                },
            },
            "workload": {
                "kind": "hey",
                "requests": true["requests"] * (2 if concurrency > 1 else 1),
                "concurrency": concurrency * true["pods"],
                "timeout": f"{true['patience'] * slowest:.3f}s" if kind == "timeouts" else "0s",
            },
            "model": {"service-time": service, "cold-start": {"stages": [provision, {"name": "load", "time": "5s"}]}},
            "start": "zero" if kind != "timeouts" else "warm",
        }
    )


def wanted(kind: str, true: dict[str, Any]) -> dict[str, float]:
    """What is to be found again, by the names of estimates."""
    tail = NormalDist().inv_cdf(0.95)

    def of(name: str, median: float, sigma: float) -> dict[str, float]:
        figures = {"p50": median, "p95": median * math.exp(tail * sigma), "mean": median * math.exp(0.5 * sigma**2)}
        return {f"{name} {figure}": value for figure, value in figures.items()}

    found = of("provision", true["start"], true["spread"])
    if kind == "two classes":
        found |= of("small", true["median"], true["sigma"])
        found |= of("large", true["median"] * true["other"], true["sigma"])
    else:
        found |= of("service", true["median"], true["sigma"])
    if kind == "contention":
        found |= {f"contention factor {one}": value for one, value in enumerate(true["curve"], 1) if one > 1}
    return found


def intervals(found: Calibration) -> dict[str, tuple[float, float]]:
    """90 % intervals by the same names."""
    parts = {"service time": "service", "start, provision": "provision"}
    result = {
        f"{parts.get(part.name, part.name)} {name}": (low, high)
        for part in found.parts
        for name, (_, low, high) in part.fit.figures.items()
    }
    return result | {
        f"contention factor {place}": (low, high) for place, (_, low, high) in enumerate(found.slowdown, 1) if place > 1
    }


def invented(kind: str, found: Calibration) -> list[str]:
    """Structures of the model that the truth lacks."""
    model, said = found.model, []
    service = model["service-time"]
    if max(service.get("slowdown", [1.0])) > 1.0 and kind != "contention":
        said.append("contention")
    if service.get("slots"):
        said.append("slots")
    if service.get("classes") and kind != "two classes":
        said.append("classes")
    stages = model.get("cold-start", {}).get("stages", ())
    if any(one.get("at-a-time") for one in stages) and kind != "serialised":
        said.append("serialised")
    if any(one.get("when") for one in stages):
        said.append("lazy loading")
    return said


def study(number: int, folder: Path) -> dict[str, Any]:
    """One run, calibrated with."""
    kind, concurrency = settings(number)
    true = truth(kind, concurrency, np.random.default_rng(SEED + number))
    kpasim.simulate(experiment(kind, concurrency, true), replications=1, seed=SEED + number).write(folder)
    found = kpasim.calibrate(folder, seed=number)
    ends = intervals(found)
    return {
        "number": number,
        "kind": kind,
        "concurrency": concurrency,
        "inside": {
            name: ends[name][0] <= value <= ends[name][1] for name, value in wanted(kind, true).items() if name in ends
        },
        "missing": [name for name in wanted(kind, true) if name not in ends],
        "invented": invented(kind, found),
        "serialised found": any(one.get("at-a-time") for one in found.model.get("cold-start", {}).get("stages", ())),
    }


def figure(name: str) -> str:
    """The row of the table that a figure belongs to."""
    name = name.replace("small", "service").replace("large", "service")
    return "contention factor" if name.startswith("contention factor") else name


def main() -> None:
    """Run the studies and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=RUNS)
    parser.add_argument("--only", type=int, nargs="*", help="numbers of the runs to study")
    parser.add_argument("--out", type=Path, help="file that keeps each study, one a line")
    parser.add_argument("--write", action="store_true", help=f"replace the table in {PAGE}")
    asked = parser.parse_args()
    lines = asked.out.read_text(encoding="utf-8").splitlines() if asked.out and asked.out.exists() else []
    done = {one["number"]: one for one in map(json.loads, lines)}
    numbers = asked.only if asked.only is not None else range(asked.runs)
    with tempfile.TemporaryDirectory() as folder:
        for number in numbers:
            if number not in done:
                done[number] = study(number, Path(folder) / str(number))
                if asked.out:
                    with asked.out.open("a", encoding="utf-8") as file:
                        file.write(json.dumps(done[number]) + "\n")
    text = report([done[number] for number in numbers])
    print(text)
    if asked.write:
        put(PAGE, "benchmarks/calibrations.py", text)


def report(done: list[dict[str, Any]]) -> str:
    """The table."""
    of_kind = [[one for one in done if kind in (one["kind"], None)] for kind in (*KINDS, None)]

    def cells(row: str) -> list[str]:
        held = [
            [inside for one in several for name, inside in one["inside"].items() if row in (figure(name), "all")]
            for several in of_kind
        ]
        return [f"{sum(one)} of {len(one)} ({np.mean(one):.0%})" if one else "" for one in held]

    rows = sorted({figure(name) for one in done for name in one["inside"]})
    lines = [[row, *cells(row)] for row in [*rows, "all"]]
    wrong = [f"{sum(bool(one['invented']) for one in several)} of {len(several)}" for several in of_kind]
    turns = [one["serialised found"] for one in done if one["kind"] == "serialised"]
    found = f"Serialised provisioning was detected in {sum(turns)} of the {len(turns)} runs that have it."
    return table(("", *KINDS, "all"), [*lines, ["structure detected in error", *wrong]]) + "\n\n" + found


if __name__ == "__main__":
    main()
