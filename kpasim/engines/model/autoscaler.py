"""What the autoscaler hears and does: metrics come from activators and queue-proxies, decisions go to the reconciler.

How Knative's decides is not here: ``sim.observe``, ``sim.decide`` and ``sim.decides_after`` lead to ``kpa``, or to one
in a user's own Python. Autoscalers with clocks and a metric of their own are ``hpa``, ``keda`` ...
"""

from kpasim.engines import params as of
from kpasim.engines.clock import Kind
from kpasim.engines.draws import CHANCE_ONE, LATE_SCRAPE, SCRAPE_FAILS, SCRAPE_ORDER, chance
from kpasim.engines.model import ahead, hpa, keda, keda_http, kpa, queueproxy, ray_serve, reconciler, views
from kpasim.engines.model.clocks import due_after, note_clock, nth_due
from kpasim.engines.model.state import LATE_SCRAPES, MORE_TICKS, Simulation
from kpasim.engines.params import FOREVER_NS, SECOND_NS
from kpasim.policy import decider, scraping

POLL, TICK, SCRAPE = int(Kind.POLL), int(Kind.TICK), int(Kind.SCRAPE)
AWAY, BACK = 1, 2
"""Entities of the event ``POLL``: Knative's autoscaler ends, and is there again."""
RAY_SERVE = 4
CODES = {"hpa": of.HPA, "keda": of.KEDA, "keda-http": of.KEDA_HTTP, "ray-serve": RAY_SERVE}
"""``Params.autoscaler`` of each kind with clocks of its own; the other kinds are Knative's, with additions or without.
``set_up`` and ``on_poll`` lead to each."""


def set_up(sim: Simulation) -> None:
    """A new autoscaler begins its clocks."""
    kind = sim.params.autoscaler
    if kind == of.HPA:
        hpa.set_up(sim)
        hpa.set_up_metric(sim)
    elif kind == of.KEDA:
        hpa.set_up(sim)
        hpa.set_up_metric(sim)
        keda.set_up(sim)
    elif kind == of.KEDA_HTTP:
        hpa.set_up(sim)
        keda.set_up(sim)
        keda_http.set_up(sim)
    elif kind == RAY_SERVE:
        hpa.set_up_metric(sim)
        ray_serve.set_up(sim)
    else:
        if sim.params.looks_ahead:
            ahead.set_up(sim)
        begin(sim)


def begin(sim: Simulation) -> None:
    """Knative's autoscaler begins to decide on the revision, without a memory of it."""
    sim.autoscaler.desired, sim.autoscaler.excess = sim.start_autoscaler()
    # Without scraping every tick is valid, so the ticks begin with the revision.
    if not kpa.is_scraped(sim) or sim.params.looks_ahead:
        wake_tick(sim, sim.decides_after(sim.now_ns))


def next_restart(sim: Simulation) -> None:
    """Let Knative's autoscaler end when it restarts next; the load has a start."""
    place = sim.autoscaler.restarts
    if place < len(sim.params.restarts):
        sim.schedule(sim.load_ns + sim.params.restarts[place, of.AWAY_NS], POLL, AWAY)


def on_away(sim: Simulation) -> None:
    """Knative's autoscaler ends, and with it its clocks; nobody reconciles until the next one is there."""
    times_ns = sim.params.restarts[sim.autoscaler.restarts]
    sim.autoscaler.restarts += 1
    sim.autoscaler.back_ns = sim.load_ns + times_ns[of.BACK_NS]
    wake_tick(sim, FOREVER_NS)
    wake_scrape(sim, FOREVER_NS)
    sim.schedule(sim.autoscaler.back_ns, POLL, BACK)


def on_back(sim: Simulation) -> None:
    """The next one is there: it reconciles every PodAutoscaler, and knows nothing but their objects."""
    begin(sim)
    if sim.revision.ready_pods > 0:
        start_scraping(sim)
    reconciler.enqueue(sim)
    next_restart(sim)


def wake_tick(sim: Simulation, due_ns: int) -> None:
    """Let the decider tick at ``due_ns``, or sleep where that is ``FOREVER_NS``."""
    sim.autoscaler.next_tick_ns = due_ns
    note_clock(sim)
    sim.wake(due_ns, TICK, 0)


def wake_scrape(sim: Simulation, due_ns: int) -> None:
    """Let the scraper read at ``due_ns``, or sleep where that is ``FOREVER_NS``."""
    sim.autoscaler.next_scrape_ns = due_ns
    note_clock(sim)
    sim.wake(due_ns, SCRAPE, 0)


def scrape_due_after(sim: Simulation, time_ns: int) -> int:
    """When the scraper reads next after ``time_ns``."""
    return int(
        due_after(
            sim, LATE_SCRAPES, sim.draws.phase[of.SCRAPE], SECOND_NS, time_ns, LATE_SCRAPE, sim.params.clock_jitter_ns
        )
    )


def is_heard(sim: Simulation, index: int) -> bool:
    """Whether an activator is connected to the autoscaler."""
    silences = sim.params.silences
    for place in range(len(silences)):
        since_ns = sim.now_ns - sim.load_ns
        if silences[place, of.WHOSE] == -1 or silences[place, of.WHOSE] == index:
            if silences[place, of.FROM_NS] <= since_ns < silences[place, of.UNTIL_NS]:
                return False
    return True


def on_activator_stat(sim: Simulation, index: int, concurrency: float, count: float, poked: bool) -> None:
    """A message from an activator; ``poked`` if it is an immediate one."""
    if sim.params.autoscaler != of.KPA or not is_heard(sim, index):
        return
    sim.observe(concurrency, count)
    if sim.autoscaler.next_tick_ns == FOREVER_NS:
        # A tick of this very moment is over when the message is an immediate one.
        wake_tick(sim, sim.decides_after(sim.now_ns if poked else sim.now_ns - 1))
    if decider.pokes(sim.autoscaler.desired, concurrency):
        decide(sim, 1)


def start_scraping(sim: Simulation) -> None:
    """There is something to scrape."""
    if sim.params.autoscaler != of.KPA or sim.now_ns < sim.autoscaler.back_ns:
        return
    if kpa.is_scraped(sim) and sim.autoscaler.next_scrape_ns == FOREVER_NS:
        wake_scrape(sim, scrape_due_after(sim, sim.now_ns))


def on_scrape(sim: Simulation) -> None:
    """Read the queue-proxies of a sample of pods, or the metric of another autoscaler."""
    if sim.params.autoscaler != of.KPA:
        hpa.on_scrape(sim)
        return
    now = sim.now_ns
    count = sim.revision.ready_pods
    if count == 0:
        wake_scrape(sim, FOREVER_NS)
        return
    # The clock is due now, so the next time is one more; a constant period spares a division.
    nth = (now - sim.draws.phase[of.SCRAPE]) // SECOND_NS + 1
    jitter_ns = sim.params.clock_jitter_ns
    wake_scrape(sim, nth_due(sim, LATE_SCRAPES, nth, sim.draws.phase[of.SCRAPE], SECOND_NS, LATE_SCRAPE, jitter_ns))
    concurrency, requests = 0.0, 0.0
    # Pods without direct requests report zeros. An arrival still to come at this moment must find its pod read, though.
    quiet = sim.is_quiet_now() and sim.ingress.direct_inside == 0 and sim.ingress.direct_last_ns < now - 3 * SECOND_NS
    if not quiet or sim.params.scrape_failure > 0.0:
        found, concurrency, requests = read_pods(sim, count)
        if not found:
            return
    sim.observe(concurrency, requests)
    if sim.autoscaler.next_tick_ns == FOREVER_NS:
        wake_tick(sim, sim.decides_after(now - 1))


def read_pods(sim: Simulation, count: int) -> tuple[bool, float, float]:
    """Whether enough pods answered; concurrency and requests of the whole revision that came past the activators."""
    now = sim.now_ns
    nth = (now - sim.draws.phase[of.SCRAPE]) // SECOND_NS
    ready = sim.scratch
    place = 0
    for index in range(views.alive(sim)):
        which = sim.alive_pods[index]
        if not sim.readable[which]:
            continue
        if sim.params.scrape_failure > 0.0:
            drawn = chance(sim.draws.key, nth, SCRAPE_FAILS + sim.numbers[which])
            if drawn < sim.params.scrape_failure * CHANCE_ONE:
                continue
        ready[place] = which
        sim.chosen[place] = SCRAPE_ORDER + sim.numbers[which]
        place += 1
    sample = scraping.sample_size(float(count))
    wanted = int(sample)
    chosen = sim.chosen
    key, keys = sim.draws.key, sim.keys
    # Loops of their own, which the compiler turns into steps that take several numbers at once.
    for index in range(place):
        chosen[index] = chance(key, nth, chosen[index])
    for index in range(place):
        keys[index] = chosen[index] / CHANCE_ONE
    window_ns = sim.params.stable_window_s * SECOND_NS
    found = scraping.choose_pods(ready, place, sim.started, sim.readable, sim.keys, now, window_ns, wanted, chosen)
    if found < wanted:
        return False, 0.0, 0.0
    for place in range(found):
        queueproxy.publish_stats(sim, chosen[place], now + 1)
    concurrency, proxied, arrivals, proxied_arrivals = scraping.combine(
        sim.published, chosen, found, sample, float(count)
    )
    return True, scraping.net(concurrency, proxied), scraping.net(arrivals, proxied_arrivals)


def on_tick(sim: Simulation) -> None:
    """A tick of the autoscaler's own clock."""
    if sim.params.autoscaler != of.KPA:
        hpa.on_tick(sim)
    elif decide(sim, 0):
        wake_tick(sim, sim.decides_after(sim.now_ns))
    else:
        wake_tick(sim, FOREVER_NS)


def on_poll(sim: Simulation, entity: int) -> None:
    """Another clock of an autoscaler."""
    kind = sim.params.autoscaler
    if kind == of.KPA and entity == AWAY:
        on_away(sim)
    elif kind == of.KPA and entity == BACK:
        on_back(sim)
    elif kind == of.KPA:
        reconciler.enqueue(sim)
        ahead.next_boundary(sim)
    elif kind == RAY_SERVE:
        ray_serve.on_poll(sim)
    elif entity == keda_http.READ:
        keda_http.on_read(sim)
    elif entity == keda_http.STREAM:
        keda_http.on_stream(sim)
    else:
        keda.on_poll(sim)


def decide(sim: Simulation, poked: int) -> bool:
    """Decide, unless there is no data; whether there was."""
    decision = sim.decide(reconciler.reachable(sim))
    if not decision.is_valid:
        return False
    if not sim.recorder.statistics_only:
        record(sim, decision, poked)
    changed = decider.needs_reconcile(sim.autoscaler.desired, sim.autoscaler.excess, decision.desired, decision.excess)
    sim.autoscaler.desired = decision.desired
    sim.autoscaler.excess = decision.excess
    if changed:
        reconciler.enqueue(sim)
    return True


def record_decision(sim: Simulation, seen: float, desired: int, rule: int) -> None:
    """Keep a decision of another autoscaler than Knative's.

    Args:
        sim: The run.
        seen: The metric, of all pods together.
        desired: Pods asked for.
        rule: Code of what limited the decision, see ``rules``.
    """
    if not sim.recorder.statistics_only:
        record(sim, kpa.Decision(True, desired, 0.0, seen, seen, rule, False), 0)


def record(sim: Simulation, decision: kpa.Decision, poked: int) -> None:
    """Keep a decision in the table of ticks."""
    if sim.recorder.ticks >= sim.recorder.tick_rows:
        sim.fault = MORE_TICKS
        return
    row = sim.ticks[sim.recorder.ticks]
    sim.recorder.ticks += 1
    row.t_ns = sim.now_ns
    row.stable = decision.stable
    row.panic = decision.panic
    row.ready_pods = sim.revision.ready_pods
    row.desired = decision.desired
    row.rule = decision.rule
    row.panic_mode = 1 if decision.is_panicking else 0
    row.poked = poked
