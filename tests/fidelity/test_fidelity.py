"""All recorded runs, predicted with a fixed seed, as in docs/fidelity.md."""

import statistics
from functools import cache

import pytest

from benchmarks import delays, evidence, fidelity, steady
from benchmarks.fidelity import ABSOLUTE, COVERED, RELATIVE, Row
from tests.real_runs import names
from tests.steady_state import points

REPLICATIONS = 200
GOALS = {**RELATIVE, **ABSOLUTE}

MISSED = {
    # Phases of clocks that nobody knows decide; with phase-aligned clocks these meet their goals.
    ("s5", "p95_s"),
    ("s5", "mean_s"),
    ("s5", "max_s"),
    ("s5", "desired_zero_after_last_s"),
    # Seven runs on a busy machine, where newcomers overtook requests that waited.
    ("s3", "max_s"),
    ("s3", "total_s"),
    # Random routing, two and three runs.
    ("envoy-least-request", "p50_s"),
    ("envoy-least-request", "max_s"),
    ("envoy-round-robin", "p50_s"),
    ("envoy-round-robin", "mean_s"),
    ("envoy-round-robin", "max_s"),
    ("envoy-round-robin", "total_s"),
}
"""Medians of a family or a path that miss their goals, explained in docs/fidelity.md; all others keep them."""

DOZEN = {
    "s1-idled-def-a": 4.0,
    "s1-warm-def-k06": 1.0,
    "s1-warm-ing-tbcdef": 1.0,
    "s1-warm-envoyrr-tbc0-a": 6.0,
    "s2-warm-def-b": 1.0,
    "s2-warm-envoylr-tbc0-b": 8.0,
    "s3-def-cc1-tu70-c8": 2.0,
    "s3-cc10-tu70-c50-ing-tbc0": 4.0,
    "s4-pt1000-cv": 1.0,
    "s5-idled-poisson2-a": 5.0,
    "s6-single-idled": 1.0,
    "s6-stz-ing-tbcdef-a": 2.0,
}
"""A dozen runs of all families and paths: p50, p95, mean, total and pod seconds are off by this much at most [%]."""

STRICTLY_SIXTY_SECONDS = {"s4-rps5": 1}
"""Rows of ticks that are decided otherwise: panic ended where printed times say exactly a window, not more."""

ALIGNED = ("s1-warm-def-k06", "s2-warm-def-k04", "s2-idled-def-r08", "s3-def-cc1-tu70-c8", "s4-pt150-c", "s6-stz-act-c")
"""Runs that are also predicted with phase-aligned clocks."""


@cache
def recorded() -> dict[str, Row]:
    """All runs, predicted with the recorded service times and the place of the reports by the other runs."""
    rows = fidelity.rows(REPLICATIONS, "recorded", only=names(), places=fidelity.places_by_others(names()))
    return {row.name: row for row in rows}


@cache
def alone() -> dict[str, Row]:
    """A dozen runs, predicted without what other runs tell of their activator."""
    return {row.name: row for row in fidelity.rows(REPLICATIONS, "recorded", only=DOZEN)}


@cache
def in_step() -> list[Row]:
    """Some runs, predicted with the phases of their clocks."""
    return fidelity.rows(20, "recorded", align=True, only=ALIGNED)


@pytest.mark.parametrize("metric", GOALS)
def test_the_median_error_over_all_runs_keeps_its_goal(metric):
    """Half of all runs are predicted as well as was asked for."""
    assert fidelity.median_error(metric, list(recorded().values())) <= GOALS[metric]


def test_other_runs_on_the_same_activator_make_predictions_better():
    """Knowing where in the second the activator reports, from the other runs, halves the mean's error at least."""
    known = [recorded()[name] for name in DOZEN]

    assert fidelity.median_error("mean_s", known) <= 0.5 * fidelity.median_error("mean_s", list(alone().values()))


def test_every_family_and_path_keeps_the_goals_but_those_listed():
    """No family and no path misses a goal without standing in the list of those that do."""
    missed = {
        (group, metric)
        for group, members in fidelity.groups(list(recorded().values())).items()
        for metric, goal in GOALS.items()
        if (error := fidelity.median_error(metric, members)) is not None and error > goal
    }

    assert missed <= MISSED


def test_most_pods_are_predicted_exactly():
    """In 92 of 100 runs the peak pods are predicted exactly."""
    assert fidelity.exact_pods(list(recorded().values())) >= fidelity.EXACT_PODS


@pytest.mark.parametrize("metric", COVERED)
def test_intervals_hold_what_was_measured(metric):
    """The 90 % interval of each metric holds the measured value in 85 to 98 of 100 runs; the mean's in all."""
    share = fidelity.coverage(metric, list(recorded().values()))

    assert share >= fidelity.COVERAGE[0]
    assert share <= (1.0 if metric == "mean_s" else fidelity.COVERAGE[1])


@pytest.mark.parametrize("metric", ["p50_s", "p95_s", "pod_seconds"])
def test_intervals_are_narrow(metric):
    """Half of the intervals are at most a quarter of the value wide."""
    assert fidelity.width(metric, list(recorded().values())) <= 25.0


@pytest.mark.parametrize("name", DOZEN)
def test_a_run_is_predicted_within_its_bound(name):
    """Each of a dozen runs is met within a bound of its own, without anything known from other runs."""
    row = alone()[name]
    errors = {
        metric: fidelity.error(metric, row.metrics[metric])
        for metric in ("p50_s", "p95_s", "mean_s", "total_s", "pod_seconds")
    }

    assert max(errors.values()) <= DOZEN[name], errors
    assert row.metrics["max_pods"]["predicted"] == row.metrics["max_pods"]["measured"]


def test_the_policy_decides_every_row_of_ticks_as_was_measured():
    """From the printed averages follow raw desired, panic and excess burst capacity of every row but the one named."""
    rows = sum(int(row.ticks["rows"]) for row in recorded().values())
    wrong = {
        name: sum(int(row.ticks[kind]) for kind in ("desired", "panic_mode", "excess_burst_capacity"))
        for name, row in recorded().items()
    }

    assert rows > 11_000
    assert {name: count for name, count in wrong.items() if count} == STRICTLY_SIXTY_SECONDS


def test_with_the_clocks_in_step_desired_changes_when_it_did():
    """Changes of desired are met within 0.1 s and hardly one is missed or too many; pods come within 0.3 s."""
    measured = sum(row.changes[0] for row in in_step())
    created = [off for row in in_step() for off in row.created_off_s]

    assert sum(row.changes[1] for row in in_step()) <= 0.05 * measured
    assert sum(row.changes[2] for row in in_step()) <= 0.05 * measured
    assert statistics.median(row.changes[3] for row in in_step()) <= 0.1
    assert statistics.median(created) <= 0.3


def test_envoys_two_random_choices_may_be_the_same_pod():
    """As many choices went to a least busy pod as two independent picks make, and too few for two different pods."""
    _, chose_least, same, variance, different = evidence.envoys_choices("s3-cc10-c50-tbc0-envoylr")

    assert abs(chose_least - same) < 3 * variance**0.5
    assert different - chose_least > 3 * variance**0.5


@pytest.mark.parametrize("count", evidence.MEASURED, ids=lambda count: count.__name__)
def test_figures_of_the_prose_are_those_of_the_runs(count):
    """What the documentation says of the recorded runs is what is counted in them."""
    found = list(count())

    assert found
    assert [words for page, words in found if not evidence.stands(page, words)] == []


@pytest.mark.parametrize("count", delays.MEASURED, ids=lambda count: count.__name__)
def test_figures_of_the_delays_are_those_of_the_runs(count):
    """What the docstring of a delay says of the recorded runs is what is counted in them."""
    found = list(count())

    assert found
    assert [one for one in found if one.words not in delays.docstrings()[one.delay]] == []


def test_no_delay_is_called_measured_that_is_not():
    """A docstring speaks of a measurement only where the recorded runs are counted for it."""
    counted = {one.delay for count in delays.MEASURED for one in count()}
    claimed = {name for name, text in delays.docstrings().items() if "measured" in text.lower()}

    assert claimed - counted == set()


def test_steady_states_are_predicted_better_than_by_rules_of_thumb():
    """Given the measured response times, the average pods of an older Knative come out within three percent."""
    measured = points()
    ours = steady.off([steady.predicted(point, 1) for point in measured], measured)
    rules = [steady.off([rule(point) for point in measured], measured)["all"] for rule in steady.RULES.values()]

    assert len(measured) == 84
    assert ours["all"] <= 3.0
    assert ours["all"] < min(rules)
