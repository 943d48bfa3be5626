"""One autoscaler tick."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kpasim.policy import decider, delay

SECOND_NS = 1_000_000_000

DEFAULTS = decider.Limits(
    max_scale_up_rate=1000.0,
    max_scale_down_rate=2.0,
    target_value=1.0,
    total_value=1.0,
    target_burst_capacity=211.0,
    panic_threshold=2.0,
    stable_window_ns=60 * SECOND_NS,
    activation_scale=0,
    reachable=1,
)

limits = st.builds(
    decider.Limits,
    st.floats(1.01, 1000),
    st.floats(1.01, 10),
    st.floats(0.01, 100),
    st.floats(0.01, 100),
    st.sampled_from([-1.0, 0.0, 211.0]),
    st.floats(1.1, 10),
    st.integers(6, 120).map(lambda s: s * SECOND_NS),
    st.integers(0, 5),
    st.integers(0, 1),
)
averages = st.floats(0, 1e4)
ticks = st.lists(st.tuples(st.integers(0, 30), averages, averages), min_size=1, max_size=40)


class Autoscaler:
    """A decider and what it remembers."""

    def __init__(self, settings=DEFAULTS, delay_s=0.0, ready_pods=0):
        self.limits = settings
        self.panic = np.zeros(2, dtype=np.int64)
        self.slots = delay.new_slots(delay_s)
        decider.start(self.panic, 0, ready_pods)

    def tick(self, now_s, ready_pods, stable, panic):
        """Desired pods and the name of the rule."""
        desired, _, _, _, rule = decider.tick(
            self.limits, self.panic, self.slots, now_s * SECOND_NS, ready_pods, stable, panic
        )
        return desired, decider.RULES[rule]

    @property
    def panicking(self):
        """Whether it is in panic mode."""
        return self.panic[decider.PANIC_SINCE_NS] != decider.NEVER_NS


def test_every_rule_has_a_name():
    """Codes index the names."""
    codes = [
        decider.STABLE,
        decider.PANIC,
        decider.UP_RATE,
        decider.DOWN_RATE,
        decider.ACTIVATION,
        decider.HELD,
        decider.DELAYED,
    ]
    assert codes == list(range(len(decider.RULES)))


@given(limits, ticks)
def test_panic_never_scales_down(settings, drawn):
    """As long as a panic lasts, no decision is below the one before (but for what a delay held from before it)."""
    autoscaler = Autoscaler(settings)
    previous = 0
    for place, (ready_pods, stable, panic) in enumerate(drawn):
        was_panicking = autoscaler.panicking
        desired, _ = autoscaler.tick(2 * place, ready_pods, stable, panic)
        if was_panicking and autoscaler.panicking:
            assert desired >= previous
        previous = desired


@given(limits, st.integers(0, 30), averages, averages)
def test_a_decision_keeps_the_rates(settings, ready_pods, stable, panic):
    """Without memory, desired pods stay within the rates, but for the activation scale."""
    ready = max(1, ready_pods)
    desired, rule = Autoscaler(settings).tick(0, ready_pods, stable, panic)
    most = max(settings.max_scale_up_rate * ready + 1, settings.activation_scale)

    assert desired <= most
    if settings.reachable:
        assert desired >= ready // settings.max_scale_down_rate
    if stable == panic == 0.0 and not settings.reachable:
        assert (desired, rule) == (0, "stable")


@given(limits, st.integers(0, 30), averages, averages, averages)
def test_more_load_never_asks_for_fewer_pods(settings, ready_pods, stable, panic, more):
    """Desired pods rise with both averages."""
    desired, _ = Autoscaler(settings).tick(0, ready_pods, stable, panic)

    assert Autoscaler(settings).tick(0, ready_pods, stable + more, panic)[0] >= desired
    assert Autoscaler(settings).tick(0, ready_pods, stable, panic + more)[0] >= desired


@given(limits, ticks, st.sampled_from([0.0, 3.0, 30.0]))
def test_the_rule_names_what_decided(settings, drawn, delay_s):
    """Each rule can be recognised in the numbers of its tick."""
    panic_state = np.zeros(2, dtype=np.int64)
    decider.start(panic_state, 0, 0)
    slots = delay.new_slots(delay_s)
    for place, (ready_pods, stable, panic) in enumerate(drawn):
        ready = max(1, ready_pods)
        desired, _, raw_stable, raw_panic, rule = decider.tick(
            settings, panic_state, slots, 2 * place * SECOND_NS, ready_pods, stable, panic
        )
        name = decider.RULES[rule]
        panicking = panic_state[decider.PANIC_SINCE_NS] != decider.NEVER_NS
        assert name != "stable" or desired == raw_stable
        assert name != "panic" or (panicking and desired == raw_panic)
        assert name != "up-rate" or desired < max(raw_stable, raw_panic)
        assert name != "down-rate" or desired == int(ready / settings.max_scale_down_rate)
        assert name != "activation" or desired == settings.activation_scale
        assert name != "held" or (panicking and desired == panic_state[decider.MAX_PANIC_PODS])
        assert name != "delay" or delay_s > 0


def test_one_pod_panics_when_a_second_is_needed():
    """Counts are rounded up before the threshold is tested: at one pod, 200 % means just above 100 %."""
    autoscaler = Autoscaler()
    assert autoscaler.tick(0, 1, 0.1, 1.0) == (1, "stable")
    assert not autoscaler.panicking
    assert autoscaler.tick(2, 1, 0.1, 1.01) == (2, "panic")
    assert autoscaler.panicking


@pytest.mark.parametrize(("ready_pods", "calm", "panics"), [(2, 3.0, 3.01), (5, 9.0, 9.01)])
def test_the_threshold_is_relative_to_ready_pods(ready_pods, calm, panics):
    """With 5 ready pods, 9 requests are calm and a tenth one begun is panic."""
    autoscaler = Autoscaler()
    autoscaler.tick(0, ready_pods, 0.0, calm)
    assert not autoscaler.panicking
    autoscaler.tick(2, ready_pods, 0.0, panics)
    assert autoscaler.panicking


def test_pods_are_held_only_while_both_windows_ask_for_fewer():
    """A window that still asks for as many as the panic remembers has decided itself."""
    autoscaler = Autoscaler()
    assert autoscaler.tick(0, 1, 0.0, 5.0) == (5, "panic")
    assert autoscaler.tick(2, 5, 0.0, 5.0) == (5, "panic")
    assert autoscaler.tick(4, 5, 5.0, 0.0) == (5, "stable")
    assert autoscaler.tick(6, 5, 4.0, 4.0) == (5, "held")


def test_panic_ends_a_stable_window_after_the_last_trigger():
    """The tick at exactly 60 s still panics, the next does not; meanwhile the scale is held."""
    autoscaler = Autoscaler()
    autoscaler.tick(0, 1, 0.0, 5.0)
    decisions = {now_s: autoscaler.tick(now_s, 5, 0.0, 0.0) for now_s in range(2, 64, 2)}

    assert all(decisions[now_s] == (5, "held") for now_s in range(2, 62, 2))
    assert decisions[62] == (2, "down-rate")
    assert not autoscaler.panicking
    assert autoscaler.panic[decider.MAX_PANIC_PODS] == 0


@pytest.mark.parametrize(("ready_pods", "panics"), [(0, False), (1, False), (2, True)])
def test_a_restarted_autoscaler_panics_beside_several_pods(ready_pods, panics):
    """It has lost its history, and would otherwise shrink a busy revision."""
    autoscaler = Autoscaler(ready_pods=ready_pods)

    assert bool(autoscaler.panicking) == panics
    assert autoscaler.panic[decider.MAX_PANIC_PODS] == ready_pods
    if panics:
        assert autoscaler.tick(2, ready_pods, 0.0, 0.0) == (ready_pods, "held")


def test_pods_halve_at_most():
    """With max-scale-down-rate 2, 11 ready pods become 5, 2, 1 and 0."""
    autoscaler = Autoscaler()
    pods = 11
    seen = []
    for now_s in range(0, 8, 2):
        pods, rule = autoscaler.tick(now_s, pods, 0.0, 0.0)
        seen.append((pods, rule))

    assert seen == [(5, "down-rate"), (2, "down-rate"), (1, "down-rate"), (0, "stable")]


def test_the_up_rate_always_allows_one_more():
    """Two pods at rate 1.1 may become three: the limit is rounded up."""
    autoscaler = Autoscaler(DEFAULTS._replace(max_scale_up_rate=1.1, panic_threshold=10.0))

    assert autoscaler.tick(0, 2, 9.0, 9.0) == (3, "up-rate")


def test_the_activation_scale_acts_only_when_pods_are_needed():
    """It may exceed the up rate, and never keeps pods at zero load."""
    autoscaler = Autoscaler(DEFAULTS._replace(activation_scale=4, max_scale_up_rate=1.5))

    assert autoscaler.tick(0, 1, 0.1, 0.1) == (4, "activation")
    assert autoscaler.tick(2, 1, 0.0, 0.0) == (0, "stable")


def test_an_unreachable_revision_drops_at_once():
    """Neither the down rate nor the delay holds it."""
    autoscaler = Autoscaler(DEFAULTS._replace(reachable=0), delay_s=60)
    autoscaler.tick(0, 10, 10.0, 10.0)

    assert autoscaler.tick(2, 10, 0.0, 0.0) == (0, "stable")


def test_the_delay_holds_every_decrease():
    """For ten seconds after the load ends the scale stays; then the down rate has its say."""
    autoscaler = Autoscaler(delay_s=10)
    seen = [autoscaler.tick(now_s, 6, 6.0 if now_s == 0 else 0.0, 0.0) for now_s in range(0, 14, 2)]

    assert seen == [(6, "stable")] + [(6, "delay")] * 4 + [(3, "down-rate")] * 2


def test_a_flood_does_not_overflow():
    """Absurd averages ask for what a 32-bit count can hold."""
    autoscaler = Autoscaler(DEFAULTS._replace(max_scale_up_rate=1e300, target_value=0.01))

    assert autoscaler.tick(0, 1, 1e300, 1e300)[0] == 2**31 - 1


@pytest.mark.parametrize(
    ("reserve", "excess"), [(-1.0, -1.0), (0.0, 0.0), (211.0, -208.0), (2.5, 0.0), (1.0, 2.0), (3.5, 0.0)]
)
def test_before_any_tick_the_initial_scale_counts(reserve, excess):
    """Three pods of one request each, less the reserve, cut to a whole number; the scale is unknown."""
    assert decider.initial_status(DEFAULTS._replace(target_burst_capacity=reserve), 3) == (-1, excess)


@pytest.mark.parametrize(
    ("desired", "excess", "new", "new_excess", "wakes"),
    [
        (1, -5.0, 1, -9.0, False),
        (1, -5.0, 2, -5.0, True),
        (1, -1.0, 1, 0.0, True),
        (1, 0.0, 1, 9.0, False),
        (-1, 0.0, 0, 0.0, True),
    ],
)
def test_only_a_change_wakes_the_reconciler(desired, excess, new, new_excess, wakes):
    """The scale, or the side of zero on which the excess lies; zero counts as positive."""
    assert decider.needs_reconcile(desired, excess, new, new_excess) is wakes


@pytest.mark.parametrize(
    ("desired", "concurrency", "poked"), [(0, 1.0, True), (0, 0.0, False), (-1, 1.0, False), (1, 5.0, False)]
)
def test_only_a_revision_at_zero_is_poked(desired, concurrency, poked):
    """From one pod on, nothing happens until the next tick."""
    assert decider.pokes(desired, concurrency) is poked
