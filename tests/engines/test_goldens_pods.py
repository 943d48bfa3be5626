"""Lives of pods worked out by hand: where they run, how they start, when they are found, how they end.

The conventions are those of ``test_goldens``: no delay in the plumbing, ticks at 1.5, 3.5, 5.5 ... s, kubelet probes
once a second from the start of a pod's containers on, activator probes every 0.2 s from 0 s on.
"""

from collections.abc import Callable
from typing import Any

import pytest

from kpasim.engines import outcome as out
from kpasim.engines import params as of
from kpasim.engines.draws import CHANCE_ONE, CRASH, chance
from kpasim.engines.params import Params
from kpasim.policy import scaler

from .hand import CALM, MS, S, Story, clocks, floats, ints

Play = Callable[..., Story]
LONG_S = 1000.0


def sending(count: int, **changes: Any) -> Params:
    """``count`` requests at times of their own; the load begins at 10 s."""
    settings = {"closed": 0, "workers": 0, "requests": count, "start_for_ns": 10 * S, **changes}
    return CALM._replace(**settings)


def stages(*kinds: int, **columns: tuple[float, ...]) -> dict[str, Any]:
    """Settings of some stages; ``columns`` gives what differs from a plain stage before readiness."""
    count = len(kinds)
    plain: dict[str, tuple[float, ...]] = {
        "when": (of.BEFORE_READY,) * count,
        "at_a_time": (0,) * count,
        "cached": (0,) * count,
        "bytes": (0.0,) * count,
        "bandwidth": (1.0,) * count,
        **columns,
    }
    made: dict[str, Any] = {"stage_kind": ints(*kinds)}
    for name, values in plain.items():
        kind = floats if name in {"bytes", "bandwidth"} else ints
        made[f"stage_{name}"] = kind(*values)  # type: ignore[arg-type]
    return made


def pools(*rows: tuple[int, int, int, int, int, int]) -> dict[str, Any]:
    """Settings of some pools: type, pods on a node, nodes there, most nodes (-1 any), provisioned, release time."""
    names = ("type", "slots", "ready", "max", "provisioned", "release_ns")
    return {f"pool_{name}": ints(*column) for name, column in zip(names, zip(*rows, strict=True), strict=True)}


def five_from_zero(**changes: Any) -> Params:
    """Five clients that come to a revision at zero at 200.1 s: one pod at once, four more at 201.5 s."""
    settings = {
        "workers": 5,
        "requests_per_worker": 1,
        "requests": 5,
        "start_for_ns": 200_100 * MS,
        "horizon_ns": 100 * S,
        **changes,
    }
    return CALM._replace(**settings)


# the end of a run


def end_of(story: Story) -> float | None:
    """End of a run."""
    return story.seconds(story.outcome.end_ns)


def test_a_run_ends_when_added_nodes_are_released(play: Play) -> None:
    """The pod of the node that was added is gone at 257.5 s, see below; its node is there for 50 s more."""
    p = sending(1, initial_scale=0, start_for_ns=100_100 * MS, **pools((0, 1, 0, 1, 1, 50 * S)))

    story = play(p, sent_s=[0.0], service_s=3.1, stages_s=(1.0,), node_s=60.0)

    assert [257.5] == story.pods(out.GONE)
    assert story.seconds(int(story.outcome.nodes[0, out.NODE_GONE])) == 307.5
    assert end_of(story) == 307.5


@pytest.mark.parametrize("delay_s", [0.0, 200.0])
def test_a_run_ends_when_replicas_are_back_at_min_scale(play: Play, delay_s: float) -> None:
    """The second pod is kept for the scale-down delay, and the run goes on until it is gone.

    Without a delay the run ends stable window, grace period and 30 s after the last response.
    """
    p = sending(2, min_scale=1, stays=1, initial_scale=2, scale_down_delay_s=delay_s)

    story = play(p, sent_s=[0.0, 0.0], service_s=3.1, stages_s=(1.0,))

    assert story.replicas[-1][1] == 1
    last = max(time for time in story.pods(out.GONE) if time is not None)
    assert end_of(story) == (last if delay_s else max(time for time in story.answered if time is not None) + 120.0)
    assert (last > 200.0) == bool(delay_s)


@pytest.mark.parametrize("stays", [0, 1])
def test_a_run_goes_on_for_as_long_as_it_is_asked_to(play: Play, stays: int) -> None:
    """Until 500 s after the start of the load at 10 s, or until its own end where that comes later."""
    p = sending(1, min_scale=stays, stays=stays)
    own = end_of(play(p, sent_s=[0.0], service_s=3.1, stages_s=(1.0,)))
    assert own is not None

    assert end_of(play(p._replace(until_ns=500 * S), sent_s=[0.0], service_s=3.1, stages_s=(1.0,))) == 510.0
    assert end_of(play(p._replace(until_ns=20 * S), sent_s=[0.0], service_s=3.1, stages_s=(1.0,))) == own


@pytest.mark.parametrize(
    ("kinds", "provisioned_s"),
    [
        ((of.START,), 0.0),
        ((of.PROVISION, of.START), 20.0),
        ((of.PROVISION, of.PROVISION, of.PULL), 25.0),
        ((of.PULL, of.PROVISION, of.START), 25.0),
        ((of.PROVISION,), 20.0),
    ],
)
def test_provisioning_ends_with_its_last_stage(play: Play, kinds: tuple[int, ...], provisioned_s: float) -> None:
    """Stages of 20 s, 5 s and 2 s; where no stage provisions, the pod has its machine when it is scheduled."""
    story = play(sending(0, **stages(*kinds)), stages_s=(20.0, 5.0, 2.0)[: len(kinds)])

    assert [provisioned_s] == story.pods(out.PROVISIONED)


# capacity


def test_two_gpus_and_five_wanted_make_two_running_and_three_pending(play: Play) -> None:
    """Five pods are created, two get a node, three stay Pending."""
    p = five_from_zero(**pools((0, 1, 2, 2, 0, 0)), horizon_ns=20 * S)

    story = play(p, service_s=LONG_S, stages_s=(1.0,))

    assert [200.1, 201.5, 201.5, 201.5, 201.5] == story.pods(out.CREATED)[1:]
    assert [200.1, 201.5, None, None, None] == story.pods(out.SCHEDULED)[1:]
    assert (201.5, 5) == story.replicas[-1]
    assert 2 == sum(begun is not None for begun in story.begun)


def test_scale_down_takes_pending_pods_first(play: Play) -> None:
    """Once five are not wanted any more, the three Pending pods go first, at once, and then those that run.

    The clients give up at 220.1 s. Each tick halves the two ready pods at most, so the first decision below five takes
    at least the pending ones that it can.
    """
    p = five_from_zero(**pools((0, 1, 2, 2, 0, 0)), horizon_ns=200 * S, client_timeout_ns=20 * S)

    story = play(p, service_s=LONG_S, stages_s=(1.0,))

    asked = story.pods(out.ASKED)[1:]
    assert None not in asked
    assert max(asked[2:]) <= min(asked[:2])
    assert asked[2:] == story.pods(out.GONE)[3:]


def test_a_pending_pod_gets_the_next_gpu_that_is_free(play: Play) -> None:
    """On one GPU the second of two initial pods waits for another.

    A node ordered at the beginning takes 20 s; until the initial scale of 2 is reached no decision takes a pod away.
    """
    p = sending(0, initial_scale=2, **pools((0, 1, 1, 2, 1, 600 * S)))

    story = play(p, stages_s=(1.0,), node_s=20.0)

    assert [0.0, 20.0] == story.pods(out.SCHEDULED)
    assert [1.0, 21.0] == story.pods(out.READY)


def test_a_node_is_ordered_for_pods_without_room_and_released_after_its_last(play: Play) -> None:
    """A request meets no node: one is there 60 s later, the pod with it, and the node leaves 50 s after the pod.

    Sent at 100.1 s to an empty cluster; the decider, new and without a decision, first ticks at 101.5 s. The node is
    ready at 161.5, the pod at 162.5, which makes the activator look at once; the answer is there at 165.6 s. The last
    report that is not zero falls into sec 166 (at 166.3, 0.3 of its interval), so desired is 0 at the tick of
    227.5 s, the PodAutoscaler has been active since 162 s, and the pod is gone 30 s later.
    """
    p = sending(
        1, initial_scale=0, start_for_ns=100_100 * MS, horizon_ns=300 * S, **pools((0, 1, 0, 1, 1, 50 * S)),
    )  # fmt: skip

    story = play(p, sent_s=[0.0], service_s=3.1, stages_s=(1.0,), node_s=60.0)

    assert [161.5] == story.pods(out.SCHEDULED)
    assert [165.6] == story.answered
    assert [257.5] == story.pods(out.GONE)
    node = [story.seconds(int(value)) for value in story.outcome.nodes[0, [out.NODE_CREATED, out.NODE_READY]]]
    assert [101.5, 161.5] == node
    assert 307.5 == story.seconds(int(story.outcome.nodes[0, out.NODE_GONE]))


def test_a_type_out_of_stock_gives_way_to_the_next_with_its_speed(play: Play) -> None:
    """One instance of the first type is to be had; the second pod runs on the other type, at half the speed."""
    p = sending(
        2, initial_scale=2, type_factor=floats(1.0, 2.0), start_for_ns=2 * S,
        **pools((0, 1, 0, 1, 0, 0), (1, 1, 0, -1, 0, 0)),
    )  # fmt: skip

    story = play(p, sent_s=[0.0, 0.0], service_s=4.0, stages_s=(1.0,))

    assert [0, 1] == [int(value) for value in story.outcome.pods[:, out.TYPE]]
    assert [0, 1] == story.served_by
    assert [4.0, 8.0] == story.latencies


# stages


@pytest.mark.parametrize(("at_a_time", "ready_s"), [(1, [11.0, 21.0, 31.0, 41.0]), (2, [11.0, 11.0, 21.0, 21.0])])
def test_provisioning_few_at_a_time_makes_pods_ready_one_after_the_other(
    play: Play, at_a_time: int, ready_s: list[float]
) -> None:
    """Four pods that take 10 s to provision and 1 s to start: with k at a time, k every 10 s."""
    p = sending(0, initial_scale=4, **stages(of.PROVISION, of.START, at_a_time=(at_a_time, 0)))

    story = play(p, stages_s=(10.0, 1.0))

    assert ready_s == story.pods(out.READY)


@pytest.mark.parametrize(("slots", "nodes", "containers_s"), [(2, 1, 103.5), (1, 2, 123.5)])
def test_a_second_pod_on_a_node_pulls_nothing(play: Play, slots: int, nodes: int, containers_s: float) -> None:
    """A pod created at 103.5 s starts its containers at once where a first has pulled, and 20 s later elsewhere."""
    p = CALM._replace(
        workers=2, requests_per_worker=1, requests=2, start_for_ns=100_100 * MS, horizon_ns=60 * S, min_scale=1,
        stays=1, **stages(of.PULL, of.START, cached=(1, 0)), **pools((0, slots, nodes, nodes, 0, 0)),
    )  # fmt: skip

    story = play(p, service_s=LONG_S, stages_s=(20.0, 5.0))

    assert [0.0, 103.5] == story.pods(out.CREATED)
    assert [20.0, containers_s] == story.pods(out.CONTAINERS)


def test_pods_on_one_node_wait_for_one_pull(play: Play) -> None:
    """Two pods on a node at once: one pulls for 20 s, the other waits for it and pulls nothing."""
    p = sending(0, initial_scale=2, **stages(of.PULL, of.START, cached=(1, 0)), **pools((0, 2, 1, 1, 0, 0)))

    story = play(p, stages_s=(20.0, 5.0), stage_times_s=[(20.0, 5.0), (35.0, 5.0)])

    assert [20.0, 20.0] == story.pods(out.CONTAINERS)


def test_pulls_share_the_bandwidth(play: Play) -> None:
    """10 GB at 1 GB/s for two pods that begin 5 s apart: both at half speed from 5 s on, done at 15 and 20 s.

    The first has 5 GB left at 5 s, which take 10 s at half speed. The second has got 5 GB by then and gets the other
    5 GB at full speed.
    """
    p = sending(
        0, initial_scale=2, **stages(of.PROVISION, of.PULL, of.START, bytes=(0.0, 1e10, 0.0), bandwidth=(1.0, 1e9, 1.0))
    )

    story = play(p, stages_s=(0.0, 0.0, 1.0), stage_times_s=[(0.0, 0.0, 1.0), (5.0, 0.0, 1.0)])

    assert [0.0, 5.0] == story.pods(out.PULL)
    assert [15.0, 20.0] == story.pods(out.CONTAINERS)


def test_work_after_readiness_delays_the_first_requests(play: Play) -> None:
    """Ready at 1 s with 7 s of work still to do: a request of 3 s sent at 2 s ends at 11 s, a later one takes 3 s."""
    p = sending(2, start_for_ns=2 * S, **stages(of.START, of.START, when=(of.BEFORE_READY, of.AFTER_READY)))

    story = play(p, sent_s=[0.0, 20.0], service_s=3.0, stages_s=(1.0, 7.0))

    assert [1.0] == story.pods(out.READY)
    assert [11.0, 25.0] == story.answered


def test_work_at_the_first_request_delays_only_that(play: Play) -> None:
    """Loading on demand takes 5 s: the first request takes 8 s, the next 3 s."""
    p = sending(2, start_for_ns=2 * S, **stages(of.START, of.START, when=(of.BEFORE_READY, of.FIRST_REQUEST)))

    story = play(p, sent_s=[0.0, 20.0], service_s=3.0, stages_s=(1.0, 5.0))

    assert [8.0, 3.0] == story.latencies


# crashes and starts that lead nowhere


def test_a_crashing_container_is_started_again_after_longer_and_longer(play: Play) -> None:
    """Starts of 5 s that all fail: at 5, 10, 25 (10 s later and 5 more), 50 and 95 s; the sixth begins at 175 s."""
    story = play(sending(0, crash_probability=1.0, start_for_ns=0, horizon_ns=100 * S), stages_s=(5.0,))

    assert [5] == [int(value) for value in story.outcome.pods[:, out.RESTARTS]]
    assert [None] == story.pods(out.OPEN)


def test_a_container_that_crashed_once_is_ready_later(play: Play) -> None:
    """A first start that fails at 5 s and a second one at once make the pod ready at 10 s."""
    p = sending(0, crash_probability=0.5)
    key = next(
        key
        for key in range(1000)
        if chance(key, 0, CRASH) < CHANCE_ONE // 2 <= chance(key, 0, CRASH + 1)
    )  # fmt: skip

    story = play(p, stages_s=(5.0,), key=key)

    assert [1] == [int(value) for value in story.outcome.pods[:, out.RESTARTS]]
    assert [10.0] == story.pods(out.READY)


def test_a_start_that_nobody_wants_ends_after_the_progress_deadline(play: Play) -> None:
    """Nobody comes and the pod takes 700 s: after 600 + 30 s of activating it is taken away, never ready.

    Conditions keep whole seconds of the wall clock, which shows .25 at the creation.
    """
    story = play(sending(0), phase=clocks(wall_s=0.25), stages_s=(700.0,))

    assert [(0.0, 1), (630.0, 0)] == story.replicas
    assert [None] == story.pods(out.READY)
    assert [660.0] == story.pods(out.GONE)


def test_an_abandoned_cold_start_runs_to_readiness_and_a_window_more(play: Play) -> None:
    """A client gives up after 20 s; the pod it asked for is ready at 270.1 s all the same and lives for 60 s more.

    The revision has been at zero since 61 s. The request of 150.1 s pokes for a pod that takes 120 s. The activator's
    last report is the 0 of 171.3 s, so the averages are 0 once 60 seconds are silent: desired is 0 at 231.5 s, but
    while the PodAutoscaler is activating nothing is taken away. It is active from 270 s on, so the pod may go at 330 s.
    """
    p = sending(1, start_for_ns=150_100 * MS, client_timeout_ns=20 * S)

    story = play(p, sent_s=[0.0], service_s=3.0, stages_s=(120.0,), stage_times_s=[(1.0,)])

    assert [0] == story.statuses
    assert [170.1] == story.answered
    assert [(3.5, 0), (150.1, 1), (231.5, 0)] == story.decisions[:3]
    assert [1.0, 270.1] == story.pods(out.READY)
    assert [(0.0, 1), (61.0, 0), (150.1, 1), (330.0, 0)] == story.replicas


@pytest.mark.parametrize(("crashes", "replicas"), [(1.0, [(0.0, 1), (635.0, 0)]), (0.0, [(0.0, 1)])])
def test_a_failing_revision_loses_its_min_scale(play: Play, crashes: float, replicas: list[tuple[float, int]]) -> None:
    """A revision whose only pod crashes is unreachable, which lifts min-scale; one that is only slow keeps it.

    The first crash, at 5 s, makes the PodAutoscaler look: nothing is wanted, but it is activating, so it looks again
    630 s later and takes the pod away.
    """
    p = sending(0, crash_probability=crashes, min_scale=1, stays=1, horizon_ns=640 * S)

    story = play(p, phase=clocks(wall_s=0.25), stages_s=(5.0 if crashes else 700.0,))

    assert replicas == story.replicas
    assert scaler.TRUE not in [active for _, active in story.changes(out.ACTIVE)]


@pytest.mark.parametrize(
    ("start_s", "ready_s", "replicas"), [(1200.0, 1200.0, [(0.0, 1)]), (1300.0, None, [(0.0, 1), (1230.0, 0)])]
)
def test_a_first_start_beyond_the_progress_deadline_loses_its_min_scale(
    play: Play, start_s: float, ready_s: float | None, replicas: list[tuple[float, int]]
) -> None:
    """A Deployment without progress for 600 s makes the revision unreachable, which lifts min-scale.

    Then the PodAutoscaler looks, for the first time with none as its aim: it is activating, so it looks again 630 s
    later and takes the pod away, unless that is ready by then.
    """
    p = sending(0, min_scale=1, stays=1, horizon_ns=1300 * S)

    story = play(p, phase=clocks(wall_s=0.25), stages_s=(start_s,))

    assert replicas == story.replicas
    assert [ready_s] == story.pods(out.READY)


# readiness


@pytest.mark.parametrize(("early_use", "begun_s"), [(1, 3.4), (0, 10.0)])
def test_the_activator_uses_a_pod_before_kubernetes_calls_it_ready(play: Play, early_use: int, begun_s: float) -> None:
    """A container open at 3.3 s: the activator's next probe finds it at 3.4 s, the kubelet's, every 10 s, at 10 s.

    A startupProbe or an exec probe takes the early use away.
    """
    p = sending(1, start_for_ns=500 * MS, probe_period_ns=10 * S, early_use=early_use)

    story = play(p, sent_s=[0.0], service_s=1.0, stages_s=(3.3,))

    assert [begun_s] == story.begun
    assert [10.0] == story.pods(out.READY)


@pytest.mark.parametrize(("open_s", "found_s", "ready_s"), [(3.32, 3.35, 10.0), (0.62, 0.65, 0.65)])
def test_aggressive_probing_polls_every_50_ms(play: Play, open_s: float, found_s: float, ready_s: float) -> None:
    """Queue-proxy holds probes and polls: the activator's succeeds at its next poll, and so does the kubelet's.

    The kubelet's waits for a second only, and comes back after ten.
    """
    p = sending(0, probe_period_ns=10 * S, probe_timeout_ns=1 * S, aggressive=1)

    story = play(p, stages_s=(open_s,))

    assert [found_s] == story.pods(out.USABLE)
    assert [ready_s] == story.pods(out.READY)


def test_initial_delay_and_success_threshold_delay_the_kubelet(play: Play) -> None:
    """Probes from 3 s on, every 2 s, two successes: ready at 5 s; the activator found the pod at 1 s."""
    p = sending(0, probe_period_ns=2 * S, probe_initial_delay_ns=3 * S, probe_successes=2)

    story = play(p, stages_s=(1.0,))

    assert [1.0] == story.pods(out.USABLE)
    assert [5.0] == story.pods(out.READY)


def test_an_aggressive_probe_counts_successes_twice(play: Play) -> None:
    """Two successes: queue-proxy needs a second poll, 50 ms after the first, the kubelet a second probe after 10 s.

    Its first probe, at 0 s, waits and succeeds.
    """
    p = sending(0, probe_period_ns=10 * S, probe_timeout_ns=1 * S, probe_successes=2, aggressive=1)

    story = play(p, stages_s=(0.62,))

    assert [0.7] == story.pods(out.USABLE)
    assert [10.0] == story.pods(out.READY)


def test_a_startup_probe_holds_readiness_back(play: Play) -> None:
    """Open at 3.3 s: the readiness probe, every second, would see it at 4 s, the startup probe does at 5 s.

    It begins after 1 s and comes every 2 s.
    """
    p = sending(0, early_use=0, startup_period_ns=2 * S, startup_initial_delay_ns=1 * S, startup_failures=3)

    story = play(p, stages_s=(3.3,))

    assert [5.0] == story.pods(out.READY)


@pytest.mark.parametrize(("open_s", "ready_s"), [(4.0, 4.0), (4.1, None)])
def test_a_startup_probe_kills_what_starts_too_slowly(play: Play, open_s: float, ready_s: float | None) -> None:
    """Probes at 0, 2 and 4 s, of which all three may not fail: a container open at 4 s lives, a later one never."""
    p = sending(0, early_use=0, startup_period_ns=2 * S, startup_failures=3, restart_ns=1 * S, horizon_ns=60 * S)

    story = play(p, stages_s=(open_s,))

    assert [ready_s] == story.pods(out.READY)
    assert (story.outcome.pods[0, out.RESTARTS] == 0) == (ready_s is not None)


@pytest.mark.parametrize(("always", "replicas"), [(0, [(0.0, 1), (90.0, 0)]), (1, [(0.0, 1)])])
def test_a_pod_without_a_node_may_leave_the_revision_available(
    play: Play, always: int, replicas: list[tuple[float, int]]
) -> None:
    """A revision whose only pod is Pending is unreachable and loses min-scale, unless it is always schedulable.

    Nothing is wanted, so after the progress deadline of 60 s and 30 s more the pod is taken away.
    """
    p = sending(
        0, min_scale=1, stays=1, pool_max=ints(0), progress_deadline_ns=60 * S, always_schedulable=always,
        horizon_ns=100 * S,
    )  # fmt: skip

    story = play(p, phase=clocks(wall_s=0.25))

    assert replicas == story.replicas


# the end
#
# Two initial pods are ready at 1 s; the first decision, at 3.5 s, is one pod, and of two pods equally old the one with
# the lower identity goes: the second. Its address is the lower one, too, so the activator prefers it while it knows it.

LEAVING: dict[str, Any] = {"address": (2, 1), "uid": (2, 1), "stages_s": (1.0,)}


def test_an_idle_pod_holds_its_gpu_for_the_quiet_period(play: Play) -> None:
    """A pod asked to go at 3.5 s is gone at 33.5 s."""
    story = play(sending(0, initial_scale=2), **LEAVING)

    assert 3.5 == story.pods(out.ASKED)[1]
    assert 33.5 == story.pods(out.GONE)[1]


def test_a_late_arrival_begins_the_quiet_period_again(play: Play) -> None:
    """A request that still reaches a leaving pod at 4.2 s is served, and the pod holds its GPU until 34.2 s."""
    p = sending(1, initial_scale=2, endpoints_to_activator_ns=2 * S, start_for_ns=4_200 * MS)

    story = play(p, sent_s=[0.0], service_s=0.5, **LEAVING)

    assert ([1], [200]) == (story.served_by, story.statuses)
    assert 3.5 == story.pods(out.ASKED)[1]
    assert 34.2 == story.pods(out.GONE)[1]


@pytest.mark.parametrize(
    ("drains", "status", "answered_s", "gone_s"), [(1, 200, 62.0, 66.0), (0, 502, 33.5, 37.5)]
)  # fmt: skip
def test_a_request_outlives_the_quiet_period_only_if_the_container_drains(
    play: Play, drains: int, status: int, answered_s: float, gone_s: float
) -> None:
    """A request of 60 s begun at 2 s on a pod asked to go at 3.5 s ends with 502 at 33.5 s without handling of SIGTERM.

    The container stops 4 s after SIGTERM, or after its last request if it drains.
    """
    p = sending(1, initial_scale=2, target_value=10.0, start_for_ns=2 * S, drains_on_sigterm=drains, stop_ns=4 * S)

    story = play(p, sent_s=[0.0], service_s=60.0, **LEAVING)

    assert [1] == story.served_by
    assert [status] == story.statuses
    assert [answered_s] == story.answered
    assert gone_s == story.pods(out.GONE)[1]


def test_the_grace_period_ends_what_still_runs(play: Play) -> None:
    """A timeoutSeconds of 40 is the grace period, too: SIGKILL at 43.5 s, before the late request's time is over."""
    p = sending(
        1, initial_scale=2, endpoints_to_activator_ns=2 * S, start_for_ns=4_200 * MS, timeout_ns=40 * S,
    )  # fmt: skip

    story = play(p, sent_s=[0.0], service_s=60.0, **LEAVING)

    assert ([1], [502]) == (story.served_by, story.statuses)
    assert [43.5] == story.answered
    assert 43.5 == story.pods(out.GONE)[1]


def test_a_short_timeout_cuts_the_quiet_period(play: Play) -> None:
    """With timeoutSeconds 10 a pod asked to go at 3.5 s is killed at 13.5 s."""
    story = play(sending(0, initial_scale=2, timeout_ns=10 * S), **LEAVING)

    assert 13.5 == story.pods(out.GONE)[1]


def test_scale_down_takes_the_youngest_ready_pod(play: Play) -> None:
    """Pods ready at 1 s and at 40 s: the initial scale of 2 is reached then, one is enough, and the younger goes.

    The identity of the elder is the lower one, which would decide between two of about the same age.
    """
    story = play(sending(0, initial_scale=2), stages_s=(1.0,), stage_times_s=[(1.0,), (40.0,)], uid=(1, 2))

    assert [1.0, 40.0] == story.pods(out.READY)
    assert [100.0, 40.0] == story.pods(out.ASKED)


def test_scale_down_settles_a_circle_in_order_of_creation(play: Play) -> None:
    """Kubernetes' comparison goes in a circle here: its sort leaves to chance what an order of creation settles.

    Pods 0 and 1 are ready at 5 s, pod 2 at 4 s: 10 and 11 s old, between the same powers of two, when pod 3 is ready at
    15 s and one pod is enough. Pod 0, whose container crashed once, goes before pod 1; by identity pod 1 goes before
    pod 2, and pod 2 before pod 0. From the first to the last, pod 2 goes before pod 0, and then pod 0 before pod 1;
    that one goes a stable window later.
    """
    p = sending(0, initial_scale=4, crash_probability=0.5)
    half = CHANCE_ONE // 2
    key = next(
        key
        for key in range(10_000)
        if chance(key, 0, CRASH) < half and all(chance(key, pod, CRASH + (pod == 0)) >= half for pod in range(4))
    )

    story = play(p, stages_s=(5.0,), stage_times_s=[(2.5,), (5.0,), (4.0,), (15.0,)], key=key, uid=(3, 1, 2, 0))

    assert [1, 0, 0, 0] == [int(value) for value in story.outcome.pods[:, out.RESTARTS]]
    assert [5.0, 5.0, 4.0, 15.0] == story.pods(out.READY)
    assert [15.0, 75.0, 15.0, 15.0] == story.pods(out.ASKED)


def test_scale_down_takes_pods_that_share_a_node_first(play: Play) -> None:
    """Of three equally old pods, two on one node and one alone, the two go, whatever their identities."""
    p = sending(0, initial_scale=3, **pools((0, 2, 1, 1, 0, 0), (0, 1, 1, 1, 0, 0)))

    story = play(p, stages_s=(1.0,), uid=(5, 6, 1))

    assert [0, 0, 1] == [int(value) for value in story.outcome.pods[:, out.NODE]]
    assert [3.5, 3.5] == story.pods(out.ASKED)[:2]
    assert 61.0 == story.pods(out.ASKED)[2]


def test_scale_down_takes_a_pod_that_pulls_before_one_that_loads(play: Play) -> None:
    """Three clients ask for three pods from zero, and give up after 10 s: of the three the oldest goes first.

    It is Pending, for its image takes 200 s; those of the others came in a second, and they load. Averages are weighted
    exponentially, so that three becomes two before it becomes none.
    """
    p = sending(
        3, initial_scale=0, client_timeout_ns=10 * S, panic_threshold=10.0, start_for_ns=10_100 * MS,
        weight_stable=0.2, weight_panic=0.2, horizon_ns=40 * S, **stages(of.PULL, of.START),
    )  # fmt: skip

    story = play(
        p, sent_s=[0.0] * 3, service_s=1.0, stages_s=(1.0, 300.0), stage_times_s=[(200.0, 300.0)], uid=(3, 2, 1)
    )

    assert [23.5, None, 25.5] == story.pods(out.ASKED)


def test_scale_down_cancels_a_starting_pod_first(play: Play) -> None:
    """A second pod asked for at 113.5 s still starts when one is enough again, at 169.5 s: it goes, unready.

    Five requests of 20 s from 100.1 s on: sec 100 to 119 hold 5, sec 120 holds 4. The stable window, 59 seconds up to
    the second before the tick (60 where a report fell into its own second), passes 1 at 113.5 s with 14 * 5 / 60, and
    falls below it at 169.5 s with (11 * 5 + 4) / 59 = 1. Panic is kept out by its threshold.
    """
    p = CALM._replace(
        closed=0, workers=0, requests=5, container_concurrency=5, slots=5, panic_threshold=10.0, min_scale=1, stays=1,
        start_for_ns=100_100 * MS,
    )  # fmt: skip

    story = play(p, sent_s=[0.0] * 5, service_s=20.0, stages_s=(100.0,), stage_times_s=[(1.0,)])

    assert [0.0, 113.5] == story.pods(out.CREATED)
    assert [None, 169.5] == story.pods(out.ASKED)
    assert [1.0, None] == story.pods(out.READY)
    assert 199.5 == story.pods(out.GONE)[1]
