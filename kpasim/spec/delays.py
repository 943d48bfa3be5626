"""The plumbing between Knative's parts: every delay that is neither a setting nor a property of the service.

Knative's documentation promises none of these times. What is called measured was so in runs of Knative's own binaries
on one machine, and `python benchmarks/delays.py` counts it in them: defaults with that source are medians or near them.
Others are Knative's own or engineering estimates, with what was measured of them, if anything. All of them can be set
in `cluster.delays` of an experiment; none is anywhere else in the code.
"""

from kpasim.spec.base import Spec
from kpasim.spec.quantities import PositiveSeconds, Seconds


class Delays(Spec):
    """Delays between the cluster's components."""

    tick_to_pod_s: Seconds = 0.003
    """Minimum time from an autoscaler's decision to the pod object: reconcile, scale patch, ReplicaSet. Source:
    measured, 3 ms at p5 of 563 pods, with an in-process API server; a real cluster is thought to take 50 to 300 ms."""
    api_jitter_s: Seconds = 0.003
    """Median of what a reconcile takes beyond that; seldom many times as much. Source: measured, decision to pod object
    6 ms at the median, 20 ms at p90 and 42 ms at p95 of 563 pods."""
    status_jitter_s: Seconds = 0.008
    """Median of the time from a change of replicas to the PodAutoscaler's status that shows it. Source: measured, 9 ms
    at the median and 39 ms at p90 of 699 changes since the load began."""
    clock_jitter_s: Seconds = 0.001
    """Median of how late ticks, scrapes and reports are; seldom many times as much, and clocks do not drift. Source:
    measured, 1 ms at the median, 11 ms at p98, 14 ms at p99 and 58 ms at p99.9 of 11,021 ticks."""
    creation_to_ticks_s: Seconds = 0.05
    """From the creation of a revision to the beginning of its autoscaler's clock, which ticks every two seconds from
    then on; drawn between half as much and half as much again, like the next two. Source: measured, 54 ms at the
    median, 34 ms at p10 and 77 ms at p90 of 94 runs."""
    creation_to_scrapes_s: Seconds = 0.07
    """From the creation of a revision to the beginning of its scraper's clock. Source: estimate, a few object writes
    after the ticks'."""
    creation_to_probes_s: Seconds = 0.035
    """From the creation of a revision to the beginning of the activator's clock of probes. Source: estimate, less than
    measured to the first request of a pod that is not Ready, which its probe precedes: 46 ms at the median of 330 pods,
    half of them between 17 ms before and 7 ms after the autoscaler's phase, modulo 0.2 s."""
    client_to_front_s: Seconds = 0.003
    """Longest time from a client to the activator or the ingress; each request draws its own between zero and this, so
    requests sent at the same instant arrive in random order. Source: estimate. Of the first requests of hey's five
    clients, of 498 pairs sent 0.4 ms apart at the median 209 were served in reverse, where this makes 172."""
    front_to_server_s: Seconds = 0.0005
    """From the activator or the ingress to the container. Source: estimate, 1 to 3 ms across nodes; measured, 1.0 ms
    from client to container at the median of 3,929 requests of open loops."""
    server_to_client_s: Seconds = 0.0007
    """From the end of the container's work to the client. Source: measured, 0.7 ms, the median of the medians of 94
    runs: 1.6 ms in 23 by an open loop, 0.6 ms in 71 by hey, of which 71 have their clocks set so that half of the
    responses arrive before they leave. The round trip is better known: the three together make 2.7 ms there and back,
    measured 2.8 ms at the median of 35,621 requests that waited nowhere."""
    hand_over_s: Seconds = 0.0015
    """From a request leaving a pod, as the activator sees it, to the start of the next waiting request on that pod.
    Source: measured, 1.6 ms at the median and 5.2 ms at p95 of 1,155 slots."""
    queue_proxy_start_s: Seconds = 0.03
    """Median of the time from the start of a pod's containers to the beginning of queue-proxy's clock, which publishes
    its statistics every second from then on; seldom many times as much. Source: estimate."""
    wake_s: Seconds = 0.0002
    """Median of the time in which a waiting request notices that a slot is free; a request that arrives meanwhile takes
    it, and the other one waits again behind all that wait. Source: estimate for a quiet machine; measured, where three
    or more waited newcomers won 6 of 928 slots in 72 runs, and 80 of 435 in 5 on a busy machine."""
    first_stat_s: Seconds = 0.003
    """From the first request of an idle revision to the autoscaler's extra decision: the activator's immediate message
    over its websocket. Source: measured, 2.8 ms at the median and 9.7 ms at p90 of 73 runs, with the way from the
    client."""
    endpoints_to_activator_s: Seconds = 0.01
    """From a pod's address appearing or vanishing to the activator knowing it. Source: estimate; up to 0.5 s on a busy
    cluster."""
    endpoints_to_ingress_s: Seconds = 0.05
    """From a pod becoming ready or being deleted to the ingress knowing it. Source: estimate for a simple ingress; 0.1
    to 2 s on a cluster. Measured, the soonest of 59 new pods got its first request 66 ms after it was ready."""
    sks_switch_s: Seconds = 0.05
    """From the autoscaler's choice of mode to the ingress sending requests the new way. Source: estimate for a simple
    ingress; 0.1 to 2 s on a cluster."""
    deletion_extra_s: Seconds = 0.008
    """From the end of a pod's drain to the pod being gone. Source: measured, 10 ms at the median, 5 ms at p5 and 32 ms
    at p90 of 620 pods that had nothing to do."""
    probe_period_s: PositiveSeconds = 0.2
    """Period of the activator's probing of addresses that it has not verified. Source: Knative, cmd/activator/main.go
    and pkg/activator/net/revision_backends.go."""
    queue_proxy_poll_s: PositiveSeconds = 0.05
    """Period at which queue-proxy asks a starting container while a probe waits. Source: Knative,
    pkg/queue/readiness/probe.go."""

    @property
    def path_s(self) -> float:
        """Mean time that a request spends outside its pod where it waits for nothing, there and back [s]."""
        return self.client_to_front_s / 2.0 + self.front_to_server_s + self.server_to_client_s
