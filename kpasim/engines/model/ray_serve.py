"""Ray Serve: its controller looks ten times a second at what replicas and handles have reported."""

from __future__ import annotations

from kpasim.engines.clock import Kind
from kpasim.engines.model import autoscaler, metrics, reconciler
from kpasim.engines.model.clocks import decision_share
from kpasim.engines.model.state import Simulation
from kpasim.policy import ray_serve, rules

POLL = int(Kind.POLL)
LOOP = 3
"""Entity of the event ``POLL``: a loop of the controller."""


def settings(sim: Simulation) -> ray_serve.Settings:
    """The deployment's ``AutoscalingConfig``."""
    return ray_serve.Settings(
        min_replicas=sim.params.least,
        max_replicas=sim.params.most,
        target_ongoing_requests=sim.params.target_milli / 1000.0,
        upscale_delay_ns=sim.params.upscale_delay_ns,
        downscale_delay_ns=sim.params.downscale_delay_ns,
        to_zero_delay_ns=sim.params.to_zero_delay_ns,
        upscaling_factor=sim.params.upscaling_factor,
        downscaling_factor=sim.params.downscaling_factor,
    )


def set_up(sim: Simulation) -> None:
    """The controller has decided nothing yet."""
    sim.ray_state[ray_serve.DIRECTION] = sim.ray_state[ray_serve.SINCE_NS] = 0
    sim.schedule(sim.now_ns + int(decision_share(sim) * ray_serve.CONTROL_LOOP_NS), POLL, LOOP)


def on_loop(sim: Simulation) -> None:
    """One loop of the controller; the decisions that change something are kept."""
    running, target = int(sim.revision.ready_pods), int(sim.revision.replicas)
    # A handle without a replica reports a request that waits at once.
    ongoing = metrics.of_all(sim) if running > 0 else float(metrics.in_flight(sim))
    replicas = int(ray_serve.tick(settings(sim), sim.ray_state, sim.now_ns, running, target, ongoing))
    if replicas != target:
        rule = rules.MAXIMUM if replicas == sim.params.most else rules.METRIC
        autoscaler.record_decision(sim, ongoing, replicas, rules.MINIMUM if replicas == sim.params.least else rule)
        reconciler.scale(sim, replicas)
    sim.schedule(sim.now_ns + ray_serve.CONTROL_LOOP_NS, POLL, LOOP)
