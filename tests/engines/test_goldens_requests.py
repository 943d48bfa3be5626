"""Ways of requests worked out by hand: clients, gateway, activators, queues, time limits, shared GPUs, sessions.

The conventions are those of ``test_goldens``: no delay in the plumbing, ticks at 1.5, 3.5, 5.5 ... s. The load begins
at 10 s, and pods are ready at 1 s. With a burst capacity of 0 the gateway sends to pods from 3.5 s on.
"""

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from kpasim.engines import outcome as out
from kpasim.engines import params as of
from kpasim.engines.draws import ACTIVATOR_A, ACTIVATOR_B, HOST_A, HOST_B, SESSION, WORKER, pick
from kpasim.engines.params import Params

from .hand import CALM, MS, S, Story, by_hand, floats, ints

Play = Callable[..., Story]
DIRECT = {"target_burst_capacity": 0.0}


def sending(count: int, **changes: Any) -> Params:
    """``count`` requests at times of their own from 10 s on, and as many pods as ``pods`` that stay."""
    pods = changes.pop("pods", 1)
    settings = {
        "closed": 0,
        "workers": 0,
        "requests": count,
        "start_for_ns": 10 * S,
        "initial_scale": pods,
        "min_scale": pods,
        "max_scale": pods,
        "stays": 1,
        "target_value": 1000.0,
        **changes,
    }
    return CALM._replace(**settings)


def clients(count: int, each: int, **changes: Any) -> Params:
    """``count`` closed-loop clients that send ``each`` requests one after the other, from 10 s on, to one pod each."""
    p = sending(count * each, pods=count, **changes)
    return p._replace(closed=1, workers=count, requests_per_worker=0 if p.load_duration_ns else each)


# queues


@pytest.mark.parametrize("cc", [1, 2])
def test_a_full_queue_proxy_refuses(play: Play, cc: int) -> None:
    """Directly to one pod: cc run, 10 cc wait, the next is refused at once with 503; for cc = 1 that is the 12th."""
    count = 11 * cc + 1
    p = sending(count, container_concurrency=cc, slots=cc, **DIRECT)

    story = play(p, sent_s=[0.0] * count, service_s=1.0, stages_s=(1.0,))

    assert [200] * (11 * cc) + [503] == story.statuses
    assert [float(1 + place // cc) for place in range(11 * cc)] + [0.0] == story.latencies


def test_the_activators_queue_is_never_full(play: Play) -> None:
    """Through the activator forty simultaneous requests of 1 s wait for one pod, the last for 39 s."""
    story = play(sending(40), sent_s=[0.0] * 40, service_s=1.0, stages_s=(1.0,))

    assert [200] * 40 == story.statuses
    assert [float(1 + place) for place in range(40)] == story.latencies


def test_a_request_bound_to_a_pod_cannot_move(play: Play) -> None:
    """Directly, in turn: requests 0 and 2 go to one pod, 1 and 3 to the other, and 2 waits behind a long 0.

    The other pod is idle from 11 s on. Through the activator request 2 would begin then.
    """
    ways = {"direct": DIRECT, "activator": {}}
    begun = {
        way: play(
            sending(4, pods=2, **settings),
            sent_s=[0.0, 0.0, 0.0, 20.0],
            service_s=(30.0, 1.0, 1.0, 1.0),
            stages_s=(1.0,),
        ).begun
        for way, settings in ways.items()
    }

    assert [10.0, 10.0, 40.0, 30.0] == begun["direct"]
    assert [10.0, 10.0, 11.0, 30.0] == begun["activator"]


def test_new_pods_help_only_requests_sent_later_on_the_direct_path(play: Play) -> None:
    """Five direct clients of one pod ask for more pods, which get nothing of what is queued at the first.

    Requests of 30 s: the four that wait begin at 40, 70, 100 and 130 s on pod 0, long after others are ready: the
    ticks at 13.5 and 15.5 s ask for 12.5/5 -> 3 and for 22.5/5 -> 5 pods, which are ready a second later.
    """
    p = sending(5, **DIRECT, min_scale=1, max_scale=5, target_value=1.0)

    story = play(p, sent_s=[0.0] * 5, service_s=30.0, stages_s=(1.0,))

    assert [10.0, 40.0, 70.0, 100.0, 130.0] == story.begun
    assert [0] * 5 == story.served_by
    assert [14.5, 14.5, 16.5, 16.5] == story.pods(out.READY)[1:5]


# time limits


def test_a_request_is_timed_out_after_300_s_and_its_slot_is_free(play: Play) -> None:
    """The second waits 250 s for the first, is cut off at 310 s with 504 while it runs, and the third begins then."""
    p = sending(3, cancel_stops_work=1)

    story = play(p, sent_s=[0.0, 0.0, 20.0], service_s=(250.0, 100.0, 5.0), stages_s=(1.0,))

    assert [200, 504, 200] == story.statuses
    assert [10.0, 260.0, 310.0] == story.begun
    assert [260.0, 310.0, 315.0] == story.answered


def test_a_container_that_ignores_cancellation_stays_busy(play: Play) -> None:
    """The same, but the container works on until 360 s, and then on the third, which timed out at 330 s."""
    p = sending(3, cancel_stops_work=0)

    story = play(p, sent_s=[0.0, 0.0, 20.0], service_s=(250.0, 100.0, 5.0), stages_s=(1.0,))

    assert [200, 504, 504] == story.statuses
    assert [10.0, 260.0, 360.0] == story.begun
    assert [260.0, 310.0, 330.0] == story.answered
    assert [250.0 + 100.0 + 5.0] == [float(busy) / 1e9 for busy in story.outcome.pods[:, out.BUSY]]


def test_time_spent_waiting_counts(play: Play) -> None:
    """A request for which no pod starts in time is answered with 504 after timeoutSeconds."""
    p = sending(1, timeout_ns=60 * S)

    story = play(p, sent_s=[0.0], service_s=1.0, stages_s=(1000.0,))

    assert [504] == story.statuses
    assert [60.0] == story.latencies


def test_a_stream_is_cut_at_the_end_of_its_time(play: Play) -> None:
    """A response that began after 2 s is cut off all the same when timeoutSeconds are over."""
    p = sending(1, timeout_ns=20 * S)

    story = play(p, sent_s=[0.0], service_s=30.0, stages_s=(1.0,), first_byte=ints(2 * S))

    assert [504] == story.statuses
    assert [20.0] == story.latencies


@pytest.mark.parametrize(
    ("first_byte", "status", "latency_s"),
    [(ints(2 * S), 200, 8.0), (ints(5 * S), 200, 8.0), (ints(5 * S + 1), 504, 5.0), (ints(), 504, 5.0)],
)
def test_a_response_must_begin_in_time(play: Play, first_byte: Any, status: int, latency_s: float) -> None:
    """With responseStartTimeoutSeconds 5 an answer of 8 s passes if it begins by then, and not if it comes whole."""
    story = play(
        sending(1, first_byte_timeout_ns=5 * S), sent_s=[0.0], service_s=8.0, stages_s=(1.0,), first_byte=first_byte
    )

    assert [status] == story.statuses
    assert [latency_s] == story.latencies


@pytest.mark.parametrize(
    ("service_s", "idle_s", "status", "latency_s"), [(8.0, 5, 504, 7.0), (8.0, 0, 200, 8.0), (7.0, 5, 200, 7.0)]
)
def test_a_stream_that_falls_silent_is_cut(
    play: Play, service_s: float, idle_s: int, status: int, latency_s: float
) -> None:
    """With idleTimeoutSeconds 5 an answer that begins after 2 s and says nothing more is cut after 7 s.

    One that ends at that moment is not, nor one whose pieces come quickly enough.
    """
    p = sending(1, first_byte_timeout_ns=5 * S, stream_idle_ns=idle_s * S)

    story = play(p, sent_s=[0.0], service_s=service_s, stages_s=(1.0,), first_byte=ints(2 * S))

    assert [status] == story.statuses
    assert [latency_s] == story.latencies


def test_the_silence_before_the_first_byte_counts_from_the_arrival(play: Play) -> None:
    """Two requests of 4 s, one at a time, each silent after its first second: the later one is cut while it waits.

    The first one's answer begins after 1 s and is cut at 4 s, when the second, silent since its arrival at 0 s, has
    waited for 3 s already.
    """
    p = sending(2, first_byte_timeout_ns=3 * S, stream_idle_ns=3 * S, cancel_stops_work=1)

    story = play(p, sent_s=[0.0, 0.0], service_s=9.0, stages_s=(1.0,), first_byte=ints(1 * S, 1 * S))

    assert [504, 504] == story.statuses
    assert [4.0, 3.0] == story.latencies


def test_a_slowed_down_response_that_comes_whole_begins_late(play: Play) -> None:
    """Two requests of 4 s that share a GPU both end after 8 s, too late for a first byte within 5 s."""
    p = sending(
        2, container_concurrency=0, slots=0, slowdown=floats(1.0, 2.0), first_byte_timeout_ns=5 * S, cancel_stops_work=1
    )

    story = play(p, sent_s=[0.0, 0.0], service_s=4.0, stages_s=(1.0,))

    assert [504, 504] == story.statuses


def test_a_client_that_gives_up_leaves_the_activators_queue(play: Play) -> None:
    """Of three that wait for a pod ready at 30 s the first gives up after 12 s, so the others begin at 30 and 32 s.

    They were inside for 12, 30 + 2 - 25 and 32 + 2 - 26 s.
    """
    p = sending(3, client_timeout_ns=12 * S)

    story = play(p, sent_s=[0.0, 15.0, 16.0], service_s=2.0, stages_s=(30.0,))

    assert [0, 200, 200] == story.statuses
    assert [None, 30.0, 32.0] == story.begun
    assert (12 + 7 + 8) * S == story.outcome.concurrency_ns


def test_a_request_passed_on_is_worked_on_although_its_client_has_gone(play: Play) -> None:
    """The container works until 40 s for a client that left at 22 s; the next, sent on to it then, leaves at 23 s.

    It waits inside all the same and takes the second from 40 s, so that the third, sent at 35 s, begins at 41 s.
    """
    p = sending(3, client_timeout_ns=12 * S)

    story = play(p, sent_s=[0.0, 1.0, 25.0], service_s=(30.0, 1.0, 1.0), stages_s=(1.0,))

    assert [0, 0, 200] == story.statuses
    assert [10 * S, 22 * S, 35 * S] == story.of_requests(out.ARRIVED)
    assert [10.0, 40.0, 41.0] == story.begun


def test_a_request_cut_in_queue_proxys_queue_never_reaches_the_container(play: Play) -> None:
    """A stream keeps the only place until 25 s; the request of 11 s behind it is cut after 3 s without a first byte."""
    p = sending(3, first_byte_timeout_ns=3 * S, **DIRECT)

    story = play(p, sent_s=[0.0, 1.0, 13.0], service_s=(15.0, 1.0, 1.0), stages_s=(1.0,), first_byte=ints(S, S, S))

    assert [200, 504, 200] == story.statuses
    assert [10.0, None, 25.0] == story.begun


# load tools


def test_a_worker_thinks_after_each_response(play: Play) -> None:
    """Requests of 2 s and 3 s of thought, but none before the first; one that gives up after 1.5 s thinks as long."""
    p = clients(1, 3, think_ns=3 * S)
    story = play(p, service_s=2.0, stages_s=(1.0,))
    hasty = play(p._replace(client_timeout_ns=1500 * MS, cancel_stops_work=1), service_s=2.0, stages_s=(1.0,))

    assert [10.0, 15.0, 20.0] == story.sent
    assert [10.0, 14.5, 19.0] == hasty.sent


def test_hey_shares_its_requests_evenly(play: Play) -> None:
    """Three clients of two requests each start together and do not think; the pods take 1, 2, 3 s for each."""
    story = play(clients(3, 2), service_s=(1.0, 1.0, 2.0, 2.0, 3.0, 3.0), stages_s=(1.0,))

    assert [10.0, 10.0, 10.0, 11.0, 12.0, 13.0] == story.sent
    assert [0, 2, 4, 1, 3, 5] == story.outcome.draws().tolist()
    assert [1.0, 2.0, 3.0, 1.0, 2.0, 3.0] == story.latencies


def test_hey_q_waits_for_a_ticker_that_does_not_catch_up(play: Play) -> None:
    """Twice a second, from half a second on; a tick missed during a request of 1.2 s is taken once, at its end.

    Answers at 11.7 s and 12.9 s: ticks 11.0 and 11.5 were missed, then 12.0 and 12.5, and the next sends at once. The
    third and the fourth take 0.1 s: after 13.0 s the next tick is the one at 13.5 s.
    """
    p = clients(1, 5, worker_period_ns=500 * MS)

    story = play(p, service_s=(1.2, 1.2, 0.1, 0.1, 0.1), stages_s=(1.0,))

    assert [10.5, 11.7, 12.9, 13.0, 13.5] == story.sent


def test_hey_z_finishes_what_is_on_its_way(play: Play) -> None:
    """For 10 s with requests of 3 s: sent at 10, 13, 16 and 19 s, the last answered at 22 s."""
    story = play(clients(1, 8, load_duration_ns=10 * S), service_s=3.0, stages_s=(1.0,))

    assert [10.0, 13.0, 16.0, 19.0] == story.sent
    assert 22.0 == story.answered[-1]


def test_hey_q_and_z_send_once_more_after_the_end(play: Play) -> None:
    """A tick every 2 s, for 3 s: the worker is free at 2.5 s, asks whether time is over, then waits for its tick."""
    p = clients(1, 10, load_duration_ns=3 * S, worker_period_ns=2 * S)

    story = play(p, service_s=0.5, stages_s=(1.0,))

    assert [12.0, 14.0] == story.sent


def test_a_replayed_service_time_is_that_of_a_plain_instance(play: Play) -> None:
    """A measured 3 s take 6 s on a type of factor 2; a request without a measured time takes the model's 5 s twice."""
    p = sending(2, container_concurrency=0, slots=0, type_factor=floats(2.0))

    story = play(p, sent_s=[0.0, 0.0], service_s=5.0, stages_s=(1.0,), own_service=ints(3 * S, 0))

    assert [6.0, 10.0] == story.latencies


@pytest.mark.parametrize(("by_start", "latency_s"), [(0, 5.0), (1, 4.0)])
def test_service_times_belong_to_requests_or_to_starts(play: Play, by_start: int, latency_s: float) -> None:
    """The second of three gives up on its way, so the third is the second to start: its own time is 5 s, that 4 s."""
    p = sending(3, service_by_start=by_start, client_timeout_ns=9 * S)

    story = play(p, sent_s=[0.0, 0.0, 10.0], service_s=(3.0, 4.0, 5.0), stages_s=(1.0,), delay=ints(0, 9 * S, 0))

    assert [200, 0, 200] == story.statuses
    assert latency_s == story.latencies[2]


def test_the_plumbing_takes_its_time(play: Play) -> None:
    """A request is 1 ms on its way, 0.5 ms to its pod, and its answer 0.2 ms; one that waited follows after 1.5 ms."""
    p = sending(2, front_to_server_ns=500_000, hand_over_ns=1_500_000, server_to_client_ns=200_000)

    story = play(p, sent_s=[0.0, 0.0], service_s=3.0, stages_s=(1.0,), delay=ints(1 * MS, 1 * MS))

    assert [10.0015, 13.003] == story.begun
    assert [13.0017, 16.0032] == story.answered


# which pod


@pytest.mark.parametrize(("cc", "pods"), [(1, [2, 2, 2, 2]), (4, [2, 0, 3, 1])])
def test_the_activator_fills_the_first_pod_by_address_or_takes_turns(play: Play, cc: int, pods: list[int]) -> None:
    """Lone requests all go to the lowest address with containerConcurrency up to 3; from 4 on pods take turns."""
    p = sending(4, pods=4, container_concurrency=cc, slots=cc)

    story = play(p, sent_s=[0.0, 2.0, 4.0, 6.0], service_s=1.0, stages_s=(1.0,), address=(2, 4, 1, 3))

    assert pods == story.served_by


def test_without_a_limit_the_activator_takes_the_less_busy_of_two(play: Play) -> None:
    """With two pods both are compared: four simultaneous requests are two for each."""
    p = sending(4, pods=2, container_concurrency=0, slots=0)

    story = play(p, sent_s=[0.0] * 4, service_s=5.0, stages_s=(1.0,))

    assert [0, 0, 1, 1] == sorted(story.served_by)
    assert story.served_by[0] != story.served_by[1]
    assert [10.0] * 4 == story.begun


def test_the_gateway_takes_turns(play: Play) -> None:
    """Round robin over three pods in the order of their addresses, whatever is queued."""
    p = sending(6, pods=3, **DIRECT)

    story = play(p, sent_s=[0.0, 0.0, 1.0, 2.0, 2.5, 30.0], service_s=5.0, stages_s=(1.0,), address=(3, 2, 1))

    assert [2, 1, 0, 2, 1, 0] == story.served_by


def test_each_worker_of_the_gateway_takes_its_own_turns(play: Play) -> None:
    """With two worker threads two requests in a row can meet the same pod: each thread has a position of its own."""
    p = sending(8, pods=2, ingress_workers=2, **DIRECT)
    key = by_hand(p).key
    turns = [0, 0]
    expected = []
    for request in range(8):
        worker = pick(key, request, WORKER, 2)
        expected.append(turns[worker] % 2)
        turns[worker] += 1

    story = play(p, sent_s=[0.0] * 8, service_s=5.0, stages_s=(1.0,))

    assert expected == story.served_by
    assert [0, 1] * 4 != expected


def test_least_request_takes_the_less_busy_of_two(play: Play) -> None:
    """Of two pods drawn, which may be the same one, the one with fewer requests is chosen, the first in a tie."""
    p = sending(12, pods=3, ingress_policy=of.LEAST_REQUEST, container_concurrency=12, slots=12, **DIRECT)
    key = by_hand(p).key
    inside = [0, 0, 0]
    expected = []
    for request in range(12):
        one, other = pick(key, request, HOST_A, 3), pick(key, request, HOST_B, 3)
        chosen = other if inside[other] < inside[one] else one
        inside[chosen] += 1
        expected.append(chosen)

    story = play(p, sent_s=[0.0] * 12, service_s=5.0, stages_s=(1.0,))

    assert expected == story.served_by


def test_a_random_gateway_does_not_look(play: Play) -> None:
    """Each request goes to the pod drawn for it."""
    p = sending(8, pods=3, ingress_policy=of.RANDOM, **DIRECT)
    key = by_hand(p).key

    story = play(p, sent_s=[0.0] * 8, service_s=5.0, stages_s=(1.0,))

    assert [pick(key, request, HOST_A, 3) for request in range(8)] == story.served_by


def test_a_removed_pod_goes_on_to_use_the_activators_slots(play: Play) -> None:
    """Two pods are busy, one is removed, the other becomes idle: a waiting request waits for the removed one, too.

    At 3.5 s the second pod is asked to go with a request that ends at 62 s. The first pod's ends at 7 s, but the
    activator has one slot left and one request out, so the third begins at 62 s.
    """
    p = sending(3, initial_scale=2, max_scale=2, start_for_ns=2 * S)

    story = play(
        p, sent_s=[0.0, 0.0, 0.5], service_s=(60.0, 5.0, 1.0), stages_s=(1.0,), address=(2, 1), uid=(2, 1)
    )  # fmt: skip

    assert [1, 0, 0] == story.served_by
    assert 3.5 == story.pods(out.ASKED)[1]
    assert 7.0 == story.answered[1]
    assert [2.0, 2.0, 62.0] == story.begun


# several activators


def test_activators_have_slices_of_the_pods(play: Play) -> None:
    """Two activators, four pods: each has two, and a request waits for its own activator's while others are idle.

    In turn, requests 0, 2, 4 meet the first activator, 1 and 3 the second, whose pods are idle from 11 s on.
    """
    p = sending(5, pods=4, activators=2)

    story = play(p, sent_s=[0.0, 0.0, 0.0, 0.0, 5.0], service_s=(10.0, 1.0, 10.0, 1.0, 1.0), stages_s=(1.0,))

    assert [0, 1, 0, 1, 0] == story.of_requests(out.ACTIVATOR)
    assert [0, 2, 1, 3, 0] == story.served_by
    assert 20.0 == story.begun[4]


def test_pods_left_over_go_to_the_first_activators(play: Play) -> None:
    """Of five pods the first of two activators has three: the first two by address, and the last."""
    p = sending(6, pods=5, activators=2)

    story = play(p, sent_s=[0.0] * 6, service_s=5.0, stages_s=(1.0,))

    assert [0, 2, 1, 3, 4, 2] == story.served_by
    assert [10.0, 10.0, 10.0, 10.0, 10.0, 15.0] == story.begun


def test_more_activators_than_pods_overfill_a_pod(play: Play) -> None:
    """Each of two activators sends the one pod all that it may take, and queue-proxy queues the excess.

    With one activator the second request would not reach the pod before 15 s.
    """
    arrived = [
        play(sending(2, activators=count), sent_s=[0.0, 0.0], service_s=5.0, stages_s=(1.0,)).of_requests(out.ARRIVED)
        for count in (2, 1)
    ]

    assert [10 * S, 10 * S] == arrived[0]
    assert [10 * S, 15 * S] == arrived[1]


def test_as_many_activators_as_the_burst_capacity_needs(play: Play) -> None:
    """One pod of 1 and a burst capacity of 211 over 100 each: three of four activators are in the path."""
    story = play(sending(4, activators=4), sent_s=[0.0] * 4, service_s=1.0, stages_s=(1.0,))

    assert [0, 1, 2, 0] == story.of_requests(out.ACTIVATOR)


def test_least_request_holds_for_activators_too(play: Play) -> None:
    """The gateway sends to the less busy of two activators drawn."""
    p = sending(8, activators=3, ingress_policy=of.LEAST_REQUEST)
    key = by_hand(p).key
    inside = [0, 0, 0]
    expected = []
    for request in range(8):
        one, other = pick(key, request, ACTIVATOR_A, 3), pick(key, request, ACTIVATOR_B, 3)
        chosen = other if inside[other] < inside[one] else one
        inside[chosen] += 1
        expected.append(chosen)

    story = play(p, sent_s=[0.0] * 8, service_s=1.0, stages_s=(1.0,))

    assert expected == story.of_requests(out.ACTIVATOR)


# sessions
#
# Requests of an open loop are one of three sessions' each, by chance; a worker of a closed loop is always the same one.

EVERY_SECOND = [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]


def in_turn(p: Params) -> list[int]:
    """Backends of requests if a session's first one takes the next of two, and its later ones the same."""
    key = by_hand(p).key
    sticky: dict[int, int] = {}
    turn = 0
    backends = []
    for request in range(p.requests):
        session = pick(key, request, SESSION, p.sessions)
        if session not in sticky or not p.cookies:
            sticky[session] = turn % 2
            turn += 1
        backends.append(sticky[session])
    return backends


@pytest.mark.parametrize("cookies", [1, 0])
def test_a_client_with_a_cookie_returns_to_its_pod(play: Play, cookies: int) -> None:
    """Directly a session stays with the pod that answered it first; without cookies pods are taken in turn."""
    p = sending(6, pods=2, sessions=3, cookies=cookies, affinity=of.UPSTREAM_AFFINITY, **DIRECT)

    story = play(p, sent_s=EVERY_SECOND, service_s=0.5, stages_s=(1.0,))

    assert in_turn(p) == story.served_by
    assert ([0, 1, 0, 1, 0, 1] == story.served_by) == (not cookies)


def test_a_worker_of_a_closed_loop_is_always_the_same_client(play: Play) -> None:
    """Three workers, two clients: the first and the third worker are one, and share the pod that it got first.

    The first worker's answer of 1 s comes before the third's, so that the cookie is there for all later ones.
    """
    p = clients(3, 3, sessions=2, cookies=1, affinity=of.UPSTREAM_AFFINITY, container_concurrency=0, slots=0, **DIRECT)

    story = play(p, service_s=[1.0, 1.0, 1.0, 2.0, 2.0, 2.0, 3.0, 3.0, 3.0], stages_s=(1.0,))

    workers = [row // 3 for row in story.outcome.draws().tolist()]
    pods = [{pod for worker, pod in zip(workers, story.served_by, strict=True) if worker == one} for one in range(3)]
    assert pods[0] == {0}
    assert pods[1] == {1}
    assert pods[2] == {2, 0}


def test_behind_an_activator_a_cookie_ties_to_the_activator(play: Play) -> None:
    """The gateway's backends are activators then, and a session stays with its activator."""
    p = sending(6, pods=2, sessions=3, cookies=1, affinity=of.UPSTREAM_AFFINITY, activators=2)

    story = play(p, sent_s=EVERY_SECOND, service_s=0.5, stages_s=(1.0,))

    assert in_turn(p) == story.of_requests(out.ACTIVATOR)


def test_a_cookie_of_an_activator_that_has_left_counts_no_more(play: Play) -> None:
    """Three of 8 s at 10 s want a second pod, and with it a third activator: 2 x 10 and a burst of 100 take 3 of 55.

    The pod is ready at 12.5 s. At 23.5 s, 6 s after they ended, it is asked to go, and two activators are left: who
    was tied to the third takes the next in turn.
    """
    p = sending(
        33, sessions=20, cookies=1, affinity=of.UPSTREAM_AFFINITY, activators=3, activator_capacity=55.0,
        total_value=10.0, target_burst_capacity=100.0, container_concurrency=0, slots=0, target_value=1.0,
        stable_window_s=6, panic_threshold=1000.0, min_scale=1, max_scale=2,
    )  # fmt: skip
    sent_s = [0.0, 0.0, 0.0, *(float(second) for second in range(1, 31))]
    service_s = [8.0, 8.0, 8.0, *[0.1] * 30]

    story = play(p, sent_s=sent_s, service_s=service_s, stages_s=(1.0,))

    assert (12.5, 23.5) == (story.pods(out.READY)[1], story.pods(out.ASKED)[1])
    key, turn, returned = by_hand(p).key, 0, []
    tied: list[tuple[float, int, int]] = []  # when a session was answered, and by which activator
    expected = []
    for request, time_s in enumerate(sent_s):
        count, session = 3 if 2.5 < time_s < 13.5 else 2, pick(key, request, SESSION, p.sessions)
        cookies = [by for answered_s, whose, by in sorted(tied) if whose == session and answered_s <= time_s]
        if not cookies or cookies[-1] >= count:
            returned += cookies[-1:]
            cookies = [turn % count]
            turn = turn % count + 1
        expected.append(cookies[-1])
        tied.append((time_s + service_s[request], session, cookies[-1]))
    assert [2, 2] == returned
    assert expected == story.of_requests(out.ACTIVATOR)


def test_a_vendors_gateway_ties_to_pods_even_past_the_activator(play: Play) -> None:
    """A session's second request goes straight to its pod, though the activator is in the path, and waits there."""
    p = clients(2, 2, sessions=2, cookies=1, affinity=of.POD_AFFINITY)

    story = play(p, service_s=(1.0, 5.0, 1.0, 5.0), stages_s=(1.0,))

    assert [0, 0, -1, -1] == story.of_requests(out.ACTIVATOR)
    assert [0, 1, 0, 1] == story.served_by


def test_a_cookie_ends(play: Play) -> None:
    """A session silent for longer than the cookie's time is balanced like a new one."""
    p = sending(3, pods=2, sessions=1, cookies=1, affinity=of.UPSTREAM_AFFINITY, affinity_timeout_ns=10 * S, **DIRECT)

    story = play(p, sent_s=[0.0, 5.0, 20.0], service_s=0.5, stages_s=(1.0,))

    assert [0, 0, 1] == story.served_by


# shared GPUs


def shared(slowdown: Sequence[float], **changes: Any) -> Params:
    """Two requests that share a GPU, on pods without limits."""
    return sending(2, container_concurrency=0, slots=0, slowdown=floats(*slowdown), **changes)


@pytest.mark.parametrize(
    ("slowdown", "answered"),
    [((1.0, 2.0), [16.0, 18.0]), ((1.0, 1.5), [15.0, 17.0]), ((1.0, 1.0), [14.0, 16.0]), ((1.0,), [16.0, 18.0])],
)
def test_requests_share_a_gpu(play: Play, slowdown: tuple[float, ...], answered: list[float]) -> None:
    """Two requests of 4 s begun at 10 and 12 s: the second half of the first takes as many times longer as the two do.

    Twice as long: until 16 s, when the other has half its work left, 2 s alone. Half as long again: until 15 s, 2 s
    left. No longer: 14 s, 2 s left. A single entry goes on in proportion.
    """
    story = play(shared(slowdown), sent_s=[0.0, 2.0], service_s=4.0, stages_s=(1.0,))

    assert answered == story.answered


@pytest.mark.parametrize(("by_node", "answered"), [(1, [16.0, 18.0]), (0, [14.0, 16.0])])
def test_pods_on_one_node_may_share_its_gpu(play: Play, by_node: int, answered: list[float]) -> None:
    """The same two requests on two pods of one node, one each: slowed down only if the node's GPU is shared."""
    p = sending(
        2, pods=2, slowdown=floats(1.0, 2.0), shared_by_node=by_node, pool_slots=ints(2), pool_ready=ints(1),
        pool_max=ints(1),
    )  # fmt: skip

    story = play(p, sent_s=[0.0, 2.0], service_s=4.0, stages_s=(1.0,))

    assert [0, 1] == story.served_by
    assert answered == story.answered


def test_a_cancelled_request_gives_back_its_share(play: Play) -> None:
    """The second is cut off after 2 s: the first, at half speed from 10 to 12 s, has 3 s left then and ends at 15 s."""
    p = shared((1.0, 2.0), first_byte_timeout_ns=2 * S, cancel_stops_work=1)

    story = play(p, sent_s=[0.0, 0.0], service_s=4.0, stages_s=(1.0,), first_byte=ints(0, 4 * S))

    assert [200, 504] == story.statuses
    assert [15.0, 12.0] == story.answered


def test_slots_limit_what_a_container_works_on(play: Play) -> None:
    """A containerConcurrency of 4 over a container of 2 slots: of four requests of 5 s two wait inside the pod."""
    p = sending(4, container_concurrency=4, slots=2)

    story = play(p, sent_s=[0.0] * 4, service_s=5.0, stages_s=(1.0,))

    assert [10 * S] * 4 == story.of_requests(out.ARRIVED)
    assert [10.0, 10.0, 15.0, 15.0] == story.begun


def test_a_container_works_on_what_waits_inside_though_the_client_has_gone(play: Play) -> None:
    """Ten requests of 0.5 s, one at a time, given up after 1.2 s; one more at 12 s waits behind all of them.

    The ten take until 15 s, so the last one begins then, 1.8 s after its client has gone: eleven pieces of work.
    """
    p = sending(11, container_concurrency=0, slots=1, client_timeout_ns=1200 * MS)

    story = play(p, sent_s=[0.0] * 10 + [2.0], service_s=0.5, stages_s=(1.0,))

    assert [200, 200] + [0] * 9 == story.statuses
    assert [10.0 + 0.5 * place for place in range(11)] == story.begun
    assert [10.5 + 0.5 * place for place in range(11)] == [story.seconds(t) for t in story.of_requests(out.DONE)]
    assert [5.5] == [float(busy) / 1e9 for busy in story.outcome.pods[:, out.BUSY]]


def test_a_container_that_notices_works_on_no_request_whose_client_has_gone(play: Play) -> None:
    """The same with cancel-stops-work and a client every 0.1 s: the one at 12.2 s waits for those that still wait.

    The first two end at 11 s, the third is stopped at 11.4 s, when the fourth begins, and so on every 0.1 s.
    """
    p = sending(11, container_concurrency=0, slots=1, client_timeout_ns=1200 * MS, cancel_stops_work=1)
    sent_s = [0.1 * place for place in range(10)]

    story = play(p, sent_s=[*sent_s, 2.2], service_s=0.5, stages_s=(1.0,))

    assert [10.0, 10.5, 11.0, 11.4, 11.5, 11.6, 11.7, 11.8, 11.9, 12.0, 12.2] == story.begun
    assert [200, 200, *[0] * 8, 200] == story.statuses


def test_work_for_clients_that_have_gone_ends_with_the_pod(play: Play) -> None:
    """A pod that is asked to go does not wait for what clients that have gone left: idle for queue-proxy, it stops."""
    p = sending(4, container_concurrency=0, slots=1, client_timeout_ns=4 * S, min_scale=0, max_scale=1, stays=0)

    story = play(p, sent_s=[0.0] * 4, service_s=60.0, stages_s=(1.0,))

    gone_s = story.pods(out.GONE)[0]
    assert gone_s is not None
    assert [70.0, None, None, None] == [story.seconds(t) for t in story.of_requests(out.DONE)]
    assert gone_s - 10.0 == float(story.outcome.pods[0, out.BUSY]) / 1e9


def test_the_slot_of_a_request_that_is_waking_is_not_given_away(play: Play) -> None:
    """The first request ends at 6 s and wakes the second; meanwhile a pod comes at 6.6 s and takes the third only."""
    p = sending(4, pods=2, start_for_ns=1 * S, wake_ns=2 * S, horizon_ns=60 * S)

    story = play(p, sent_s=[0.0, 0.1, 0.2, 0.3], service_s=1.0, stages_s=(5.0,), stage_times_s=[(5.0,), (6.5,)])

    first, second, third, fourth = story.begun
    assert (5.0, 6.6) == (first, third)
    assert 6.6 < second < fourth
