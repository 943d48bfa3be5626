"""The events of a run, each handled by one function over one state. Executors call these, in ``clock.Kind``'s order.

| event | handled by |
| --- | --- |
| DONE | ``queueproxy.on_complete``: a container has finished a request |
| FIRST_BYTE | ``ingress.on_first_byte_due``: a response must have begun |
| TIMEOUT | ``ingress.on_timeout``: timeoutSeconds are over |
| GIVE_UP | ``clients.on_give_up``: a client's own patience is over |
| SEND | ``clients.send_open``, ``clients.send_closed`` |
| ARRIVE | ``ingress.on_request``: a request reaches the gateway |
| WAKE | ``activator.on_awake``: a woken request takes its slot |
| REPORT | ``activator.on_report``: an activator reports its statistics |
| SCRAPE | ``autoscaler.on_scrape``: the queue-proxies are read |
| POLL | ``autoscaler.on_poll``: another clock of an autoscaler |
| TICK | ``autoscaler.on_tick``: the autoscaler decides |
| POKE | ``autoscaler.on_activator_stat``: an activator's immediate message |
| RECONCILE | ``reconciler.on_reconcile_due``: the PodAutoscaler |
| ROLLOUT | ``reconciler.on_rollout``: the Deployment |
| SKS | ``reconciler.on_sks_due``: the ServerlessService |
| MODE | ``ingress.on_mode``: the gateway sees the public endpoints |
| NODE | ``cluster.on_node_due``: a node is ready, or leaves |
| STAGE | ``cluster.on_stage_done``: a stage of a start ends |
| FOUND | ``activator.on_probe_success``: an activator's probe succeeds |
| READY | ``kubelet.on_ready``: Kubernetes calls a pod ready |
| VISIBLE | ``ingress.show``, ``ingress.hide``: the gateway sees that a pod came or went |
| FORGET | ``activator.on_pod_left``: the activators drop a pod |
| DRAIN | ``kubelet.on_drain``: a step of a pod's end |
| KILL | ``kubelet.on_grace_period_over`` |
| LOAD | ``clients.start_load``: the load begins; ``reconciler.start_load_at``: its latest moment is there |
| END | ``clients.on_end``: the horizon, or the time to look whether the run may end |
"""

from kpasim.engines.clock import Kind
from kpasim.engines.model import activator, autoscaler, clients, cluster, ingress, kubelet, queueproxy, reconciler
from kpasim.engines.model.state import MORE_DRAWS, Simulation
from kpasim.engines.params import NEVER_NS
from kpasim.policy import accounting

(
    DONE, FIRST_BYTE, TIMEOUT, GIVE_UP, SEND, ARRIVE, WAKE, REPORT, SCRAPE, POLL, TICK, POKE, RECONCILE, ROLLOUT, SKS,
    MODE, NODE, STAGE, FOUND, READY, VISIBLE, FORGET, DRAIN, KILL, LOAD, END,
) = (int(kind) for kind in Kind)  # fmt: skip


def begin(sim: Simulation) -> None:
    """The revision is created, and with it everything that follows."""
    reconciler.create_revision(sim)


def handle(sim: Simulation, kind: int, entity: int) -> None:
    """Handle an event that was scheduled."""
    if kind == DONE:
        # Its row may belong to a later request by now.
        if entity + sim.clients.rows >= sim.clients.sent:
            queueproxy.on_complete(sim, entity)
    elif kind == ARRIVE:
        ingress.on_request(sim, entity)
    elif kind == SEND:
        clients.send_closed(sim, entity)
    elif kind == WAKE:
        activator.on_awake(sim, entity // sim.params.activators, entity % sim.params.activators)
    elif kind == POKE:
        autoscaler.on_activator_stat(sim, entity, 1.0, 1.0, True)
    elif kind == FIRST_BYTE:
        ingress.on_first_byte_due(sim, entity)
    elif kind == RECONCILE:
        reconciler.on_reconcile_due(sim, entity)
    elif kind == ROLLOUT:
        reconciler.on_rollout(sim)
    elif kind == STAGE:
        cluster.on_stage_done(sim, entity)
    elif kind == FOUND:
        activator.on_probe_success(sim, entity // sim.params.activators, entity % sim.params.activators)
    elif kind == READY:
        kubelet.on_ready(sim, entity)
    elif kind == DRAIN:
        kubelet.on_drain(sim, entity)
    elif kind == FORGET:
        activator.on_pod_left(sim, entity)
    else:
        handle_rare(sim, kind, entity)


def handle_rare(sim: Simulation, kind: int, entity: int) -> None:
    """Handle an event of a kind that seldom comes."""
    if kind == VISIBLE:
        if entity & 1:
            ingress.show(sim, entity >> 1)
        else:
            ingress.hide(sim, entity >> 1)
    elif kind == SKS:
        reconciler.on_sks_due(sim)
    elif kind == MODE:
        ingress.on_mode(sim, entity)
    elif kind == POLL:
        autoscaler.on_poll(sim, entity)
    elif kind == NODE:
        cluster.on_node_due(sim, entity)
    elif kind == KILL:
        kubelet.on_grace_period_over(sim, entity)
    elif kind == LOAD and entity == 0:
        clients.start_load(sim)
    elif kind == LOAD:
        reconciler.start_load_at(sim, sim.now_ns)
    elif kind == END:
        clients.on_end(sim)
    elif kind == TIMEOUT and sim.ingress.next_timeout_ns == sim.now_ns:
        ingress.on_timeout(sim)
    elif kind == GIVE_UP and sim.clients.next_give_up_ns == sim.now_ns:
        clients.on_give_up(sim)


def handle_clock(sim: Simulation, kind: int, entity: int) -> None:
    """Handle an event of a clock that is kept in the state; see ``clock_due``."""
    if kind == SEND:
        clients.send_open(sim)
    elif kind == REPORT:
        activator.on_report(sim, entity)
    elif kind == SCRAPE:
        autoscaler.on_scrape(sim)
    elif kind == TICK:
        autoscaler.on_tick(sim)
    elif kind == TIMEOUT:
        ingress.on_timeout(sim)
    else:
        clients.on_give_up(sim)


def clock_due(sim: Simulation, kind: int, entity: int) -> int:
    """When a clock is due next, ``FOREVER_NS`` while it sleeps."""
    if kind == SEND:
        return int(sim.clients.next_send_ns)
    if kind == REPORT:
        return int(sim.activators[entity].next_report_ns)
    if kind == SCRAPE:
        return int(sim.autoscaler.next_scrape_ns)
    if kind == TICK:
        return int(sim.autoscaler.next_tick_ns)
    if kind == TIMEOUT:
        return int(sim.ingress.next_timeout_ns)
    return int(sim.clients.next_give_up_ns)


def finish(sim: Simulation) -> int:
    """Close the books at the end of a run; the integral of concurrency that the statistics kept [request-ns]."""
    if sim.fault == MORE_DRAWS:
        return 0
    clients.cut_off(sim)
    total = 0
    for index in range(sim.params.activators + sim.revision.pods):
        total += accounting.lifetime_integral(sim.stats[index], sim.now_ns)
    for which in range(sim.revision.pods):
        sim.pods[which].busy_ns = queueproxy.busy_at(sim, which, sim.now_ns)
        sim.pods[which].busy_since_ns = NEVER_NS
    if sim.finished:
        sim.end_ns = sim.now_ns
    return int(total)
