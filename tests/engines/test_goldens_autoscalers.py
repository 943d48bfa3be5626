"""Other autoscalers than Knative's own, worked out by hand: what they ask for, when, and what becomes of requests.

Times are in seconds from the creation of the revision. No delay in the plumbing unless a test says otherwise.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from kpasim.engines import compiled, reference
from kpasim.engines import outcome as out
from kpasim.engines import params as of
from kpasim.engines.draws import CHANCE_ONE, HOST_A, QUERY_FAILS, chance, pick
from kpasim.engines.params import Params
from kpasim.policy import burst, hpa

from .hand import CALM, MS, S, Story, by_hand, clocks, ints

Play = Callable[..., Story]
LONG_S = 1000.0
ENGINES = {"reference": reference.run, "compiled": compiled.run}


@pytest.fixture(params=list(ENGINES))
def play(request: pytest.FixtureRequest) -> Play:
    """Simulate an experiment made by hand in an engine: ``play(params, **draws)``."""
    run = ENGINES[request.param]

    def played(params: Params, **given: Any) -> Story:
        return Story(run(params, by_hand(params, **given)), params)

    return played


def sending(count: int, **changes: Any) -> Params:
    """``count`` requests at times of their own; the load begins at 10.1 s."""
    settings = {"closed": 0, "workers": 0, "requests": count, "start_for_ns": 10_100 * MS, **changes}
    return CALM._replace(**settings)


# Spare pods. A revision without requests keeps an answer of 0 after its initial pod was scraped (1.5 s: no data; ticks
# begin with the first scrape at 0.7 s, so the tick at 1.5 s decides 0).

SPARE = {"spare": 2, "stays": 1}


def test_spare_pods_are_added_to_an_answer_of_zero(play: Play) -> None:
    """Two spare pods are there without a request: the answer is 0 + 2, from the first decision with data on."""
    # The pod is ready at 0 s (no start time), scraped at 0.7 s, and the tick at 1.5 s sees no load.
    story = play(sending(1, **SPARE, horizon_ns=20 * S), sent_s=[15.0], stages_s=(0.0,))
    assert [(1.5, 2)] == story.decisions[:1]
    assert [(0.0, 1), (1.5, 2)] == story.replicas[:2]


def test_spare_pods_are_added_to_what_the_load_needs(play: Play) -> None:
    """Three requests of 100 s from 25.1 s on need 3 pods in the end: 5 are asked for."""
    story = play(sending(3, **SPARE, horizon_ns=60 * S), sent_s=[15.0] * 3, service_s=100.0, stages_s=(0.0,))
    assert 5 == story.decisions[-1][1]
    assert 5 == story.replicas[-1][1]


def test_the_maximum_limits_spare_pods(play: Play) -> None:
    """With max-scale 2 the decision is 5, and the Deployment gets 2."""
    params = sending(3, **SPARE, max_scale=2, horizon_ns=60 * S)
    story = play(params, sent_s=[15.0] * 3, service_s=100.0, stages_s=(0.0,))
    assert 5 == story.decisions[-1][1]
    assert 2 == story.replicas[-1][1]


def test_a_burst_meets_spare_pods(play: Play) -> None:
    """Of three requests at once, three begin at once where two pods are spare and one is needed by min-scale."""
    params = sending(3, **{**SPARE, "spare": 3}, min_scale=1, horizon_ns=60 * S)
    story = play(params, sent_s=[15.0] * 3, service_s=100.0, stages_s=(5.0,))
    assert [25.1, 25.1, 25.1] == story.begun
    alone = play(params._replace(spare=0), sent_s=[15.0] * 3, service_s=100.0, stages_s=(5.0,))
    assert 1 == alone.begun.count(25.1)


def test_spare_pods_stay_after_the_load(play: Play) -> None:
    """The run ends with the spare pods at rest, not when they have gone: they never go."""
    story = play(sending(1, **SPARE), sent_s=[5.0], service_s=1.0, stages_s=(0.0,))
    assert 2 == story.replicas[-1][1]
    # Last response at 16.1 s; stable window 60 s, grace period 30 s and 30 s more are watched.
    assert 136_100 * MS == story.outcome.end_ns


def test_spare_pods_come_only_with_data(play: Play) -> None:
    """Without a pod nothing is scraped: an idle service decides on no data, and has no spare pods until a request."""
    params = sending(1, **SPARE, initial_scale=0, horizon_ns=30 * S)
    story = play(params, sent_s=[15.0], stages_s=(0.0,))
    assert [(0.0, 0)] == [change for change in story.replicas if change[0] < 25.0]
    # The activator's message brings the first data at 25.1 s, the tick at 25.5 s asks for 1 pod and 2 spare ones.
    assert [(25.5, 3)] == story.decisions


@pytest.mark.parametrize("spare", [0, 1])
def test_no_spare_pods_is_knatives_own_autoscaler(play: Play, spare: int) -> None:
    """Zero spare pods changes nothing of the tables."""
    params = sending(4, horizon_ns=200 * S)
    sent = [0.0, 1.0, 1.0, 30.0]
    own = play(params, sent_s=sent).outcome
    other = play(params._replace(spare=spare), sent_s=sent).outcome
    assert (spare == 0) == (own.scaling.tobytes() == other.scaling.tobytes())
    assert of.NEVER_NS not in own.requests["response_ns"]


# A Deployment behind a Service, scaled by an HPA that ticks at 0, 15, 30 s ... and whose metric is scraped at 3, 18,
# 33 s ...; KEDA polls at 0, 30, 60 s ... The container works on any number of requests at once unless a test says so.

PHASE = clocks(wall_s=0.0, report_s=0.2)
DEPLOYMENT = {
    "data_plane": of.SERVICE, "container_concurrency": 0, "slots": 0, "ingress_policy": of.RANDOM, "early_use": 0,
    "grace_period_ns": 30 * S, "metric": of.CONCURRENCY, "scrape_ns": 15 * S, "down_window_ns": 300 * S,
}  # fmt: skip
HPA = {**DEPLOYMENT, "autoscaler": of.HPA, "of_pods": 1, "least": 1, "most": 100, "min_scale": 1, "stays": 1}
TOTAL = {**HPA, "of_pods": 0}
KEDA = {**DEPLOYMENT, "autoscaler": of.KEDA, "least": 0, "most": 100, "cooldown_ns": 60 * S, "poll_ns": 30 * S}
RATE = {"metric": of.RATE, "window_scrapes": 4}
BEHAVIOR = {
    "has_behavior": 1,
    "up_policies": np.array([[hpa.PODS, 4, 15 * S], [hpa.PERCENT, 100, 15 * S]]),
    "down_policies": np.array([[hpa.PERCENT, 100, 15 * S]]),
}


def scaled(play: Play, params: Params, *sent_s: float, **given: Any) -> Story:
    """Requests sent at times from the creation on, 10.1 s later than in ``sending``."""
    times = [time_s - 10.1 for time_s in sent_s]
    return play(params, **{"sent_s": times, "phase": PHASE, "service_s": LONG_S, "stages_s": (0.0,), **given})


def until(end_s: float, count: int, **settings: Any) -> Params:
    """``count`` requests, and the end of the run at ``end_s``."""
    return sending(count, **settings, horizon_ns=round(end_s * S) - 10_100 * MS)


@pytest.mark.parametrize("kind", [HPA, TOTAL], ids=["Pods", "External"])
def test_an_hpa_without_behavior_doubles_or_asks_for_four(play: Play, kind: dict[str, Any]) -> None:
    """20 requests on one pod, target 1: scraped at 18 s, 4 pods at 30 s, 8 at 45 s, 16 at 60 s, 20 at 75 s."""
    story = scaled(play, until(100.0, 20, **kind), *[15.0] * 20)
    assert [(0.0, 1), (30.0, 4), (45.0, 8), (60.0, 16), (75.0, 20)] == story.replicas


def test_an_hpa_with_empty_behavior_adds_four_or_doubles(play: Play) -> None:
    """`behavior: {}` allows 4 pods or 100 % in 15 s: 5, 10, 20."""
    story = scaled(play, until(100.0, 30, **TOTAL, **BEHAVIOR), *[15.0] * 30)
    assert [(0.0, 1), (30.0, 5), (45.0, 10), (60.0, 20), (75.0, 30)] == story.replicas


@pytest.mark.parametrize("kind", [HPA, TOTAL], ids=["Pods", "External"])
def test_an_hpa_asks_for_no_more_while_pods_are_pending(play: Play, kind: dict[str, Any]) -> None:
    """Six requests on the only node: 4 pods, then 6 of which 5 wait for a node, and no more however long that takes."""
    story = scaled(play, until(400.0, 6, **kind, pool_max=ints(1)), *[15.0] * 6)
    assert [(0.0, 1), (30.0, 4), (45.0, 6)] == story.replicas
    assert 5 == story.pods(out.SCHEDULED).count(None)


def test_a_ratio_of_the_tolerance_changes_nothing(play: Play) -> None:
    """11 requests and a target of 10 are a ratio of 1.1, which is within 0.1; 12 requests are not."""
    settings = {**TOTAL, "target_milli": 10_000}
    assert [(0.0, 1)] == scaled(play, until(100.0, 11, **settings), *[15.0] * 11).replicas
    assert [(0.0, 1), (30.0, 2)] == scaled(play, until(100.0, 12, **settings), *[15.0] * 12).replicas


def test_an_hpa_removes_pods_after_the_stabilisation(play: Play) -> None:
    """Two pods without load: the count at the start, stored at 0 s, still holds at exactly 300 s; one goes at 315 s."""
    story = scaled(play, until(400.0, 1, **TOTAL, initial_scale=2), 390.0)
    assert [(0.0, 2), (315.0, 1)] == story.replicas


def test_a_removed_pod_has_its_grace_period(play: Play) -> None:
    """Two requests of 1,000 s on two pods, target 100: one pod is removed at 315 s and killed 30 s later."""
    settings = {**TOTAL, "target_milli": 100_000, "initial_scale": 2, "timeout_ns": 2000 * S}
    sent = [20.0 + place for place in range(8)]
    story = scaled(play, until(400.0, 8, **settings), *sent)
    [gone] = [place for place, time_s in enumerate(story.pods(out.GONE)) if time_s is not None]
    assert 345.0 == story.pods(out.GONE)[gone]
    for pod, status, ended in zip(story.served_by, story.statuses, story.answered, strict=True):
        assert (502, 345.0) == (status, ended) if pod == gone else (-1, 400.0) == (status, ended)


def test_nothing_listens_where_a_pod_has_gone(play: Play) -> None:
    """One of two idle pods goes at 315 s; for a second the gateway still sends requests there, which fail with 502."""
    settings = {**TOTAL, "initial_scale": 2, "endpoints_to_ingress_ns": 1 * S}
    story = scaled(play, until(325.0, 8, **settings), *[315.1 + place / 10 for place in range(8)])
    [gone] = [place for place, time_s in enumerate(story.pods(out.GONE)) if time_s == 315.0]
    assert {0, 1} == set(story.served_by)
    for pod, status, sent_s, ended_s in zip(story.served_by, story.statuses, story.sent, story.answered, strict=True):
        assert (502, sent_s) == (status, ended_s) if pod == gone else (-1, 325.0) == (status, ended_s)


def test_the_adapter_shows_a_scrape_late(play: Play) -> None:
    """Requests of 15 s are scraped at 18 s; with a delay of 15 s the tick at 30 s still sees the scrape of 3 s."""
    story = scaled(play, until(100.0, 3, **TOTAL, adapter_ns=15 * S), *[15.0] * 3)
    assert [(0.0, 1), (45.0, 3)] == story.replicas


def test_a_window_averages_scrapes(play: Play) -> None:
    """Over two scrapes 4 requests count as 0, 2 (scraped at 3 and 18 s), 4: 2 pods at 30 s, 4 at 45 s."""
    story = scaled(play, until(100.0, 4, **TOTAL, window_scrapes=2), *[15.0] * 4)
    assert [(0.0, 1), (30.0, 2), (45.0, 4)] == story.replicas


def test_a_pod_without_a_metric_counts_as_nothing_while_pods_are_added(play: Play) -> None:
    """Four requests: 4 pods at 30 s, which start within 100 s and deliver no metric; no more are asked for."""
    story = scaled(play, until(130.0, 4, **HPA), *[15.0] * 4, stages_s=(100.0,), stage_times_s=[(0.0,)])
    assert [(0.0, 1), (30.0, 4)] == story.replicas


def test_a_service_chooses_pods_at_random(play: Play) -> None:
    """Each request goes to a pod by its own draw, also to a busy one while another is idle."""
    settings = {**HPA, "initial_scale": 2, "slots": 1, "target_milli": 1_000_000}
    params = until(200.0, 12, **settings)
    story = scaled(play, params, *[15.0 + place for place in range(12)], service_s=20.0)
    key = by_hand(params).key
    assert [pick(key, request, HOST_A, 2) for request in range(12)] == story.served_by
    first, second = (story.served_by.count(pod) for pod in (0, 1))
    # One at a time on each pod: the last of n requests ends 20 s * n after the first began.
    assert max(first, second) * 20.0 <= max(time_s for time_s in story.answered if time_s) - 15.0


def test_a_request_at_zero_pods_fails_and_an_hpa_stays_off(play: Play) -> None:
    """Nobody holds it: 503 at once. An HPA whose target began at zero never wakes up, minReplicas 0 or not."""
    settings = {**TOTAL, "least": 0, "min_scale": 0, "stays": 0, "initial_scale": 0, "scale_to_zero": 1, **RATE}
    story = scaled(play, until(200.0, 2, **settings), 25.0, 100.0)
    assert ([503, 503], [25.0, 100.0]) == (story.statuses, story.answered)
    assert [(0.0, 0)] == story.replicas


def test_an_hpa_that_went_to_zero_itself_wakes_up(play: Play) -> None:
    """Kubernetes 1.37: no rate for 300 s, so 0 pods at 315 s; a failed request at 320 s is scraped at 333 s."""
    settings = {**TOTAL, "least": 0, "min_scale": 0, "stays": 0, "scale_to_zero": 1, **RATE}
    story = scaled(play, until(400.0, 2, **settings), 320.0, 350.0, service_s=1.0)
    assert [(0.0, 1), (315.0, 0), (345.0, 1)] == story.replicas
    assert [503, 200] == story.statuses


def test_keda_jumps_to_zero_after_the_cooldown(play: Play) -> None:
    """Three pods, last active at the poll of 60 s; at 120 s it is not yet more than 60 s, so 0 pods at 150 s."""
    settings = {**KEDA, "initial_scale": 3, "initial_cooldown_ns": 60 * S}
    story = scaled(play, until(200.0, 3, **settings), *[25.0] * 3, service_s=50.0)
    assert [(0.0, 3), (150.0, 0)] == story.replicas
    assert [200] * 3 == story.statuses


def test_keda_wakes_by_a_rate_and_nobody_holds_the_request(play: Play) -> None:
    """503 at 25 s, scraped at 33 s, 1 pod at the poll of 60 s, ready 20 s later: 503 at 70 s, served at 85 s."""
    settings = {**KEDA, **RATE, "initial_scale": 0}
    story = scaled(play, until(100.0, 3, **settings), 25.0, 70.0, 85.0, stages_s=(20.0,), service_s=1.0)
    assert [(0.0, 0), (60.0, 1)] == story.replicas
    assert [503, 503, 200] == story.statuses
    assert [80.0] == story.pods(out.READY)


def test_keda_rounds_its_metric(play: Play) -> None:
    """One request in a minute, sent at 70 s, is 0.017/s at 90 s, not 0.016: 3 pods for a target of 0.008/s, not 2."""
    settings = {**KEDA, **RATE, "initial_scale": 1, "initial_cooldown_ns": 1000 * S, "target_milli": 8}
    story = scaled(play, until(110.0, 1, **settings), 70.0)
    assert [(0.0, 1), (90.0, 3)] == story.replicas


def test_keda_is_active_at_any_value_above_its_threshold(play: Play) -> None:
    """One request in 20 minutes, sent at 1210 s and scraped at 1218 s, is 0.0008/s: more than nothing at 1230 s."""
    settings = {**KEDA, "metric": of.RATE, "window_scrapes": 80, "initial_scale": 0}
    story = scaled(play, until(1250.0, 1, **settings), 1210.0)
    assert [(0.0, 0), (1230.0, 1)] == story.replicas


def test_requests_in_flight_never_wake_keda(play: Play) -> None:
    """A request that fails at zero pods is not in flight at any scrape."""
    story = scaled(play, until(300.0, 9, **KEDA, initial_scale=0), *[20.0 + 30.0 * place for place in range(9)])
    assert [(0.0, 0)] == story.replicas
    assert [503] * 9 == story.statuses


def test_keda_rests_at_its_minimum(play: Play) -> None:
    """With a minimum of 2 and no load, KEDA lifts one pod to 2 and lets nothing go."""
    settings = {**KEDA, "least": 2, "min_scale": 2, "stays": 1, "initial_scale": 1}
    story = scaled(play, until(400.0, 1, **settings), 390.0)
    assert [(0.0, 1), (0.0, 2)] == story.changes(out.REPLICAS)


def test_keda_holds_idle_pods_while_nothing_is_active(play: Play) -> None:
    """Minimum 3, idle 1: 3 pods while a request runs, 1 pod after the cooldown."""
    settings = {**KEDA, "least": 3, "idle": 1, "initial_scale": 1, "initial_cooldown_ns": 90 * S}
    story = scaled(play, until(200.0, 1, **settings), 25.0, service_s=50.0)
    # The HPA's minimum is 3 from its first tick on; active at 60 s; at 150 s the cooldown of 60 s has passed, and KEDA
    # and its HPA go on to differ.
    assert [(0.0, 1), (0.0, 3), (150.0, 1), (150.0, 3)] == story.replicas[:4]


def test_keda_falls_back_while_its_source_fails(play: Play) -> None:
    """All queries fail, threshold 1: the second failure in a row brings the 3 pods of the fallback."""
    settings = {**KEDA, "query_failure": 1.0, "fallback_failures": 1, "fallback_replicas": 3, "initial_scale": 1}
    story = scaled(play, until(100.0, 1, **settings), 90.0)
    # Poll and tick at 0 s fail for the first and second time: 3 times the target are handed on, for one pod.
    assert [(0.0, 1), (0.0, 3)] == story.replicas[:2]


def test_keda_does_nothing_while_its_source_fails_without_fallback(play: Play) -> None:
    """No cooldown to zero, no pods added."""
    settings = {**KEDA, "query_failure": 1.0, "initial_scale": 1}
    story = scaled(play, until(400.0, 4, **settings), *[25.0] * 4)
    assert [(0.0, 1)] == story.replicas


def test_the_adapter_of_an_hpa_cuts_its_metric(play: Play) -> None:
    """One request in a minute, sent at 70 s, is 0.016/s at 90 s: 2 pods for a target of 0.008/s."""
    story = scaled(play, until(110.0, 1, **{**HPA, **RATE, "target_milli": 8}), 70.0)
    assert [(0.0, 1), (90.0, 2)] == story.replicas


SLOW_END = {"initial_scale": 3, "down_window_ns": 30 * S, "grace_period_ns": 1000 * S}
"""Three pods that may go at 45 s, and then work on."""


def test_a_pod_that_is_terminating_is_none_of_those_that_exist(play: Play) -> None:
    """20 requests for a target of 10 leave 2 of 3 pods at 45 s; 21 are then 5 % above that of 2 pods, too few for 3."""
    settings = {**TOTAL, **SLOW_END, "is_average": 1, "target_milli": 10_000}
    story = scaled(play, until(100.0, 21, **settings), *[11.0] * 20, 50.0)
    assert [(0.0, 3), (45.0, 2)] == story.replicas


def test_a_pod_that_is_terminating_is_one_of_those_that_are_ready(play: Play) -> None:
    """10 of 30 requests leave 1 of 3 pods at 45 s; 45 of 30 then ask for 1.5 times the 3 pods that still work.

    That is 5 pods, but an HPA without behavior goes from 1 to 4 at most.
    """
    settings = {**TOTAL, **SLOW_END, "is_average": 0, "target_milli": 30_000}
    story = scaled(play, until(80.0, 45, **settings), *[11.0] * 10, *[50.0] * 35)
    assert [(0.0, 3), (45.0, 1), (75.0, 4)] == story.replicas


def test_kedas_hpa_keeps_one_pod_until_the_cooldown(play: Play) -> None:
    """3 pods were asked for at 45 s, so until 345 s; more than KEDA's 600 s without activity are over at 630 s."""
    settings = {**KEDA, "initial_scale": 3, "cooldown_ns": 600 * S, "initial_cooldown_ns": 600 * S}
    story = scaled(play, until(700.0, 3, **settings), *[25.0] * 3, service_s=10.0)
    assert [(0.0, 3), (360.0, 1), (630.0, 0)] == story.replicas


def test_waking_the_target_counts_as_activity(play: Play) -> None:
    """A rate that was seen at 48 s only wakes a pod at 60 s, which stays for more than the cooldown of 60 s."""
    settings = {**KEDA, "metric": of.RATE, "initial_scale": 0}
    story = scaled(play, until(200.0, 1, **settings), 40.0)
    assert [(0.0, 0), (60.0, 1), (150.0, 0)] == story.replicas


def test_a_fallback_in_force_wakes_the_target(play: Play) -> None:
    """All polls fail, threshold 1: the second one, at 30 s, wakes a pod, and the HPA asks for the 3 of the fallback."""
    settings = {**KEDA, "query_failure": 1.0, "fallback_failures": 1, "fallback_replicas": 3, "initial_scale": 0}
    story = scaled(play, until(100.0, 1, **settings), 90.0)
    assert [(0.0, 0), (30.0, 1), (30.0, 3)] == story.changes(out.REPLICAS)


def test_keda_lets_nothing_go_before_a_load_that_waits_for_warm_pods(play: Play) -> None:
    """A pod that starts for 100 s outlives an initial cooldown of none: those who start warm have had requests."""
    settings = {**KEDA, "initial_scale": 1, "start": of.WARM}
    story = scaled(play, sending(1, **settings, horizon_ns=20 * S), 11.0, stages_s=(100.0,))
    assert [(0.0, 1)] == story.replicas
    assert [100.0] == story.pods(out.READY)


@pytest.mark.parametrize("failure", [0.7, 0.8])
def test_each_query_fails_by_itself(play: Play, failure: float) -> None:
    """4 requests are scraped at 33 s; the first tick from 45 s on whose query succeeds asks for 4 pods.

    Queries: the poll at 0 s, the tick at 0 s, that at 15 s, poll and tick at 30 s, the tick at 45 s, that is number 5.
    """
    params = until(300.0, 4, **KEDA, initial_scale=1, initial_cooldown_ns=600 * S, query_failure=failure)
    ticks = [(45.0 + 15.0 * place, 5 + place + (place + 1) // 2) for place in range(17)]
    key = by_hand(params, sent_s=[0.0] * 4).key
    first_s = next(time_s for time_s, query in ticks if chance(key, query, QUERY_FAILS) >= failure * CHANCE_ONE)
    story = scaled(play, params, *[25.0] * 4)
    assert [(0.0, 1), (first_s, 4)] == story.replicas


# CPU, as the HPA of Knative's class and of KServe's Standard mode read it: percent of the request, which a container
# uses while it works.

CPU = {**HPA, "metric": of.CPU, "slots": 1, "target_milli": 80_000}


def test_cpu_asks_for_a_pod_where_all_are_busy(play: Play) -> None:
    """One busy pod, started long ago: 100 % between two scrapes, so ceil(100 / 80) = 2 pods at the tick of 930 s."""
    params = until(940.0, 4, **CPU)
    story = scaled(play, params, *[890.0] * 4)
    # The scrapes of 888 and 903 s lie around the beginning: 13 of 15 s are 86 %, within the tolerance at 915 s.
    assert [(0.0, 1), (930.0, 2)] == story.replicas


def test_cpu_of_a_pod_that_starts_does_not_count(play: Play) -> None:
    """A second pod of 40 s within its first five minutes is left out until it is ready: no third pod meanwhile."""
    params = until(1000.0, 9, **CPU)
    story = scaled(play, params, *[890.0] * 9, stages_s=(60.0,), stage_times_s=[(0.0,)])
    assert [(0.0, 1), (930.0, 2)] == [change for change in story.replicas if change[0] < 990.0]


def test_cpu_counts_once_its_window_began_after_the_pod_was_ready(play: Play) -> None:
    """The second pod, ready at 979 s and busy at once, counts with the scrape of 1008 s, not with that of 993 s.

    Both are then at 100 %, so 3 pods at the tick of 1020 s.
    """
    params = until(1030.0, 30, **CPU)
    story = scaled(play, params, *[890.0] * 9, *[979.5] * 21, stages_s=(49.0,), stage_times_s=[(0.0,)])
    assert [(0.0, 1), (930.0, 2), (1020.0, 3)] == story.replicas


def test_the_hpa_class_serves_directly(play: Play) -> None:
    """With queue-proxy and an activator beside it: the ServerlessService serves as soon as a pod is ready."""
    knative = {**CPU, "data_plane": of.ACTIVATORS, "container_concurrency": 1, "grace_period_ns": 0}
    story = scaled(play, until(60.0, 2, **knative), 25.0, 26.0, service_s=2.0)
    assert [200, 200] == story.statuses
    assert {-1} == {int(row["activator"]) for row in story.outcome.requests}
    assert burst.SERVE == story.outcome.scaling[-1]["mode"]
