"""KEDA's HTTP add-on: its scaler reads the interceptor, tells KEDA whether there is work, and feeds the HPA."""

import math

from kpasim.engines import params as of
from kpasim.engines.clock import Kind
from kpasim.engines.model import keda, metrics
from kpasim.engines.model.clocks import poll_share, scrape_share, wall_ns
from kpasim.engines.model.state import Simulation
from kpasim.policy import keda_http

POLL = int(Kind.POLL)
READ, STREAM = 1, 2
"""Entities of the event ``POLL``: the scaler reads the interceptor, and tells KEDA."""
MS_NS = 1_000_000


def ring(sim: Simulation) -> keda_http.Ring:
    """Requests of the latest window."""
    window_ms, step_ms = sim.params.ring_window_ms, sim.params.ring_step_ms
    return keda_http.Ring(sim.ring, sim.ring_span, sim.ring_total, window_ms, step_ms)


def set_up(sim: Simulation) -> None:
    """The scaler knows nothing yet; its readings and messages begin at phases of their own."""
    sim.ring_span[0] = sim.ring_span[1] = keda_http.NEVER_MS
    sim.memory[0, 0] = sim.memory[0, 1] = keda_http.UNKNOWN
    sim.found_interceptor[0] = keda_http.COUNTED
    sim.schedule(sim.now_ns + int(scrape_share(sim) * sim.params.queue_tick_ns), POLL, READ)
    sim.schedule(sim.now_ns + int(poll_share(sim) * sim.params.stream_ns), POLL, STREAM)


def on_read(sim: Simulation) -> None:
    """Read the interceptor: requests that it holds or has with a pod, and all that ever reached it."""
    sim.interceptor[0, keda_http.IN_FLIGHT] = metrics.in_flight(sim)
    sim.interceptor[0, keda_http.EVER] = sim.ingress.age_tail
    now_ms = wall_ns(sim) // MS_NS
    _, concurrency, rate = keda_http.read(ring(sim), sim.memory, sim.found_interceptor, sim.interceptor, now_ms)
    if sim.params.metric == of.CONCURRENCY:
        sim.autoscaler.reading = float(concurrency)
    else:  # an HTTPScaledObject reports whole numbers
        sim.autoscaler.reading = rate if sim.params.exact_rate else float(math.ceil(rate))
    sim.schedule(sim.now_ns + sim.params.queue_tick_ns, POLL, READ)


def on_stream(sim: Simulation) -> None:
    """Tell KEDA whether there is work."""
    keda.act(sim, sim.autoscaler.reading > 0.0, False, sim.autoscaler.reading)
    sim.schedule(sim.now_ns + sim.params.stream_ns, POLL, STREAM)
