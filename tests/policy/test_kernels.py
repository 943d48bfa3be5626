"""Compiled, the policy is the same policy: every kernel gives the same bits under numba as in plain Python."""

import sys
from collections.abc import Callable
from typing import Any

import numba
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numba.extending import register_jitable

from kpasim.policy import (
    accounting,
    burst,
    decider,
    delay,
    hpa,
    keda,
    keda_http,
    kernels,
    lookahead,
    pods,
    ray_serve,
    routing,
    scaler,
    schedule,
    scraping,
    spare,
    windows,
)
from tests.policy import unsimulated

KERNELS = [kernel for kernel in kernels.KERNELS if sys.modules[kernel.__module__] is not pods]
"""Those of pods are played with the whole engine."""

for _kernel in kernels.KERNELS:
    register_jitable(_kernel)


# Each scenario plays drawn steps through the kernels of a module and writes down everything they return.


def play_windows(ring: Any, steps: Any, coefficient: Any, out: Any) -> None:
    """Records and averages."""
    for row in range(len(steps)):
        kind, now_s, value = int(steps[row, 0]), int(steps[row, 1]), steps[row, 2]
        if kind == 0:
            windows.record(ring, now_s, value)
        elif kind == 3:
            windows.clear(ring)
        out[row, 0] = windows.average(ring, now_s, 0.0)
        out[row, 1] = windows.average(ring, now_s, coefficient)
        out[row, 2] = windows.is_empty(ring, now_s)
        out[row, 3] = windows.no_data(ring, now_s, kind == 1)
        out[row, 4] = windows.rounded(value)


def play_accounting(row: Any, entry: Any, steps: Any, out: Any) -> None:
    """Requests at a queue-proxy and at an activator."""
    accounting.start(row, 0)
    for step in range(len(steps)):
        kind, now_ns, proxied = steps[step, 0], steps[step, 1], steps[step, 2] == 1
        if kind == 0:
            accounting.enter(row, now_ns, proxied)
            out[step, 0] = accounting.activator_enter(entry, now_ns)
        elif kind == 1:
            accounting.leave(row, now_ns, proxied)
            if entry[accounting.REFERENCES] > 0:
                accounting.activator_leave(entry, now_ns)
        else:
            concurrency, through, count, counted_through = accounting.cut(row, now_ns)
            out[step, 0] = concurrency
            out[step, 1] = through
            out[step, 2] = accounting.per_second(count, 1.5)
            out[step, 3] = counted_through
            out[step, 7] = accounting.lifetime_integral(row, now_ns)
            if entry[accounting.ALIVE] == 1:
                net, arrivals, alive = accounting.activator_report(entry, now_ns)
                out[step, 4] = net
                out[step, 5] = arrivals
                out[step, 6] = alive


def play_decider(limits: Any, panic: Any, slots: Any, steps: Any, out: Any) -> None:
    """Ticks, and a restart halfway."""
    desired, excess = decider.initial_status(limits, 3)
    for row in range(len(steps)):
        now_ns, ready = int(steps[row, 0]) * 1_000_000_000, int(steps[row, 1])
        if row in {0, len(steps) // 2}:
            delay.clear(slots)
            decider.start(panic, now_ns, ready)
        new, new_excess, raw_stable, raw_panic, rule = decider.tick(
            limits, panic, slots, now_ns, ready, steps[row, 2], steps[row, 3]
        )
        out[row, 0] = decider.needs_reconcile(desired, excess, new, new_excess)
        out[row, 1] = decider.pokes(new, steps[row, 2])
        out[row, 2] = new
        out[row, 3] = new_excess
        out[row, 4] = raw_stable
        out[row, 5] = raw_panic
        out[row, 6] = rule
        out[row, 7] = burst.num_activators(ready, limits.total_value, limits.target_burst_capacity, 100.0)
        out[row, 8] = burst.mode(new, new_excess)
        out[row, 9] = burst.effective_mode(int(out[row, 8]), ready, new)
        out[row, 10] = burst.activator_backed(int(out[row, 8]), ready)
        out[row, 11] = panic[0]
        out[row, 12] = panic[1]
        desired, excess = new, new_excess


def play_scaler(rules: Any, steps: Any, out: Any) -> None:
    """Reconciles."""
    for row in range(len(steps)):
        desired, active, replicas, ready = steps[row, 0], steps[row, 1], steps[row, 2], steps[row, 3]
        age_ns, proxy_ns, initialized, yes = steps[row, 4], steps[row, 5], steps[row, 6] == 1, steps[row, 7] == 1
        mode = burst.PROXY if proxy_ns > 0 else burst.SERVE
        want, patch, requeue_ns, probes, offered = scaler.decide(
            rules, desired, initialized, active, age_ns, mode, proxy_ns, replicas, yes
        )
        status, reason, reached = scaler.active_condition(rules, want, ready, active, 0, initialized, yes)
        shown, why = scaler.ready_condition(status, reason, yes)
        out[row, 0] = want
        out[row, 1] = patch
        out[row, 2] = requeue_ns
        out[row, 3] = probes
        out[row, 4] = offered
        out[row, 5] = status
        out[row, 6] = reason
        out[row, 7] = reached
        out[row, 8] = shown
        out[row, 9] = why
        out[row, 10] = scaler.status_desired_scale(want, desired)
        excess = age_ns - 50.0
        done = scaler.reconcile(
            rules, desired, excess, ready, replicas, initialized, active, reason, age_ns, mode, proxy_ns, want, yes
        )
        out[row, 11] = done.patch
        out[row, 12] = done.requeue_ns
        out[row, 13] = done.offered
        out[row, 14] = done.mode
        out[row, 15] = done.active
        out[row, 16] = done.reason
        out[row, 17] = done.initialized
        out[row, 18] = done.desired


def play_routing(in_flight: Any, slots: Any, assigned: Any, breaker: Any, steps: Any, out: Any) -> None:
    """Choices of pods, slices and a breaker."""
    count = len(in_flight)
    pods = np.arange(count)
    routing.breaker_start(breaker, 3, 4, 2)
    position = 0
    for row in range(len(steps)):
        kind, index, activators = int(steps[row, 0]), int(steps[row, 1]), int(steps[row, 2])
        begin, end, extra = routing.slice_bounds(count, index, activators)
        size = end - begin
        assigned[:size] = pods[begin:end]
        if extra >= 0:
            assigned[size] = pods[extra]
            size += 1
        first = routing.first_available(assigned, size, in_flight, slots)
        turn, position = routing.round_robin(assigned, size, in_flight, slots, position)
        one, other = routing.contestants(count, steps[row, 3], steps[row, 4])
        two = routing.power_of_two(in_flight, one, other, kind == 0)
        out[row, 0] = size
        out[row, 1] = first
        out[row, 2] = turn
        out[row, 3] = one * 1000 + other
        out[row, 4] = two
        out[row, 5] = routing.least_request(in_flight, one, other)
        out[row, 7] = routing.capacity(kind, count, size, activators)
        out[row, 8] = routing.policy(kind)
        in_flight[(first, turn, two)[kind % 3]] += 1
        if kind == 0:
            out[row, 9] = routing.breaker_enter(breaker)
        elif kind == 2 and breaker[routing.RUNNING] > 0:
            routing.breaker_release(breaker)
        elif kind == 3 and breaker[routing.IN_FLIGHT] > breaker[routing.RUNNING]:
            routing.breaker_cancel(breaker)
        else:
            routing.breaker_resize(breaker, activators % 5)
        while routing.breaker_wake(breaker):
            out[row, 10] += 1
        out[row, 11] = breaker[routing.RUNNING] * 1000 + breaker[routing.IN_FLIGHT]


def play_scraping(statistics: Any, started_ns: Any, answers: Any, keys: Any, chosen: Any, out: Any) -> None:
    """One scrape."""
    count = len(started_ns)
    sample = scraping.sample_size(count)
    found = scraping.choose_pods(np.arange(count), count, started_ns, answers, keys, 100, 60, int(sample), chosen)
    concurrency, proxied, arrivals, proxied_arrivals = scraping.combine(statistics, chosen, found, sample, float(count))
    out[0, 0] = found
    out[0, 1] = scraping.net(concurrency, proxied)
    out[0, 2] = scraping.net(arrivals, proxied_arrivals)
    for place in range(found):
        out[1 + place, 0] = chosen[place]


def play_hpa(settings: Any, history: Any, steps: Any, out: Any) -> None:
    """Proposals of every kind of metric, then ticks."""
    up, down = settings.tolerance_up, settings.tolerance_down
    proposals = np.zeros(4, dtype=np.int64)
    hpa.start(history, 0, 3)
    current = 3
    for row in range(len(steps)):
        now_ns, total, ready = int(row * 15_000_000_000), int(steps[row, 0]), int(steps[row, 1])
        unready, missing, flag = int(steps[row, 2]), int(steps[row, 3]), steps[row, 4] == 1
        pods = ready + unready + missing
        if steps[row, 4] == 2:
            current = ready
        proposals[0] = hpa.value_replicas(current, total, 900, pods, ready, up, down)
        proposals[1] = hpa.average_value_replicas(current, total, 900, up, down)
        proposals[2] = hpa.pods_replicas(current, total, ready, unready, missing, pods, 0, 900, up, down)
        proposals[3] = hpa.pods_replicas(current, total, ready, unready, missing, pods, 1000, 80, up, down)
        starting = hpa.unready_for_cpu(flag, total, ready, unready, missing, 3000, 20)
        best = proposals[row % 4]
        new, step, reason, able, limit = hpa.decide(settings, history, now_ns, current, best)
        for place in range(4):
            out[row, place] = proposals[place]
        out[row, 4] = hpa.pod_group(ready % 3, flag, unready > 0, starting)
        out[row, 5] = best
        out[row, 6] = new
        out[row, 7] = step
        out[row, 8] = reason
        out[row, 9] = able
        out[row, 10] = limit
        if new != current:
            hpa.on_rescaled(settings, history, now_ns, current, new)
        current = new


def play_keda(settings: Any, state: Any, steps: Any, out: Any) -> None:
    """Reads of two triggers, then a poll."""
    replicas = 0
    for row in range(len(steps)):
        now_ns, says, ready = int(row * 30_250_000_000), int(steps[row, 0]), int(steps[row, 1])
        for trigger in range(2):
            failed = says == keda.ERROR
            out[row, trigger] = keda.read_trigger(settings, state, trigger, failed, 5300, trigger == 0, replicas, ready)
        if steps[row, 2] > 0:
            replicas = int(steps[row, 2])
        written, active, condition = keda.poll(
            settings, state, now_ns, replicas, says == keda.ACTIVE, says == keda.ERROR
        )
        if written != keda.NO_COUNT:
            keda.on_written(state, now_ns, active)
            replicas = written
        out[row, 2] = written
        out[row, 3] = active
        out[row, 4] = condition
        out[row, 5] = keda.falls_back(settings, state)


def play_keda_http(ring: Any, memory: Any, counts: Any, steps: Any, out: Any) -> None:
    """Requests at two interceptors and readings of them."""
    now_ms = 946_684_800_000
    for row in range(len(steps)):
        now_ms += int(steps[row, 0])
        which = int(steps[row, 1])
        keda_http.enter(counts[which], int(steps[row, 2]))
        keda_http.leave(counts[1 - which], int(steps[row, 3]))
        known, concurrency, rate = keda_http.read(ring, memory, steps[row, 4:], counts, now_ms)
        out[row, 0] = known
        out[row, 1] = concurrency
        out[row, 2] = rate
        out[row, 4] = keda_http.average(ring, now_ms + 3000)


def play_floors(table: Any, settings: Any, history: Any, steps: Any, out: Any) -> None:
    """A schedule, a look-ahead and spare pods on top of an answer."""
    now_ns = 0
    lookahead.remember(settings, history, -1, history.slots[: lookahead.slots_of(settings), lookahead.SUM])
    for row in range(len(steps)):
        now_ns += int(steps[row, 0]) * 60_000_000_000
        pods = int(steps[row, 1])
        lookahead.observe(settings, history, now_ns, float(steps[row, 2]), 1_000_000_000)
        least, most = schedule.bounds(table, now_ns)
        out[row, 1] = spare.desired(pods, 2) * 100 + spare.without(pods, 2)
        out[row, 2] = lookahead.demand_at(settings, history, now_ns + settings.ahead_ns)
        out[row, 3] = lookahead.desired(settings, history, now_ns, pods)
        out[row, 4] = least * 1000 + most


def play_ray_serve(settings: Any, state: Any, steps: Any, out: Any) -> None:
    """Control loops."""
    target, now_ns = 1, 0
    for row in range(len(steps)):
        now_ns += int(steps[row, 0]) * 100_000_000
        target = ray_serve.tick(settings, state, now_ns, int(steps[row, 1]), target, float(steps[row, 2]) / 4)
        out[row, 0] = target
        out[row, 1] = ray_serve.scaled(settings, float(steps[row, 2]) / 4, int(steps[row, 1]))


# Strategies for the scenarios' arguments; every array is made anew for each engine.

finite = st.floats(-1e4, 1e4)
positive = st.floats(0.01, 1e4)
share = st.floats(0, 1, exclude_max=True)


def table(*columns: st.SearchStrategy[Any], dtype: Any = np.float64) -> st.SearchStrategy[Any]:
    """Rows of drawn numbers."""
    rows = st.lists(st.tuples(*columns), min_size=1, max_size=25)
    return rows.map(lambda drawn: np.array(drawn, dtype=dtype).reshape(len(drawn), len(columns)))


def ints(*bounds: tuple[int, int]) -> st.SearchStrategy[Any]:
    """Rows of drawn whole numbers."""
    return table(*(st.integers(*bound) for bound in bounds), dtype=np.int64)


def array(strategy: st.SearchStrategy[Any], size: int, dtype: Any) -> st.SearchStrategy[Any]:
    """An array of drawn numbers."""
    return st.lists(strategy, min_size=size, max_size=size).map(lambda drawn: np.array(drawn, dtype=dtype))


limits = st.builds(
    decider.Limits,
    st.floats(1.01, 1000),
    st.floats(1.01, 10),
    positive,
    positive,
    st.sampled_from([-1.0, 0.0, 211.0, 3.5]),
    st.floats(1.1, 10),
    st.integers(6, 60).map(lambda s: s * 1_000_000_000),
    st.integers(0, 5),
    st.integers(0, 1),
)
rules = st.builds(
    scaler.Rules,
    st.integers(0, 3),
    st.integers(0, 9),
    st.integers(0, 4),
    st.integers(0, 1),
    st.integers(0, 1),
    st.sampled_from([-1.0, 0.0, 211.0]),
    st.integers(0, 90),
    st.integers(1, 40),
    st.integers(0, 40),
    st.integers(30, 90),
)


policies = st.lists(
    st.tuples(st.sampled_from(hpa.POLICY_TYPES), st.integers(1, 120), st.sampled_from([15, 60, 100])), max_size=3
)
hpa_rules = st.builds(
    unsimulated.rules, st.sampled_from([0, 15, 60, 300]), st.sampled_from(hpa.SELECT_POLICIES), policies
)
hpas = st.builds(
    hpa.Settings,
    st.integers(0, 3),
    st.integers(4, 40),
    st.integers(0, 1),
    hpa_rules,
    hpa_rules,
    st.floats(0, 0.2),
    st.floats(0, 0.2),
    st.integers(0, 1),
    st.integers(0, 1),
)


look_aheads = st.builds(
    lookahead.Settings,
    st.floats(0, 1),
    st.sampled_from([0, 180_000_000_000]),
    st.just(6 * 3600 * 10**9),
    st.just(1800 * 10**9),
    st.floats(0.5, 4),
)


@st.composite
def hpa_arguments(draw: st.DrawFn) -> tuple[Any, ...]:
    """An HPA, its empty history, and steps."""
    settings = draw(hpas)
    return (
        settings,
        unsimulated.hpa_history(settings),
        draw(ints((-(10**3), 10**5), (0, 12), (0, 4), (0, 4), (0, 2))),
    )


@st.composite
def scrape_arguments(draw: st.DrawFn) -> tuple[Any, ...]:
    """Pods with statistics, start times, answers and keys."""
    count = draw(st.integers(1, 30))
    return (
        draw(array(finite, 4 * count, np.float64)).reshape(count, 4),
        draw(array(st.integers(0, 100), count, np.int64)),
        draw(array(st.integers(0, 1), count, np.int64)),
        draw(array(share, count, np.float64)),
        np.zeros(20, dtype=np.int64),
    )


@st.composite
def routing_arguments(draw: st.DrawFn) -> tuple[Any, ...]:
    """Pods with requests and slots, a breaker, and steps."""
    count = draw(st.integers(1, 6))
    return (
        draw(array(st.integers(0, 3), count + 1, np.int64))[:count],
        draw(array(st.integers(0, 4), count + 1, np.int64))[:count],
        np.zeros(count + 1, dtype=np.int64),
        np.zeros(routing.BREAKER_COLUMNS, dtype=np.int64),
        # Entering and leaving the queue often, so that some leave it while they wait.
        draw(table(st.sampled_from((0, 0, 0, 1, 2, 3, 3, 4, 5)), st.integers(-1, 3), st.integers(4, 6), share, share)),
    )


SCENARIOS: dict[Callable[..., None], st.SearchStrategy[tuple[Any, ...]]] = {
    play_windows: st.tuples(
        st.integers(1, 12).map(lambda window_s: windows.new_ring(float(window_s))),
        table(st.integers(0, 3), st.integers(100, 140), finite),
        st.floats(0.2, 0.9999),
    ),
    play_accounting: st.tuples(
        st.just(accounting.COLUMNS).map(lambda size: np.zeros(size, dtype=np.int64)),
        st.just(accounting.COLUMNS).map(lambda size: np.zeros(size, dtype=np.int64)),
        ints((0, 2), (0, 10**13), (0, 1)),
    ),
    play_decider: st.tuples(
        limits,
        st.just(2).map(lambda size: np.zeros(size, dtype=np.int64)),
        st.sampled_from([0.0, 2.0, 7.0, 30.0]).map(delay.new_slots),
        table(st.integers(0, 200), st.integers(0, 20), st.floats(0, 1e6), st.floats(0, 1e6)),
    ),
    play_scaler: st.tuples(rules, ints((-1, 9), (0, 3), (0, 9), (0, 9), (0, 99), (0, 50), (0, 1), (0, 1))),
    play_routing: routing_arguments(),
    play_scraping: scrape_arguments(),
    play_hpa: hpa_arguments(),
    play_floors: st.tuples(
        st.just(0).map(lambda _: np.array([[0, 0, 50], [10**13, 3, 4], [10**14, 1, 9]], dtype=np.int64)),
        look_aheads,
        look_aheads.map(lambda given: unsimulated.lookahead_history(given, 3)),
        ints((0, 900), (-1, 12), (0, 40)),
    ),
    play_ray_serve: st.tuples(
        st.builds(
            ray_serve.Settings,
            st.integers(0, 2),
            st.integers(2, 30),
            st.floats(0.5, 8),
            st.sampled_from([0, 10**9]),
            st.sampled_from([0, 2 * 10**9]),
            st.sampled_from([0, 5 * 10**9]),
            st.floats(0.2, 2),
            st.floats(0.2, 2),
        ),
        st.just(2).map(lambda size: np.zeros(size, dtype=np.int64)),
        ints((1, 30), (0, 9), (0, 200)),
    ),
    play_keda: st.tuples(
        st.builds(
            keda.Settings,
            st.integers(0, 3),
            st.integers(-1, 3),
            st.sampled_from([0, 60_000_000_000, 300_000_000_000]),
            st.sampled_from([0, 60_000_000_000]),
            st.just(0),
            st.integers(-1, 3),
            st.integers(0, 6),
            st.integers(0, 3),
            st.integers(0, 15),
        ),
        st.just(2).map(unsimulated.keda_state),
        ints((0, 2), (0, 5), (-3, 6)),
    ),
    play_keda_http: st.tuples(
        st.sampled_from([(5_000, 1_000), (5_000, 2_000), (60_000, 1_000)]).map(
            lambda given: unsimulated.http_ring(*given)
        ),
        st.just(2).map(unsimulated.http_memory),
        st.just((2, 2)).map(lambda shape: np.zeros(shape, dtype=np.int64)),
        ints((0, 4_000), (0, 1), (0, 9), (0, 9), (0, 3), (0, 3)),
    ),
}


def copied(arguments: tuple[Any, ...]) -> tuple[Any, ...]:
    """The arguments with arrays of their own."""
    return tuple(
        type(argument)(*copied(argument))
        if isinstance(argument, tuple)
        else argument.copy()
        if isinstance(argument, np.ndarray)
        else argument
        for argument in arguments
    )


def bits(arguments: tuple[Any, ...]) -> list[bytes]:
    """Every array among the arguments, bit for bit."""
    found = []
    for argument in arguments:
        if isinstance(argument, tuple):
            found += bits(argument)
        elif isinstance(argument, np.ndarray):
            found.append(argument.tobytes())
    return found


@pytest.fixture(scope="module")
def compiled() -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Compiles a scenario, once."""
    cache: dict[Callable[..., None], Callable[..., None]] = {}

    def compile_once(scenario: Callable[..., None]) -> Callable[..., None]:
        return cache.setdefault(scenario, numba.njit(scenario))

    return compile_once


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_compiled_kernels_return_the_same_bits(
    scenario: Callable[..., None], compiled: Callable[..., Any], data: st.DataObject
) -> None:
    """Whatever is drawn, a compiled scenario leaves the arrays that Python leaves."""
    arguments = data.draw(SCENARIOS[scenario])
    in_python, in_numba = ((*copied(arguments), np.zeros((32, 19))) for _ in range(2))
    scenario(*in_python)
    compiled(scenario)(*in_numba)
    assert bits(in_python) == bits(in_numba)


def test_every_kernel_is_played(monkeypatch: pytest.MonkeyPatch) -> None:
    """The scenarios reach every kernel, so that none can go without compiling."""
    called = set()

    def counting(kernel: Callable[..., Any]) -> Callable[..., Any]:
        def count(*arguments: Any) -> Any:
            called.add(kernel)
            return kernel(*arguments)

        return count

    for kernel in KERNELS:
        monkeypatch.setattr(sys.modules[kernel.__module__], kernel.__name__, counting(kernel))

    @settings(max_examples=200, deadline=None, database=None, derandomize=True)
    @given(st.tuples(*SCENARIOS.values()))
    def play(drawn: tuple[tuple[Any, ...], ...]) -> None:
        for scenario, arguments in zip(SCENARIOS, drawn, strict=True):
            scenario(*copied(arguments), np.zeros((32, 19)))

    play()
    assert sorted(kernel.__qualname__ for kernel in KERNELS if kernel not in called) == []
