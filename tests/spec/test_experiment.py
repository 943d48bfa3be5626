"""Experiments: what is read, where models are found, and one setting changed at a time."""

import io
import subprocess
import sys
from pathlib import Path

import pytest

from kpasim.errors import ExperimentError
from kpasim.spec.delays import Delays
from kpasim.spec.distributions import Lognormal
from kpasim.spec.experiment import Experiment, Tolerance, find_model, from_mapping, load, loads, shipped_models
from kpasim.spec.workload import Hey, Poisson
from tests.spec.files import EXPERIMENT, MANIFEST, MODEL, shipped, write

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def experiment(tmp_path: Path) -> Experiment:
    """The small experiment."""
    return load(write(tmp_path))


def test_what_is_read(experiment: Experiment, tmp_path: Path) -> None:
    """Files that are named are read, and defaults are filled in."""
    assert (experiment.name, experiment.path) == ("experiment", tmp_path / "experiment.yaml")
    assert experiment.service.name == "painter"
    assert isinstance(experiment.workload, Poisson)
    assert (experiment.workload.rate, experiment.workload.duration_s, experiment.workload.timeout_s) == (
        0.5,
        600.0,
        0.0,
    )
    assert experiment.model.name == "painter-model"
    assert [stage.name for stage in experiment.model.cold_start.stages] == ["pull", "load"]
    assert (experiment.start.state, experiment.start.for_s) == ("warm", 5.0)
    assert (experiment.horizon_s, experiment.replications, experiment.seed, experiment.cost) == (None, 20, 1, None)
    assert experiment.gpus_per_pod == 1
    assert experiment.cluster.delays == Delays()


def test_the_published_load_test() -> None:
    """`hey -n 50 -c 5 -t 180` against the guide's manifest, from one warm pod."""
    found = load(REPOSITORY / "experiments" / "hey50x5.yaml")
    assert isinstance(found.workload, Hey)
    assert (found.workload.requests, found.workload.concurrency, found.workload.timeout_s) == (50, 5, 180.0)
    assert found.workload.per_worker == 10
    assert found.start.state == "warm"
    assert len(found.model.posterior) == 200
    assert found.gpus_per_pod == 1
    assert [one.name for one in found.instance_types] == list(found.service.eci_specs)


@pytest.mark.parametrize("path", shipped("experiment"), ids=lambda path: path.stem)
def test_every_experiment_of_the_repository_can_be_read(path: Path) -> None:
    """And says at its beginning what one learns from it."""
    assert path.read_text().startswith("# ")
    assert load(path).name == path.stem


def test_short_forms_mean_the_long_ones(tmp_path: Path) -> None:
    """A bare time, a bare start and a bare cold start are enough."""
    text = EXPERIMENT.replace("model: painter-model", "model: {service-time: 11s, cold-start: 2m}")
    found = load(write(tmp_path, text))
    assert found.model.service_time.time.mean_s() == 11.0
    assert [(stage.name, stage.time.mean_s()) for stage in found.model.cold_start.stages] == [("start", 120.0)]
    assert (
        found.with_setting("model.cold-start.stages.start.time", "30s").model.cold_start.stages[0].time.mean_s() == 30.0
    )
    assert found.with_setting("start.for", "1m").start.for_s == 60.0
    assert found.with_setting("start", "zero").with_setting("start.for", "1m").start.state == "zero"


def test_classes_make_up_the_service_time(tmp_path: Path) -> None:
    """Without a time of its own the whole is the mixture of its classes."""
    model = (
        "service-time:\n  classes:\n    - {name: small, share: 3, time: 2s}\n    - {name: large, share: 1, time: 10s}\n"
    )
    assert load(write(tmp_path, model=model)).model.service_time.time.mean_s() == pytest.approx(4.0)


def test_a_manifest_within_the_experiment(tmp_path: Path) -> None:
    """Its problems carry the experiment's lines."""
    inline = "service:\n" + "".join(f"  {line}\n" for line in MANIFEST.splitlines())
    text = EXPERIMENT.replace("service: painter.yaml\n", inline)
    assert load(write(tmp_path, text)).service.name == "painter"
    with pytest.raises(ExperimentError) as caught:
        load(write(tmp_path, text.replace('"4"', '"x"')))
    assert "experiment.yaml:12: service.spec.template.metadata.annotations" in str(caught.value)


def test_a_config_map_file_is_named(tmp_path: Path) -> None:
    """Relative to the experiment; its problems carry its own lines."""
    (tmp_path / "cm.yaml").write_text('kind: ConfigMap\ndata:\n  stable-window: "30s"\n')
    text = EXPERIMENT.replace("\n  stable-window: 60s", " cm.yaml")
    found = load(write(tmp_path, text))
    assert found.revision.stable_window_s == 30.0
    assert found.with_setting("config-autoscaler.stable-window", "90s").revision.stable_window_s == 90.0


def test_other_config_maps_hold(tmp_path: Path) -> None:
    """Defaults of the cluster reach the Service."""
    text = (
        EXPERIMENT
        + 'config-defaults: {max-revision-timeout-seconds: "1200"}\nconfig-deployment: {progress-deadline: 20m}\n'
    )
    found = load(write(tmp_path, text, MANIFEST.replace("timeoutSeconds: 300", "timeoutSeconds: 900")))
    assert (found.service.timeout_s, found.revision.progress_deadline_s) == (900.0, 1200.0)
    with pytest.raises(ExperimentError, match="900 is out of range"):
        found.with_setting("config-defaults.max-revision-timeout-seconds", "600")


def test_where_models_are_found(tmp_path: Path) -> None:
    """Beside the experiment, then above, then below, then among those that come along."""
    folder = tmp_path / "experiments"
    for place in (folder, folder / "models", tmp_path / "models"):
        place.mkdir(parents=True, exist_ok=True)
        (place / "m.yaml").write_text(MODEL)
    for place in (folder, tmp_path / "models", folder / "models"):
        found = find_model("m", folder)
        assert found is not None
        assert found.resolve() == place / "m.yaml"
        found.unlink()
    assert find_model("m", folder) is None
    assert find_model("sd-webui-gn5", folder) == shipped_models() / "sd-webui-gn5.yaml"


def test_tolerances(tmp_path: Path) -> None:
    """A percentage is of the measured value, anything else an amount."""
    found = load(write(tmp_path, EXPERIMENT + "tolerances: {p50: 15%, total: 2s, max-pods: 0}\n"))
    assert found.tolerances == {
        "p50": Tolerance(0.15, True),
        "total": Tolerance(2.0, False),
        "max-pods": Tolerance(0.0, False),
    }
    assert found.tolerances["p50"].allows(11.4, 10.0)
    assert not found.tolerances["p50"].allows(11.6, 10.0)
    assert found.tolerances["total"].allows(12.0, 10.0)


SETTINGS = {
    "service.annotations.max-scale": (7, lambda one: one.revision.max_scale, 7),
    "service.annotations.maxScale": ("7", lambda one: one.revision.max_scale, 7),
    "service.annotations.autoscaling.knative.dev/window": ("40s", lambda one: one.revision.stable_window_s, 40.0),
    "service.annotations.target-utilization-percentage": (100.0, lambda one: one.revision.target_value, 1.0),
    "service.containerConcurrency": (4.0, lambda one: one.service.container_concurrency, 4),
    "service.timeoutSeconds": (60, lambda one: one.service.timeout_s, 60.0),
    "service.readinessProbe.periodSeconds": (5, lambda one: one.service.probe.period_s, 5.0),
    "config-autoscaler.target-burst-capacity": (0, lambda one: one.revision.target_burst_capacity, 0.0),
    "workload.rate": (2.5, lambda one: one.workload.rate, 2.5),
    "workload.timeout": ("20s", lambda one: one.workload.timeout_s, 20.0),
    "workload": ({"kind": "hey", "requests": 9, "concurrency": 3}, lambda one: one.workload.per_worker, 3),
    "model.service-time.time.median": ("20s", lambda one: one.model.service_time.time.median_s, 20.0),
    "model.service-time.per-instance-type.a.b": (2, lambda one: one.model.service_time.per_instance_type, {"a.b": 2.0}),
    "model.cold-start.stages.load.time": ("5s", lambda one: one.model.cold_start.stages[1].time.mean_s(), 5.0),
    "model.cold-start.stages.0.at-a-time": (1, lambda one: one.model.cold_start.stages[0].at_a_time, 1),
    "cluster.activators": (2, lambda one: one.cluster.activators, 2),
    "cluster.ingress.policy": ("random", lambda one: one.cluster.ingress.policy, "random"),
    "cluster.delays.tick-to-pod": ("1s", lambda one: one.cluster.delays.tick_to_pod_s, 1.0),
    "cluster.instance-types.small.price-per-hour": (3, lambda one: one.cluster.instance_types[0].price_per_hour, 3.0),
    "cluster.nodes": ({"count": 2}, lambda one: one.cluster.nodes.count, 2),
    "start": ("idled", lambda one: one.start.state, "idled"),
    "horizon": ("20m", lambda one: one.horizon_s, 1200.0),
    "seed": (9, lambda one: one.seed, 9),
    "cost.prices.a.b": (2.0, lambda one: one.cost.prices, {"a.b": 2.0}),
    "tolerances.p50": ("5%", lambda one: one.tolerances["p50"].amount, 0.05),
}


@pytest.mark.parametrize("path", SETTINGS)
def test_one_setting_is_changed(path: str, experiment: Experiment) -> None:
    """The new experiment has it, the old one has not, and nothing else differs."""
    value, look, wanted = SETTINGS[path]
    before = experiment.model_dump_json(exclude={"service"}), experiment.service
    new = experiment.with_setting(path, value)

    assert look(new) == wanted
    assert new.setting(path) is not None
    assert before == (experiment.model_dump_json(exclude={"service"}), experiment.service)
    head = path.partition(".")[0]
    touched = {"config-autoscaler": "config_autoscaler", "horizon": "horizon_s"}.get(head, head)
    for name in set(Experiment.model_fields) - {touched, "service"}:
        assert getattr(new, name) == getattr(experiment, name)


def test_taking_a_setting_out_gives_the_default(experiment: Experiment) -> None:
    """None removes the key from the file."""
    assert experiment.with_setting("replications", None).replications == 200
    assert experiment.with_setting("service.annotations.max-scale", None).revision.max_scale == 0
    assert experiment.with_setting("config-autoscaler.stable-window", None).config_autoscaler.stable_window_s == 60.0
    with pytest.raises(ExperimentError, match="workload: is missing"):
        experiment.with_setting("workload", None)


@pytest.mark.parametrize("name", ["config-autoscaler", "config-defaults"])
@pytest.mark.parametrize(("value", "says"), [(3, "must be a ConfigMap file"), (False, "must be"), ("x", "not exist")])
def test_a_whole_config_map_is_set_as_a_file_has_it(
    experiment: Experiment, name: str, value: object, says: str
) -> None:
    """A mapping, or a file; anything else is refused at its key."""
    with pytest.raises(ExperimentError, match=f"{name}: .*{says}"):
        experiment.with_setting(name, value)


def test_a_config_map_that_is_taken_out_is_gone(experiment: Experiment) -> None:
    """Its data as well as what they meant."""
    given = experiment.with_setting("config-deployment", {"progress-deadline": "20m"})
    assert {"progress-deadline": "20m"} == given.config_deployment
    assert given.with_setting("config-deployment", None).config_deployment == {}


def test_settings_that_only_fit_together(experiment: Experiment) -> None:
    """Several are changed at once and checked once, so their order does not matter."""
    with pytest.raises(ExperimentError, match="less than min-scale"):
        experiment.with_setting("service.annotations.min-scale", 6)
    both = {"service.annotations.min-scale": 6, "service.annotations.max-scale": 8}
    assert experiment.with_settings(both).revision.min_scale == 6


BAD_SETTINGS = {
    "servce.x": (1, "servce.x: unknown setting (did you mean service?)"),
    "max-scale": (1, "max-scale: unknown setting (did you mean service.annotations.max-scale?)"),
    "maxScale": (1, "maxScale: unknown setting (did you mean service.annotations.maxScale?)"),
    "containerConcurrency": (1, "unknown setting (did you mean service.containerConcurrency?)"),
    "stable-window": ("60s", "unknown setting (did you mean config-autoscaler.stable-window?)"),
    "rate": (1, "unknown setting (did you mean workload.rate?)"),
    "service.annotations.maxscale": (1, "did you mean max-scale?"),
    "service.annotations.max-scale": (
        -1,
        "painter.yaml:11: spec.template.metadata.annotations.autoscaling.knative.dev/max-scale: -1 is",
    ),
    "service.annotations.window": ([1], "a list"),
    "service.containerConcurency": (1, "did you mean containerConcurrency?"),
    "service.containerConcurrency": (1.5, "1.5 is not right (must be a whole number)"),
    "config-autoscaler.stable-windw": ("60s", "did you mean stable-window?"),
    "config-autoscaler.stable-window": ("60", "write 60s"),
    "workload.rte": (1, "workload.rte: unknown key (did you mean rate?)"),
    "workload.rate": ("x", "workload.rate: 'x' is not a rate; write 0.5 (per second), 20/h or 500/day"),
    "workload.rate.x": (1, "workload.rate is 0.5 and has no x"),
    "model.service-time.time.mean": ("5s", "median and sigma, or mean and cv"),
    "model.cold-start.stages.lod.time": ("5s", "has no member 'lod' (did you mean load?)"),
    "model.cold-start.stages.7.time": ("5s", "has no member '7'"),
    "cluster.instance-types": ("large", "'large' is not listed (one of small)"),
    "cluster.instance-types.small.currency": ("usd", "'usd'"),
    "horizon": ("0s", "0 is out of range (must be above 0)"),
    "replications": (0, "at least 1"),
}


@pytest.mark.parametrize("path", BAD_SETTINGS)
def test_settings_that_are_refused(path: str, experiment: Experiment) -> None:
    """In one line, with the setting's own path."""
    value, words = BAD_SETTINGS[path]
    with pytest.raises(ExperimentError) as caught:
        experiment.with_setting(path, value)
    (line,) = str(caught.value).splitlines()
    assert words in line


def test_settings_are_looked_up(experiment: Experiment) -> None:
    """As the file has them; None where it leaves them to the default."""
    assert experiment.setting("service.annotations.maxScale") == "4"
    assert experiment.setting("service.timeoutSeconds") == 300
    assert experiment.setting("service.idleTimeoutSeconds") is None
    assert experiment.setting("model.cold-start.stages.pull.time") == "30s"
    assert experiment.setting("cluster.ingress.policy") is None
    assert experiment.setting("seed") is None
    with pytest.raises(ExperimentError, match="unknown setting"):
        experiment.setting("sed")


def test_instance_types_follow_the_manifest(tmp_path: Path) -> None:
    """The annotation orders what the cluster block offers; choosing types changes both."""
    manifest = MANIFEST.replace('max-scale: "4"', 'max-scale: "4"\n        k8s.aliyun.com/eci-use-specs: b,a,c')
    assert [one.name for one in load(write(tmp_path, EXPERIMENT.replace("small", "a"), manifest)).instance_types] == [
        "a"
    ]
    text = EXPERIMENT.replace(
        "small, price-per-hour: 1.0}", "a, price-per-hour: 1.0}\n    - {name: b, price-per-hour: 2.0}"
    )
    found = load(write(tmp_path, text, manifest))
    assert [one.name for one in found.instance_types] == ["b", "a"]
    chosen = found.with_setting("cluster.instance-types", ["a"])
    assert [one.name for one in chosen.instance_types] == ["a"]
    assert chosen.service.eci_specs == ("a",)
    none_listed = load(write(tmp_path, text[: text.index("cluster:")], manifest))
    assert [one.name for one in none_listed.instance_types] == ["b", "a", "c"]
    with pytest.raises(ExperimentError, match="none of the manifest's eci-use-specs"):
        load(write(tmp_path, EXPERIMENT, manifest))


def test_an_experiment_made_of_a_mapping(tmp_path: Path) -> None:
    """The command line and other code need no file."""
    write(tmp_path)
    data = {
        "service": "painter.yaml",
        "model": {"service-time": "11s", "cold-start": "2m"},
        "workload": {"kind": "hey", "requests": 50, "concurrency": 5, "timeout": 180},
    }
    found = from_mapping(data, base=tmp_path)
    assert (found.path, found.name) == (None, "painter")
    with pytest.raises(ExperimentError, match=r"^command line: workload\.kid: unknown key"):
        from_mapping({**data, "workload": {"kind": "hey", "kid": 3}}, base=tmp_path, path="command line")


def test_standard_input_is_an_experiment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`-` reads from the stream, with paths relative to the working folder."""
    write(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(EXPERIMENT.encode())))
    assert load("-").service.name == "painter"


def test_text_is_an_experiment(tmp_path: Path) -> None:
    """Lines in messages are those of the text."""
    write(tmp_path)
    assert isinstance(loads(EXPERIMENT, base=tmp_path).model.service_time.time, Lognormal)
    with pytest.raises(ExperimentError, match=r"^experiment:6: workload\.rate"):
        loads(EXPERIMENT.replace("0.5", "-1"), base=tmp_path)


def test_files_of_a_workload_are_relative_to_the_experiment(tmp_path: Path) -> None:
    """The trace is found beside the experiment, wherever one stands."""
    (tmp_path / "t.csv").write_text("arrival\n1\n")
    text = EXPERIMENT.replace("kind: poisson\n  rate: 0.5\n  duration: 10m", "kind: replay\n  file: t.csv")
    found = load(write(tmp_path, text))
    assert found.workload.file == str(tmp_path / "t.csv")
    assert found.with_setting("workload.speed", 2.0).setting("workload.file") == str(tmp_path / "t.csv")


def test_an_experiment_cannot_be_changed_in_place(experiment: Experiment) -> None:
    """Two runs never share a changed setting."""
    with pytest.raises(ValueError, match="frozen"):
        experiment.seed = 5  # type: ignore[misc]


def test_reading_specifications_loads_nothing_heavy() -> None:
    """Neither scipy nor numba nor a plotting library is imported."""
    code = (
        "import sys, kpasim.spec.experiment as e;"
        f"e.load({str(REPOSITORY / 'experiments' / 'hey50x5.yaml')!r});"
        "heavy = {'scipy', 'numba', 'simpy', 'matplotlib', 'pyarrow', 'plotly', 'kubernetes'};"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
