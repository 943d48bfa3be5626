"""From a decision to replicas."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kpasim.policy import burst, scaler

SECOND_NS = 1_000_000_000

DEFAULTS = scaler.Rules(
    min_scale=0,
    max_scale=0,
    initial_scale=1,
    reachable=1,
    enable_scale_to_zero=1,
    target_burst_capacity=211.0,
    stable_window_ns=60 * SECOND_NS,
    grace_ns=30 * SECOND_NS,
    retention_ns=0,
    activation_timeout_ns=630 * SECOND_NS,
)


def decide(
    desired, active, age_s, *, rules=DEFAULTS, initialized=True, mode=burst.PROXY, proxy_for_s=0, replicas=1, probe=True
):
    """A call of the scaler, with seconds."""
    return scaler.decide(
        rules, desired, initialized, active, age_s * SECOND_NS, mode, proxy_for_s * SECOND_NS, replicas, probe
    )


@st.composite
def states(draw):
    """Anything a reconcile may find."""
    least = draw(st.integers(0, 5))
    rules = scaler.Rules(
        least,
        draw(st.just(0) | st.integers(max(1, least), 20)),
        draw(st.integers(0, 5)),
        draw(st.integers(0, 1)),
        draw(st.integers(0, 1)),
        draw(st.sampled_from([-1.0, 0.0, 211.0])),
        draw(st.integers(6, 60)),
        draw(st.integers(1, 60)),
        draw(st.integers(0, 60)),
        draw(st.integers(31, 100)),
    )
    return (
        rules,
        draw(st.integers(-1, 30)),
        draw(st.booleans()),
        draw(st.integers(0, 3)),
        draw(st.integers(0, 120)),
        draw(st.sampled_from([burst.SERVE, burst.PROXY])),
        draw(st.integers(0, 60)),
        draw(st.integers(0, 30)),
        draw(st.booleans()),
    )


@given(states())
def test_what_is_written_is_wanted_within_bounds_and_new(state):
    """Replicas are written only when they differ, and never beyond the bounds."""
    rules, desired, initialized, *_, replicas, _ = state
    want, patch, requeue_ns, probes, offered = scaler.decide(*state)
    least, most = scaler.bounds(rules, initialized)

    assert want >= -1
    assert patch in (scaler.NO_PATCH, want)
    assert patch != replicas
    assert requeue_ns == scaler.NO_REQUEUE_NS or requeue_ns > 0
    assert offered <= probes <= 1
    if patch >= 0:
        assert patch >= (min(least, most) if most else least)
        assert most == 0 or patch <= max(most, least)
    if not rules.enable_scale_to_zero:
        assert patch != 0
    if desired > 0:
        assert want >= 1


@given(states())
def test_the_last_pod_goes_only_from_inactive_or_after_a_timeout(state):
    """An active revision first becomes inactive; an activating one must run into its deadline."""
    rules, _, _, active, age_ns, *_ = state
    _, patch, _, _, _ = scaler.decide(*state)
    if patch == 0:
        assert active == scaler.FALSE or (active == scaler.UNKNOWN and age_ns > rules.activation_timeout_ns)


@pytest.mark.parametrize(
    ("least", "most", "pods", "result"),
    [(0, 0, 5, 5), (2, 0, 1, 2), (0, 3, 5, 3), (5, 3, 4, 5), (5, 3, 5, 3), (0, 0, -1, 0), (2, 4, 3, 3)],
)
def test_the_lower_bound_is_tested_first(least, most, pods, result):
    """An initial scale above max-scale is honoured, unless the decision itself reaches it: then max-scale wins."""
    assert scaler.apply_bounds(least, most, pods) == result


def test_an_unknown_decision_changes_nothing():
    """Before the first valid tick an active revision is left alone."""
    assert decide(-1, scaler.TRUE, 100) == (-1, scaler.NO_PATCH, scaler.NO_REQUEUE_NS, 0, 0)


def test_an_unknown_decision_of_an_activating_revision_keeps_waiting():
    """The unknown scale becomes 0, and 0 while activating waits for the deadline."""
    assert decide(-1, scaler.UNKNOWN, 100) == (-1, scaler.NO_PATCH, 630 * SECOND_NS, 0, 0)


def test_a_new_revision_is_held_at_its_initial_scale():
    """Until that was reached once, it is a lower bound, also above max-scale."""
    rules = DEFAULTS._replace(initial_scale=5, max_scale=3)

    assert decide(1, scaler.UNKNOWN, 1, rules=rules, initialized=False)[:2] == (5, 5)
    assert decide(1, scaler.UNKNOWN, 1, rules=rules)[0] == 1
    assert decide(1, scaler.TRUE, 1, rules=rules._replace(reachable=0), initialized=False)[0] == 1


def test_min_scale_needs_a_route():
    """An unreachable revision forgets it."""
    rules = DEFAULTS._replace(min_scale=2)

    assert decide(0, scaler.TRUE, 100, rules=rules)[:2] == (2, 2)
    assert decide(0, scaler.TRUE, 100, rules=rules._replace(reachable=0))[0] == 0


def test_one_pod_is_left_until_the_stable_window_has_passed():
    """An active revision shrinks to one pod and is looked at again when its window completes."""
    assert decide(0, scaler.TRUE, 20, replicas=3) == (1, 1, 40 * SECOND_NS, 0, 0)


@pytest.mark.parametrize(("mode", "requeue_ns"), [(burst.PROXY, 3 * SECOND_NS), (burst.SERVE, scaler.NO_REQUEUE_NS)])
def test_an_active_revision_becomes_inactive_before_it_loses_its_pod(mode, requeue_ns):
    """Zero is wanted but not written; already behind the activator, it is looked at again in 3 s."""
    assert decide(0, scaler.TRUE, 60, mode=mode) == (0, scaler.NO_PATCH, requeue_ns, 0, 0)


@pytest.mark.parametrize(("age_s", "patch"), [(630, scaler.NO_PATCH), (631, 0)])
def test_an_activation_may_take_its_deadline_and_half_a_minute(age_s, patch):
    """Only after more than 630 s is a revision that does not start given up."""
    assert decide(0, scaler.UNKNOWN, age_s)[1] == patch


def test_without_conditions_nothing_times_out():
    """A PodAutoscaler without conditions is activating, since no known time."""
    assert decide(0, scaler.ABSENT, 10_000) == (-1, scaler.NO_PATCH, 630 * SECOND_NS, 0, 0)


@pytest.mark.parametrize(
    ("inactive_s", "proxy_s", "retention_s", "expected"),
    [
        (1, 30, 0, (0, scaler.NO_REQUEUE_NS)),  # activator in the path long enough: at once
        (1, 10, 0, (scaler.NO_PATCH, 20 * SECOND_NS)),  # wait for the rest of the grace period
        (30, 0, 0, (0, scaler.NO_REQUEUE_NS)),  # inactive for the grace period is enough
        (30, 100, 60, (scaler.NO_PATCH, 30 * SECOND_NS)),  # retention is a minimum
        (60, 0, 60, (0, scaler.NO_REQUEUE_NS)),
        (10, 5, 10, (scaler.NO_PATCH, 25 * SECOND_NS)),  # retention over, grace not
    ],
)
def test_grace_and_retention_run_side_by_side(inactive_s, proxy_s, retention_s, expected):
    """The last pod goes at the retention or the rest of the grace period, whichever is later."""
    rules = DEFAULTS._replace(retention_ns=retention_s * SECOND_NS)
    _, patch, requeue_ns, probes, _ = decide(0, scaler.FALSE, inactive_s, rules=rules, proxy_for_s=proxy_s)

    assert (patch, requeue_ns) == expected
    assert probes == 1


def test_retention_needs_a_route():
    """An unreachable revision is not retained."""
    rules = DEFAULTS._replace(retention_ns=600 * SECOND_NS, reachable=0)
    assert decide(0, scaler.FALSE, 30, rules=rules)[1] == 0


def test_a_failed_probe_is_repeated_in_the_background():
    """As long as no activator answers, the pod stays."""
    assert decide(0, scaler.FALSE, 1000, probe=False) == (0, scaler.NO_PATCH, scaler.NO_REQUEUE_NS, 1, 1)


def test_an_activator_that_is_always_there_is_not_probed():
    """With target-burst-capacity -1 the probe's answer does not matter."""
    rules = DEFAULTS._replace(target_burst_capacity=-1.0)
    assert decide(0, scaler.FALSE, 30, rules=rules, probe=False) == (0, 0, scaler.NO_REQUEUE_NS, 0, 0)


def test_a_cluster_without_scale_to_zero_keeps_one():
    """Whatever the condition, one pod is wanted."""
    rules = DEFAULTS._replace(enable_scale_to_zero=0)
    for active in range(4):
        assert decide(0, active, 1000, rules=rules, replicas=2)[:2] == (1, 1)


ANY = scaler.NO_TRAFFIC


@pytest.mark.parametrize(
    ("want", "ready_pods", "active", "expected"),
    [
        (0, 5, scaler.TRUE, (scaler.FALSE, scaler.NO_TRAFFIC)),
        (0, 0, scaler.UNKNOWN, (scaler.FALSE, scaler.TIMED_OUT)),
        (2, 0, scaler.FALSE, (scaler.UNKNOWN, scaler.QUEUED)),
        (2, 1, scaler.FALSE, (scaler.TRUE, scaler.NO_REASON)),
        (-1, 0, scaler.FALSE, (scaler.FALSE, scaler.NO_TRAFFIC)),
        (-1, 0, scaler.UNKNOWN, (scaler.UNKNOWN, scaler.QUEUED)),
        (-1, 0, scaler.TRUE, (scaler.UNKNOWN, scaler.QUEUED)),
        (-1, 1, scaler.FALSE, (scaler.FALSE, ANY)),
        (-1, 1, scaler.UNKNOWN, (scaler.TRUE, scaler.NO_REASON)),
        (-1, 1, scaler.TRUE, (scaler.TRUE, scaler.NO_REASON)),
    ],
)
def test_the_active_condition_follows_want_and_ready_pods(want, ready_pods, active, expected):
    """Knative's own table, for a revision that needs one ready pod."""
    assert scaler.active_condition(DEFAULTS, want, ready_pods, active, ANY, True, True) == (*expected, True)


def test_enough_ready_pods_and_a_name_initialise_for_ever():
    """The initial scale counts until then; afterwards one pod is enough."""
    rules = DEFAULTS._replace(initial_scale=3)

    assert scaler.active_threshold(rules, False) == 3
    assert scaler.active_threshold(rules, True) == 1
    assert scaler.active_condition(rules, 3, 2, scaler.UNKNOWN, 0, False, True)[2] is False
    assert scaler.active_condition(rules, 3, 3, scaler.UNKNOWN, 0, False, False)[2] is False
    assert scaler.active_condition(rules, 3, 3, scaler.UNKNOWN, 0, False, True)[2] is True


def test_a_revision_that_starts_at_zero_is_inactive_at_once():
    """With initial scale 0 nothing has to be ready."""
    rules = DEFAULTS._replace(initial_scale=0)
    expected = (scaler.FALSE, scaler.NO_TRAFFIC, True)

    assert scaler.active_condition(rules, -1, 0, scaler.UNKNOWN, 0, False, True) == expected


@pytest.mark.parametrize(("want", "previous", "shown"), [(3, 1, 3), (-1, 1, 1), (-1, -1, -1), (0, 5, 0)])
def test_an_unknown_scale_does_not_overwrite_a_known_one(want, previous, shown):
    """A restarted autoscaler does not make the status flap."""
    assert scaler.status_desired_scale(want, previous) == shown


@pytest.mark.parametrize(
    ("active", "sks_ready", "expected"),
    [
        (scaler.TRUE, True, (scaler.TRUE, scaler.NO_REASON)),
        (scaler.TRUE, False, (scaler.UNKNOWN, scaler.NOT_READY)),
        (scaler.FALSE, True, (scaler.FALSE, scaler.NO_TRAFFIC)),
    ],
)
def test_ready_is_active_with_a_ready_service(active, sks_ready, expected):
    """What is not active is not ready, for the same reason."""
    assert scaler.ready_condition(active, scaler.NO_TRAFFIC, sks_ready) == expected
