"""Models out of measured files: what is fitted, and that it predicts what was measured."""

import json
import math
from pathlib import Path

import numpy as np
import pytest

import kpasim
from benchmarks import recovery
from benchmarks.trace_halves import halves, strongest_drift
from kpasim.engines.sampling import of_replication
from kpasim.errors import RecordError, RunError
from kpasim.records import read
from kpasim.results.hey import CSV_HEADER, parse
from kpasim.spec.experiment import from_mapping
from kpasim.spec.model import ServiceModel
from kpasim.spec.yamlfile import read_mapping
from kpasim.studies.fit.candidates import CANDIDATES, Timing, service_parameters, service_time
from kpasim.studies.fit.classes import names_of
from kpasim.studies.fit.families import Sample, ends_90, fit, sample
from kpasim.studies.fit.inference import Plan, Posterior, infer
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


def test_a_tilted_posterior_has_the_smallest_divergence():
    """Normal points tilted to a mean of 0 in one direction keep the other mean; the divergence is the formula's."""
    rng = np.random.default_rng(5)
    z = rng.standard_normal((20_000, 2)) + np.array([0.5, 1.0])
    before = Posterior(z, np.full(len(z), 1.0 / len(z)))
    tilted = before.tilted(z[:, :1])

    assert tilted.weight.sum() == pytest.approx(1.0)
    assert tilted.weight @ z[:, 0] == pytest.approx(0.0, abs=0.02)
    assert tilted.weight @ z[:, 1] == pytest.approx(1.0, abs=0.03)
    assert before.divergence(tilted) == pytest.approx(0.5 * 0.5**2, rel=0.1)
    # What asks for too much is met in part only.
    assert 0.25 < before.divergence(before.tilted(z[:, :1] + 3.0)) <= 1.0
    means = [one.sample_like(50, z, rng).mean(axis=0) for one in (before, tilted)]
    assert means[0] == pytest.approx([0.5, 1.0], abs=0.1)
    assert means[1] == pytest.approx([0.0, 1.0], abs=0.1)


def test_the_service_time_of_requests_that_are_alike_has_the_median_and_spread_that_it_is_named_for():
    """Whatever its skew, half of the times are below the median, and it spreads around it as a lognormal time does."""
    parameters = service_parameters(8.0, 20.0)
    values = {one.name: np.array([low, high]) for one, (low, high) in zip(parameters, SHAPES, strict=True)}
    time = service_time(values)
    near = time.quantile(0.51) / time.quantile(0.49)
    times = time.ppf(np.tile((np.arange(20_000) + 0.5) / 20_000, 2)).reshape(2, -1)

    assert time.quantile(0.5) == pytest.approx([10.0, 12.0])
    assert np.log(near) / 0.050137 == pytest.approx([0.2, 0.3], rel=0.001)
    assert times.mean(axis=1) == pytest.approx(time.mean(), rel=0.001)
    assert time.shift[0] == pytest.approx(0.0, abs=1e-9)
    assert time.shift[1] == pytest.approx(12.0 * 0.7)
    density = np.exp(time.log_density(np.linspace(0.001, 400.0, 400_001)))
    assert density.sum(axis=1) * 0.001 == pytest.approx([1.0, 1.0], abs=0.002)


SHAPES = [(10.0, 12.0), (0.2, 0.3), (0.0, 1.0)]
"""Median, spread and skew of two service times."""


def test_total_and_average_are_predicted_from_percentiles_and_histogram(monkeypatch):
    """Left out of the fit, total and average of the published run are predicted to 5 %, and inside their intervals."""
    monkeypatch.setattr("kpasim.studies.fit.summaries.Plan", _short)
    found = kpasim.calibrate(
        HEY / "published-50x5.txt", kpasim.load(HEADLINE), candidate="serialised", without=["total", "average"]
    )

    for name in ("total", "average"):
        line = found.lines[name]
        assert not line["fitted"]
        assert line["predicted"] == pytest.approx(line["measured"], rel=0.05)
        assert line["lo"] <= line["measured"] <= line["hi"]


REAL = {
    "nonmult-mixed": {"requests": 105, "concurrency": 10},
    "z3": {"duration": "3s", "concurrency": 4},
}


@pytest.mark.parametrize("name", REAL)
def test_reports_of_the_real_tool_are_explained(name, monkeypatch):
    """A load whose workers do not divide its requests, with other statuses, is met, and one ended by the clock."""
    monkeypatch.setattr("kpasim.studies.fit.summaries.Plan", _short)
    workload = {"workload": {"kind": "hey", "timeout": "20s", **REAL[name]}}
    found = kpasim.calibrate(HEY / f"{name}.txt", kpasim.load(HEADLINE).with_settings(workload), candidate="serialised")

    for line in ("average", "rps", "p50", "p75"):
        assert found.lines[line]["predicted"] == pytest.approx(found.lines[line]["measured"], rel=0.1), line


def test_too_few_runs_like_the_report_are_told_with_what_to_do(monkeypatch):
    """Where fewer runs than are needed end as the report did, one line says so and names the option."""
    monkeypatch.setattr("kpasim.studies.fit.inference.LEAST_USABLE", 1_000_000)
    workload = {"workload": {"kind": "hey", "requests": 40, "concurrency": 4, "timeout": "1s"}}
    experiment = kpasim.load(HEADLINE).with_settings(workload)

    with pytest.raises(
        RunError, match=r"too few runs .* resemble the report: only .* 1,000,000 are needed \(.*--effort"
    ):
        kpasim.calibrate(HEY / "timeouts.txt", experiment, candidate="serialised", effort=0.1)


def test_a_report_that_no_model_explains_is_said_to_be_one(monkeypatch):
    """Requests that hang although the service is quick are not explained by queueing, and a note says so."""
    monkeypatch.setattr("kpasim.studies.fit.summaries.Plan", _short)
    workload = {"workload": {"kind": "hey", "requests": 40, "concurrency": 4, "timeout": "1s"}}
    found = kpasim.calibrate(
        HEY / "timeouts.txt", kpasim.load(HEADLINE).with_settings(workload), candidate="serialised"
    )

    assert found.sample["timeouts"] == 10
    assert any("no model of the prior reproduces the report: total" in one for one in found.notes)


def test_a_mixture_of_two_has_its_quantiles():
    """Half of the times of a mixture are below its median, and its mean is that of its times."""
    one = np.ones(1)
    timing = Timing(10 * one, 0.1 * one, share=0.6 * one, second=(25 * one, 0.2 * one))
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


def test_one_draw_in_twenty_lies_beyond_each_end_of_an_interval():
    """The ends have the ranks 0.05 (n + 1) and 0.95 (n + 1): of 99 draws the fifth from either side."""
    assert ends_90(np.arange(1.0, 100.0)) == pytest.approx([5.0, 95.0])


@pytest.mark.parametrize("size", [10, 25, 60])
def test_draws_of_lognormal_times_have_the_spread_of_the_posterior(size: int):
    """Under Jeffreys' prior the variance of the logarithms has the mean n s^2 / (n - 3), where s^2 is the sample's.

    Resamples would have (n - 1) / n instead: too little by an eighth at 25 times, and 95 % quantiles with it.
    """
    from scipy.special import ndtri

    logs = 0.4 * ndtri((np.arange(size) + 0.5) / size)
    found = fit(sample(np.exp(logs)), np.random.default_rng(1), bootstraps=2000 if size < 20 else 1000)
    variances = [one["sigma"] ** 2 for one in found.draws if one["distribution"] == "lognormal"]

    assert found.family == "lognormal"
    assert np.mean(variances) / logs.var() == pytest.approx(size / (size - 3), rel=0.06)


def test_times_that_broke_off_count_as_longer():
    """Half of the times cut off at their median do not make the fitted service faster."""
    values = np.random.default_rng(1).lognormal(2.4, 0.4, 1000)
    limit = np.quantile(values, 0.7)
    cut = fit(sample(np.minimum(values, limit), values > limit), np.random.default_rng(2), bootstraps=20)

    assert cut.times.censored == 300
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


def test_draws_are_of_each_family_as_often_as_it_is_probable(tmp_path):
    """Fifty times do not tell a lognormal from a Weibull distribution: the model file keeps draws of both."""
    file = tmp_path / "times.csv"
    times = np.random.default_rng(5).lognormal(0.0, 0.25, 50)
    file.write_text("duration\n" + "".join(f"{one:.6f}\n" for one in times), encoding="utf-8")
    found = kpasim.calibrate(file)
    found.write(tmp_path / "model.yaml")
    read_back = read_mapping(tmp_path / "model.yaml", kind="model").data
    drawn = ServiceModel.model_validate(read_back).posterior

    assert len({one["service-time.time"]["distribution"] for one in drawn}) > 1
    odds = {name: math.exp(-0.5 * value) for name, value in found.parts[0].fit.bic.items()}
    of_lognormal = [one["service-time.time"]["distribution"] == "lognormal" for one in drawn]
    assert np.mean(of_lognormal) == pytest.approx(odds["lognormal"] / sum(odds.values()), abs=0.12)


@pytest.mark.parametrize("digits", [0, 1])
def test_rounded_times_are_known_to_what_they_were_rounded_to(tmp_path, digits):
    """A tool that writes whole or tenths of seconds leaves equal times, which are no spikes of the distribution."""
    times = np.random.default_rng(7).lognormal(2.3, 0.3, 80) * 10.0**-digits
    file = tmp_path / "times.csv"
    file.write_text("duration\n" + "".join(f"{one:.{digits}f}\n" for one in times), encoding="utf-8")
    figures = kpasim.calibrate(file).parts[0].fit.figures

    for name, exact in (("p50", np.median(times)), ("p95", np.quantile(times, 0.95)), ("mean", times.mean())):
        value, low, high = figures[name]
        assert low <= exact <= high
        assert value == pytest.approx(exact, rel=0.06)


def test_a_report_in_bins_is_known_to_their_widths(tmp_path):
    """Three bins of Locust's JSON are no three times: the spread between them is bounded."""
    entry = {"name": "/txt2img", "num_failures": 0, "response_times": {"2000": 20, "2200": 15, "2400": 5}}
    file = tmp_path / "locust.json"
    file.write_text(json.dumps([entry]), encoding="utf-8")
    figures = kpasim.calibrate(file).parts[0].fit.figures

    assert 2.0 < figures["mean"][1] < figures["mean"][0] < figures["mean"][2] < 2.25
    assert 2.2 < figures["p95"][1] < figures["p95"][2] < 2.6


def test_times_of_microseconds_are_written_as_they_are_read(tmp_path):
    """No duration has an exponent."""
    file = tmp_path / "times.csv"
    file.write_text("duration\n" + "".join(f"{4e-5 + 1e-6 * place}\n" for place in range(10)), encoding="utf-8")
    kpasim.calibrate(file).write(tmp_path / "model.yaml")

    model = ServiceModel.model_validate(read_mapping(tmp_path / "model.yaml", kind="model").data)
    assert model.service_time.time.mean_s() == pytest.approx(4.45e-5, rel=0.01)


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
    calibrated = kpasim.load(HEADLINE).with_settings(settings | {"model": found.model})
    drawn = [of_replication(calibrated, place).model.service_time for place in range(100)]
    alone, factor = np.array([(one.time.mean_s(), one.slowdown[1]) for one in drawn]).T
    assert np.std(alone * factor) < np.std(alone) < 0.45, "what two at once take is known best"


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
    with pytest.raises(RunError, match="the report has no response"):
        kpasim.calibrate(HEY / "allfailed.txt", experiment)
    with pytest.raises(RunError, match="no candidate model 'luck'"):
        kpasim.calibrate(HEY / "published-50x5.txt", experiment, candidate="luck")
    with pytest.raises(RunError, match="no summary statistic 'p42'"):
        kpasim.calibrate(HEY / "published-50x5.txt", experiment, without=["p42"])
    with pytest.raises(RecordError):
        kpasim.calibrate(ROOT / "README.md", experiment)


@pytest.mark.parametrize("name", CANDIDATES)
def test_each_candidate_predicts_the_report_it_was_fitted_to(name, monkeypatch):
    """Under every candidate a short search finds models whose runs look like the published one, and keeps draws."""
    monkeypatch.setattr("kpasim.studies.fit.summaries.Plan", _short)
    found = kpasim.calibrate(
        HEY / "published-50x5.txt", kpasim.load(HEADLINE), candidate=name, draws=40, without=["total"]
    )

    assert len(found.model["posterior"]) == 40
    assert found.candidates[0].inside >= 9
    assert not found.lines["total"]["fitted"]
    model = {key: value for key, value in found.model.items() if key != "source"}
    experiment = kpasim.load(HEADLINE).with_settings({"model": model})
    assert kpasim.simulate(experiment, replications=4, engine="compiled").replications == 4


def _short():
    return Plan(first=3000, rounds=2, each=1000, last=2000, networks=1, rough_steps=500, steps=800)


@pytest.mark.parametrize("service", ["one-kind", "two-kinds"])
def test_the_report_is_reproduced_where_that_is_asked_for(service, monkeypatch):
    """A tilted posterior predicts the statistics better than the one before; the file has its divergence."""
    monkeypatch.setattr("kpasim.studies.fit.summaries.Plan", _short)
    given = {"candidate": "serialised", "service": service}
    plain = kpasim.calibrate(HEY / "published-50x5.txt", kpasim.load(HEADLINE), **given)
    tilted = kpasim.calibrate(HEY / "published-50x5.txt", kpasim.load(HEADLINE), reproduce=True, **given)

    def apart(found):
        return np.sum([np.log(one["predicted"] / one["measured"]) ** 2 for one in found.lines.values()])

    assert apart(tilted) < apart(plain)
    assert any(one.startswith("Tilted (exponential tilting)") for one in tilted.model["source"])
    assert not any(one.startswith("Tilted") for one in plain.model["source"])
    with pytest.raises(RunError, match="no shape 'three'"):
        kpasim.calibrate(HEY / "published-50x5.txt", kpasim.load(HEADLINE), service="three")


def test_a_known_truth_is_found_again(tmp_path, monkeypatch):
    """Of four simulated load tests most truths are inside their intervals, and medians known to a tenth."""
    monkeypatch.setattr("kpasim.studies.fit.summaries.Plan", _short)
    done = [recovery.study(recovery.load_tests(200), number, tmp_path) for number in range(4)]

    assert np.mean([one["inside"] for one in done]) >= 0.75
    assert np.mean([one["sd"] for one in done]) <= 0.1
    assert all(0.0 < one["sd_if_known"] <= one["sd"] for one in done)


@pytest.mark.statistical
def test_fifty_known_truths_are_found_again(tmp_path):
    """Of each figure at least 85 % of 50 truths are inside, medians known to a tenth, and no ranks make a U."""
    done = [recovery.study(recovery.load_tests(200), number, tmp_path) for number in range(50)]

    assert (np.mean([one["inside"] for one in done], axis=0) >= 0.85).all()
    assert np.mean([one["sd"] for one in done]) <= 0.1
    for ranks in np.array([one["rank"] for one in done]).T:
        assert recovery.even(ranks)[1] > 0.01


def test_ranks_that_make_a_u_are_caught():
    """Of 50 ranks, even ones pass both tests, those of a posterior half as wide as it should be neither."""
    from scipy.special import ndtr

    normal = np.random.default_rng(2).standard_normal(50)

    assert min(recovery.even(ndtr(normal))[1:]) > 0.05
    assert recovery.even(ndtr(2.0 * normal))[1] < 0.001
    assert recovery.even(ndtr(0.5 * normal))[1] > 0.99


def test_an_interval_tells_of_rounded_times():
    """Times in whole seconds are intervals; the fit is that of the times before they were rounded."""
    values = np.random.default_rng(5).lognormal(1.0, 0.5, 3000)
    whole = np.rint(values)
    found = fit(Sample(np.maximum(whole - 0.5, 0.0), whole + 0.5), np.random.default_rng(0), bootstraps=0)

    assert found.family == "lognormal"
    assert found.time["sigma"] == pytest.approx(0.5, rel=0.05)
