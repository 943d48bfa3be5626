"""Knative's own autoscaler: two windows over the metric, and a decider that ticks every two seconds.

An autoscaler has four functions: ``start`` it, let it ``observe``, let it ``decide``, ask when it decides again
(``decides_after``). Another one has the same four; ``reference.Autoscaler`` is for one in a user's own Python.
"""

from typing import Any, NamedTuple

from kpasim.engines import params as of
from kpasim.engines.draws import LATE_TICK
from kpasim.engines.model import ahead
from kpasim.engines.model.clocks import due_after, wall_ns
from kpasim.engines.model.state import LATE_TICKS, Simulation
from kpasim.engines.params import SECOND_NS, TICK_NS
from kpasim.policy import burst, decider, delay, rules, scaler, spare, windows


class Decision(NamedTuple):
    """What an autoscaler decided, and why.

    Attributes:
        is_valid: Whether there was anything to decide on; nothing else counts if not.
        desired: Pods wanted.
        excess: Excess burst capacity.
        stable: Average over the stable window.
        panic: Average over the panic window.
        rule: What limited the decision, see ``decider.RULES``.
        is_panicking: Whether it only scales up.
    """

    is_valid: bool
    desired: int
    excess: float
    stable: float
    panic: float
    rule: int
    is_panicking: bool


def start(sim: Simulation) -> tuple[int, float]:
    """Begin without a memory; pods wanted and excess burst capacity before the first decision."""
    windows.clear(stable_ring(sim))
    windows.clear(panic_ring(sim))
    delay.clear(sim.delay_slots)
    decider.start(sim.panicking, wall_ns(sim), sim.revision.ready_pods)
    return decider.initial_status(limits(sim.params, 1), sim.params.initial_scale)


def observe(sim: Simulation, concurrency: float, requests: float) -> None:
    """Take a value of the last second into both windows: concurrency, or requests where that is the metric."""
    value = requests if sim.params.metric_rps else concurrency
    second = wall_ns(sim) // SECOND_NS
    windows.record(stable_ring(sim), second, value)
    windows.record(panic_ring(sim), second, value)


def decide(sim: Simulation, reachable: int) -> Decision:
    """Decide on the pods of a revision that is ``reachable`` or not."""
    second = wall_ns(sim) // SECOND_NS
    ring = stable_ring(sim)
    if windows.no_data(ring, second, is_scraped(sim)):
        if sim.params.looks_ahead:
            forecast = ahead.desired(sim, 0, 0.0)
            return Decision(True, forecast, sim.autoscaler.excess, 0.0, 0.0, rules.FORECAST, False)
        return Decision(False, 0, 0.0, 0.0, 0.0, 0, False)
    stable = windows.average(ring, second, sim.params.weight_stable)
    panic = windows.average(panic_ring(sim), second, sim.params.weight_panic)
    ready = spare.without(sim.revision.ready_pods, sim.params.spare)
    desired, excess, _, _, rule = decider.tick(
        limits(sim.params, reachable), sim.panicking, sim.delay_slots, wall_ns(sim), ready, stable, panic
    )
    if sim.params.spare:
        excess = burst.excess_burst_capacity(
            sim.revision.ready_pods, sim.params.total_value, sim.params.target_burst_capacity, panic
        )
    is_panicking = sim.panicking[decider.PANIC_SINCE_NS] != decider.NEVER_NS
    desired = spare.desired(desired, sim.params.spare)
    if sim.params.looks_ahead:
        forecast = ahead.desired(sim, desired, panic)
        if forecast > desired:
            desired, rule = forecast, rules.FORECAST
    return Decision(True, desired, excess, stable, panic, rule, is_panicking)


def decides_after(sim: Simulation, time_ns: int) -> int:
    """When it decides next after ``time_ns``."""
    phase_ns, jitter_ns = sim.draws.phase[of.TICK], sim.params.clock_jitter_ns
    return int(due_after(sim, LATE_TICKS, phase_ns, TICK_NS, time_ns, LATE_TICK, jitter_ns))


def is_scraped(sim: Simulation) -> bool:
    """Whether pods are scraped at all."""
    return bool(sim.params.target_burst_capacity != -1.0)


def limits(params: Any, reachable: int) -> decider.Limits:
    """The decider's settings of a reachable revision or another; ``params`` has what ``lower.of_revision`` gives."""
    return decider.Limits(
        max_scale_up_rate=params.max_scale_up_rate,
        max_scale_down_rate=params.max_scale_down_rate,
        target_value=params.target_value,
        total_value=params.total_value,
        target_burst_capacity=params.target_burst_capacity,
        panic_threshold=params.panic_threshold,
        stable_window_ns=params.stable_window_s * SECOND_NS,
        activation_scale=params.activation_scale,
        reachable=reachable,
    )


def rules_of(params: Any, least: int, most: int, reachable: int) -> scaler.Rules:
    """The scaler's settings, likewise; ``least`` and ``most`` (0 for none) bound the pods for now."""
    return scaler.Rules(
        min_scale=least,
        max_scale=most,
        initial_scale=params.initial_scale,
        reachable=reachable,
        enable_scale_to_zero=params.enable_scale_to_zero,
        target_burst_capacity=params.target_burst_capacity,
        stable_window_ns=params.stable_window_s * SECOND_NS,
        grace_ns=params.grace_ns,
        retention_ns=params.retention_ns,
        activation_timeout_ns=params.progress_deadline_ns + scaler.ACTIVATION_TIMEOUT_BUFFER_NS,
    )


def stable_ring(sim: Simulation) -> windows.Ring:
    """The stable window."""
    return windows.Ring(sim.stable_buckets, sim.spans[0], sim.totals[0], float(sim.params.stable_window_s))


def panic_ring(sim: Simulation) -> windows.Ring:
    """The panic window."""
    return windows.Ring(sim.panic_buckets, sim.spans[1], sim.totals[1], float(sim.params.panic_window_s))
