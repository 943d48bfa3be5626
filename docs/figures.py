"""Draw the pictures of runs, those of the README and of these pages: `python docs/figures.py`, a few seconds.

Every picture is a run of kpasim that anyone can repeat; none is drawn by hand.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kpasim import load, simulate
from kpasim.report import evidence
from kpasim.report.figures import timeline
from kpasim.report.paper import BLACK, BLUE, GREEN, PURPLE, VERMILLION, save, styled
from kpasim.spec.experiment import loads

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from kpasim.spec.experiment import Experiment
    from kpasim.studies.run import Result

ROOT = Path(__file__).parents[1]
IMAGES = Path(__file__).parent / "images"

FIVE_CLIENTS = """
service:
  apiVersion: serving.knative.dev/v1
  kind: Service
  metadata: {name: painter}
  spec:
    template:
      metadata: {annotations: {autoscaling.knative.dev/target-utilization-percentage: "100"}}
      spec:
        containerConcurrency: 1
        timeoutSeconds: 600
        containers:
          - image: registry.example/painter:1
            readinessProbe: {httpGet: {path: /readyz}, periodSeconds: 1}
workload: {kind: hey, requests: 50, concurrency: 5, timeout: 600s}
model: {service-time: 10s, cold-start: 30s}
"""
"""Five clients in a closed loop, one warm pod, ten seconds for a request, half a minute for a start."""

LOOKS = ((BLUE, "-"), (VERMILLION, "--"), (GREEN, "-."), (PURPLE, ":"))


def five_clients(**settings: Any) -> Experiment:
    """The experiment of most pictures, with annotations changed: ``scale_down_delay="1m"``."""
    changed = {f"service.annotations.{name.replace('_', '-')}": value for name, value in settings.items()}
    return loads(FIVE_CLIENTS, path="five-clients").with_settings(changed)


def play(experiment: Experiment, replications: int = 1) -> Result:
    """The runs of a picture."""
    return simulate(experiment, replications=replications, seed=7)


def headline() -> Figure:
    """The published load test: what Knative asks for at once, and what the cluster can give."""
    result = simulate(load(ROOT / "experiments" / "hey50x5.yaml"))
    title = f"hey -n 50 -c 5 on one warm GPU pod: the median one of {result.replications} simulated runs"
    return timeline(evidence.of(result), title)


@styled
def decision() -> Figure:
    """The first ten seconds of a burst: what the two windows see at each tick, and what is asked for."""
    waiting = five_clients(min_scale=1).with_setting("start", {"state": "warm", "for": "90s"})
    tables = play(waiting).tables()
    ticks = tables.ticks
    figure, axes = _panels(2, 4.6)
    shown = ticks["t_s"] <= 12
    t_s = ticks["t_s"][shown]
    axes[0].plot(t_s, ticks["panic"][shown], "o--", color=VERMILLION, label="panic window, 6 s")
    axes[0].plot(t_s, ticks["stable"][shown], "o-", color=BLUE, label="stable window, 60 s")
    axes[0].axhline(5, color=BLACK, linewidth=0.8, linestyle=":", label="requests in flight")
    axes[0].set(ylabel="average seen")
    axes[1].step(t_s, ticks["desired"][shown], where="post", color=BLACK, label="desired pods")
    for t, value, rule in zip(t_s, ticks["desired"][shown], ticks["rule"][shown], strict=True):
        axes[1].plot(t, value, "o" if rule == "stable" else "^", color=BLUE if rule == "stable" else VERMILLION)
    axes[1].plot([], [], "o", color=BLUE, label="decided by the stable window")
    axes[1].plot([], [], "^", color=VERMILLION, label="by the panic window, or held")
    axes[1].set(ylabel="pods", xlabel="time since the load began [s]", ylim=(0, 5.6))
    for axis in axes:
        axis.set_xlim(-4, 12)
        axis.legend(loc="upper left", fontsize=8)
    return figure


@styled
def phases() -> Figure:
    """When five pods have been asked for, over many runs of the same experiment."""
    waiting = {"state": "warm", "for": "90s"}
    cases = {
        "a pod kept by min-scale 1": five_clients(min_scale=1).with_setting("start", waiting),
        "the same, target-burst-capacity 0": five_clients(min_scale=1, target_burst_capacity=0).with_setting(
            "start", waiting
        ),
        "scaled to zero": five_clients().with_setting("start", {"state": "idled", "for": "90s"}),
    }
    figure, axes = _panels(1, 3.2)
    for (name, experiment), (colour, dash) in zip(cases.items(), LOOKS, strict=False):
        result = play(experiment, 300)
        reached = np.sort([_first_at_least(result.tables(i).scaling, 5) for i in range(result.replications)])
        share = 100 * np.arange(1, len(reached) + 1) / len(reached)
        axes[0].step(reached, share, where="post", color=colour, linestyle=dash, label=name)
    axes[0].set(xlabel="time until Knative asks for five pods [s]", ylabel="runs [%]", ylim=(0, 101))
    axes[0].set_xlim(left=0)
    axes[0].legend(loc="lower right", fontsize=8)
    return figure


def slow_start() -> Figure:
    """The same burst where a pod takes three minutes to start: panic lasts as long, and a minute more."""
    experiment = five_clients().with_setting("model.cold-start", "180s")
    return timeline(evidence.of(play(experiment)), "A cold start of three minutes")


@styled
def utilisation() -> Figure:
    """What the target utilisation asks for: five busy clients, one request at a time in each pod."""
    figure, axes = _panels(1, 3.0)
    for percentage, (colour, dash) in zip((100, 85, 70), LOOKS, strict=False):
        result = play(five_clients(target_utilization_percentage=percentage))
        _desired(axes[0], result, f"{percentage} %", colour, dash)
    axes[0].set(xlabel="time since the load began [s]", ylabel="desired pods")
    axes[0].legend(title="target utilisation", fontsize=8)
    return figure


@styled
def leaving() -> Figure:
    """How pods go when the load is over: the window alone, a delay, a longer window."""
    cases: dict[str, dict[str, Any]] = {
        "default (window 60s)": {},
        "scale-down-delay 60s": {"scale_down_delay": "60s"},
        "window 120s": {"window": "120s"},
    }
    figure, axes = _panels(1, 3.0)
    for (name, settings), (colour, dash) in zip(cases.items(), LOOKS, strict=False):
        result = play(five_clients(**settings))
        last = result.summary["total_s"]
        scaling = result.tables().scaling
        axes[0].step(scaling["t_s"] - last, scaling["desired"], where="post", color=colour, linestyle=dash, label=name)
    axes[0].axvline(0, color=BLACK, linewidth=0.8)
    axes[0].set(xlabel="time since the last answer [s]", ylabel="desired pods", xlim=(-20, 200), ylim=(0, 5.6))
    axes[0].legend(fontsize=8)
    return figure


@styled
def paths() -> Figure:
    """The same load through the activator's one queue, and straight to the pods."""
    steady = {"kind": "poisson", "rate": 0.25, "duration": "20m", "timeout": "600s"}
    figure, axes = _panels(1, 3.0)
    settings = {"min_scale": 4, "max_scale": 4, "initial_scale": 4}
    images = {"distribution": "lognormal", "median": "8s", "sigma": 0.6}
    cases = {"through the activator": 211, "straight to the pods": 0}
    for (name, capacity), (colour, dash) in zip(cases.items(), LOOKS, strict=False):
        changes = {"workload": steady, "model.service-time": {"time": images}}
        experiment = five_clients(**settings, target_burst_capacity=capacity).with_settings(changes)
        result = play(experiment, 10)
        pooled = np.sort(np.concatenate([result.tables(i).requests["latency_s"] for i in range(10)]))
        pooled = pooled[~np.isnan(pooled)]
        share = 100 * np.arange(1, len(pooled) + 1) / len(pooled)
        axes[0].plot(pooled, share, color=colour, linestyle=dash, label=name)
    axes[0].set(xlabel="latency [s]", ylabel="requests that took no longer [%]", ylim=(0, 101), xlim=(0, 70))
    axes[0].legend(loc="lower right", fontsize=8)
    return figure


PICTURES: dict[str, Callable[[], Figure]] = {
    "hey50x5.png": headline,
    "decision.svg": decision,
    "phases.svg": phases,
    "slow-start.svg": slow_start,
    "utilisation.svg": utilisation,
    "leaving.svg": leaving,
    "paths.svg": paths,
}


def main() -> None:
    """Draw all of them."""
    IMAGES.mkdir(exist_ok=True)
    for name, draw in PICTURES.items():
        save(draw(), IMAGES / name, dpi=110)
        print((IMAGES / name).relative_to(ROOT))


def _panels(count: int, height: float) -> tuple[Figure, list[Axes]]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.0, height), layout="constrained")
    return figure, list(np.ravel(figure.subplots(count, 1)))


def _desired(axis: Axes, result: Result, name: str, colour: str, dash: str) -> None:
    scaling = result.tables().scaling
    axis.step(scaling["t_s"], scaling["desired"], where="post", color=colour, linestyle=dash, label=name)
    axis.set_xlim(-5, result.summary["total_s"] + 80)
    axis.set_ylim(0, 9)


def _first_at_least(scaling: dict[str, Any], count: int) -> float:
    return float(scaling["t_s"][np.argmax(scaling["desired"] >= count)])


if __name__ == "__main__":
    main()
