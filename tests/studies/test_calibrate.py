"""Models out of measured files: what is fitted, and that it predicts what was measured."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import kpasim
from kpasim.errors import RecordError, RunError
from kpasim.records import read
from kpasim.results.hey import CSV_HEADER, parse
from kpasim.spec.experiment import from_mapping
from kpasim.studies.fit.classes import halves, names_of, strongest_drift
from kpasim.studies.fit.explanations import EXPLANATIONS, Timing
from kpasim.studies.fit.families import Sample, fit, sample
from kpasim.studies.fit.inference import Plan, infer
from kpasim.studies.fit.lines import report_lines
from tests.real_runs import folder
from tests.records.examples import KUBECTL_LIST

ROOT = Path(__file__).parents[2]
HEY = ROOT / "tests" / "results" / "hey"
HEADLINE = ROOT / "experiments" / "hey50x5.yaml"
TRACE = ROOT / "experiments" / "data" / "lora_request_trace.csv.gz"


def test_the_published_report_is_reproduced():
    """Over 200 replications each line's median is within 5 %, and the published value inside its 90 % interval."""
    published = report_lines(parse((HEY / "published-50x5.txt").read_text(encoding="utf-8"))[0])
    result = kpasim.simulate(kpasim.load(HEADLINE), engine="compiled")

    assert result.replications == 200
    assert set(published) == {"total", "slowest", "fastest", "average", "rps", "p10", "p25", "p50", "p75", "p90", "p95"}
    for name, value in published.items():
        low, high = result.intervals["hey"][name]
        assert result.summary["hey"][name] == pytest.approx(value, rel=0.05), name
        assert low <= value <= high, name
        assert high - low <= 0.6 * value, name


def test_inference_finds_a_posterior_that_is_known():
    """Of a number seen three times with noise, and one never seen, mean and spread are those of the formulas."""
    rng = np.random.default_rng(3)

    def simulate(z, first):
        noise = np.random.default_rng(first).standard_normal((len(z), 3))
        return z[:, :1] + 0.3 * noise

    observed = np.array([0.9, 1.1, 1.3])
    plan = Plan(first=4000, rounds=2, each=2000, last=6000, networks=2, rough_steps=800, steps=1500)
    found = infer(simulate, observed, 2, rng, plan).sample(4000, rng)

    precision = 1.0 + 3 / 0.3**2
    assert found[:, 0].mean() == pytest.approx(observed.sum() / 0.3**2 / precision, abs=0.05)
    assert found[:, 0].std() == pytest.approx(precision**-0.5, rel=0.25)
    assert found[:, 1].mean() == pytest.approx(0.0, abs=0.2)
    assert found[:, 1].std() == pytest.approx(1.0, rel=0.2)


def test_a_mixture_of_two_has_its_quantiles():
    """Half of the times of a mixture are below its median, and its mean is that of its times."""
    one = np.ones(1)
    timing = Timing(10 * one, 0.1 * one, 0.6 * one, (25 * one, 0.2 * one))
    times = timing.ppf((np.arange(20_000) + 0.5) / 20_000)

    assert np.mean(times < timing.quantile(0.5)) == pytest.approx(0.5, abs=0.001)
    assert timing.mean()[0] == pytest.approx(times.mean(), rel=0.001)


@pytest.mark.parametrize(
    ("family", "times"),
    [
        ("lognormal", lambda rng: rng.lognormal(2.4, 0.4, 2000)),
        ("gamma", lambda rng: rng.gamma(2.0, 5.0, 2000)),
        ("weibull", lambda rng: 10 * rng.weibull(3.0, 2000)),
        ("mixture", lambda rng: rng.lognormal(np.where(rng.uniform(size=2000) < 0.4, 1.0, 3.4), 0.3)),
    ],
)  # fmt: skip
def test_the_family_behind_times_is_found(family, times):
    """The criterion picks the family that made a large sample, and its median is that of the sample."""
    values = times(np.random.default_rng(1))
    found = fit(sample(values), np.random.default_rng(2), bootstraps=20)

    assert found.family == family
    assert found.figures["p50"][0] == pytest.approx(np.median(values), rel=0.05)


def test_times_that_broke_off_count_as_longer():
    """Half of the times cut off at their median do not make the fitted service faster."""
    values = np.random.default_rng(1).lognormal(2.4, 0.4, 1000)
    limit = np.quantile(values, 0.7)
    cut = fit(sample(np.minimum(values, limit), values > limit), np.random.default_rng(2), bootstraps=20)

    assert cut.censored == 300
    assert cut.figures["p95"][0] == pytest.approx(np.quantile(values, 0.95), rel=0.15)
    assert fit(sample(values[values <= limit]), np.random.default_rng(2), bootstraps=0).figures["p95"][0] < limit


def test_a_run_folder_gives_service_time_and_start():
    """From a run of the real autoscaler the container's own times come back, and the model can be run."""
    found = kpasim.calibrate(folder("s1-warm-def-r03"))
    declared = json.loads((folder("s1-warm-def-r03") / "run.json").read_text(encoding="utf-8"))["container"]

    low, high = found.estimates["service_mean_s"][1:]
    times = read(folder("s1-warm-def-r03")).requests["service_s"]
    assert low <= times.mean() <= high
    assert found.sample["requests"] == 50
    assert found.sample["pods"] == 5
    assert found.estimates["start_mean_s"][0] == pytest.approx(declared["listens_after_s"], abs=1.0)
    model = {key: value for key, value in found.model.items() if key != "source"}
    workload = {"kind": "hey", "requests": 10, "concurrency": 5}
    service = kpasim.load(HEADLINE).raw["service"]
    experiment = from_mapping({"service": service, "workload": workload, "model": model})
    assert len(model["posterior"]) == 200
    assert kpasim.simulate(experiment, replications=3, engine="reference").summary["ok"] == 10


def test_requests_that_hey_left_out_of_its_csv_are_censored(tmp_path):
    """The CSV lacks requests that were given up: the experiment tells how many and after what time."""
    rows = [f"{2.0 + 0.1 * place:.4f},0,0,0,{2.0:.4f},0,200,{10.0 * place:.4f}" for place in range(30)]
    file = tmp_path / "run.csv"
    file.write_text("\n".join([CSV_HEADER, *rows, ""]), encoding="utf-8")
    experiment = kpasim.load(HEADLINE).with_settings({"workload.requests": 40, "workload.timeout": "6s"})
    found = kpasim.calibrate(file, experiment, direct=True)

    assert found.sample["requests"] == 40
    assert found.sample["timeouts"] == 10
    assert any("10 of the experiment's requests are missing" in one for one in found.notes)
    assert found.estimates["service_p95_s"][0] > 5.0


def test_classes_and_types_of_machines_are_told_apart(tmp_path):
    """A CSV file that names them gives a time for each class, or a factor for each type."""
    rng = np.random.default_rng(4)
    rows = [f"{t},{rng.lognormal(1, 0.1) * (3 if t % 2 else 1)}" + (",big" if t % 2 else ",small") for t in range(200)]
    by_class, by_type = tmp_path / "class.csv", tmp_path / "type.csv"
    by_class.write_text("\n".join(["start,duration,class", *rows, ""]), encoding="utf-8")
    by_type.write_text("\n".join(["start,duration,gpu", *rows, ""]), encoding="utf-8")

    classes = kpasim.calibrate(by_class).model["service-time"]["classes"]
    assert [one["name"] for one in classes] == ["big", "small"] or [one["name"] for one in classes] == ["small", "big"]
    factors = kpasim.calibrate(by_type).model["service-time"]["per-instance-type"]
    assert max(factors.values()) / min(factors.values()) == pytest.approx(3.0, rel=0.05)


def test_pods_of_kubectl_give_the_stages_of_a_start(tmp_path):
    """Conditions and container states become stages; the service time stays that of the experiment's model."""
    file = tmp_path / "pods.json"
    file.write_text(KUBECTL_LIST if isinstance(KUBECTL_LIST, str) else json.dumps(KUBECTL_LIST), encoding="utf-8")
    experiment = kpasim.load(HEADLINE).with_settings({"model.posterior": None})
    found = kpasim.calibrate(file, experiment)

    assert [one["name"] for one in found.model["cold-start"]["stages"]][-1] == "start"
    assert found.model["service-time"]["time"] == experiment.raw["model"]["service-time"]["time"]
    with pytest.raises(RunError, match="no file has service times"):
        kpasim.calibrate(file)


def test_requests_that_share_a_pod_are_slower(tmp_path):
    """From a run whose pods took two requests at once the slow-down behind it comes back."""
    model = {
        "service-time": {"time": {"distribution": "lognormal", "median": "3s", "sigma": 0.2}, "slowdown": [1.0, 1.6]},
        "cold-start": "5s",
    }
    settings = {"model": model, "service.containerConcurrency": 2, "workload.requests": 100}
    kpasim.simulate(kpasim.load(HEADLINE).with_settings(settings), replications=1, engine="reference").write(tmp_path)
    found = kpasim.calibrate(tmp_path)

    assert found.model["service-time"]["slowdown"] == pytest.approx([1.0, 1.6], rel=0.1)
    assert found.estimates["service_p50_s"][0] == pytest.approx(3.0, rel=0.15)


def test_the_first_half_of_the_trace_predicts_the_second_better_by_class():
    """By steps, images and LoRA the first half gives the second more probability and better quantiles than without."""
    requests = read(TRACE).requests
    done = requests["status"] == 200
    names = names_of({name: column[done] for name, column in requests.items()})
    found = halves(names, requests["duration_s"][done], 1.0, np.random.default_rng(0))

    assert found.log_score[0] > found.log_score[1] + 0.1
    for name, (by_class, without, measured) in found.quantiles.items():
        assert abs(by_class - measured) < abs(without - measured), name
        assert found.quantile_scores[name][0] < found.quantile_scores[name][1], name
    assert strongest_drift(found)


def test_a_report_of_another_experiment_is_refused():
    """A number of requests that does not fit, several reports, or no experiment at all are told in one line."""
    experiment = kpasim.load(HEADLINE)
    with pytest.raises(RunError, match="sends 50 requests, but the report has 200"):
        kpasim.calibrate(HEY / "ok200.txt", experiment)
    with pytest.raises(RunError, match="needs the experiment"):
        kpasim.calibrate(HEY / "ok200.txt")
    with pytest.raises(RunError, match="several reports"):
        kpasim.calibrate([HEY / "ok200.txt", HEY / "published-50x5.txt"], experiment)
    with pytest.raises(RunError, match="no answered request"):
        kpasim.calibrate(HEY / "allfailed.txt", experiment)
    with pytest.raises(RunError, match="no explanation 'luck'"):
        kpasim.calibrate(HEY / "published-50x5.txt", experiment, explanation="luck")
    with pytest.raises(RunError, match="no line 'p42'"):
        kpasim.calibrate(HEY / "published-50x5.txt", experiment, without=["p42"])
    with pytest.raises(RecordError):
        kpasim.calibrate(ROOT / "README.md", experiment)


@pytest.mark.parametrize("name", EXPLANATIONS)
def test_each_explanation_predicts_the_report_it_was_fitted_to(name, monkeypatch):
    """Under every explanation a short search finds models whose runs look like the published one, and keeps draws."""
    monkeypatch.setattr("kpasim.studies.fit.summaries.Plan", _short)
    found = kpasim.calibrate(
        HEY / "published-50x5.txt", kpasim.load(HEADLINE), explanation=name, draws=40, without=["total"]
    )

    assert len(found.model["posterior"]) == 40
    assert found.explanations[0].inside >= 9
    assert not found.lines["total"]["fitted"]
    model = {key: value for key, value in found.model.items() if key != "source"}
    experiment = kpasim.load(HEADLINE).with_settings({"model": model})
    assert kpasim.simulate(experiment, replications=4, engine="compiled").replications == 4


def _short():
    return Plan(first=3000, rounds=2, each=1000, last=2000, networks=1, rough_steps=500, steps=800)


@pytest.mark.statistical
def test_a_known_truth_is_found_again(tmp_path, monkeypatch):
    """Of five simulated load tests most truths are inside their intervals (in full: benchmarks/recovery.py)."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    import recovery

    experiment = kpasim.load(HEADLINE).with_settings({"workload.requests": 200, "workload.timeout": "0s"})
    done = [recovery.study(experiment, number, tmp_path) for number in range(5)]

    assert np.mean([one["inside"] for one in done]) >= 0.75
    assert np.median([one["sd"] for one in done]) <= 0.1


def test_an_interval_tells_of_rounded_times():
    """Times in whole seconds are intervals; the fit is that of the times before they were rounded."""
    values = np.random.default_rng(5).lognormal(1.0, 0.5, 3000)
    whole = np.rint(values)
    found = fit(Sample(np.maximum(whole - 0.5, 0.0), whole + 0.5), np.random.default_rng(0), bootstraps=0)

    assert found.family == "lognormal"
    assert found.time["sigma"] == pytest.approx(0.5, rel=0.05)
