"""Where in the wall-clock second an activator reports."""

import json

import numpy as np
from click.testing import CliRunner

from kpasim.cli.main import cli
from kpasim.engines.lower import lower
from kpasim.results.tables import read_run_folder
from kpasim.studies.measured.clocks import PLACES_NS, agreed, errors, report_places, ruled_out, seen_in, told_at
from kpasim.studies.measured.described import begun, experiment_of, recorded_of
from kpasim.studies.run import simulate
from tests.real_runs import folder, names

K = [name for name in names() if name.startswith("s1-warm-def-k") or name.startswith("s2-warm-def-k")]
OTHERS = ["s1-warm-def-r05", "s1-zero-b", "s4-pt200-a", "s4-sdd30-a", "s5-poisson2-burst2-b", "s6-stz-tbcm1-a"]


def test_the_place_of_simulated_reports_is_found():
    """The place under which runs were simulated is hardly ever ruled out, and several runs leave little beside it."""
    run, measured, _ = read_run_folder(folder("s1-warm-def-k06"))
    # A report at the very beginning of a second belongs to that second, which numbers with a fraction would miss.
    for place_ns in (0, 40_000_000, 420_000_000, 930_000_000):
        recorded = recorded_of(run, measured)._replace(report_places_ns=(place_ns,))
        result = simulate(experiment_of(run, measured), replications=12, seed=1, recorded=recorded)
        found = [out for index in range(12) if (out := ruled_out(run, result.tables(index))) is not None]
        left_s = np.array(agreed(found)) / 1e9

        assert len(found) == 12
        assert np.mean([out[round(place_ns / 1e7)] for out in found]) <= 0.1
        assert np.abs(left_s - place_ns / 1e9).max() <= 0.1


def test_places_that_are_tried_together_come_out_as_alone():
    """Places under which all falls into the same seconds share one result, and no others do."""
    run, tables, _ = read_run_folder(folder("s1-zero-b"))
    experiment = experiment_of(run, tables)
    seen = seen_in(tables, experiment, lower(experiment, begun(run, tables)))
    told = told_at(seen, 370_000_000)
    together = errors(seen, told, PLACES_NS)

    assert together == [errors(seen, told, [place_ns])[0] for place_ns in PLACES_NS]
    assert 1 < len(set(together)) < 20


def test_runs_of_one_activator_agree_on_the_place_of_its_reports():
    """The measured runs of each of two activators leave a few hundredths of a second, and not the same ones."""
    k_s, others_s = (np.array(report_places(map(folder, group))) / 1e9 for group in (K, OTHERS))

    assert 0.07 <= k_s.min() <= k_s.max() <= 0.13
    assert 0.90 <= others_s.min() <= others_s.max() <= 0.96


def test_a_run_past_the_activator_says_nothing():
    """Nor does one that scales by requests per second; without any run that does, the reports may lie anywhere."""
    for name in ("s1-warm-ing-tbc0", "s4-rps5"):
        run, tables, _ = read_run_folder(folder(name))

        assert ruled_out(run, tables) is None
    assert report_places([folder("s4-rps5")]) == ()
    assert len(agreed([np.zeros(len(PLACES_NS), dtype=bool)])) == len(PLACES_NS)


def test_averages_that_no_place_explains_say_nothing():
    """Ticks whose times are wrong, as where they were polled too seldom, rule nothing out."""
    run, tables, _ = read_run_folder(folder("s1-warm-def-k01"))
    assert ruled_out(run, tables) is not None

    tables.ticks["t_s"] += 3.0
    assert ruled_out(run, tables) is None


def test_requests_that_are_refused_at_once_end_after_they_came():
    """Answers that take less time than the way there and back leave the activator with nothing inside."""
    run, tables, _ = read_run_folder(folder("s1-zero-b"))
    tables.requests["latency_s"][0] = 1e-6
    experiment = experiment_of(run, tables)
    seen = seen_in(tables, experiment, lower(experiment, begun(run, tables)))
    told = told_at(seen, 0)

    assert min(np.cumsum([1 if enters else -1 for _, enters in seen.moves])) == 0
    assert told.times[-1] <= seen.moves[-1][0] + 3 * 10**9


def test_earlier_runs_make_a_prediction_surer():
    """`kpasim compare --earlier` takes the place of the reports from other runs and narrows what is predicted."""

    def width(*earlier: str) -> float:
        others = [word for name in earlier for word in ("--earlier", str(folder(name)))]
        asked = ["compare", str(folder("s1-warm-def-r03")), "-n", "100", "--seed", "1", "--json", *others]
        mean = json.loads(CliRunner().invoke(cli, asked).stdout)["metrics"]["mean_s"]
        return float(mean["hi"] - mean["lo"])

    assert width("s1-warm-def-r01", "s1-warm-def-r05", "s1-zero-b") < width()
