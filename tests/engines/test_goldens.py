"""Decisions worked out by hand: what the autoscaler sees, when it panics, how it comes down and leaves.

Unless a test says otherwise: no delay in the plumbing; the wall clock shows whole seconds at whole seconds of the run;
activators report at k + 0.3 s, pods are scraped at k + 0.7 s, the decider ticks at 1.5, 3.5, 5.5 ... s; one request at
a time on each pod, target 1, a stable window of 60 s and a panic window of 6 s, threshold 200 %. Loads begin at
100.1 s, when the windows of a pod that has been ready for long hold nothing but zeros. Times are in seconds from the
creation of the revision; in the comments ``sec 100`` is the bucket of that second.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from kpasim.engines import outcome as out
from kpasim.engines import params as of
from kpasim.engines.draws import CHANCE_ONE, SCRAPE_FAILS, chance
from kpasim.engines.lower import lower
from kpasim.engines.params import Params
from kpasim.policy import burst, scaler
from kpasim.policy.windows import smoothing_coefficient
from kpasim.spec.experiment import from_mapping
from tests.services import service

from .hand import CALM, MS, S, Story, by_hand, clocks, ints

Play = Callable[..., Story]
LONG_S = 1000.0


def hey(clients: int, **changes: Any) -> Params:
    """``clients`` closed-loop clients that send one request each at 100.1 s, watched for 20 s."""
    settings = {
        "workers": clients,
        "requests_per_worker": 1,
        "requests": clients,
        "start_for_ns": 100_100 * MS,
        "horizon_ns": 20 * S,
        **changes,
    }
    return CALM._replace(**settings)


def sending(count: int, **changes: Any) -> Params:
    """``count`` requests at times of their own; the load begins at 10.1 s."""
    settings = {"closed": 0, "workers": 0, "requests": count, "start_for_ns": 10_100 * MS, **changes}
    return CALM._replace(**settings)


WARM = {"min_scale": 1, "stays": 1}
"""One pod that stays; the decider wants none of it while nothing happens."""
GONE = {"start_for_ns": 200_100 * MS}
"""No pod since 120 s, the decider wants none, and nothing is in the windows."""

# The worked example of Knative's behaviour: clients, settings, phases, and (time, desired) of each new decision from
# the load's beginning on. Panic begins with the decision marked in the last column.
EXAMPLES = {
    # 0.1: poke, 1/6 -> 1. 1.5: sec 0 1 + 4, sec 1 5: 10/6 -> 2. 3.5: 20/6 -> 4. 5.5: 30/6 -> 5.
    "five clients": (5, WARM, {}, [(100.1, 1), (101.5, 2), (103.5, 4), (105.5, 5)], 101.5),
    # 0.5: sec 0 1 + 4: 5/6 -> 1, no change. 2.5: 15/6 -> 3. 4.5: 25/6 -> 5.
    "ticks at .5": (5, WARM, {"tick_s": 0.5}, [(100.1, 1), (102.5, 3), (104.5, 5)], 102.5),
    # 0.5: sec 0 has 1: 1/6. 2.5: sec 0 1 + (5 - 1) at .8, sec 1 5, sec 2 only the scraper's 0: 10/6 -> 2. 4.5: 20/6.
    # 6.5: 5 buckets of 5 and the partial one: 25/6 -> 5.
    "reports at .8, scrapes at .2, ticks at .5": (
        5,
        WARM,
        {"report_s": 0.8, "scrape_s": 0.2, "tick_s": 0.5},
        [(100.1, 1), (102.5, 2), (104.5, 4), (106.5, 5)],
        102.5,
    ),
    # 0.1: 0.167/0.7 -> 1. 1.5: 1.667/0.7 = 2.4 -> 3. 3.5: 3.333/0.7 = 4.8 -> 5. 5.5: 5/0.7 = 7.1 -> 8 for 5 clients.
    "utilisation 70 %": (
        5,
        {**WARM, "target_value": 0.7},
        {},
        [(100.1, 1), (101.5, 3), (103.5, 5), (105.5, 8)],
        101.5,
    ),
    # 1.5: 4/6 -> 1. 3.5: 8/6 -> 2. Later 12/6 = 2.
    "two clients": (2, WARM, {}, [(100.1, 1), (103.5, 2)], 103.5),
    # 1.5: 20/6 -> 4. 3.5: 40/6 -> 7. 5.5: 60/6 = 10.
    "ten clients": (10, WARM, {}, [(100.1, 1), (101.5, 4), (103.5, 7), (105.5, 10)], 101.5),
    # No zeros are scraped, so the windows begin with the load: 0.1: 1/1. 1.5: (5 + 5)/2 = 5.
    "never scraped": (5, {**WARM, "target_burst_capacity": -1.0}, {}, [(100.1, 1), (101.5, 5)], 101.5),
    "from zero": (5, GONE, {}, [(200.1, 1), (201.5, 5)], 201.5),
    # Sent at .5, so the first report (5 - 1 over 0.8 s) falls into the next second: 1, 4, 5, 5 ...
    # 0.5: 1. 1.5: (1 + 4)/2 = 2.5 -> 3. 3.5: 15/4 -> 4. 5.5: 25/6 -> 5.
    "from zero, sent at .5": (
        5,
        {**GONE, "start_for_ns": 200_500 * MS},
        {},
        [(200.5, 1), (201.5, 3), (203.5, 4), (205.5, 5)],
        201.5,
    ),
    # 1/0.7 -> 2 pods for a single request, and 2 over max(1, 0 ready) is 200 %: panic at the poke.
    "one request from zero, utilisation 70 %": (1, {**GONE, "target_value": 0.7}, {}, [(200.1, 2)], 200.1),
    # Queue-proxy cuts at .6: 2.5 in sec 0 (half a second of 5), then 5. The latest second is not scraped yet at a tick,
    # so five seconds count: 1.5: 2.5/5 -> 1. 3.5: 12.5/5 -> 3. 5.5: 22.5/5 -> 5.
    "direct": (5, {**WARM, "target_burst_capacity": 0.0}, {}, [(101.5, 1), (103.5, 3), (105.5, 5)], 103.5),
    # 0.5: 0. 2.5: 7.5/5 -> 2. 4.5: 17.5/5 -> 4. 6.5: 25/5 -> 5.
    "direct, ticks at .5": (
        5,
        {**WARM, "target_burst_capacity": 0.0},
        {"tick_s": 0.5},
        [(102.5, 2), (104.5, 4), (106.5, 5)],
        102.5,
    ),
}


@pytest.mark.parametrize("example", EXAMPLES)
def test_the_worked_example_of_knative(play: Play, example: str) -> None:
    """Each variant of the worked example decides at the times and for the pods worked out in its comment."""
    clients, settings, phases, decisions, panic_from = EXAMPLES[example]

    story = play(hey(clients, **settings), phase=clocks(**phases), service_s=LONG_S, stages_s=(30.0,))

    assert decisions == [change for change in story.decisions if change[0] >= 100.0]
    panicking = [float(row[out.TICK_T]) / 1e9 for row in story.outcome.ticks if row[out.PANIC_MODE]]
    assert panic_from == panicking[0]
    assert all(time_s in panicking for time_s, _ in decisions if time_s >= panic_from)


@pytest.mark.parametrize(("percent", "wanted"), [("70", 8), ("100", 5)])
def test_five_clients_get_eight_pods_at_seventy_percent(play: Play, percent: str, wanted: int) -> None:
    """A manifest's containerConcurrency is not yet the target: 1 * 70 % = 0.7, and 5/0.7 = 7.1; at 100 % it is 5/1."""
    annotations = {"min-scale": "1", "target-utilization-percentage": percent}
    load = {"kind": "hey", "requests": 5, "concurrency": 5, "timeout": "0s"}
    what = from_mapping(
        {
            "service": service(annotations, containerConcurrency=1),
            "workload": load,
            "model": {"service-time": "60s", "cold-start": "30s"},
        }
    )

    story = play(lower(what), service_s=60.0, stages_s=(30.0,))

    assert wanted == max(desired for _, desired in story.decisions)


def test_panic_lasts_a_stable_window_beyond_the_last_tick_that_calls_for_it(play: Play) -> None:
    """Panic of the worked example goes on while one or two pods are ready and ends 62 s after the last such tick.

    Pods asked for at 101.5, 103.5 and 105.5 s take 29.9 s and are ready at 131.4, 133.4, 135.4 s. The tick at 131.5 s
    sees 2 ready pods, 5/2 >= 2; the next sees 4. Panic ends at the first tick later than 131.5 + 60 s, all the while
    with 5 pods.
    """
    p = hey(5, **WARM, horizon_ns=100 * S)

    story = play(p, service_s=200.0, stages_s=(29.9,), kubelet_s=0.9)

    assert [29.9, 131.4, 133.4, 133.4, 135.4] == story.pods(out.READY)
    assert (2, True) == (story.tick(131.5)["ready"], story.tick(131.5)["panicking"])
    assert story.tick(191.5)["panicking"]
    assert not story.tick(193.5)["panicking"]
    assert (105.5, 5) == story.decisions[-1]


def test_panic_never_scales_down(play: Play) -> None:
    """Five requests end at 110.1 s, but the five pods of the panic stay until it ends, 62 s after its last trigger.

    Pods take 1 s to start. The tick at 103.5 s wants 4 pods over 2 ready, the next one 5 over 4. So panic ends at
    165.5 s, where the stable window asks for (4 * 5 + 4) / 59 -> 1 pod (sec 106 to 109, and 0.8 of the interval
    reported in sec 110) and half of five ready pods, 2, is the least; then half of those.
    """
    p = sending(5, **WARM, container_concurrency=5, slots=5, start_for_ns=100_100 * MS)

    story = play(p, sent_s=[0.0] * 5, service_s=10.0, stages_s=(1.0,))

    changes = [change for change in story.decisions if change[0] >= 100.0]
    assert [(100.1, 1), (101.5, 2), (103.5, 4), (105.5, 5), (165.5, 2), (167.5, 1)] == changes[:6]
    assert story.tick(163.5)["panicking"]
    assert not story.tick(165.5)["panicking"]


def test_a_restarted_autoscaler_forgets_and_panics(play: Play) -> None:
    """Five busy pods, and an autoscaler that ends at 10 s, is back at 12 s and hears the activators from 20 s on.

    Nobody ticks in between. Beside more than one ready pod it begins in panic, which ends at the first tick later than
    12 + 60 s. Scrapes at 12.7 to 19.7 s say 0, as all requests come through the activator; so the window of the tick at
    21.5 s holds sec 12 to 21, of which the last two have 5. At 73.5 s it is sec 14 to 73: 54 * 5 / 60 -> 5 pods.
    """
    # The load begins at 0.1 s.
    gone = {"restarts": np.array([[9900, 11_900]]) * MS, "silences": np.array([[-1, 9900 * MS, 19_900 * MS]])}
    p = hey(5, initial_scale=5, start_for_ns=100 * MS, horizon_ns=80 * S, **gone)

    story = play(p, service_s=LONG_S, stages_s=(1.0,))

    ticks = [float(row[out.TICK_T]) / 1e9 for row in story.outcome.ticks]
    assert [9.5, 13.5] == [time_s for time_s in ticks if 8.0 < time_s < 15.0]
    assert [(1.5, 5)] == story.decisions
    assert [(0.0, 5)] == story.replicas
    assert [0.0, 10 / 10] == pytest.approx([story.tick(time_s)["stable"] for time_s in (13.5, 21.5)], abs=1e-6)
    panicking = [time_s for time_s in ticks if story.tick(time_s)["panicking"]]
    assert (13.5, 71.5) == (panicking[0], panicking[-1])
    assert 54 * 5 / 60 == pytest.approx(story.tick(73.5)["stable"], abs=1e-6)


def test_a_load_that_ends_leaves_in_steps_of_twelve_seconds(play: Play) -> None:
    """Five pods in use until 101 s: desired 4, 3, 2, 1, 0 about 12, 24, 36, 48, 60 s later.

    Sec 100 and before hold 5, sec 101 holds 3.5 (five requests for 0.7 of the interval reported at 101.3), later ones
    scraped zeros. At a tick in second n the window is n - 59 .. n - 1, 59 seconds. It needs at most k pods when
    5 * seconds + 3.5 <= 59 k: 46, 34, 22, 11 seconds for k = 4, 3, 2, 1, so n - 59 >= 55, 67, 79, 90 and 102.
    """
    p = hey(5, initial_scale=5, start_for_ns=100 * MS, horizon_ns=200 * S)

    story = play(p, service_s=100.0, stages_s=(1.0,))

    assert [101.0] * 5 == story.answered
    assert [(1.5, 5), (115.5, 4), (127.5, 3), (139.5, 2), (149.5, 1), (161.5, 0)] == story.decisions
    assert [(0.0, 5), (115.5, 4), (127.5, 3), (139.5, 2), (149.5, 1), (161.5, 0)] == story.replicas
    assert not any(story.outcome.ticks[out.PANIC_MODE])


def test_ready_pods_halve_at_each_tick(play: Play) -> None:
    """Eight idle pods become 4, 2 and 1 at successive ticks, and from one pod nothing holds the decision.

    Half the ready pods is the least a tick may ask for; the last pod then stays until the PodAutoscaler has been
    active for a stable window: since 1 s, so until 61 s.
    """
    story = play(sending(0, initial_scale=8), stages_s=(1.0,))

    assert [(3.5, 4), (5.5, 2), (7.5, 1), (9.5, 0)] == story.decisions
    assert [(0.0, 8), (3.5, 4), (5.5, 2), (7.5, 1), (61.0, 0)] == story.replicas


def test_an_unreachable_revision_drops_in_one_tick(play: Play) -> None:
    """Without a route the down-rate limit, the initial scale and the delay window do not hold eight pods."""
    p = sending(0, initial_scale=8, reachable=0, scale_down_delay_s=30.0)

    story = play(p, stages_s=(1.0,))

    assert [(3.5, 0)] == story.decisions
    assert [(0.0, 8), (3.5, 1), (61.0, 0)] == story.replicas


def test_growth_is_limited_by_ready_pods(play: Play) -> None:
    """With max-scale-up-rate 2 ten clients get 2 pods until the second is ready, then 4, then 8.

    Pods asked for at 101.5 s are ready at 111.5 s, just after the tick of that moment, so 4 are asked for at 113.5 s,
    8 at 125.5 s, and the full 10 at 137.5 s.
    """
    p = hey(10, **WARM, max_scale_up_rate=2.0, horizon_ns=60 * S)

    story = play(p, service_s=LONG_S, stages_s=(10.0,))

    changes = [change for change in story.decisions if change[0] >= 100.0]
    assert [(100.1, 1), (101.5, 2), (113.5, 4), (125.5, 8), (137.5, 10)] == changes


# scale to zero
#
# One request at 10.1 s takes 3.1 s. The activator's last report that is not zero (0.9) comes at 13.3 s. The first tick
# whose window has lost sec 13 is the one at 73.5 s: it sees sec 14 to 72.


def test_a_proxied_revision_goes_as_soon_as_its_window_is_empty(play: Play) -> None:
    """The last pod goes 60.3 s after the last response: the activator has been in the path for long.

    Desired is 0 at 73.5 s, the PodAutoscaler has been active since 1 s, so it becomes inactive and the Deployment goes
    to zero at the same moment. The pod then drains for 30 s.
    """
    story = play(sending(1), sent_s=[0.0], service_s=3.1, stages_s=(1.0,))

    assert [13.2] == story.answered
    assert [(3.5, 0), (10.1, 1), (73.5, 0)] == story.decisions
    assert [(0.0, 1), (73.5, 0)] == story.replicas
    assert (73.5, scaler.FALSE) == story.changes(out.ACTIVE)[-1]
    assert [103.5] == story.pods(out.GONE)


@pytest.mark.parametrize(("grace_s", "zero_s"), [(30, 103.0), (5, 78.0)])
def test_a_revision_in_serve_mode_waits_for_the_grace_period(play: Play, grace_s: int, zero_s: float) -> None:
    """With the pods in the path the grace period runs from the moment the activator takes over.

    Queue-proxy's last cut that is not zero (0.6) is scraped at 13.7 s, so desired is 0 at 73.5 s again. The mode
    changes then, which its condition keeps as 73 s, and the pod goes a grace period after that.
    """
    p = sending(1, target_burst_capacity=0.0, grace_ns=grace_s * S)

    story = play(p, sent_s=[0.0], service_s=3.1, stages_s=(1.0,))

    assert (73.5, 0) == story.decisions[-1]
    assert [(0.0, burst.PROXY), (3.5, burst.SERVE), (73.5, burst.PROXY)] == story.changes(out.MODE)
    assert [(0.0, 1), (zero_s, 0)] == story.replicas


def test_retention_keeps_the_last_pod(play: Play) -> None:
    """With a retention period of 20 s the last pod stays until 20 s after the revision became inactive (73 s)."""
    p = sending(1, retention_ns=20 * S, grace_ns=10 * S)

    story = play(p, sent_s=[0.0], service_s=3.1, stages_s=(1.0,))

    assert [(0.0, 1), (93.0, 0)] == story.replicas


def test_a_request_during_retention_meets_a_warm_pod(play: Play) -> None:
    """It is served at once, pokes, makes the revision active again, and another full window passes after it.

    The second request runs from 80.1 to 83.2 s; the last report that is not zero falls into sec 83, so desired is 0 at
    the tick of 143.5 s. The revision has been active since 80 s by then. Retention ends 20 s after 143 s.
    """
    p = sending(2, retention_ns=20 * S, grace_ns=10 * S)

    story = play(p, sent_s=[0.0, 70.0], service_s=3.1, stages_s=(1.0,))

    assert [10.1, 80.1] == story.begun
    assert story.tick(80.1)["poked"]
    assert [(3.5, 0), (10.1, 1), (73.5, 0), (80.1, 1), (143.5, 0)] == story.decisions
    assert [(0.0, 1), (163.0, 0)] == story.replicas


def test_a_new_revision_is_kept_for_a_stable_window(play: Play) -> None:
    """Nobody comes: desired is 0 at the first tick, yet the pod stays until the revision was active for 60 s."""
    story = play(sending(0), stages_s=(1.0,))

    assert [(3.5, 0)] == story.decisions
    assert [(0.0, 1), (61.0, 0)] == story.replicas


@pytest.mark.parametrize(("delay_s", "zero_s"), [(0.0, 73.5), (3.0, 75.5), (10.0, 81.5)])
def test_scale_down_delay_holds_decisions_in_slots_of_two_seconds(play: Play, delay_s: float, zero_s: float) -> None:
    """The 1 of the tick at 71.5 s is held for 2 ticks with a delay of 3 s, which acts as 4 s, and for 5 with 10 s."""
    story = play(sending(1, scale_down_delay_s=delay_s), sent_s=[0.0], service_s=3.1, stages_s=(1.0,))

    assert [(0.0, 1), (zero_s, 0)] == story.replicas


def test_without_scale_to_zero_one_pod_stays(play: Play) -> None:
    """With enable-scale-to-zero false a decision of 0 keeps one pod for ever."""
    p = sending(0, initial_scale=2, enable_scale_to_zero=0, stays=1)

    story = play(p, stages_s=(1.0,))

    assert [(3.5, 1), (5.5, 0)] == story.decisions
    assert [(0.0, 2), (3.5, 1)] == story.replicas


# bounds and initial values


def test_min_scale_does_not_stop_the_decider_from_wanting_none(play: Play) -> None:
    """An idle revision with min-scale 1 has desired 0 and one pod, so its first request is decided upon at once."""
    p = hey(1, **WARM)

    story = play(p, service_s=1.0, stages_s=(1.0,))

    assert [(3.5, 0), (100.1, 1)] == story.decisions
    assert story.tick(100.1)["poked"]
    assert [(0.0, 1)] == story.replicas


def test_only_a_decision_of_none_is_poked(play: Play) -> None:
    """Two lone requests each make the activator speak up at once, but only the first finds desired at 0.

    The second, at 108.1 s, comes 7 s after the first has ended and been forgotten; it counts at the tick of 109.5 s:
    sec 100 and sec 108 hold 1 each, in a window of 60 and of 6 s that ends with sec 109.
    """
    p = sending(2, **WARM, start_for_ns=100_100 * MS)

    story = play(p, sent_s=[0.0, 8.0], service_s=0.1, stages_s=(1.0,))

    poked = [float(row[out.TICK_T]) / 1e9 for row in story.outcome.ticks if row[out.POKED]]
    assert [100.1] == poked
    assert 0.033333 == story.tick(109.5)["stable"]
    assert 0.166667 == story.tick(109.5)["panic"]


def test_a_lone_short_request_counts_as_a_full_second(play: Play) -> None:
    """A request of 0.1 s weighs 1 in its second: 1/60 and 1/6 at the next tick."""
    story = play(hey(1, **WARM), service_s=0.1, stages_s=(1.0,))

    assert 0.016667 == story.tick(101.5)["stable"]
    assert 0.166667 == story.tick(101.5)["panic"]


def test_max_scale_caps_pods_and_not_decisions(play: Play) -> None:
    """The decision goes to 5, the Deployment to 2, and panic goes on: 5 pods wanted over 2 ready is 250 %."""
    p = hey(5, **WARM, max_scale=2, horizon_ns=100 * S)

    story = play(p, service_s=LONG_S, stages_s=(1.0,))

    assert (105.5, 5) == story.decisions[-1]
    assert [(0.0, 1), (101.5, 2)] == story.replicas
    assert 2 == max(value for _, value in story.changes(out.STATUS_DESIRED))
    assert story.tick(199.5)["panicking"]


def test_initial_scale_beats_max_scale_until_it_was_reached(play: Play) -> None:
    """Three initial pods with max-scale 2 all start; once ready, the first decision, half of 3, counts."""
    story = play(sending(0, initial_scale=3, max_scale=2), stages_s=(1.0,))

    assert [(0.0, 3), (3.5, 1), (61.0, 0)] == story.replicas


def test_min_scale_lifts_a_new_deployment(play: Play) -> None:
    """A new revision with min-scale 2 and initial-scale 1 has two pods from its first reconcile on."""
    story = play(sending(0, min_scale=2, stays=1), stages_s=(1.0,))

    assert [(0.0, 1), (0.0, 2)] == story.replicas
    assert [0.0, 0.0] == story.pods(out.CREATED)


def test_a_revision_may_begin_with_nothing(play: Play) -> None:
    """Initial-scale 0 makes a revision inactive at once, without a pod."""
    story = play(sending(0, initial_scale=0))

    assert [(0.0, 0)] == story.replicas
    assert scaler.FALSE == story.changes(out.ACTIVE)[-1][1]
    assert [] == story.pods(out.CREATED)


def test_a_report_at_the_moment_of_a_tick_is_before_it(play: Play) -> None:
    """The ticker stands still while the windows are empty; a report at 200.5 s starts it, and it is due at 200.5 s.

    The request of 200.499 s is told at 200.501 s only, and until then taken off each report, so that tick sees zeros.
    """
    story = play(
        hey(1, start_for_ns=200_499 * MS, first_stat_ns=2 * MS),
        phase=clocks(tick_s=0.5, report_s=0.5),
        service_s=LONG_S,
        stages_s=(5.0,),
    )
    ticks = [(float(row[out.TICK_T]) / 1e9, int(row[out.DESIRED])) for row in story.outcome.ticks]
    assert [(124.5, 0), (200.5, 0), (200.501, 1), (202.5, 1)] == [row for row in ticks if row[0] > 124.0][:4]


def test_a_probe_of_a_pod_that_is_terminating_comes_too_late(play: Play) -> None:
    """The first of four more pods listens at 199.45 s, is removed at 199.5 s, and would be probed at 199.6 s.

    At 199.5 s the Deployment goes back from five pods to one, and pods that are not ready go first.
    """
    story = play(
        hey(5, **WARM, horizon_ns=120 * S),
        service_s=8.0,
        stages_s=(200.0,),
        stage_times_s=[(1.0,), (97.95,)],
    )
    assert [(101.5, 2), (103.5, 4), (105.5, 5), (199.5, 1)] == story.replicas[1:]
    assert [1.0, None, None, None, None] == story.pods(out.USABLE)


def test_before_any_decision_nothing_is_poked(play: Play) -> None:
    """A revision that began with no pod has no decision yet, so its first request waits for the tick of 101.5 s."""
    story = play(hey(1, initial_scale=0), service_s=1.0, stages_s=(1.0,))

    assert (101.5, 1) == story.decisions[0]
    assert not any(story.outcome.ticks[out.POKED])


def test_activation_scale_counts_only_while_any_pod_is_wanted(play: Play) -> None:
    """One request from zero gets 3 pods; when the windows ask for none, half of 3 is left, then nothing."""
    p = sending(1, activation_scale=3, start_for_ns=150_100 * MS)

    story = play(p, sent_s=[0.0], service_s=3.0, stages_s=(1.0,))

    assert [(3.5, 0), (150.1, 3)] == story.decisions[:2]
    assert [0, 3, 1, 0] == [desired for _, desired in story.decisions]
    assert not any(story.outcome.ticks[out.PANIC_MODE])


# the windows


def test_silence_is_not_zero_where_nothing_is_scraped(play: Play) -> None:
    """Five requests until 150.1 s and no scraping: the average hardly falls for 50 s, then at once.

    Sec 100 to 149 hold 5, sec 150 holds 4 (0.8 of the interval reported at 150.3), sec 151 the final 0. With n silent
    seconds the window has 60 - n left: 153.5: 254/52 (history began with the load). 181.5: 144/30. 201.5: 44/10.
    209.5: 4/2. 211.5: nothing.
    """
    p = sending(
        5, container_concurrency=0, slots=0, **WARM, max_scale=1, target_burst_capacity=-1.0,
        start_for_ns=100_100 * MS,
    )  # fmt: skip

    story = play(p, sent_s=[0.0] * 5, service_s=50.0, stages_s=(30.0,))

    seen = [story.tick(time_s)["stable"] for time_s in (153.5, 181.5, 201.5, 209.5, 211.5)]
    assert [4.884615, 4.8, 4.4, 2.0, 0.0] == seen


def test_scraped_zeros_make_the_average_fall(play: Play) -> None:
    """The same load with scraping: 254/59 at 153.5 s and 144/59 at 181.5 s, since 59 seconds count at each tick."""
    p = sending(5, container_concurrency=0, slots=0, **WARM, max_scale=1, start_for_ns=100_100 * MS)

    story = play(p, sent_s=[0.0] * 5, service_s=50.0, stages_s=(30.0,))

    assert [4.305085, 2.440678] == [story.tick(time_s)["stable"] for time_s in (153.5, 181.5)]


def test_weighted_averages_are_not_normalised(play: Play) -> None:
    """Under constant load 5 the weighted average begins at 1.8 after two seconds: 5 * (1 - 0.8**n).

    Over 60 s the coefficient is 0.2; over 6 s, 0.0001**(1/6) = 0.2154 is left of each second's weight.
    """
    p = hey(
        5, **WARM, target_burst_capacity=-1.0, weight_stable=smoothing_coefficient(60),
        weight_panic=smoothing_coefficient(6),
    )  # fmt: skip

    story = play(p, service_s=LONG_S, stages_s=(30.0,))

    stable = [story.tick(time_s)["stable"] for time_s in (101.5, 103.5, 105.5)]
    assert stable == pytest.approx([5 * (1 - 0.8**2), 5 * (1 - 0.8**4), 5 * (1 - 0.8**6)], rel=1e-12)
    assert 5 * (1 - 0.0001 ** (2 / 6)) == pytest.approx(story.tick(101.5)["panic"], rel=1e-12)


def test_the_rate_metric_does_not_see_a_backlog(play: Play) -> None:
    """By requests per second five waiting clients are five arrivals, once.

    Sec 100 holds the immediate 1 and the 4 others of the first report: 5/6 at 101.5 and at 105.5 s (which sees sec 100
    to 105), nothing at 107.5 s. By concurrency the same load would ask for five pods.
    """
    p = hey(5, **WARM, metric_rps=1)

    story = play(p, service_s=LONG_S, stages_s=(30.0,))

    assert [0.833333, 0.833333, 0.0] == [story.tick(time_s)["panic"] for time_s in (101.5, 105.5, 107.5)]
    assert (100.1, 1) == story.decisions[-1]


def test_the_metric_counts_requests_that_wait(play: Play) -> None:
    """One request runs and four wait; the window's average is 5."""
    story = play(hey(5, **WARM, max_scale=1), service_s=LONG_S, stages_s=(1.0,))

    assert 1 == sum(begun is not None for begun in story.begun)
    assert 5.0 == story.tick(107.5)["panic"]


def test_old_pods_speak_for_young_ones(play: Play) -> None:
    """Of five ready pods four are asked; the four old and busy ones make the idle young one look busy: 4/4 * 5.

    Four pods have nodes at once and one request each from 15 s on; the fifth gets its node at 20 s and is ready at
    21 s, younger than the stable window of 10 s. The panic window is the one second just scraped.
    """
    p = sending(
        4, initial_scale=5, min_scale=5, stays=1, stable_window_s=10, panic_window_s=1, target_burst_capacity=0.0,
        pool_type=ints(0, 0), pool_slots=ints(1, 1), pool_ready=ints(4, 0), pool_max=ints(4, 1),
        pool_provisioned=ints(0, 1), pool_release_ns=ints(0, 0), target_value=100.0,
        start_for_ns=15 * S, horizon_ns=14 * S,
    )  # fmt: skip

    story = play(
        p, phase=clocks(scrape_s=0.2), sent_s=[0.0] * 4, service_s=LONG_S, stages_s=(1.0,), node_s=20.0, cut_s=0.1
    )

    assert [0, 1, 2, 3] == sorted(story.served_by)
    assert [4, 5] == [story.tick(time_s)["ready"] for time_s in (19.5, 25.5)]
    assert [4.0, 5.0] == [story.tick(time_s)["panic"] for time_s in (19.5, 25.5)]


def test_one_pod_that_cannot_be_read_blanks_the_metric(play: Play) -> None:
    """Where any of three pods does not answer, its second is blank, and reads as zero, not as two thirds of the load.

    Each pod has a direct request. The panic window is the one second scraped 0.3 s before each tick.
    """
    p = sending(
        3, initial_scale=3, min_scale=3, stays=1, panic_window_s=1, target_burst_capacity=0.0, target_value=100.0,
        scrape_failure=0.2, start_for_ns=15 * S, horizon_ns=60 * S,
    )  # fmt: skip
    phase = clocks(scrape_s=0.2)

    story = play(p, phase=phase, sent_s=[0.0] * 3, service_s=LONG_S, stages_s=(1.0,), cut_s=0.1)

    key = by_hand(p).key
    blank = {
        second: any(chance(key, second, SCRAPE_FAILS + pod) < 0.2 * CHANCE_ONE for pod in range(3))
        for second in range(19, 75, 2)
    }
    assert {True, False} == set(blank.values())
    for second, blanked in blank.items():
        assert (0.0 if blanked else 3.0) == story.tick(second + 0.5)["panic"]


# the path


def test_a_small_revision_stays_behind_the_activator(play: Play) -> None:
    """With the default burst capacity of 211 three ready pods never leave room for direct requests."""
    p = sending(3, initial_scale=3, min_scale=3, stays=1)

    story = play(p, sent_s=[0.0] * 3, service_s=30.0, stages_s=(1.0,))

    assert [(0.0, burst.PROXY)] == story.changes(out.MODE)


def test_burst_capacity_moves_the_activator_out_and_in(play: Play) -> None:
    """Three pods with a burst capacity of 1 serve directly while 3 - 1 - panic average is at least 0.

    Idle: 2. Three direct requests from 10.1 s on: 1.5 in sec 10, then 3. 11.5: 1.5/5 = 0.3, floor(1.7) = 1. 13.5:
    7.5/5 = 1.5, floor(0.5) = 0, still direct. 15.5: 13.5/5 = 2.7, floor(-0.7) = -1: back to the activator.
    """
    p = sending(3, initial_scale=3, min_scale=3, stays=1, target_burst_capacity=1.0, horizon_ns=10 * S)

    story = play(p, sent_s=[0.0] * 3, service_s=LONG_S, stages_s=(1.0,))

    assert [2.0, 1.0, 0.0, -1.0] == [story.tick(time_s)["excess"] for time_s in (9.5, 11.5, 13.5, 15.5)]
    assert [(3.5, burst.SERVE), (15.5, burst.PROXY)] == story.changes(out.MODE)[-2:]


def test_a_burst_capacity_of_minus_one_keeps_the_activator(play: Play) -> None:
    """With -1 every request goes through the activator, however much room there is, and nothing is scraped."""
    p = sending(2, initial_scale=3, min_scale=3, stays=1, total_value=1000.0, target_burst_capacity=-1.0)

    story = play(p, sent_s=[0.0, 20.0], service_s=1.0, stages_s=(1.0,))

    assert [0, 0] == story.of_requests(out.ACTIVATOR)
    assert [(0.0, burst.PROXY)] == story.changes(out.MODE)
    assert -1.0 == story.tick(1.5)["excess"]


def test_a_patch_uses_the_decision_of_its_own_moment(play: Play) -> None:
    """Reconciles that take 3 s skip decisions: the Deployment goes from 1 to 2 to 5 and never to 4.

    Decisions 1, 2, 4, 5 fall at 100.1, 101.5, 103.5 and 105.5 s. The first asks for a reconcile at 103.1 s, which finds
    a 2. That changes the PodAutoscaler's own status, which asks for one at 106.1 s, and that finds a 5.
    """
    story = play(hey(5, **WARM, reconcile_ns=3 * S), service_s=LONG_S, stages_s=(30.0,))

    assert (103.5, 4) in story.decisions
    assert [(0.0, 1), (103.1, 2), (106.1, 5)] == story.replicas


def test_terminating_pods_leave_the_count_and_not_the_activators_metric(play: Play) -> None:
    """A pod asked to go at 3.5 s with a request on it is no ready pod at 5.5 s, but its request still counts.

    Sent at 2 s through the activator: sec 2 holds the immediate 1 and nothing of the first report (0.3 s of 1, less
    1), sec 3 and 4 a report of 1 each, sec 5 another: with sec 1 (a scraped zero) 4/5 at 5.5 s.
    """
    p = sending(1, initial_scale=2, target_value=10.0, start_for_ns=2 * S)

    story = play(p, sent_s=[0.0], service_s=60.0, stages_s=(1.0,), address=(2, 1), uid=(2, 1))

    assert [1] == story.served_by
    assert 3.5 == story.pods(out.ASKED)[1]
    assert 1 == story.tick(5.5)["ready"]
    assert 0.8 == story.tick(5.5)["stable"]


@pytest.mark.parametrize(("start", "load_s"), [(of.WARM, 6.0), (of.IDLED, 96.0), (of.ZERO, 5.0)])
def test_the_load_begins_when_its_start_state_is_reached(play: Play, start: int, load_s: float) -> None:
    """5 s after the first pod is ready (1 s); after the revision has gone to zero (61 s) and drained (91 s); at 5 s."""
    story = play(hey(1, start=start, start_for_ns=5 * S, horizon_ns=0), service_s=1.0, stages_s=(1.0,))

    assert load_s == story.outcome.load_ns / 1e9
    assert [load_s] == story.sent


@pytest.mark.parametrize(("deadline_s", "load_s"), [(600, 600.0), (1200, 905.0)])
def test_a_load_waits_for_a_warm_pod_until_the_progress_deadline(play: Play, deadline_s: int, load_s: float) -> None:
    """A pod that is ready at 900 s is waited for, and 5 s more, if the revision has not been given up by then."""
    p = hey(1, start=of.WARM, start_for_ns=5 * S, progress_deadline_ns=deadline_s * S, horizon_ns=1 * S)

    story = play(p, service_s=1.0, stages_s=(900.0,))

    assert load_s == story.outcome.load_ns / 1e9
