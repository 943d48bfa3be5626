"""The policy decides what the code of Knative, Kubernetes, KEDA and Ray decided, in every recorded case.

``pytest tests/policy/test_conformance.py --vectors DIR`` replays another folder of cases in the same format.
Each family has a replay, which plays a case through the policy and raises at the first value that differs.
"""

import math
import re
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from kpasim.errors import ExperimentError
from kpasim.policy import accounting, burst, decider, delay, routing, scaler, scraping, targets, windows
from kpasim.spec import autoscaler
from tests.policy import replay_hpa, replay_keda, replay_ray, unsimulated

Case = dict[str, Any]

NS_PER_S = 1_000_000_000
NS_PER_MS = 1_000_000
LINEAR_TOLERANCE = 2e-6
"""Knative rounds linear averages to six decimals, so a last-bit difference of the sums can flip a digit."""


def check(what: str, expected: Any, got: Any, absolute: float = 1e-300) -> None:
    """Fail unless ``got`` is what Knative had: equal, but floats to 1e-9 of their size."""
    if isinstance(expected, float) or isinstance(got, float):
        same = math.isclose(expected, got, rel_tol=1e-9, abs_tol=absolute)
    elif isinstance(expected, list | tuple):
        assert len(expected) == len(got), f"{what}: Knative {expected}, kpasim {got}"
        for place, (one, other) in enumerate(zip(expected, got, strict=True)):
            check(f"{what}[{place}]", one, other, absolute)
        return
    else:
        same = expected == got
    assert same, f"{what}: Knative {expected}, kpasim {got}"


# --- decider


def limits_of(spec: Case) -> decider.Limits:
    """The settings of a recorded decider specification."""
    return decider.Limits(
        max_scale_up_rate=float(spec["max_scale_up_rate"]),
        max_scale_down_rate=float(spec["max_scale_down_rate"]),
        target_value=float(spec["target_value"]),
        total_value=float(spec["total_value"]),
        target_burst_capacity=float(spec["target_burst_capacity"]),
        panic_threshold=float(spec["panic_threshold"]),
        stable_window_ns=round(spec["stable_window_s"] * NS_PER_S),
        activation_scale=spec["activation_scale"],
        reachable=int(spec["reachable"]),
    )


def replay_decider(case: Case) -> None:
    """Ticks of one autoscaler, with changes of its specification between them."""
    expected = case["expected"]
    limits = limits_of(case["spec"])
    if case["kind"] == "initial_status":
        desired, excess = decider.initial_status(limits, case["spec"]["initial_scale"])
        check("desired scale", expected["desired_scale"], desired)
        check("excess burst capacity", expected["excess_burst_capacity"], excess)
        return
    ready = case["ready_pods_at_creation"]
    panic = np.zeros(2, dtype=np.int64)
    decider.start(panic, case["created_at_unix_ms"] * NS_PER_MS, ready if isinstance(ready, int) else 0)
    check("in panic at creation", case["in_panic_at_creation"], bool(panic[0] != decider.NEVER_NS))
    check("max panic pods at creation", case["max_panic_pods_at_creation"], panic[1])
    slots = delay.new_slots(case["spec"]["scale_down_delay_s"])
    updates = {update["before_tick"]: update["spec"] for update in case.get("spec_updates") or []}
    ticks = case["ticks"]
    for place, now_ms in enumerate(ticks["t_unix_ms"]):
        if place in updates:
            limits = limits_of(updates[place])
        ready = ticks["ready_pods"][place]
        valid = ready != "error" and ticks["metric_error"][place] is None
        desired, excess = 0, 0.0
        if valid:
            desired, excess, _, _, _ = decider.tick(
                limits,
                panic,
                slots,
                now_ms * NS_PER_MS,
                0 if ready == "not_found" else ready,
                float(ticks["stable_value"][place]),
                float(ticks["panic_value"][place]),
            )
        since_ns = int(panic[0])
        for name, got in (
            ("scale_valid", valid),
            ("desired_pod_count", desired),
            ("excess_burst_capacity", excess),
            ("in_panic", since_ns != decider.NEVER_NS),
            ("max_panic_pods", int(panic[1])),
            ("panic_since_unix_ms", None if since_ns == decider.NEVER_NS else since_ns // NS_PER_MS),
        ):
            check(f"tick {place}: {name}", expected[name][place], got)


# --- aggregation


def resized(ring: windows.Ring, window_s: float, now_s: int) -> windows.Ring:
    """The ring with another window, as when a Metric is edited; the settings of a run do not change.

    Source:
        knative/serving@98e5ef9, pkg/autoscaler/aggregation/bucketing.go, ``TimedFloat64Buckets.ResizeWindow``
    """
    if window_s == ring.window_s:
        return ring
    new = windows.new_ring(window_s)
    old_size, size = len(ring.buckets), len(new.buckets)
    last = int(ring.span[windows.LAST])
    new.span[windows.LAST] = last
    if not windows.is_empty(ring, now_s):
        for second in range(last, last - min(old_size, size), -1):
            new.buckets[second % size] = ring.buckets[second % old_size]
            new.total[0] += ring.buckets[second % old_size]
        new.span[windows.FIRST] = last - (old_size - 1)
    return new


def replay_aggregation(case: Case) -> None:
    """Operations on one ring of buckets, or on one delay window."""
    granularity_s = case["granularity_s"]
    if case["kind"] == "smoothing_table":
        for window_s, coefficient in case["window_s_and_coefficient"]:
            check(f"coefficient of {window_s} s", coefficient, windows.smoothing_coefficient(window_s))
        return
    if case["kind"] == "max_time_window":
        slots = delay.new_slots(case["duration_s"], granularity_s)
        check("initial", case["initial_current"], delay.current(slots))
        expected = case["expected_current_after_each"]
        for place, (now_ms, value) in enumerate(case["records"]):
            delay.record_slot(slots, now_ms // (1000 * granularity_s), value)
            check(f"maximum after record {place}", expected[place], delay.current(slots))
        return
    weighted = case["algorithm"] == "weighted_exponential"
    ring = windows.new_ring(case["window_s"] / granularity_s)
    coefficient = windows.smoothing_coefficient(ring.window_s) if weighted else 0.0
    if weighted:
        check("smoothing coefficient", case["smoothing_coefficient"], coefficient)
    for place, (op, now_ms, value) in enumerate(case["ops"]):
        bucket = now_ms // (1000 * granularity_s)
        if op == "record":
            windows.record(ring, bucket, float(value))
        elif op == "average":
            got = windows.average(ring, bucket, coefficient)
            check(f"average of op {place}", float(value), got, 1e-12 if weighted else LINEAR_TOLERANCE)
        elif op == "is_empty":
            check(f"emptiness at op {place}", value, windows.is_empty(ring, bucket))
        else:
            assert op == "resize"
            ring = resized(ring, value / granularity_s, bucket)
            coefficient = windows.smoothing_coefficient(ring.window_s) if weighted else 0.0


# --- collector


def replay_collector(case: Case) -> None:
    """One revision's four rings between creation and deletion of its collection."""
    metric = case["metric"]
    rings: dict[tuple[str, str], windows.Ring] = {}
    weighted = False
    for place, event in enumerate(case["events"]):
        kind, now_ms = event[0], event[1]
        second = now_ms // 1000
        if kind in {"create", "update"}:
            metric = event[2] if kind == "update" else metric
            lengths = {"stable": metric["stable_window_s"], "panic": metric["panic_window_s"]}
            for name in ("concurrency", "rps"):
                for window, length_s in lengths.items():
                    key = (name, window)
                    rings[key] = resized(rings[key], length_s, second) if key in rings else windows.new_ring(length_s)
            if kind == "create":
                weighted = metric["resolved_aggregation_algorithm"] == "weighted-exponential"
        elif kind == "delete":
            rings = {}
        elif kind in {"scrape", "record"}:
            if rings and event[2] not in ("error", "empty"):
                values = [float(value) for value in event[2]]
                for name, value in (("concurrency", scraping.net(*values[:2])), ("rps", scraping.net(*values[2:]))):
                    windows.record(rings[name, "stable"], second, value)
                    windows.record(rings[name, "panic"], second, value)
        else:
            assert kind == "query"
            for name, (stable, panic, error) in event[2].items():
                got: list[Any] = [0.0, 0.0, "not_collecting"]
                if rings:
                    got[2] = "no_data"
                    if not windows.no_data(rings[name, "stable"], second, metric["scrape_target"] != ""):
                        got = [
                            windows.average(ring, second, windows.smoothing_coefficient(ring.window_s) * weighted)
                            for ring in (rings[name, "stable"], rings[name, "panic"])
                        ]
                        got.append(None)
                where = f"{name} of event {place}"
                tolerance = 1e-12 if weighted else LINEAR_TOLERANCE
                check(where, [float(stable), float(panic), error], got, tolerance)


# --- scrape

STAT_FIELDS = (
    "average_concurrent_requests",
    "average_proxied_concurrent_requests",
    "request_count",
    "proxied_request_count",
)


def scraped(case: Case) -> tuple[float, float, float, float] | None:
    """The revision's statistic from pods sampled by their addresses; None where too few answered."""
    pods = [pod for pod in case["pods"] or [] if pod["phase"] == "Running" and pod["ready"] and not pod["terminating"]]
    count = len(pods)
    wanted = int(scraping.sample_size(float(count)))
    chosen = np.zeros(max(wanted, 1), dtype=np.int64)
    found = scraping.choose_pods(
        np.arange(count),
        count,
        np.array([-round(pod["age_s"] * NS_PER_S) for pod in pods], dtype=np.int64),
        np.array([pod["scrape_failure"] == "" for pod in pods], dtype=np.int64),
        np.random.default_rng(count).random(count),
        0,
        round(case["window_s"] * NS_PER_S),
        wanted,
        chosen,
    )
    if not 0 < wanted <= found:
        return None
    return combined([pods[place]["stat"] for place in chosen[:found]], scraping.sample_size(float(count)), float(count))


def combined(statistics: list[list[float]], sample: float, population: float) -> tuple[float, float, float, float]:
    """The revision's statistic from those of sampled pods."""
    count = len(statistics)
    return scraping.combine(
        np.array(statistics, dtype=np.float64).reshape(count, scraping.FIELDS),
        np.arange(count),
        count,
        float(sample),
        float(population),
    )


def replay_scrape(case: Case) -> None:
    """The sample size, the average of a sample, or a scrape."""
    if case["kind"] == "sample_size_table":
        for population, size in case["population_and_sample_size"]:
            check(f"sample of {population}", float(size), scraping.sample_size(population))
        return
    expected = case["expected"]
    if case["kind"] == "compute_averages":
        got = combined(case["pod_stats"], case["sample_size"], case["ready_pods"])
        check("statistic", [float(expected[name]) for name in STAT_FIELDS], got)
        check("net concurrency", float(case["expected_net_concurrency"]), scraping.net(got[0], got[1]), 1e-9)
        check("net rps", float(case["expected_net_rps"]), scraping.net(got[2], got[3]), 1e-9)
        return
    if case["mesh_mode"] == "enabled" or not expected["pods_addressable_after"]:
        pytest.skip("kpasim does not simulate scrapes by the Service's address, which a mesh needs")
    statistic = scraped(case)
    check("empty", expected["empty"], statistic is None)
    if statistic is not None:
        check("statistic", [float(expected["stat"][name]) for name in STAT_FIELDS], statistic)


# --- lb


def replay_policy(case: Case) -> None:
    """Choices of a load-balancing policy among targets that come, go and change."""
    names: list[str] = []
    in_flight: list[int] = []
    capacity: list[int] = []
    full = routing.MAX_CAPACITY if case["infinite"] else case["per_target_capacity"]

    def place_of(name: str) -> int:
        if name not in names:
            names.append(name)
            in_flight.append(0)
            capacity.append(full)
        return names.index(name)

    targets = [place_of(name) for name in case["targets"]]
    taken: list[int] = []
    position = 0
    for step, op in enumerate(case["ops"]):
        if op[0] == "acquire":
            arrays = (np.array(targets, dtype=np.int64), len(targets), np.array(in_flight), np.array(capacity))
            if case["kind"] == "first_available":
                got = routing.first_available(*arrays)
            else:
                got, position = routing.round_robin(*arrays, position)
            check(f"choice of op {step}", op[1], names[got] if got >= 0 else None)
            if got >= 0:
                in_flight[got] += 1
                taken.append(got)
        elif op[0] == "release":
            in_flight[taken[op[1]]] -= 1
        elif op[0] == "set_targets":
            targets = [place_of(name) for name in op[1]]
        else:
            assert op[0] == "update_concurrency"
            if not case["infinite"]:
                capacity[place_of(op[1])] = op[2]


def replay_two_choices(case: Case) -> None:
    """Choices of two among one or two targets, where ties adopt the recorded coin."""
    weights = np.array(case["initial_weights"], dtype=np.int64)
    taken: list[int] = []
    for step, op in enumerate(case["ops"]):
        if op[0] == "acquire":
            one, other = routing.contestants(len(weights), 0.25, 0.75)
            recorded = int(op[1][1:])
            check(f"tie at op {step}", op[2], bool(one != other and weights[one] == weights[other]))
            got = routing.power_of_two(weights, one, other, op[2] and recorded == other)
            check(f"choice of op {step}", recorded, got)
            weights[got] += 1
            taken.append(got)
        else:
            weights[taken[op[1]]] -= 1
    check("final weights", case["expected_final_weights"], weights.tolist())


def replay_distribution(case: Case) -> None:
    """How often each target is chosen, over all equally likely draws."""
    weights = np.array(case["weights"], dtype=np.int64)
    count = len(weights)
    shares = [0.0] * count
    draws = [
        (first, second, coin) for first in range(count) for second in range(max(1, count - 1)) for coin in (False, True)
    ]
    for first, second, coin in draws:
        one, other = routing.contestants(count, (first + 0.5) / count, (second + 0.5) / max(1, count - 1))
        shares[routing.power_of_two(weights, one, other, coin)] += 1 / len(draws)
    check("probability", [float(share) for share in case["expected_probability"]], shares, 1e-12)
    for share, seen in zip(shares, case["upstream_empirical_frequency"], strict=True):
        assert abs(share - seen) <= case["tolerance"]


class Throttler:
    """One revision at one activator: which pods it may use, how many requests it lets through, where they go.

    Bookkeeping only; every decision is the policy's.
    """

    def __init__(self, container_concurrency: int) -> None:
        self.container_concurrency = container_concurrency
        self.policy = routing.policy(container_concurrency)
        self.breaker = np.zeros(routing.BREAKER_COLUMNS, dtype=np.int64)
        routing.breaker_start(self.breaker, routing.POD_QUEUE_DEPTH, routing.MAX_CAPACITY, 0)
        self.names: list[str] = []  # every tracker ever made; a pod that left and came back has a new one
        self.in_flight = np.zeros(0, dtype=np.int64)
        self.known: list[int] = []
        self.assigned: list[int] = []
        self.cluster_ip = ""
        self.backends = 0
        self.activators = 0
        self.index = routing.UNKNOWN_ACTIVATOR
        self.position = 0

    def destinations(self, names: list[str], cluster_ip: str) -> None:
        """The revision's reachable pods have changed."""
        old = {self.names[tracker]: tracker for tracker in self.known}
        self.known = []
        self.cluster_ip = cluster_ip
        for name in () if cluster_ip else sorted(names):
            if name not in old:
                old[name] = len(self.names)
                self.names.append(name)
                self.in_flight = np.append(self.in_flight, 0)
            self.known.append(old[name])
        self.update(len(names))

    def public_endpoints(self, ips: list[str], own: str) -> None:
        """The revision's activators have changed; one that is not among them keeps what it knew."""
        index = sorted(ips).index(own) if own in ips else routing.UNKNOWN_ACTIVATOR
        if index != routing.UNKNOWN_ACTIVATOR and (len(ips), index) != (self.activators, self.index):
            self.activators, self.index = len(ips), index
            self.update(self.backends)

    def update(self, backends: int) -> None:
        """Assign pods and set the capacity."""
        trackers = 0
        if not self.cluster_ip:
            self.assigned = self.known
            if self.container_concurrency > 0:
                self.assigned = unsimulated.slice_of(self.known, self.index, self.activators)
            trackers = len(self.assigned)
        self.backends = backends
        capacity = routing.capacity(self.container_concurrency, backends, trackers, self.activators)
        routing.breaker_resize(self.breaker, capacity)

    def choose(self, adopt: str | None) -> int:
        """The tracker for one more request, -1 for none; a random choice adopts the recorded one."""
        assigned = np.array(self.assigned, dtype=np.int64)
        slots = np.full(len(self.names), self.container_concurrency)
        if self.policy == routing.RANDOM_CHOICE_2:
            places = [place for place, tracker in enumerate(self.assigned) if self.names[tracker] == adopt]
            assert places, f"Knative sent a request to {adopt}, which is not assigned"
            allowed = {
                routing.power_of_two(self.in_flight, self.assigned[one], self.assigned[other], coin)
                for one in range(len(assigned))
                for other in range(len(assigned))
                for coin in (False, True)
                if one != other or len(assigned) == 1
            }
            assert self.assigned[places[0]] in allowed, f"Knative sent a request to {adopt}, the busiest pod"
            return self.assigned[places[0]]
        if self.policy == routing.FIRST_AVAILABLE:
            return routing.first_available(assigned, len(assigned), self.in_flight, slots)
        chosen, self.position = routing.round_robin(assigned, len(assigned), self.in_flight, slots, self.position)
        return chosen

    def shown_capacity(self) -> int:
        """The capacity as Knative shows it: the breaker of a revision without a limit knows only 0 and 1."""
        capacity = int(self.breaker[routing.CAPACITY])
        return min(1, capacity) if self.container_concurrency == 0 else capacity


def replay_throttler(case: Case) -> None:
    """Changes of pods and activators at one activator, and choices between them."""
    throttler = Throttler(case["container_concurrency"])
    taken: list[int] = []
    for step, op in enumerate(case["ops"]):
        if op[0] in {"dests", "activators"}:
            if op[0] == "dests":
                throttler.destinations(op[1] or [], op[2])
            else:
                throttler.public_endpoints(op[1], op[2])
            slots = throttler.container_concurrency or 1
            got = {
                "capacity": throttler.shown_capacity(),
                "assigned": [[throttler.names[tracker], slots] for tracker in throttler.assigned],
                "cluster_ip": throttler.cluster_ip or None,
                "num_activators": throttler.activators,
                "activator_index": throttler.index,
                "backend_count": throttler.backends,
            }
            check(f"state after op {step}", op[3], got)
        elif op[0] == "acquire":
            if throttler.cluster_ip:
                check(f"choice of op {step}", (op[1], op[2]), (throttler.cluster_ip, True))
                taken.append(-1)
                continue
            got_tracker = throttler.choose(op[1])
            check(f"choice of op {step}", op[1], throttler.names[got_tracker] if got_tracker >= 0 else None)
            if got_tracker >= 0:
                throttler.in_flight[got_tracker] += 1
                taken.append(got_tracker)
        else:
            assert op[0] == "release"
            if taken[op[1]] >= 0:
                throttler.in_flight[taken[op[1]]] -= 1


def replay_throttler_requests(case: Case) -> None:
    """Whole requests through one activator. Which of the waiting requests is woken is adopted, not compared."""
    throttler = Throttler(case["container_concurrency"])
    breaker = throttler.breaker
    tracker_of: dict[int, int] = {}
    waiting: set[int] = set()
    cancelled = 0
    for step, state in enumerate(case["ops"]):
        kind, subject = state["op"][0], state["op"][1]
        admitted = 0
        if kind == "start":
            outcome = routing.breaker_enter(breaker)
            assert outcome != routing.REFUSED
            admitted = int(outcome == routing.RUNS)
            waiting.add(subject)
        elif kind == "finish":
            throttler.in_flight[tracker_of.pop(subject)] -= 1
            routing.breaker_release(breaker)
        elif kind == "cancel":
            routing.breaker_cancel(breaker)
            waiting.remove(subject)
            cancelled += 1
        else:
            assert kind == "dests"
            throttler.destinations(subject or [], "")
        while routing.breaker_wake(breaker):
            admitted += 1
        new = sorted(waiting & set(state["active"]))
        check(f"requests let through by op {step}", len(new), admitted)
        destinations = state["dest_of_active"]
        trackers: dict[str, list[int]] = {}
        for request in new:
            tracker = throttler.choose(destinations[str(request)])
            assert tracker >= 0, f"op {step}: no pod has a slot"
            throttler.in_flight[tracker] += 1
            trackers.setdefault(throttler.names[tracker], []).append(tracker)
        chosen = {name: len(found) for name, found in trackers.items()}
        check(f"pods chosen at op {step}", Counter(destinations[str(request)] for request in new), chosen)
        for request in new:
            tracker_of[request] = trackers[destinations[str(request)]].pop()
        waiting -= set(new)
        check(f"active after op {step}", sorted(state["active"]), sorted(tracker_of))
        where = {str(request): throttler.names[tracker] for request, tracker in tracker_of.items()}
        check(f"destinations after op {step}", destinations, where)
        check(f"queued after op {step}", sorted(state["queued"]), sorted(waiting))
        check(f"capacity after op {step}", state["capacity"], throttler.shown_capacity())
        check(f"cancelled by op {step}", state["cancelled_total"], cancelled)


def replay_breaker(case: Case) -> None:
    """Requests and reservations at one breaker. Which of the waiting requests is woken is adopted, not compared."""
    breaker = np.zeros(routing.BREAKER_COLUMNS, dtype=np.int64)
    infinite = case["kind"] == "infinite_breaker"
    if infinite:
        routing.breaker_start(breaker, routing.POD_QUEUE_DEPTH, routing.MAX_CAPACITY, 0)
    else:
        routing.breaker_start(breaker, case["queue_depth"], case["max_concurrency"], case["initial_capacity"])
    active: set[int] = set()
    waiting: set[int] = set()
    rejected = cancelled = 0
    for step, state in enumerate(case["ops"]):
        kind, subject = state["op"][0], state["op"][1]
        admitted = 0
        if kind == "start":
            outcome = routing.breaker_enter(breaker)
            admitted = int(outcome == routing.RUNS)
            rejected += int(outcome == routing.REFUSED)
            if outcome != routing.REFUSED:
                waiting.add(subject)
        elif kind == "finish":
            routing.breaker_release(breaker)
            active.remove(subject)
        elif kind == "cancel":
            routing.breaker_cancel(breaker)
            waiting.remove(subject)
            cancelled += 1
        elif kind == "reserve":
            check(f"reservation of op {step}", state["op"][2], unsimulated.reserve(breaker))
        elif kind == "release":
            routing.breaker_release(breaker)
        else:
            assert kind == "update_concurrency"
            capacity = routing.capacity(0, subject, subject, 1) if infinite else subject
            routing.breaker_resize(breaker, capacity)
        while routing.breaker_wake(breaker):
            admitted += 1
        new = waiting & set(state["active"])
        check(f"requests let through by op {step}", len(new), admitted)
        waiting -= new
        active |= new
        check(f"active after op {step}", sorted(state["active"]), sorted(active))
        check(f"queued after op {step}", sorted(state["queued"]), sorted(waiting))
        check(f"rejected by op {step}", state["rejected_total"], rejected)
        check(f"cancelled by op {step}", state["cancelled_total"], cancelled)
        capacity = int(breaker[routing.CAPACITY])
        check(f"capacity after op {step}", state["capacity"], min(1, capacity) if infinite else capacity)
        if "in_flight" in state:
            check(f"in flight after op {step}", state["in_flight"], int(breaker[routing.IN_FLIGHT]))


def replay_lb_table(case: Case) -> None:
    """Tables of capacities, policies and slices."""
    for row in case.get("cc_backends_trackers_activators_capacity", []):
        check(f"capacity of {row[:4]}", row[4], routing.capacity(*row[:4]))
    for concurrency, name, infinite in case.get("container_concurrency_policy_infinite_breaker", []):
        policy = routing.policy(concurrency)
        check(f"policy of {concurrency}", (name, infinite), (routing.POLICIES[policy], policy == 0))
        check("index at first", case["initial_activator_index"], routing.UNKNOWN_ACTIVATOR)
        check("queue depth", case["pod_queue_depth"], routing.POD_QUEUE_DEPTH)
    for count, index, activators, expected in case.get("trackers_selfindex_activators_assigned", []):
        assigned = unsimulated.slice_of(range(count), index, activators)
        check(f"slice {index}/{activators} of {count}", expected, assigned)


LB_REPLAYS: dict[str, Callable[[Case], None]] = {
    "capacity_table": replay_lb_table,
    "policy_by_cc": replay_lb_table,
    "assign_slice": replay_lb_table,
    "first_available": replay_policy,
    "round_robin": replay_policy,
    "random_choice_2_small": replay_two_choices,
    "random_choice_2_distribution": replay_distribution,
    "throttler": replay_throttler,
    "throttler_requests": replay_throttler_requests,
    "breaker": replay_breaker,
    "infinite_breaker": replay_breaker,
}
NOT_CALLED = {"infer_index": "activators have numbers", "random_distribution": "no revision has this policy"}
"""Kinds that a run never needs, each with the reason."""


# --- queueproxy_stats


def replay_queue_proxy(case: Case) -> None:
    """Requests that come to and go from one queue-proxy, and its reports."""
    row = np.zeros(accounting.COLUMNS, dtype=np.int64)
    accounting.start(row, 0)
    reports = iter(case["expected_reports"])
    clock_ns = 0  # the process's own clock, which stands still while an event's time steps back
    for now_ns, kind in case["events"]:
        clock_ns = max(clock_ns, now_ns)
        if kind == "report":
            expected = next(reports)
            concurrency, proxied, count, proxied_count = accounting.cut(row, now_ns)
            report, wire = expected["report"], expected["wire_stat"]
            check("time", expected["t_ns"], now_ns)
            check("average concurrency", float(report["average_concurrency"]), concurrency, 1e-12)
            check("average proxied concurrency", float(report["average_proxied_concurrency"]), proxied, 1e-12)
            check("requests", report["request_count"], count)
            check("proxied requests", report["proxied_request_count"], proxied_count)
            got = (
                concurrency,
                proxied,
                accounting.per_second(count, case["reporting_period_s"]),
                accounting.per_second(proxied_count, case["reporting_period_s"]),
                clock_ns / NS_PER_S,
            )
            check("on the wire", [float(wire[name]) for name in (*STAT_FIELDS, "process_uptime_s")], got, 1e-12)
        elif kind.endswith("_in"):
            accounting.enter(row, now_ns, kind == "proxied_in")
        else:
            accounting.leave(row, now_ns, kind == "proxied_out")
    assert next(reports, None) is None


def replay_activator(case: Case) -> None:
    """Requests of several revisions that come to and go from one activator, and its reports."""
    rows: dict[str, Any] = {}
    revision_of: dict[int, str] = {}
    for step, event in enumerate(case["events"]):
        now_ns, kind = event[0], event[1]
        if kind == "in":
            revision_of[event[2]] = revision = event[3]
            row = rows.setdefault(revision, np.zeros(accounting.COLUMNS, dtype=np.int64))
            immediate = [[revision, 1, 1]] if accounting.activator_enter(row, now_ns) else []
            check(f"immediate message of event {step}", event[4], immediate)
        elif kind == "out":
            accounting.activator_leave(rows[revision_of[event[2]]], now_ns)
        else:
            got = []
            for revision, row in sorted(rows.items()):
                if row[accounting.ALIVE]:
                    concurrency, count, _ = accounting.activator_report(row, now_ns)
                    got.append([revision, concurrency, count])
            check(f"report of event {step}", event[2], got, 1e-12)


# --- targets


def number(value: Any) -> Any:
    """A recorded number, where JSON has no text for some."""
    return float(value) if isinstance(value, str) else value


def check_number(what: str, expected: Any, got: float) -> None:
    """Fail unless the numbers agree; not-a-number agrees with itself."""
    expected = float(number(expected))
    if math.isnan(expected):
        assert math.isnan(got), f"{what}: Knative NaN, kpasim {got}"
    else:
        check(what, expected, float(got))


CONFIG_ATTRIBUTES = {
    "container_concurrency_target_fraction": "container_concurrency_target_fraction",
    "container_concurrency_target_default": "container_concurrency_target_default",
    "rps_target_default": "requests_per_second_target_default",
    "target_burst_capacity": "target_burst_capacity",
    "stable_window_s": "stable_window_s",
    "panic_window_percentage": "panic_window_percentage",
    "panic_threshold_percentage": "panic_threshold_percentage",
    "max_scale_up_rate": "max_scale_up_rate",
    "max_scale_down_rate": "max_scale_down_rate",
    "enable_scale_to_zero": "enable_scale_to_zero",
    "scale_to_zero_grace_period_s": "scale_to_zero_grace_period_s",
    "scale_to_zero_pod_retention_period_s": "scale_to_zero_pod_retention_period_s",
    "scale_down_delay_s": "scale_down_delay_s",
    "pod_autoscaler_class": "pod_autoscaler_class",
    "activator_capacity": "activator_capacity",
    "initial_scale": "initial_scale",
    "allow_zero_initial_scale": "allow_zero_initial_scale",
    "min_scale": "min_scale",
    "max_scale": "max_scale",
    "max_scale_limit": "max_scale_limit",
}
DECIDER_SPEC_ATTRIBUTES = {
    "max_scale_up_rate": "max_scale_up_rate",
    "max_scale_down_rate": "max_scale_down_rate",
    "target_value": "target_value",
    "total_value": "total_value",
    "target_burst_capacity": "target_burst_capacity",
    "activator_capacity": "activator_capacity",
    "panic_threshold": "panic_threshold",
    "stable_window_s": "stable_window_s",
    "scale_down_delay_s": "scale_down_delay_s",
    "initial_scale": "initial_scale",
    "activation_scale": "activation_scale",
}
ANNOTATION = re.compile(r"autoscaling\.knative\.dev/[A-Za-z-]+")


def check_validation(expected: str | None, places: set[str]) -> None:
    """Fail unless the annotations Knative's webhook refuses, and only those, are refused."""
    lines = expected.split("\n") if expected else []
    named = [set(ANNOTATION.findall(line)) for line in lines]
    assert all(names & places for names in named), f"refused: Knative {lines}, kpasim {sorted(places)}"
    assert places <= set().union(*named), f"refused: Knative {lines}, kpasim {sorted(places)}"


def replay_targets(case: Case) -> None:
    """What becomes of a ConfigMap, annotations and a container concurrency."""
    expected = case["expected"]
    if expected["config_error"] is not None:
        with pytest.raises(ExperimentError) as refused:
            autoscaler.parse_config(case["config_map"])
        assert any(problem.place in expected["config_error"] for problem in refused.value.problems), (
            f"refused: Knative {expected['config_error']}, kpasim {refused.value}"
        )
        return
    config = autoscaler.parse_config(case["config_map"])
    for name, attribute in CONFIG_ATTRIBUTES.items():
        value, got = expected["config"][name], getattr(config, attribute)
        if isinstance(value, bool) or name == "pod_autoscaler_class":
            check(name, value, got)
        else:
            check_number(name, value, got)
    check("utilization of rps", expected["config"]["target_utilization"], targets.RPS_TARGET_UTILIZATION)
    annotations = case["annotations"]
    check_validation(
        expected["validation_error"],
        {problem.place for problem in autoscaler.validate_annotations(annotations, config)},
    )
    settings = autoscaler.resolve(
        annotations,
        config,
        case["container_concurrency"],
        reachability=case["reachability"],
        progress_deadline_s=math.inf,
    )
    spec = expected["decider_spec"]
    for name, attribute in DECIDER_SPEC_ATTRIBUTES.items():
        check_number(name, spec[name], getattr(settings, attribute))
    check("reachable", spec["reachable"], settings.reachable)
    check("scaling metric", spec["scaling_metric"], settings.metric)
    check("metric", expected["metric_name"], settings.metric)
    check("class", expected["class"], settings.class_name)
    check("min scale", expected["min_scale"], settings.min_scale)
    check("max scale", expected["max_scale"], settings.max_scale)
    check_number("stable window", expected["metric_stable_window_s"], settings.stable_window_s)
    if expected["metric_panic_window_s"] is not None:
        check_number("panic window", expected["metric_panic_window_s"], settings.panic_window_s)
    weighted = "weighted-exponential"
    check("weighted", expected["aggregation_algorithm"] == weighted, settings.aggregation == weighted)
    check_number("retention", expected["last_pod_retention_s"], settings.pod_retention_s)
    deadline_s = expected["annotation_progress_deadline_s"]
    check_number("progress deadline", "+Inf" if deadline_s is None else deadline_s, settings.progress_deadline_s)
    check("not scraped", expected["scrape_target_is_empty"], settings.target_burst_capacity == -1.0)
    for ready_pods, activators in expected["activators_for_ready_pods"] or []:
        got = burst.num_activators(
            ready_pods, settings.total_value, settings.target_burst_capacity, settings.activator_capacity
        )
        check(f"activators for {ready_pods} pods", activators, got)


# --- scaler


def settings_of(case: Case) -> autoscaler.RevisionSettings:
    """The settings of a recorded revision."""
    return autoscaler.resolve(
        case["annotations"],
        autoscaler.parse_config(case["config_map"]),
        case.get("container_concurrency", 0),
        reachability=case["reachability"],
        progress_deadline_s=float(case.get("deployment_progress_deadline_s", 600)),
    )


def rules_of(settings: autoscaler.RevisionSettings) -> scaler.Rules:
    """The same as numbers of the policy."""
    return scaler.Rules(
        min_scale=settings.min_scale,
        max_scale=settings.max_scale,
        initial_scale=settings.initial_scale,
        reachable=int(settings.reachable),
        enable_scale_to_zero=int(settings.enable_scale_to_zero),
        target_burst_capacity=settings.target_burst_capacity,
        stable_window_ns=round(settings.stable_window_s * NS_PER_S),
        grace_ns=round(settings.scale_to_zero_grace_s * NS_PER_S),
        retention_ns=round(settings.pod_retention_s * NS_PER_S),
        activation_timeout_ns=round(settings.progress_deadline_s * NS_PER_S) + scaler.ACTIVATION_TIMEOUT_BUFFER_NS,
    )


def conditions_of(case: Case) -> tuple[int, bool]:
    """Statuses of Active and of ScaleTargetInitialized; without conditions there is no second one either."""
    active = scaler.CONDITIONS.index(case["pa_active_condition"])
    return active, case["scale_target_initialized"] and active != scaler.ABSENT


def decision_of(case: Case, rules: scaler.Rules, desired: int) -> tuple[int, int, int, int, int]:
    """One call of the scaler with the recorded state."""
    active, initialized = conditions_of(case)
    return scaler.decide(
        rules,
        desired,
        initialized,
        active,
        round(case["pa_active_condition_age_ms"] * NS_PER_MS),
        burst.MODES.index(case["sks_mode"]),
        round((case["sks_proxy_for_ms"] or 0) * NS_PER_MS),
        1 if case["current_replicas"] is None else case["current_replicas"],
        case["activator_probe_result"] == "ok",
    )


def check_decision(expected: Case, decision: tuple[int, int, int, int, int]) -> None:
    """Fail unless the scaler wrote, waited and probed as Knative's did."""
    _, patch, requeue_ns, probes, offered = decision
    assert expected["error"] is None
    check("patched replicas", expected["patched_replicas"], None if patch == scaler.NO_PATCH else patch)
    waits = [] if requeue_ns == scaler.NO_REQUEUE_NS else [requeue_ns / NS_PER_MS]
    check("looks again after", [float(wait) for wait in expected["enqueue_after_ms"]], waits)
    check("synchronous probes", expected["sync_probes"], probes)
    check("asynchronous probes", expected["async_probes_offered"], offered)


MESSAGES = {
    scaler.NO_REASON: "",
    scaler.QUEUED: "Requests to the target are being buffered as resources are provisioned.",
    scaler.NO_TRAFFIC: "The target is not receiving traffic.",
    scaler.TIMED_OUT: "The target could not be activated.",
}


def check_active(expected: Case, active: int, reason: int) -> None:
    """Fail unless the condition Active is Knative's."""
    got = {"status": scaler.CONDITIONS[active], "reason": scaler.REASONS[reason], "message": MESSAGES[reason]}
    check("active condition", expected["active_condition"], got)


def replay_active_condition(case: Case) -> None:
    """The condition Active and the initial scale after a reconcile."""
    expected = case["expected"]
    rules = rules_of(settings_of(case))
    active, initialized = conditions_of(case)
    check("threshold", expected["active_threshold"], scaler.active_threshold(rules, initialized))
    active, reason, initialized = scaler.active_condition(
        rules,
        case["want"],
        case["ready_pods"],
        active,
        scaler.NO_REASON,
        initialized,
        case["service_name_set"],
    )
    check_active(expected, active, reason)
    check("initialized", expected["scale_target_initialized"], initialized)


def replay_reconcile(case: Case) -> None:
    """A full reconcile of the PodAutoscaler."""
    expected = case["expected"]
    settings = settings_of(case)
    rules = rules_of(settings)
    sks_known = case["sks_state"] in {"ready", "not_ready"}
    check("decider created", expected["decider_created"], sks_known)
    decision = (scaler.WANT_UNKNOWN, scaler.NO_PATCH, scaler.NO_REQUEUE_NS, 0, 0)
    mode, activators, ready_pods = burst.PROXY, burst.MIN_ACTIVATORS, 0
    active, initialized = conditions_of(case)
    shown = -1 if case["pa_status_desired_scale"] is None else case["pa_status_desired_scale"]
    if sks_known:
        ready_pods = case["pods"]["ready"]
        decision = decision_of(case, rules, case["decider_desired_scale"])
        done = scaler.reconcile(
            rules,
            case["decider_desired_scale"],
            float(case["decider_excess_burst_capacity"]),
            ready_pods,
            1 if case["current_replicas"] is None else case["current_replicas"],
            initialized,
            active,
            scaler.NO_REASON,
            round(case["pa_active_condition_age_ms"] * NS_PER_MS),
            burst.MODES.index(case["sks_mode"]),
            round((case["sks_proxy_for_ms"] or 0) * NS_PER_MS),
            shown,
            case["activator_probe_result"] == "ok",
        )
        assert (done.patch, done.requeue_ns, done.offered) == (*decision[1:3], decision[4])
        mode, active, reason, initialized, shown = done[3:]
        activators = burst.num_activators(
            ready_pods, settings.total_value, settings.target_burst_capacity, settings.activator_capacity
        )
    else:  # the reconcile stops before the scaler
        shown = scaler.status_desired_scale(scaler.WANT_UNKNOWN, shown)
        active, reason, initialized = scaler.active_condition(
            rules, scaler.WANT_UNKNOWN, ready_pods, active, scaler.NO_REASON, initialized, True
        )
    check_decision(expected, decision)
    check("service", expected["sks"], {"mode": burst.MODES[mode], "num_activators": activators})
    check("desired scale shown", expected["pa_status_desired_scale"], shown)
    check("actual scale shown", expected["pa_status_actual_scale"], ready_pods)
    check_active(expected, active, reason)
    check("initialized", expected["scale_target_initialized"], initialized)
    sks_ready = case["sks_state"] == "ready"
    for name, (status, why) in {
        "sks_ready_condition": (scaler.TRUE, scaler.NO_REASON) if sks_ready else (scaler.UNKNOWN, scaler.NOT_READY),
        "ready_condition": scaler.ready_condition(active, reason, sks_ready),
    }.items():
        check(name, expected[name], {"status": scaler.CONDITIONS[status], "reason": scaler.REASONS[why]})


def replay_scaler(case: Case) -> None:
    """A table of bounds, a call of the scaler, the condition Active, or a full reconcile."""
    if case["kind"] == "apply_bounds_table":
        for least, most, desired, result in case["min_max_desired_result"]:
            check(f"bounds of {least, most, desired}", result, scaler.apply_bounds(least, most, desired))
    elif case["kind"] == "active_condition":
        replay_active_condition(case)
    elif case["kind"] == "reconcile":
        replay_reconcile(case)
    else:
        expected = case["expected"]
        rules = rules_of(settings_of(case))
        decision = decision_of(case, rules, case["desired_scale"])
        check("wanted scale", expected["returned_scale"], decision[0])
        check_decision(expected, decision)
        for name, got in (
            ("resolved_min_scale", scaler.min_scale(rules)),
            ("resolved_max_scale", rules.max_scale),
            ("resolved_initial_scale", rules.initial_scale),
        ):
            if name in expected:
                check(name, expected[name], got)


# --- the tests


@pytest.mark.vectors("decider")
def test_decider(case: Case) -> None:
    """Every tick asks for the pods and the burst capacity Knative's autoscaler asked for."""
    replay_decider(case)


@pytest.mark.vectors("aggregation")
def test_aggregation(case: Case) -> None:
    """Averages and maxima are those of Knative's buckets."""
    replay_aggregation(case)


@pytest.mark.vectors("collector")
def test_collector(case: Case) -> None:
    """Stable and panic values are those Knative's collector answered."""
    replay_collector(case)


@pytest.mark.vectors("scrape")
def test_scrape(case: Case) -> None:
    """A scrape reads the pods Knative read, and makes the same number of them."""
    replay_scrape(case)


@pytest.mark.vectors("targets")
def test_targets(case: Case) -> None:
    """Settings are refused, or mean what they meant to Knative."""
    replay_targets(case)


@pytest.mark.vectors("scaler")
def test_scaler(case: Case) -> None:
    """A decision becomes the replicas, the wait, the mode and the conditions it became in Knative."""
    replay_scaler(case)


@pytest.mark.vectors("lb")
def test_lb(case: Case) -> None:
    """Requests wait and go where Knative's activator and queue-proxy made them."""
    if case["kind"] in NOT_CALLED:
        pytest.skip(NOT_CALLED[case["kind"]])
    LB_REPLAYS[case["kind"]](case)


@pytest.mark.vectors("queueproxy_stats")
def test_queueproxy_stats(case: Case) -> None:
    """Reports carry the concurrency and the counts Knative reported."""
    (replay_activator if case["kind"] == "activator_reporter" else replay_queue_proxy)(case)


@pytest.mark.vectors("hpa_replicas")
def test_hpa_replicas(case: Case) -> None:
    """A metric asks for the pods that Kubernetes' replica calculator asked for."""
    replay_hpa.replay_replicas(case)


@pytest.mark.vectors("hpa_behavior")
def test_hpa_behavior(case: Case) -> None:
    """Stabilisation, policies and defaults turn a raw count into the count that Kubernetes chose."""
    replay_hpa.replay_behavior(case)


@pytest.mark.vectors("hpa_trace")
def test_hpa_trace(case: Case) -> None:
    """A whole HPA writes the counts, errors and conditions of Kubernetes' controller, tick by tick."""
    replay_hpa.replay_trace(case)


@pytest.mark.vectors("keda_activation")
def test_keda_activation(case: Case) -> None:
    """KEDA's poll writes the counts, remembers the times and shows the conditions of its scale executor."""
    replay_keda.replay_activation(case)


@pytest.mark.vectors("keda_chain")
def test_keda_chain(case: Case) -> None:
    """KEDA and its HPA write the same counts on one target."""
    replay_keda.replay_chain(case)


@pytest.mark.vectors("keda_http_buckets")
def test_keda_http_buckets(case: Case) -> None:
    """The HTTP add-on's counters, concurrency and request rate are those of its code."""
    replay_keda.replay_http(case)


@pytest.mark.vectors("ray_serve")
def test_ray_serve(case: Case) -> None:
    """Every control loop sets the target that Ray Serve set."""
    replay_ray.replay(case)
