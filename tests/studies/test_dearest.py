"""The setting that costs most is found by trying, with the same random numbers."""

from typing import Any

import numpy as np
import pytest

from kpasim.spec.experiment import Experiment, from_mapping
from kpasim.studies.dearest import ANNOTATION, REPLICATIONS, dearest, relaxed
from kpasim.studies.run import simulate
from tests.cli.test_answer import experiment as data_of

LOAD = {"kind": "poisson", "rate": 0.3, "duration": "15m"}


def experiment(**annotations: Any) -> Experiment:
    """Three requests at a time on average."""
    return from_mapping(data_of(LOAD, {"max-scale": 20, **annotations}))


def test_what_may_be_relaxed_is_what_keeps_pods():
    """Utilisation below 100 %, min-scale, delays and a long window; nothing of a service that has none of them."""
    some = {"min-scale": 2, "scale-down-delay": "2m", "window": "5m"}

    assert relaxed(experiment(**some)) == {
        "target-utilization-percentage": ("70", "100"),
        "min-scale": ("2", "0"),
        "scale-down-delay": ("2m", "0s"),
        "window": ("5m", "1m"),
    }
    assert relaxed(experiment(**{"target-utilization-percentage": 100})) == {}


def test_the_setting_that_saves_most_is_named():
    """Its saving is the difference of the mean bills of the same replications, and no other candidate saves more."""
    what = experiment(**{"window": "10m"})
    result = simulate(what, engine="compiled")

    found = dearest(result)

    bills = {}
    for name, (_, instead) in relaxed(what).items():
        other = simulate(what.with_setting(ANNOTATION + name, instead), replications=REPLICATIONS, engine="compiled")
        bills[name] = np.mean(other.cost_figures["amount"])
    now = np.mean(result.cost_figures["amount"][:REPLICATIONS])
    best = min(bills, key=bills.get)
    assert found.path == ANNOTATION + best
    assert found.saved == pytest.approx(1 - bills[best] / now)
    assert found.text().startswith(f"{best} {found.now} costs most: with {found.instead} the run costs ")


def test_pods_that_stay_are_compared_to_one_end():
    """Without min-scale a run would end earlier and look cheaper for that alone: both are billed to one end."""
    result = simulate(experiment(**{"min-scale": 10, "target-utilization-percentage": 100}), engine="compiled")

    found = dearest(result)

    assert found.path == ANNOTATION + "min-scale"
    end_s = float(result.horizon_s[:REPLICATIONS].max())
    without = result.experiment.with_setting(ANNOTATION + "min-scale", 0)
    same_end, other = (
        simulate(which, replications=REPLICATIONS, until_s=end_s) for which in (result.experiment, without)
    )
    assert min(other.horizon_s) >= end_s
    assert set(same_end.horizon_s) == {end_s}
    saved = 1 - np.mean(other.cost_figures["amount"]) / np.mean(same_end.cost_figures["amount"])
    assert found.saved == pytest.approx(saved)


def test_nothing_is_tried_without_prices():
    """Where no cost is known, no setting costs most."""
    free = from_mapping({**data_of(LOAD, {"min-scale": 3}), "cluster": {}, "replications": 2})

    assert dearest(simulate(free, engine="compiled")) is None
