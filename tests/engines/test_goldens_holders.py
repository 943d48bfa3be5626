"""Autoscalers whose data plane holds requests, and pods before the load: worked out by hand.

Phases as in ``test_goldens_autoscalers``: the HPA ticks at 0, 15, 30 s ..., KEDA's HTTP scaler reads the interceptor at
0.1, 0.6, 1.1 s ... and tells KEDA at 0, 0.2, 0.4 s ...; Ray Serve's controller loops at 0, 0.1, 0.2 s ... and gets
reports at 2, 12, 22 s ...; Knative's autoscaler ticks at 1.5, 3.5, 5.5 s ...
"""

from typing import Any

import numpy as np
import pytest

from kpasim.engines import outcome as out
from kpasim.engines import params as of
from kpasim.engines.draws import CHANCE_ONE, CRASH, POD_A, chance, pick
from kpasim.engines.model.autoscaler import RAY_SERVE
from kpasim.policy.schedule import UNBOUNDED

from .hand import S, by_hand, floats
from .test_goldens_autoscalers import DEPLOYMENT, LONG_S, PHASE, Play, play, scaled, sending, until

__all__ = ["play"]

HTTP: dict[str, Any] = {
    **DEPLOYMENT, "autoscaler": of.KEDA_HTTP, "data_plane": of.INTERCEPTOR, "always_activator": 1, "least": 0,
    "most": 100, "cooldown_ns": 60 * S, "poll_ns": 30 * S, "initial_cooldown_ns": 1000 * S,
}  # fmt: skip
RAY: dict[str, Any] = {
    **DEPLOYMENT, "autoscaler": RAY_SERVE, "data_plane": of.ROUTER, "always_activator": 1,
    "container_concurrency": 5, "metric": of.ONGOING, "scrape_ns": 10 * S, "window_scrapes": 3, "least": 1,
    "most": 100, "min_scale": 1, "stays": 1, "target_milli": 2000,
    "rule": floats(30.0, 600.0, 600.0, 1.0, 1.0),
}  # fmt: skip


# --- KEDA's HTTP add-on


def test_the_interceptor_holds_a_request_until_a_pod_is_ready(play: Play) -> None:
    """Read at 25.1 s, KEDA hears of it at 25.2 s, the pod takes 20 s: the request begins at 45.2 s."""
    story = scaled(play, until(60.0, 1, **HTTP, initial_scale=0), 25.05, stages_s=(20.0,), service_s=1.0)
    assert [(0.0, 0), (25.2, 1)] == story.replicas
    assert ([45.2], [200]) == (story.begun, story.statuses)


def test_requests_that_wait_count_as_concurrency(play: Play) -> None:
    """Five held requests: 1 pod at once, 4 at the HPA's tick of 30 s, 5 at 45 s, while none is ready."""
    story = scaled(play, until(60.0, 5, **HTTP, initial_scale=0), *[25.05] * 5, stages_s=(100.0,))
    assert [(0.0, 0), (25.2, 1), (30.0, 4), (45.0, 5)] == story.replicas


def test_the_add_on_goes_to_zero_after_the_scaledown_period(play: Play) -> None:
    """The last message with work is that of 26.0 s (read at 25.6 s); the first one beyond 86 s is that of 86.2 s."""
    story = scaled(play, until(100.0, 1, **HTTP), 25.05, service_s=1.0)
    assert [(0.0, 1), (86.2, 0)] == story.replicas


def test_a_request_between_two_readings_is_not_seen(play: Play) -> None:
    """From 25.65 to 25.95 s: the pod goes when the initial cooldown of 40 s has passed, as if there had been none."""
    params = until(100.0, 1, **{**HTTP, "initial_cooldown_ns": 40 * S})
    story = scaled(play, params, 25.65, service_s=0.3)
    assert ([200], [(0.0, 1), (40.2, 0)]) == (story.statuses, story.replicas)


def test_a_request_rate_is_averaged_over_the_seconds_seen(play: Play) -> None:
    """30 requests at 20.05 s are 1.0/s over 30 seconds at 30 s, so 10 pods for a target of 0.1/s; 4 are allowed.

    The recommendation of 10 is stored and holds although the rate falls: 8 at 45 s, 10 at 60 s.
    """
    params = until(80.0, 30, **{**HTTP, "metric": of.RATE, "target_milli": 100})
    story = scaled(play, params, *[20.05] * 30)
    assert [(0.0, 1), (30.0, 4), (45.0, 8), (60.0, 10)] == story.replicas


def test_an_http_scaled_object_rounds_a_rate_up(play: Play) -> None:
    """Two requests at 20.05 s are 0.07/s over 30 seconds at 30 s, and count as 1/s: 10 pods for a target of 0.1/s.

    As long as the window of a minute holds them; then the older recommendations hold.
    """
    params = until(80.0, 2, **{**HTTP, "metric": of.RATE, "target_milli": 100})
    story = scaled(play, params, *[20.05] * 2)
    assert [(0.0, 1), (30.0, 4), (45.0, 8), (60.0, 10)] == story.replicas


def test_an_interceptor_route_does_not_round_a_rate(play: Play) -> None:
    """The same two requests are 0.067/s at 30 s: 3 pods for a target of 0.03/s, which the recommendation then holds."""
    params = until(80.0, 2, **{**HTTP, "metric": of.RATE, "target_milli": 30, "exact_rate": 1})
    story = scaled(play, params, *[20.05] * 2)
    assert [(0.0, 1), (30.0, 3)] == story.replicas


def test_the_interceptor_chooses_pods_at_random(play: Play) -> None:
    """Each request goes to a ready pod by its own draw, whether it is busy or not."""
    params = until(200.0, 12, **{**HTTP, "slots": 1, "target_milli": 1_000_000}, initial_scale=2)
    story = scaled(play, params, *[15.05 + place for place in range(12)], service_s=20.0)
    key = by_hand(params).key
    assert [pick(key, request, POD_A, 2) for request in range(12)] == story.served_by


def test_a_held_request_can_time_out(play: Play) -> None:
    """With a timeout of 10 s the request of 25.05 s ends with 504 at 35.05 s; its pod comes all the same."""
    params = until(60.0, 1, **HTTP, initial_scale=0, timeout_ns=10 * S)
    story = scaled(play, params, 25.05, stages_s=(20.0,))
    assert ([504], [35.05]) == (story.statuses, story.answered)
    assert [45.2] == story.pods(out.READY)


# --- Ray Serve


def test_ray_serve_adds_replicas_after_the_delay(play: Play) -> None:
    """Ten requests from 15 s on: 70 request-seconds in 20 s at the report of 22 s are 3.5, which is too many for one.

    After 30 s of this, at 52 s, the average over 30 s is 10: 5 replicas at a target of 2.
    """
    story = scaled(play, until(60.0, 10, **RAY), *[15.0] * 10)
    assert [(0.0, 1), (52.0, 5)] == story.replicas


def test_a_factor_makes_part_of_a_step(play: Play) -> None:
    """Half of the way from 1 to 5 is 3 replicas."""
    story = scaled(play, until(60.0, 10, **{**RAY, "rule": floats(30.0, 600.0, 600.0, 0.5, 1.0)}), *[15.0] * 10)
    assert [(0.0, 1), (52.0, 3)] == story.replicas


def test_the_maximum_limits_replicas(play: Play) -> None:
    """Two replicas where 5 are needed."""
    story = scaled(play, until(60.0, 10, **{**RAY, "most": 2}), *[15.0] * 10)
    assert [(0.0, 1), (52.0, 2)] == story.replicas


def test_ray_serve_starts_a_replica_at_once_from_zero(play: Play) -> None:
    """A request of 15.03 s that waits in the handle is seen by the loop of 15.1 s and served 20 s later."""
    settings = {**RAY, "least": 0, "min_scale": 0, "stays": 0, "initial_scale": 0}
    story = scaled(play, until(60.0, 1, **settings), 15.03, stages_s=(20.0,), service_s=1.0)
    assert [(0.0, 0), (15.1, 1)] == story.replicas
    assert ([35.1], [200]) == (story.begun, story.statuses)


def test_ray_serve_goes_to_zero_by_way_of_one(play: Play) -> None:
    """Three replicas without requests, ready at 0.1 s: 1 after 20 s, then 0 after 10 s of its own delay."""
    settings = {**RAY, "least": 0, "min_scale": 0, "stays": 0, "initial_scale": 3}
    delays = {"rule": floats(30.0, 20.0, 10.0, 1.0, 1.0)}
    story = scaled(play, until(60.0, 1, **{**settings, **delays}), 55.0)
    assert [(0.0, 3), (20.1, 1), (30.2, 0)] == story.replicas[:3]


def test_the_handle_takes_the_less_busy_replica(play: Play) -> None:
    """Of two replicas the one with fewer requests: they alternate."""
    params = until(60.0, 6, **{**RAY, "target_milli": 1_000_000}, initial_scale=2)
    story = scaled(play, params, *[15.0 + place for place in range(6)])
    assert [0, 1, 0, 1, 0, 1] == story.served_by


def test_a_full_replica_makes_requests_wait_in_the_handle(play: Play) -> None:
    """Of seven requests of 100 s a replica takes 5; the others begin when these end."""
    params = until(400.0, 7, **{**RAY, "target_milli": 1_000_000})
    story = scaled(play, params, *[15.0] * 7, service_s=100.0)
    assert [15.0] * 5 + [115.0] * 2 == story.begun


# --- a schedule


def table(*rows: tuple[float, int, int]) -> np.ndarray:
    """Bounds from times since the start of the load on."""
    return np.array([[round(time_s * S), least, most] for time_s, least, most in rows], dtype=np.int64)


SCHEDULE = {"schedule": table((0.0, 0, UNBOUNDED), (60.0, 3, UNBOUNDED), (120.0, 0, UNBOUNDED)), "stays": 1}


def test_a_schedule_keeps_pods_for_its_time(play: Play) -> None:
    """Three pods from 60 s to 120 s after the start of the load at 10.1 s; the initial pod has gone at 60 s."""
    story = play(sending(1, **SCHEDULE, horizon_ns=190 * S), sent_s=[185.0], stages_s=(0.0,))
    # Knative's own answer is half of the ready pods, 1, while there are 3; from 131.5 s on it is 0.
    assert [(0.0, 1), (60.0, 0), (70.1, 3), (130.1, 1), (131.5, 0)] == story.replicas[:-1]


def test_scheduled_pods_are_warm(play: Play) -> None:
    """Three requests at 100.1 s, 30 s after the pods: all begin at once, with a cold start of 20 s."""
    story = play(sending(3, **SCHEDULE, horizon_ns=120 * S), sent_s=[90.0] * 3, stages_s=(20.0,))
    assert [100.1] * 3 == story.begun


def test_a_crash_is_forgotten_when_a_pod_is_ready(play: Play) -> None:
    """The first pod's container fails once. Of three pods of 100.1 s, none ready yet, a request at 102 s takes none.

    A revision without a ready pod whose container has failed is unreachable and has no minimum: one pod would be left.
    """
    starts = [(0, CRASH), (0, CRASH + 1), (1, CRASH), (2, CRASH), (3, CRASH)]
    chances = [[chance(key, *start) >= CHANCE_ONE // 2 for start in starts] for key in range(1000)]
    key = chances.index([False, True, True, True, True])
    schedule = table((0.0, 0, UNBOUNDED), (90.0, 3, UNBOUNDED))
    params = sending(1, schedule=schedule, stays=1, crash_probability=0.5, horizon_ns=100 * S)
    story = play(params, sent_s=[91.9], stages_s=(5.0,), key=key)
    assert 1 == story.outcome.pods[0, out.RESTARTS]
    assert [(0.0, 1), (70.0, 0), (100.1, 3)] == story.replicas


def test_a_schedule_may_limit_pods(play: Play) -> None:
    """Five requests need 5 pods; the schedule allows 2 until 30 s after the start of the load, then 4."""
    schedule = table((0.0, 0, 2), (30.0, 0, 4))
    params = sending(5, schedule=schedule, horizon_ns=80 * S)
    story = play(params, sent_s=[1.0] * 5, service_s=LONG_S, stages_s=(0.0,))
    assert [2, 4] == [count for _, count in story.replicas[-2:]]
    assert 40.1 == story.replicas[-1][0]


def test_the_smaller_maximum_counts(play: Play) -> None:
    """max-scale 1 and a schedule that allows 4, or the other way round."""
    for most, scheduled in ((1, 4), (4, 1)):
        params = sending(5, schedule=table((0.0, 0, scheduled)), max_scale=most, horizon_ns=80 * S)
        story = play(params, sent_s=[1.0] * 5, service_s=LONG_S, stages_s=(0.0,))
        assert {1} == {count for _, count in story.replicas}


def test_a_schedule_without_bounds_changes_nothing(play: Play) -> None:
    """The tables are those of Knative's autoscaler by itself."""
    params = sending(4, horizon_ns=200 * S)
    own = play(params, sent_s=[0.0, 1.0, 1.0, 30.0]).outcome
    other = play(params._replace(schedule=table((0.0, 0, UNBOUNDED))), sent_s=[0.0, 1.0, 1.0, 30.0]).outcome
    assert own.scaling.tobytes() == other.scaling.tobytes()
    assert own.requests.tobytes() == other.requests.tobytes()


@pytest.mark.parametrize("start_s", [5.0, 25.0])
def test_a_schedule_begins_with_the_load(play: Play, start_s: float) -> None:
    """The bounds of 60 s hold 60 s after the start of the load, whenever that is."""
    params = sending(1, **SCHEDULE, horizon_ns=90 * S)._replace(start_for_ns=round(start_s * S))
    story = play(params, sent_s=[85.0], stages_s=(0.0,))
    assert (start_s + 60.0, 3) in story.replicas


# --- a forecast

FORECAST: dict[str, Any] = {
    "looks_ahead": 1, "quantile": 1.0, "ahead_ns": 20 * S, "slot_ns": 10 * S, "period_ns": 60 * S, "stays": 1,
}  # fmt: skip


def earlier(*days: tuple[float, ...]) -> np.ndarray:
    """Demand of the six slots of 10 s in each earlier period."""
    return np.array(days, dtype=np.float64).ravel()


RUSH = earlier((0, 0, 0, 0, 0, 4))


def test_a_forecast_brings_pods_ahead_of_the_rush(play: Play) -> None:
    """The slot from 50 s on needed 4 pods: 20 s ahead of it is 40.1 s, and the tick at 41.5 s asks for them."""
    story = play(sending(1, **FORECAST, history=RUSH, horizon_ns=39 * S), sent_s=[38.0], stages_s=(0.0,))
    assert (41.5, 4) in story.decisions
    assert 4 not in [count for time_s, count in story.decisions if time_s < 41.5]


def test_a_forecast_needs_no_data(play: Play) -> None:
    """A revision that never had a pod or a request gets them all the same."""
    params = sending(1, **FORECAST, history=RUSH, initial_scale=0, horizon_ns=39 * S)
    story = play(params, sent_s=[38.0], stages_s=(0.0,))
    assert [(1.5, 0), (41.5, 4)] == story.decisions


def test_the_reactive_answer_counts_where_it_is_larger(play: Play) -> None:
    """Six requests need 6 pods, with a forecast of 4."""
    params = sending(6, **FORECAST, history=RUSH, horizon_ns=39 * S)
    story = play(params, sent_s=[10.0] * 6, service_s=LONG_S, stages_s=(0.0,))
    assert 6 == story.decisions[-1][1]


@pytest.mark.parametrize(("quantile", "pods"), [(0.5, 2), (1.0, 6), (0.75, 4)])
def test_the_quantile_of_earlier_days_counts(play: Play, quantile: float, pods: int) -> None:
    """Demands of 1, 2 and 6: the median is 2, the maximum 6, and three quarters lie half way between."""
    days = earlier((0, 0, 0, 0, 0, 1), (0, 0, 0, 0, 0, 6), (0, 0, 0, 0, 0, 2))
    params = sending(1, **{**FORECAST, "quantile": quantile}, history=days, initial_scale=0, horizon_ns=39 * S)
    story = play(params, sent_s=[38.0], stages_s=(0.0,))
    assert [(1.5, 0), (41.5, pods)] == story.decisions


def test_the_maximum_limits_a_forecast(play: Play) -> None:
    """The decision is 4, and max-scale 2 pods come."""
    params = sending(1, **FORECAST, history=RUSH, initial_scale=0, max_scale=2, horizon_ns=39 * S)
    story = play(params, sent_s=[38.0], stages_s=(0.0,))
    assert 4 == story.decisions[-1][1]
    assert (41.5, 2) in story.replicas


def test_pods_of_a_forecast_are_warm_for_the_rush(play: Play) -> None:
    """Four requests 50 s after the start of the load begin at once; without the forecast none does."""
    params = sending(4, **FORECAST, history=RUSH, initial_scale=0, horizon_ns=59 * S)
    ready = play(params, sent_s=[50.0] * 4, stages_s=(15.0,), service_s=LONG_S)
    assert [60.1] * 4 == ready.begun
    alone = play(params._replace(looks_ahead=0), sent_s=[50.0] * 4, stages_s=(15.0,), service_s=LONG_S)
    assert 60.1 not in alone.begun


def test_the_run_itself_becomes_an_earlier_period(play: Play) -> None:
    """A period of 60 s without earlier demand: what 3 requests needed at 25 s is asked for 20 s ahead of 85 s."""
    params = sending(3, **FORECAST, history=earlier((0, 0, 0, 0, 0, 0)), stable_window_s=10, horizon_ns=80 * S)
    story = play(params, sent_s=[22.0] * 3, service_s=6.0, stages_s=(0.0,))
    again = [(time_s, count) for time_s, count in story.decisions if time_s > 70.0]
    # The slot from 20 s to 30 s has the phases of the ticks at 31.5 to 39.5 s; it is ahead from 70.1 s on.
    assert again[0][0] == 71.5
    assert again[0][1] >= 1


def test_phases_are_those_of_the_other_file() -> None:
    """What the comments above count on."""
    assert [0, int(0.2 * S)] == [int(PHASE[of.WALL]), int(PHASE[of.REPORT])]
