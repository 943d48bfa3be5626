"""How often is a verdict about two settings wrong? Truly identical settings, and settings that differ by 10 %.

    python benchmarks/verdicts.py --write       about ten minutes on one core, and one more for the compilation
    python benchmarks/verdicts.py --trials 40   a glance

Each trial compares two settings as `kpasim sweep` and the report of two runs do, with the default number of
replications. False alarms: the same setting under two seeds, five figures at once, compared in pairs and as independent
samples; a trial with any significant difference counts. Power: a setting whose mean latency is 10 % longer, under
common random numbers (paired) and under another seed (independent samples). A trial counts if the difference is found.
"""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

import kpasim
from benchmarks.pages import put, table
from kpasim.results.paired import difference
from kpasim.spec.experiment import Experiment, from_mapping
from kpasim.studies.runner import Runner

ROOT = Path(__file__).resolve().parents[1]
TRIALS = 400
FIGURES = ("cost.amount", "latency_s.mean", "latency_s.p95", "errors", "max_pods")
"""Figures that are compared at the same time."""
LATENCY = "latency_s.mean"
LONGER = 1.1
PILOTS = 5
"""Seeds that settle how much slower service makes the mean latency 10 % longer."""


class Outcome(NamedTuple):
    """Shares of trials, and the size of the difference that was to be found.

    Attributes:
        alarms: Identical settings that were called different.
        paired: Differences found under common random numbers.
        independent: Differences found between independent samples.
        size: The true difference of the mean latency, as a share.
        replications: Replications of each setting in a trial.
    """

    alarms: float
    paired: float
    independent: float
    size: float
    replications: int


def bursts() -> Experiment:
    """A GPU service under bursts: runs differ more than under any other load."""
    annotations = {"autoscaling.knative.dev/max-scale": "6"}
    template = {"metadata": {"annotations": annotations}, "spec": {"containerConcurrency": 1, "containers": [{}]}}
    template["spec"]["containers"] = [{"image": "registry.example/painter"}]  # type: ignore[index]
    return from_mapping(
        {
            "service": {
                "apiVersion": "serving.knative.dev/v1", "kind": "Service", "metadata": {"name": "painter"},
                "spec": {"template": template},
            },
            "workload": {"kind": "bursts", "low": 0.05, "high": 1.0, "low-for": "60s", "high-for": "20s",
                         "duration": "3m"},
            "model": {"service-time": {"distribution": "lognormal", "median": "3s", "sigma": 0.3},
                      "cold-start": "30s"},
            "cluster": {"instance-types": [{"name": "gpu", "price-per-hour": 3.6}]},
        }
    )  # fmt: skip


def problems() -> dict[str, Callable[[], Experiment]]:
    """What is compared, by name."""
    shipped = {"hey50x5": "hey from a warm pod", "from-zero": "hey from zero"}
    found: dict[str, Callable[[], Experiment]] = {
        title: lambda name=name: kpasim.load(ROOT / "experiments" / f"{name}.yaml")  # type: ignore[misc]
        for name, title in shipped.items()
    }
    return {**found, "random bursts": bursts}


def simulated(experiment: Experiment, seeds: range, replications: int, engine: str) -> dict[str, NDArray[np.float64]]:
    """Figures of an experiment under several seeds, shape ``(seeds, replications)``."""
    each = []
    for seed in seeds:
        figures = Runner(experiment.with_setting("seed", seed), engine).figures(range(replications))
        each.append([figures[name] for name in FIGURES])
    return {name: np.array([one[place] for one in each]) for place, name in enumerate(FIGURES)}


def slower(experiment: Experiment, replications: int, engine: str, seeds: range) -> Experiment:
    """The experiment with service times that make the mean latency about 10 % longer."""
    types = [one.name for one in experiment.instance_types]
    factors = experiment.model.service_time.per_instance_type

    def scaled(factor: float) -> Experiment:
        changed = {name: factor * factors.get(name, 1.0) for name in types}
        return experiment.with_setting("model.service-time.per-instance-type", changed)

    before = np.nanmean(simulated(experiment, seeds, replications, engine)[LATENCY])
    low, high = 1.0, 1.5
    for _ in range(5):
        middle = (low + high) / 2
        longer = np.nanmean(simulated(scaled(middle), seeds, replications, engine)[LATENCY]) / before
        low, high = (middle, high) if longer < LONGER else (low, middle)
    return scaled(high)


def measured(experiment: Experiment, trials: int, replications: int, engine: str = "compiled") -> Outcome:
    """Shares of trials in which a verdict is wrong, and in which it is right."""
    seeds = range(2 * trials)
    own = simulated(experiment, seeds, replications, engine)
    longer = slower(experiment, replications, engine, seeds[:PILOTS])
    other = simulated(longer, seeds[:trials], replications, engine)
    alarms = sum(
        any(
            difference(own[name][trial], own[name][trials + trial], paired=paired, figures=len(FIGURES)).significant
            for name in FIGURES
            for paired in (True, False)
        )
        for trial in range(trials)
    )
    found = {
        paired: sum(
            difference(
                other[LATENCY][trial],
                own[LATENCY][trial if paired else trials + trial],
                paired=paired,
                figures=len(FIGURES),
            ).significant
            for trial in range(trials)
        )
        for paired in (True, False)
    }
    size = float(np.nanmean(other[LATENCY]) / np.nanmean(own[LATENCY][:trials]) - 1.0)
    return Outcome(alarms / trials, found[True] / trials, found[False] / trials, size, replications)


def main() -> None:
    """Measure and print, or put the table into its page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=TRIALS)
    parser.add_argument("--write", action="store_true", help="put the table into docs/explanation/uncertainty.md")
    asked = parser.parse_args()
    lines = []
    for name, make in problems().items():
        experiment = make()
        one = measured(experiment, asked.trials, experiment.replications)
        lines.append(
            (name, str(one.replications), f"{one.alarms:.1%}", f"{one.size:.1%}", f"{one.paired:.1%}",
             f"{one.independent:.1%}")
        )  # fmt: skip
        print(*lines[-1], sep="  ", flush=True)
    heads = ("", "replications", "false alarms", "true difference", "found, paired", "found, independent")
    text = table(heads, lines, to_the_right=True)
    if asked.write:
        put("docs/explanation/uncertainty.md", "benchmarks/verdicts.py", text)
    else:
        print(text)


if __name__ == "__main__":
    main()
