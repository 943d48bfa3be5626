"""The plumbing between Knative's parts: every delay that is neither a setting nor a property of the service.

Knative's documentation promises none of these times. The defaults are medians of runs of Knative's own binaries
on one machine, where marked, and engineering estimates for a cluster otherwise. All of them can be set in
`cluster.delays` of an experiment; none is anywhere else in the code.
"""

from __future__ import annotations

from kpasim.spec.base import Spec
from kpasim.spec.quantities import PositiveSeconds, Seconds


class Delays(Spec):
    """Delays of the cluster's plumbing."""

    tick_to_pod_s: Seconds = 0.003
    """Least time from an autoscaler's decision to the pod object: reconcile, scale patch, ReplicaSet. Source: measured,
    3 ms at p5 with an in-process API server; a real cluster takes 50 to 300 ms."""
    api_jitter_s: Seconds = 0.003
    """Median of what a reconcile takes beyond that; seldom many times as much. Source: measured, tick to pod object 6
    ms at the median, 24 ms at p90 and 59 ms at p95."""
    status_jitter_s: Seconds = 0.008
    """Median of the time from a change of replicas to the PodAutoscaler's status that shows it. Source: measured, 8 ms
    at the median after the first decision under load, 58 ms at p90."""
    clock_jitter_s: Seconds = 0.001
    """Median of how late ticks, scrapes and reports are; seldom many times as much, and clocks do not drift. Source:
    measured ticks, 1 ms at the median, 11 to 15 ms at p98 to p99, 87 ms at p99.9."""
    creation_to_ticks_s: Seconds = 0.05
    """From the creation of a revision to the beginning of its autoscaler's clock, which ticks every two seconds from
    then on. Source: measured, 50 ms at the median, 33 to 76 ms at p10 and p90."""
    creation_to_scrapes_s: Seconds = 0.07
    """From the creation of a revision to the beginning of its scraper's clock. Source: a few object writes after the
    ticks': measured, 12 to 29 ms later; in none of 35 measured runs did a scrape fall into the same wall-clock second
    as a tick and before it, which one in six would do if the two were independent."""
    creation_to_probes_s: Seconds = 0.035
    """From the creation of a revision to the beginning of the activator's clock of probes. Source: measured, the first
    request of a new pod reaches it 5 to 15 ms before the decider's phase, modulo 0.2 s."""
    client_to_front_s: Seconds = 0.003
    """Longest time from a client to the activator or the ingress; each request draws its own between zero and this, so
    requests sent at the same instant arrive in random order. Source: measured order of arrivals on one machine."""
    front_to_server_s: Seconds = 0.0005
    """From the activator or the ingress to the container. Source: measured on one machine; 1 to 3 ms across nodes."""
    server_to_client_s: Seconds = 0.0007
    """From the end of the container's work to the client. Source: measured, 0.67 ms, the median of the medians of 94
    runs (0.6 ms with hey as the client); half of it is the container's own."""
    hand_over_s: Seconds = 0.0015
    """From a request leaving a pod, as the activator sees it, to the start of the next waiting request on that pod.
    Source: measured on one machine."""
    queue_proxy_start_s: Seconds = 0.03
    """Median of the time from the start of a pod's containers to the beginning of queue-proxy's clock, which publishes
    its statistics every second from then on; seldom many times as much. Source: measured, 10 to 116 ms in the first
    reports of eight pods, 26 ms at the median."""
    wake_s: Seconds = 0.0002
    """Median of the time in which a waiting request notices that a slot is free; a request that arrives meanwhile takes
    it, and the other one waits again behind all that wait. Source: measured, where three or more waited a newcomer won
    6 of 416 slots in the runs on a quiet machine, and one in sixteen to one in three in six runs on a busy one; this
    gives 1.5 %."""
    first_stat_s: Seconds = 0.003
    """From the first request of an idle revision to the autoscaler's extra decision: the activator's immediate message
    over its websocket. Source: measured, a few milliseconds."""
    endpoints_to_activator_s: Seconds = 0.01
    """From a pod's address appearing or vanishing to the activator knowing it. Source: measured; up to 0.5 s on a busy
    cluster."""
    endpoints_to_ingress_s: Seconds = 0.05
    """From a pod becoming ready or being deleted to the ingress knowing it. Source: measured with a simple ingress;
    0.1 to 2 s on a cluster."""
    sks_switch_s: Seconds = 0.05
    """From the autoscaler's choice of mode to the ingress sending requests the new way. Source: measured with a simple
    ingress; 0.1 to 2 s on a cluster."""
    deletion_extra_s: Seconds = 0.008
    """From the end of a pod's drain to the pod being gone. Source: measured, deletion to gone 30.0 s for a drain of 30
    s."""
    probe_period_s: PositiveSeconds = 0.2
    """Period of the activator's probing of addresses that it has not verified. Source: Knative, cmd/activator/main.go
    and pkg/activator/net/revision_backends.go."""
    queue_proxy_poll_s: PositiveSeconds = 0.05
    """Period at which queue-proxy asks a starting container while a probe waits. Source: Knative,
    pkg/queue/readiness/probe.go."""
