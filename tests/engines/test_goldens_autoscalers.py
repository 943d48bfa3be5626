"""Other autoscalers than Knative's own, worked out by hand: what they ask for, when, and what becomes of requests.

Times are in seconds from the creation of the revision. No delay in the plumbing unless a test says otherwise.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from kpasim.engines import compiled, reference
from kpasim.engines import params as of
from kpasim.engines.params import Params

from .hand import CALM, MS, S, Story, by_hand

Play = Callable[..., Story]
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
