"""Average pods in a steady state, beside measurements of a real Knative and what rules of thumb say.

    python benchmarks/steady.py --write

prints the table of docs/fidelity.md and, with --write, replaces it there. Response times are those that were measured;
what is predicted is the number of pods.
"""

import argparse
import math
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.pages import put, table
from kpasim.engines import outcome as of
from kpasim.engines.params import SECOND_NS
from kpasim.spec.experiment import Experiment, from_mapping
from kpasim.studies.run import simulate
from tests.steady_state import Point, points

PAGE, PROGRAM = "docs/fidelity.md", "benchmarks/steady.py"
UTILISATION = 0.7
MINUTES, LEFT_OUT = 60, 10
"""How long a run is, and what is left out at its beginning and its end [min]."""
COLD_START = "2s"
"""Nobody says how long a pod took to start."""
SPREAD = 0.09
"""Half the width of the uniform service time, as a share of its mean: that of the sleep in w1."""


def experiment(point: Point, cold_start: str) -> Experiment:
    """The experiment behind a measured point, where pods take so long to start."""
    annotations = {
        "autoscaling.knative.dev/target": f"{point.target:g}",
        "autoscaling.knative.dev/panic-threshold-percentage": "1000",
    }
    low_s, high_s = point.response_s * (1 - SPREAD), point.response_s * (1 + SPREAD)
    return from_mapping(
        {
            "service": {
                "apiVersion": "serving.knative.dev/v1",
                "kind": "Service",
                "metadata": {"name": "steady"},
                "spec": {
                    "template": {
                        "metadata": {"annotations": annotations},
                        "spec": {"containerConcurrency": 0, "containers": [{"image": point.workload}]},
                    }
                },
            },
            "workload": {"kind": "poisson", "rate": point.rate_per_s, "duration": f"{MINUTES}m"},
            "model": {
                "name": point.workload,
                "service-time": {
                    "time": {"distribution": "uniform", "low": f"{low_s:.6f}s", "high": f"{high_s:.6f}s"},
                    "slots": 0,
                },
                "cold-start": {"stages": [{"name": "start", "time": cold_start}]},
            },
            "start": {"state": "warm", "for": "5s"},
            "horizon": f"{MINUTES}m",
        },
        base=Path(),
        path=point.workload,
    )


def predicted(point: Point, replications: int, cold_start: str = COLD_START) -> float:
    """Average ready pods between the first and the last ten minutes, the mean of some replications."""
    begin, end = LEFT_OUT * 60.0, (MINUTES - LEFT_OUT) * 60.0
    means = []
    result = simulate(experiment(point, cold_start), replications=replications, seed=1, engine="compiled")
    for one in result.outcomes:
        t_s = (one.scaling[of.SCALING_T] - one.load_ns) / SECOND_NS
        edges = np.clip(np.append(t_s, end), begin, end)
        means.append(float(np.sum(np.diff(edges) * one.scaling[of.DEPLOYMENT_READY])) / (end - begin))
    return float(np.mean(means))


def by_little(point: Point) -> float:
    """Little's law: requests in service over what a pod is to have."""
    return point.rate_per_s * point.response_s / (UTILISATION * point.target)


RULES: dict[str, Callable[[Point], float]] = {
    "Little's law over 0.7 target, at least 1": lambda point: max(1.0, by_little(point)),
    "the same, rounded up": lambda point: float(math.ceil(by_little(point))),
    "the same plus 0.45 (chosen on these data)": lambda point: max(1.0, by_little(point) + 0.45),
}


def off(predictions: list[float], measured: list[Point]) -> dict[str, float]:
    """Mean absolute error [%] over all points and over those of each workload."""
    errors = [abs(value / point.pods - 1) * 100 for value, point in zip(predictions, measured, strict=True)]
    groups = {"all": errors}
    for error, point in zip(errors, measured, strict=True):
        groups.setdefault(point.workload, []).append(error)
    return {name: float(np.mean(values)) for name, values in groups.items()}


def main() -> None:
    """Predict, print, and write where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--replications", type=int, default=5)
    parser.add_argument("--cold-start", default=COLD_START, help="how long a pod takes to start")
    parser.add_argument("--write", action="store_true", help="replace the table of docs/fidelity.md")
    asked = parser.parse_args()
    measured = points()
    found = {"kpasim": [predicted(point, asked.replications, asked.cold_start) for point in measured]}
    found |= {name: [rule(point) for point in measured] for name, rule in RULES.items()}
    lines = []
    for name, predictions in found.items():
        errors = off(predictions, measured)
        lines.append([name, *(f"{errors[group]:.1f}" for group in ("all", "w1", "w2"))])
    text = f"{len(measured)} points.\n\n" + table(
        ["mean absolute error of the average pods, %", "all", "w1", "w2"], lines
    )
    print(text)
    if asked.write:
        put(PAGE, PROGRAM, text)
        print(f"written to {PAGE}", file=sys.stderr)


if __name__ == "__main__":
    main()
