"""The life of a pod in numbers: readiness probes, shared work, who goes first in a scale-down, drain.

The functions here have no state; engines call them with times in integer nanoseconds.
"""

import math

from kpasim.arrays import Floats

QUIET_NS = 30_000_000_000
"""Queue-proxy waits this long without a new request before it stops (knative/serving, pkg/queue/sharedmain/main.go,
``drainSleepDuration``)."""
WITHOUT_NODE, PENDING, RUNNING = 0, 1, 2
"""How far a pod has come, as its phase and its node tell."""
MAX_BACK_OFF_NS = 300_000_000_000
"""Longest wait before a crashed container is started again."""


def kubelet_sees(
    open_ns: int,
    containers_ns: int,
    initial_delay_ns: int,
    phase_ns: int,
    period_ns: int,
    timeout_ns: int,
    successes: int,
    aggressive: int,
    poll_ns: int,
) -> int:
    """Time [ns] at which Kubernetes has seen a container that answers from ``open_ns`` on succeed often enough.

    Probes start at ``containers_ns + initial_delay_ns + phase_ns``, the phase in [0, period), and repeat every
    ``period_ns`` (10 s where the manifest gives none). Without a period of its own the manifest gets Knative's
    aggressive probing: queue-proxy polls the container every ``poll_ns`` while the kubelet waits, so a probe that began
    up to ``timeout_ns`` before the container answers succeeds as well. Both count successes of their own.

    Source: knative/serving, pkg/queue/readiness/probe.go, ``wrappedProbe.doProbe``; Kubernetes' prober for the period.
    """
    first = containers_ns + initial_delay_ns + phase_ns
    if aggressive:
        # A probe that waits is answered at queue-proxy's next poll after the container opened.
        answered = open_ns + (poll_ns - (open_ns - first) % poll_ns) % poll_ns + (successes - 1) * poll_ns
        begun = first
        if answered > first:
            begun = first + (answered - first) // period_ns * period_ns
        if answered - begun > timeout_ns:
            begun += period_ns
        if answered <= begun or successes > 1:
            return begun + (successes - 1) * period_ns
        return answered
    seen = first
    if open_ns > first:
        seen = first + -((first - open_ns) // period_ns) * period_ns
    return seen + (successes - 1) * period_ns


def startup_sees(
    open_ns: int, began_ns: int, initial_delay_ns: int, phase_ns: int, period_ns: int, failures: int
) -> int:
    """When the kubelet's startup probe finds a container that answers from ``open_ns`` on [ns]; -1 if never.

    A pod is not ready before that, and after so many failed probes its container is killed and started again. Probes
    begin at ``began_ns + initial_delay_ns + phase_ns``, the phase in [0, period), 10 s where the manifest gives none.

    Source: Kubernetes, pkg/kubelet/prober/worker.go, ``doProbe``.
    """
    first = began_ns + initial_delay_ns + phase_ns
    failed = max(0, -((first - open_ns) // period_ns))
    if failed >= failures:
        return -1
    return first + failed * period_ns


def activator_finds(
    open_ns: int,
    known_ns: int,
    phase_ns: int,
    period_ns: int,
    aggressive: int,
    poll_ns: int,
    poll_phase_ns: int,
    successes: int,
) -> int:
    """When an activator's probe finds a pod that answers from ``open_ns`` on [ns].

    A probe follows at once when the pod's address reaches the activator, at ``known_ns``; then its ticker for this
    revision has a period (200 ms) and a phase. Where queue-proxy is ``aggressive`` it holds a probe open and polls the
    container itself, with a period and a phase of its own, until its successes are reached.

    Source: knative/serving, pkg/activator/net/revision_backends.go, ``revisionWatcher.run``;
    pkg/queue/readiness/probe.go for the poll.
    """
    more_ns = (successes - 1) * poll_ns if aggressive else 0
    if open_ns <= known_ns:
        return known_ns + more_ns
    if aggressive:
        return open_ns + (poll_phase_ns - open_ns) % poll_ns + more_ns
    return open_ns + (phase_ns - open_ns) % period_ns


def equally_old(age_a_ns: int, age_b_ns: int) -> bool:
    """Whether two ages lie between the same powers of two of nanoseconds; all that are not positive are equal."""
    a = max(age_a_ns, 0)
    b = max(age_b_ns, 0)
    # The highest bit of both is the same just when it is no difference of theirs.
    return a ^ b <= a & b


def goes_first(
    phase_a: int, ready_a: int, ready_since_a: int, pods_on_node_a: int, restarts_a: int, uid_a: int, created_a: int,
    phase_b: int, ready_b: int, ready_since_b: int, pods_on_node_b: int, restarts_b: int, uid_b: int, created_b: int,
    now_ns: int,
) -> bool:  # fmt: skip
    """Whether a scale-down removes pod a before pod b.

    The ReplicaSet controller prefers, in this order: a pod without a node; one that is Pending; one that is not ready;
    one with more pods of the same owner on its node; one that has been ready for a shorter time, compared on a
    logarithmic scale with the pods' random UIDs deciding within one power of two; one that was restarted more often;
    the one created later.

    Of each pod: its phase (`WITHOUT_NODE`, `PENDING` or `RUNNING`), 1 if it is ready, since when [ns], pods of its
    revision on its node, restarts of its container, its random identity, its time of creation [ns].

    Source: Kubernetes, pkg/controller/controller_utils.go, ``ActivePodsWithRanks``.
    """
    if phase_a != phase_b:
        return phase_a < phase_b
    if ready_a != ready_b:
        return ready_a < ready_b
    if pods_on_node_a != pods_on_node_b:
        return pods_on_node_a > pods_on_node_b
    if ready_a and ready_since_a != ready_since_b:
        if not equally_old(now_ns - ready_since_a, now_ns - ready_since_b):
            return ready_since_a > ready_since_b
        return uid_a < uid_b
    if restarts_a != restarts_b:
        return restarts_a > restarts_b
    if not equally_old(now_ns - created_a, now_ns - created_b):
        return created_a > created_b
    return uid_a < uid_b


def phase_of(has_node: bool, has_containers: bool) -> int:
    """How far a pod has come: it is Pending until its containers run."""
    if not has_node:
        return WITHOUT_NODE
    return RUNNING if has_containers else PENDING


def rank(phase: int, ready: int, pods_on_node: int, restarts: int, age_ns: int) -> int:
    """What ``goes_first`` compares before it comes to the pods' random UIDs, as one number: the lower goes first.

    Restarts of a ready pod do not count unless two became ready at the same moment: give 0. ``age_ns`` is how long it
    has been ready, or else has existed.
    """
    width = 0
    age = max(age_ns, 0)
    for bits in (32, 16, 8, 4, 2, 1):
        if age >> bits:
            age >>= bits
            width += bits
    width += 1 if age else 0
    order = (phase << 1) | ready
    order = (order << 22) | ((1 << 22) - 1 - pods_on_node)
    order = (order << 30) | ((1 << 30) - 1 - restarts)
    return (order << 7) | width


def slowdown(table: Floats, sharing: int) -> float:
    """How many times longer work takes while ``sharing`` requests share the GPU.

    Beyond the table the last step is continued as a straight line; with one entry, in proportion.
    """
    size = len(table)
    if sharing <= size:
        return float(table[max(sharing, 1) - 1])
    step = table[size - 1] - table[size - 2] if size > 1 else table[0]
    return float(table[size - 1] + step * (sharing - size))


def work_done(elapsed_ns: int, slow: float) -> int:
    """Work [ns at full speed] that a request gets done in ``elapsed_ns`` while slowed down ``slow`` times."""
    return int(elapsed_ns / slow)


def work_takes(left_ns: int, slow: float) -> int:
    """Time [ns] that the work left takes while slowed down ``slow`` times."""
    return math.ceil(left_ns * slow)


def back_off(first_ns: int, attempt: int) -> int:
    """How long Kubernetes waits before it starts a crashed container again.

    Not at all the first time, then ``first_ns``, doubled each time, at most 5 minutes.

    Source: Kubernetes, pkg/kubelet/kuberuntime/kuberuntime_manager.go, ``doBackOff``; pkg/kubelet/kubelet.go,
        ``MaxContainerBackOff``; the first wait is 10 s.
    """
    if attempt == 0:
        return 0
    return min(first_ns << min(attempt - 1, 10), MAX_BACK_OFF_NS)


def quiet_until(asked_to_go_ns: int, last_arrival_ns: int) -> int:
    """When a draining queue-proxy has seen no new request for long enough to stop."""
    return max(asked_to_go_ns, last_arrival_ns) + QUIET_NS
