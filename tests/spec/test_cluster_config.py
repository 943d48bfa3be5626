"""The configuration of a cluster: where its ConfigMaps may stand, and what they decide."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from kpasim.cli.main import cli
from kpasim.errors import ExperimentError
from kpasim.spec.configmaps import cluster_of
from kpasim.spec.experiment import Experiment, loads
from kpasim.studies.check import Finding, check_file, findings

SERVICE = """\
apiVersion: serving.knative.dev/v1
kind: Service
metadata: {name: painter}
spec:
  template:
    spec:
      containerConcurrency: 1
      timeoutSeconds: 900
      nodeSelector: {pool: gpu}
      containers: [{image: example/painter:1, resources: {limits: {nvidia.com/gpu: 1}}}]
"""
EXPERIMENT = """\
service: ksvc.yaml
workload: {kind: hey, requests: 5, concurrency: 5}
model: {service-time: 2s, cold-start: 30s}
"""
ISVC = """\
apiVersion: serving.kserve.io/v1beta1
kind: InferenceService
metadata: {name: painter, annotations: {example.com/secret: x, autoscaling.knative.dev/window: 30s}}
spec: {predictor: {model: {modelFormat: {name: x}, storageUri: s3://x}}}
"""


def config_map(name: str, data: str, kind: str = "ConfigMap") -> str:
    """A ConfigMap as YAML in one line."""
    return f"{{apiVersion: v1, kind: {kind}, metadata: {{name: {name}}}, data: {{{data}}}}}"


OPERATOR = (
    "{apiVersion: operator.knative.dev/v1beta1, kind: KnativeServing, metadata: {name: knative-serving}, "
    "spec: {config: {autoscaler: {stable-window: 120s}, config-defaults: {max-revision-timeout-seconds: '900'}, "
    "features: {kubernetes.podspec-nodeselector: enabled}}}}\n"
)
MAPS = (
    config_map("config-autoscaler", "stable-window: 120s"),
    config_map("config-defaults", "max-revision-timeout-seconds: '900'"),
    config_map("config-features", "kubernetes.podspec-nodeselector: enabled"),
)


@pytest.fixture(autouse=True)
def _service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder with a Service that only such a cluster takes."""
    monkeypatch.chdir(tmp_path)
    Path("ksvc.yaml").write_text(SERVICE)


def told(found: list[Finding], *names: str) -> list[str]:
    """What findings of some rules say."""
    return [one.what for one in found if one.name in names]


def experiment(line: str) -> Experiment:
    """The experiment with a further line."""
    return loads(f"{EXPERIMENT}{line}\n")


@pytest.mark.parametrize(
    "texts",
    [
        ["---\n".join(f"{one}\n" for one in (*MAPS, config_map("other", "a: b")))],
        [f"{{apiVersion: v1, kind: List, items: [{', '.join(MAPS)}]}}"],
        [f"{{apiVersion: v1, kind: ConfigMapList, items: [{', '.join(MAPS)}]}}"],
        [OPERATOR],
        list(MAPS),
        [f"{{apiVersion: apps/v1, kind: Deployment, metadata: {{name: a}}}}\n---\n{OPERATOR}"],
    ],
)
def test_config_maps_are_found_wherever_they_stand(texts: list[str]) -> None:
    """Documents, Lists, the operator's KnativeServing, several files; the Service is then taken."""
    paths = [f"cluster-{place}.yaml" for place in range(len(texts))]
    for path, text in zip(paths, texts, strict=True):
        Path(path).write_text(text)
    cluster = cluster_of(paths)
    assert cluster.autoscaler.stable_window_s == 120
    assert (cluster.defaults.max_timeout_s, cluster.defaults.feature("kubernetes.podspec-nodeselector")) == (
        900,
        "Enabled",
    )
    read = experiment(f"cluster-config: [{', '.join(paths)}]")
    assert (read.revision.stable_window_s, read.service.timeout_s) == (120, 900)
    assert loads(EXPERIMENT, cluster_config=paths).revision.stable_window_s == 120
    assert read.with_setting("config-autoscaler.stable-window", "90s").revision.stable_window_s == 90
    assert "cluster-config" not in read.raw
    assert not told(check_file("ksvc.yaml", cluster_config=paths), "refused", "needs-feature")


def test_an_operator_without_settings_has_knative_s_defaults() -> None:
    """That is what its ConfigMaps then hold."""
    Path("cluster.yaml").write_text("apiVersion: operator.knative.dev/v1beta1\nkind: KnativeServing\nspec: {}\n")
    assert cluster_of(["cluster.yaml"]).autoscaler.stable_window_s == 60


@pytest.mark.parametrize(
    ("spec", "activators"),
    [
        ("high-availability: {replicas: 3}", 3),
        ("high-availability: {replicas: 3}, workloads: [{name: activator, replicas: 2}]", 2),
        ("deployments: [{name: activator, replicas: 2}], workloads: [{name: activator, replicas: 4}]", 4),
        ("workloads: [{name: autoscaler, replicas: 2}]", 1),
        ("high-availability: {replicas: 0}", 1),
        ("config: {network: {ingress-class: x}}", 1),
    ],
)
def test_the_operator_says_how_many_activators_there_are(spec: str, activators: int) -> None:
    """An override of the activator counts before the number for all; the activator's HPA has at least one."""
    Path("cluster.yaml").write_text(
        OPERATOR.replace("spec: {", f"spec: {{{spec}, ")
        if "config" not in spec
        else f"apiVersion: operator.knative.dev/v1beta1\nkind: KnativeServing\nspec: {{{spec}}}\n"
    )
    Path("ksvc.yaml").write_text(SERVICE.replace("900", "300"))
    text = f"{EXPERIMENT}cluster-config: cluster.yaml\n"
    assert loads(text).cluster.activators == activators
    assert loads(EXPERIMENT, cluster_config=["cluster.yaml"]).cluster.activators == activators
    assert loads(f"{text}cluster: {{activators: 5, gpus-per-pod: 1}}").cluster.activators == 5
    assert loads(text).with_setting("cluster.activators", 7).cluster.activators == 7


@pytest.mark.parametrize(("kind", "field"), [("HorizontalPodAutoscaler", "minReplicas"), ("Deployment", "replicas")])
def test_the_activators_own_objects_say_how_many_there_are(kind: str, field: str) -> None:
    """Its HPA, or its Deployment as it is running; other Deployments say nothing."""
    objects = f"{{kind: {kind}, metadata: {{name: activator}}, spec: {{{field}: 3}}}}"
    other = "{kind: Deployment, metadata: {name: webhook}, spec: {replicas: 9}}"
    Path("cluster.yaml").write_text(f"{{kind: List, items: [{objects}, {other}]}}\n")
    Path("ksvc.yaml").write_text(SERVICE.replace("900", "300"))
    assert loads(EXPERIMENT, cluster_config=["cluster.yaml"]).cluster.activators == 3


def test_a_number_of_activators_that_is_none_is_refused() -> None:
    """By file, line and key."""
    Path("cluster.yaml").write_text("kind: KnativeServing\nspec:\n  high-availability:\n    replicas: many\n")
    message = r"cluster\.yaml:4: spec\.high-availability\.replicas: 'many' is not right \(must be a whole number in"
    with pytest.raises(ExperimentError, match=message):
        loads(EXPERIMENT, cluster_config=["cluster.yaml"])


def test_keys_that_the_operator_passes_over_are_named_with_the_nearest_one() -> None:
    """In its spec, in spec.config, and in spec.high-availability."""
    Path("cluster.yaml").write_text(
        "apiVersion: operator.knative.dev/v1beta1\nkind: KnativeServing\nspec:\n"
        "  config:\n    autoscalr: {stable-window: 30s}\n    config-network: {}\n"
        "  high-availability: {replica: 3}\n  workload: []\n"
    )
    Path("ksvc.yaml").write_text(SERVICE.replace("900", "300"))
    found = [one for one in check_file("ksvc.yaml", cluster_config=["cluster.yaml"]) if one.name == "unknown-key"]
    assert {(one.line, one.place, one.fix) for one in found} == {
        (5, "KnativeServing.spec.config.autoscalr", "Write autoscaler."),
        (7, "KnativeServing.spec.high-availability.replica", "Write replicas."),
        (8, "KnativeServing.spec.workload", "Write workloads."),
    }


def test_an_operator_beside_the_config_maps_that_it_wrote() -> None:
    """It says part of them; another value is refused."""
    Path("cluster.yaml").write_text(OPERATOR)
    Path("maps.yaml").write_text(config_map("config-autoscaler", "stable-window: 120s, max-scale: '9'"))
    assert cluster_of(["cluster.yaml", "maps.yaml"]).autoscaler.max_scale == 9
    assert cluster_of(["maps.yaml", "cluster.yaml"]).autoscaler.max_scale == 9
    Path("maps.yaml").write_text(config_map("config-autoscaler", "stable-window: 60s"))
    with pytest.raises(ExperimentError, match="config-autoscaler is given twice"):
        cluster_of(["cluster.yaml", "maps.yaml"])


def test_without_its_cluster_the_service_is_refused() -> None:
    """The limit of 600 s is a default of the cluster."""
    assert told(check_file("ksvc.yaml"), "refused", "needs-feature") != []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (config_map("config-gc", "a: b"), "holds none of the ConfigMaps that matter .it holds config-gc."),
        (f"{MAPS[0]}\n---\n{config_map('config-autoscaler', 'stable-window: 30s')}", "is given twice .first in .*:1;"),
        (config_map("config-autoscaler", "stable-window: 120"), "120 is not text"),
        (config_map("config-autoscaler", "enable-scale-to-zero: yes"), "enable-scale-to-zero: .* is not text"),
        (config_map("config-autoscaler", "stable-window: 5s"), "5s is out of range"),
    ],
)
def test_files_without_a_configuration_are_refused(text: str, message: str) -> None:
    """By their file and line."""
    Path("cluster.yaml").write_text(text)
    with pytest.raises(ExperimentError, match=f"cluster.yaml:[0-9].*{message}"):
        cluster_of(["cluster.yaml"])


def test_a_config_map_is_given_once() -> None:
    """Not by its own key and in the cluster's files."""
    Path("cluster.yaml").write_text("---\n".join(f"{one}\n" for one in MAPS))
    with pytest.raises(ExperimentError, match=r"config-autoscaler: stands in cluster\.yaml, too"):
        experiment("cluster-config: cluster.yaml\nconfig-autoscaler: {stable-window: 30s}")


def test_a_file_with_another_config_map_is_refused() -> None:
    """It is named."""
    Path("cm.yaml").write_text(MAPS[1])
    with pytest.raises(ExperimentError, match=r"holds no ConfigMap config-autoscaler .*it holds config-defaults"):
        experiment("config-autoscaler: cm.yaml")


def test_keys_that_nothing_reads_are_named_with_the_nearest_one() -> None:
    """Misspelt, gone, and of several ConfigMaps."""
    Path("cluster.yaml").write_text(
        f"{config_map('config-autoscaler', 'stable-windw: 60s, tick-interval: 2s')}\n---\n{MAPS[1]}\n---\n"
        f"{config_map('config-features', 'kubernetes.podspec-nodeselectr: enabled')}\n"
    )
    found = [one for one in check_file("ksvc.yaml", cluster_config=["cluster.yaml"]) if one.name == "unknown-key"]
    assert [(one.line, one.fix) for one in found] == [
        (1, "Write stable-window."),
        (1, "Remove it."),
        (5, "Write kubernetes.podspec-nodeselector."),
    ]


def test_a_value_that_is_no_flag_is_named() -> None:
    """Knative passes over it, and the flag that it ships holds."""
    flags = "kubernetes.podspec-nodeselector: enabld, multi-container: ENABLED, secure-pod-defaults: allowrootbounded"
    Path("cluster.yaml").write_text(config_map("config-features", flags))
    found = [one for one in check_file("ksvc.yaml", cluster_config=["cluster.yaml"]) if one.name == "unknown-key"]
    assert [(one.place, one.fix) for one in found] == [
        ("config-features.kubernetes.podspec-nodeselector", "Write enabled, allowed, disabled.")
    ]


def test_what_stands_in_the_example_is_told_to_have_no_effect() -> None:
    """Only what differs from the defaults, which the example shows as shipped."""
    example = "'_example': 'stable-window: 300s\n\n  max-scale-up-rate: 1000.0\n\n'"
    Path("cluster.yaml").write_text(config_map("config-autoscaler", example))
    Path("ksvc.yaml").write_text(SERVICE.replace("900", "300"))
    read = experiment("config-autoscaler: cluster.yaml")
    assert read.revision.stable_window_s == 60
    assert told(findings(read), "example-block") == [
        "stable-window: 300s stands in _example and has no effect",
        "config-autoscaler holds nothing but _example, so Knative's defaults hold",
    ]


def test_kserves_own_config_map_decides_mode_and_annotations() -> None:
    """Its list of annotations is added to KServe's own."""
    Path("isvc.yaml").write_text(ISVC)
    Path("knative.yaml").write_text(
        "kind: ConfigMap\nmetadata: {name: inferenceservice-config}\ndata:\n"
        '  inferenceService: \'{"serviceAnnotationDisallowedList": ["example.com/secret"]}\'\n'
        '  deploy: \'{"defaultDeploymentMode": "Serverless"}\'\n'
    )
    text = EXPERIMENT.replace("ksvc.yaml", "isvc.yaml")
    service = loads(text, cluster_config=["knative.yaml"]).service
    assert "example.com/secret" not in service.annotations
    assert "example.com/secret" in loads(text).service.annotations
    assert service.kserve.scaling is None
    Path("raw.yaml").write_text(Path("knative.yaml").read_text().replace("Serverless", "RawDeployment"))
    assert loads(text, cluster_config=["raw.yaml"]).service.kserve.scaling["kind"] == "hpa"
    Path("mesh.yaml").write_text(Path("knative.yaml").read_text().replace("Serverless", "ModelMesh"))
    with pytest.raises(ExperimentError, match="has deploymentMode ModelMesh"):
        loads(text, cluster_config=["mesh.yaml"])


@pytest.mark.parametrize(
    "words",
    [
        ["check", "ksvc.yaml"],
        ["run", "ksvc.yaml", "--hey", "-n 5 -c 5", "--service-time", "1s", "--cold-start", "2s", "-n", "2"],
        ["run", "x.yaml", "-n", "2"],
        [
            "tune",
            "x.yaml",
            "--slo",
            "p95<=100s",
            "--vary",
            "service.annotations.max-scale=1,2",
            "--budget",
            "40",
            "--minimise",
            "pod-seconds",
        ],
        ["sweep", "sweep.yaml"],
    ],
)
def test_commands_take_the_configuration_of_the_cluster(words: list[str]) -> None:
    """They refuse the Service without it."""
    Path("x.yaml").write_text(f"{EXPERIMENT}replications: 2\n")
    Path("sweep.yaml").write_text(
        "experiment: x.yaml\naxes: {service.annotations.max-scale: [1, 2]}\nreplications: 2\n"
    )
    Path("cluster.yaml").write_text("---\n".join(f"{one}\n" for one in MAPS))
    engine = ["--engine", "reference"] if words[0] != "check" else []
    assert "timeoutSeconds" in CliRunner().invoke(cli, [*words, *engine]).output
    done = CliRunner().invoke(cli, [*words, *engine, "--cluster-config", "cluster.yaml"])
    assert done.exit_code == 0, done.output
