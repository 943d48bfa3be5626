"""KEDA: polls its trigger and switches between zero and one pod; between one and the maximum its HPA decides."""

from kpasim.engines import params as of
from kpasim.engines.clock import Kind
from kpasim.engines.draws import CHANCE_ONE, QUERY_FAILS, chance
from kpasim.engines.model import autoscaler, metrics, reconciler
from kpasim.engines.model.clocks import poll_share, wall_ns
from kpasim.engines.model.state import Simulation
from kpasim.engines.params import FOREVER_NS, SECOND_NS
from kpasim.policy import keda, rules

POLL = int(Kind.POLL)
FAILED = -(1 << 61)
"""What ``query`` returns where the source fails and no fallback is in force."""


def settings(sim: Simulation) -> keda.Settings:
    """The ScaledObject."""
    return keda.Settings(
        min_replicas=sim.params.least,
        idle_replicas=sim.params.idle,
        cooldown_ns=sim.params.cooldown_ns,
        initial_cooldown_ns=sim.params.initial_cooldown_ns,
        created_s=(wall_ns(sim) - sim.now_ns) // SECOND_NS,
        failure_threshold=sim.params.fallback_failures,
        fallback_replicas=sim.params.fallback_replicas,
        fallback_behavior=sim.params.fallback_behavior,
        annotations=0,
    )


def set_up(sim: Simulation) -> None:
    """A new ScaledObject was never active; its polls begin at a phase of their own."""
    sim.keda_state[keda.LAST_ACTIVE_S] = keda.NEVER_S
    sim.keda_state[keda.FAILURES] = 0
    sim.schedule(sim.now_ns + int(poll_share(sim) * sim.params.poll_ns), POLL, 0)


def query(sim: Simulation, ready: int, value: float) -> int:
    """The trigger's metric [milli] at this moment, what replaces it while it fails, or ``FAILED``.

    Args:
        sim: The run.
        ready: Ready pods.
        value: The metric, if the source answers.
    """
    drawn = chance(sim.draws.key, sim.autoscaler.queries, QUERY_FAILS)
    sim.autoscaler.queries += 1
    failed = drawn < sim.params.query_failure * CHANCE_ONE
    instead = keda.read_trigger(
        settings(sim),
        sim.keda_state,
        0,
        failed,
        sim.params.target_milli,
        sim.params.is_average == 1,
        int(sim.revision.replicas),
        ready,
    )
    if instead != keda.NO_FALLBACK:
        return int(instead)
    return FAILED if failed else in_milli(value)


def in_milli(value: float) -> int:
    """A value as KEDA hands it on: rounded, not cut as an adapter of metrics cuts it."""
    return round(value * 1000.0)


def on_poll(sim: Simulation) -> None:
    """Look at the trigger; again after the polling interval."""
    sim.schedule(sim.now_ns + sim.params.poll_ns, POLL, 0)
    if sim.params.autoscaler == of.KEDA_HTTP:
        act(sim, sim.autoscaler.reading > 0.0, False, sim.autoscaler.reading)
        return
    value = metrics.of_all(sim)
    value_milli = query(sim, int(sim.revision.ready_pods), value)
    in_force = keda.falls_back(settings(sim), sim.keda_state)
    failed = value_milli == FAILED
    above = not failed and value > sim.params.activation
    act(sim, in_force or above, failed, value_milli / 1000.0)


def act(sim: Simulation, active: bool, failed: bool, seen: float) -> None:
    """Wake the target, put it to rest, or leave it alone.

    Args:
        sim: The run.
        active: Whether the trigger is active.
        failed: Whether it has failed.
        seen: The metric.
    """
    # Whoever starts warm has had requests until now.
    if sim.params.start == of.WARM and sim.load_ns == FOREVER_NS:
        active = True
    now_ns = wall_ns(sim)
    count, reason, _ = keda.poll(settings(sim), sim.keda_state, now_ns, int(sim.revision.replicas), active, failed)
    if count == keda.NO_COUNT:
        return
    rule = rules.WAKES if reason == keda.SCALER_ACTIVE else rules.COOLED_DOWN
    autoscaler.record_decision(sim, 0.0 if failed else seen, int(count), rule)
    reconciler.scale(sim, int(count))
    keda.on_written(sim.keda_state, now_ns, reason)
