"""Ray Serve: its controller looks ten times a second at what replicas and handles have reported."""

from kpasim.engines.clock import Kind
from kpasim.engines.model import autoscaler, metrics, reconciler
from kpasim.engines.model.clocks import decision_share, nanoseconds
from kpasim.engines.model.state import Simulation
from kpasim.policy import ray_serve, rules

POLL = int(Kind.POLL)
UPSCALE_DELAY_S, DOWNSCALE_DELAY_S, TO_ZERO_DELAY_S, UPSCALING_FACTOR, DOWNSCALING_FACTOR = range(5)
"""Places in ``Params.rule``, as ``RayServe.deployment`` fills them."""


def settings(sim: Simulation) -> ray_serve.Settings:
    """The deployment's ``AutoscalingConfig``."""
    rule = sim.params.rule
    return ray_serve.Settings(
        min_replicas=sim.params.least,
        max_replicas=sim.params.most,
        target_ongoing_requests=sim.params.target_milli / 1000.0,
        upscale_delay_ns=nanoseconds(rule[UPSCALE_DELAY_S]),
        downscale_delay_ns=nanoseconds(rule[DOWNSCALE_DELAY_S]),
        to_zero_delay_ns=nanoseconds(rule[TO_ZERO_DELAY_S]),
        upscaling_factor=rule[UPSCALING_FACTOR],
        downscaling_factor=rule[DOWNSCALING_FACTOR],
    )


def set_up(sim: Simulation) -> None:
    """The controller has decided nothing yet."""
    sim.rule_state[ray_serve.DIRECTION] = sim.rule_state[ray_serve.SINCE_NS] = 0
    sim.schedule(sim.now_ns + int(decision_share(sim) * ray_serve.CONTROL_LOOP_NS), POLL, 0)


def on_poll(sim: Simulation) -> None:
    """One loop of the controller; the decisions that change something are kept."""
    running, target = int(sim.revision.ready_pods), int(sim.revision.replicas)
    # A handle without a replica reports a request that waits at once.
    ongoing = metrics.of_all(sim) if running > 0 else float(metrics.in_flight(sim))
    replicas = int(ray_serve.tick(settings(sim), sim.rule_state, sim.now_ns, running, target, ongoing))
    if replicas != target:
        rule = rules.MAXIMUM if replicas == sim.params.most else rules.METRIC
        autoscaler.record_decision(sim, ongoing, replicas, rules.MINIMUM if replicas == sim.params.least else rule)
        reconciler.scale(sim, replicas)
    sim.schedule(sim.now_ns + ray_serve.CONTROL_LOOP_NS, POLL, 0)
