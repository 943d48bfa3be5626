"""Service manifests and ConfigMaps: what is read, what follows, and that writing back changes nothing else."""

import difflib
from pathlib import Path

import pytest

from kpasim.errors import ExperimentError
from kpasim.spec.autoscaler import AutoscalerConfig, annotation_key, parse_config
from kpasim.spec.configmaps import Defaults, parse_defaults, read_config_map
from kpasim.spec.manifest import (
    Probe,
    ServiceManifest,
    read_service,
    service_of,
    setting_place,
)
from tests.spec.files import MANIFEST

PUBLISHED = Path(__file__).parents[2] / "experiments" / "manifests" / "stable-diffusion.yaml"
CONFIG = AutoscalerConfig()
PREFIX = "autoscaling.knative.dev/"


def service(folder: Path, text: str = MANIFEST, defaults: Defaults | None = None) -> ServiceManifest:
    """The Service of a text."""
    path = folder / "service.yaml"
    path.write_text(text)
    return read_service(path, CONFIG, defaults)


def changed(old: str, new: str) -> list[str]:
    """The lines that were taken away and added."""
    return [line.rstrip("\n") for line in difflib.ndiff(old.splitlines(True), new.splitlines(True)) if line[0] in "+-"]


def test_the_published_manifest() -> None:
    """Everything a run needs is read out of the guide's manifest."""
    found = read_service(PUBLISHED, CONFIG)
    assert (found.name, found.namespace) == ("stable-diffusion", "default")
    assert found.container_concurrency == 1
    assert (found.timeout_s, found.response_start_timeout_s, found.idle_timeout_s) == (300.0, None, None)
    assert found.probe == Probe("tcp", period_s=1.0, failure_threshold=3, initial_delay_s=5.0)
    assert (found.gpus, found.startup_probe, found.unmodelled) == (0, None, ())
    assert (found.revision.target_value, found.revision.total_value, found.revision.max_scale) == (1.0, 1.0, 10)
    assert found.eci_specs == ("ecs.gn5-c4g1.xlarge", "ecs.gn5i-c8g1.2xlarge", "ecs.gn5-c8g1.2xlarge")
    assert found.cookie_affinity
    assert (
        found.annotation("max-scale") == found.annotation("maxScale") == found.annotation(PREFIX + "maxScale") == "10"
    )


def test_reading_and_writing_changes_no_byte() -> None:
    """Trailing blanks, quotes and indentation of the published file included."""
    assert read_service(PUBLISHED, CONFIG).to_yaml().encode() == PUBLISHED.read_bytes()


def test_a_tuned_manifest_differs_in_the_tuned_values_only() -> None:
    """Settings are written in their author's spelling and quotes; new ones are spelt like their neighbours."""
    found = read_service(PUBLISHED, CONFIG)
    edits = [
        (setting_place(found, "annotations.max-scale"), "5"),
        (setting_place(found, "annotations.min-scale"), "1"),
        (setting_place(found, "containerConcurrency"), 2),
    ]
    tuned = found.with_edits(edits, CONFIG, Defaults())
    assert (tuned.revision.max_scale, tuned.revision.min_scale, tuned.container_concurrency) == (5, 1, 2)
    assert changed(found.to_yaml(), tuned.to_yaml()) == [
        "-         autoscaling.knative.dev/maxScale: '10'",
        "+         autoscaling.knative.dev/maxScale: '5'",
        '+         autoscaling.knative.dev/minScale: "1"',
        "-       containerConcurrency: 1",
        "+       containerConcurrency: 2",
    ]


def test_setting_back_gives_the_old_file() -> None:
    """The last of several changes of one place counts."""
    found = read_service(PUBLISHED, CONFIG)
    place = setting_place(found, "annotations.max-scale")
    there = found.with_edits([(place, "5")], CONFIG, Defaults())
    back = there.with_edits([(place, "10")], CONFIG, Defaults())
    assert back.to_yaml() == found.to_yaml()
    assert back.revision == found.revision


def test_comments_survive_a_change(tmp_path: Path) -> None:
    """A user's remarks stay beside the value they are about."""
    text = MANIFEST.replace('max-scale: "4"', 'max-scale: "4"   # the budget allows four')
    found = service(tmp_path, text)
    tuned = found.with_edits([(setting_place(found, "annotations.max-scale"), "3")], CONFIG, Defaults())
    assert changed(text, tuned.to_yaml()) == [
        '-         autoscaling.knative.dev/max-scale: "4"   # the budget allows four',
        '+         autoscaling.knative.dev/max-scale: "3"   # the budget allows four',
    ]


def test_a_template_without_annotations_gets_them(tmp_path: Path) -> None:
    """The mappings on the way are made where they are missing."""
    text = MANIFEST.replace('    metadata:\n      annotations:\n        autoscaling.knative.dev/max-scale: "4"\n', "")
    found = service(tmp_path, text)
    tuned = found.with_edits([(setting_place(found, "annotations.min-scale"), "1")], CONFIG, Defaults())
    assert tuned.revision.min_scale == 1
    assert read_service(_written(tmp_path, tuned.to_yaml()), CONFIG).revision == tuned.revision
    assert changed(text, tuned.to_yaml()) == [
        "+     metadata:",
        "+       annotations:",
        '+         autoscaling.knative.dev/min-scale: "1"',
    ]


def _written(folder: Path, text: str) -> Path:
    path = folder / "again.yaml"
    path.write_text(text)
    return path


def test_the_service_that_is_named_of_several_counts(tmp_path: Path) -> None:
    """Other documents are left alone, also when writing; without a name one line names them."""
    text = f"---\napiVersion: v1\nkind: ConfigMap\n---\n{MANIFEST.replace('painter', 'first')}---\n{MANIFEST}"
    with pytest.raises(ExperimentError, match=r"yaml:29: holds 2 Services: first, painter \(name one: .*yaml#first\)"):
        service(tmp_path, text)
    found = read_service(f"{tmp_path / 'service.yaml'}#painter", CONFIG)
    assert found.name == "painter"
    tuned = found.with_edits([(setting_place(found, "annotations.max-scale"), "9")], CONFIG, Defaults())
    assert len(changed(text, tuned.to_yaml())) == 2
    assert tuned.document["metadata"]["name"] == "painter"
    assert tuned.document["spec"]["template"]["metadata"]["annotations"][PREFIX + "max-scale"] == "9"


@pytest.mark.parametrize(
    ("present", "name", "key"),
    [
        ({}, "min-scale", "min-scale"),
        ({}, "minScale", "min-scale"),
        ({"maxScale"}, "min-scale", "minScale"),
        ({"maxScale", "min-scale"}, "target-burst-capacity", "target-burst-capacity"),
        ({"max-scale", "maxScale"}, "maxScale", "max-scale"),
        ({"maxScale"}, "window", "window"),
        ({"maxScale"}, PREFIX + "max-scale", "maxScale"),
    ],
)
def test_annotations_keep_their_authors_spelling(present: set[str], name: str, key: str) -> None:
    """What is there is found under any spelling; what is not follows the others."""
    assert annotation_key({PREFIX + one: "1" for one in present}, name) == PREFIX + key


def test_other_annotations_have_full_keys_only() -> None:
    """A short name that Knative does not know is a mistake, not an annotation."""
    assert annotation_key({}, "serving.knative.dev/progress-deadline") == "serving.knative.dev/progress-deadline"
    with pytest.raises(ValueError, match="did you mean max-scale"):
        annotation_key({}, "maxscale")


@pytest.mark.parametrize(
    ("old", "new", "attribute", "value"),
    [
        ("timeoutSeconds: 300", "timeoutSeconds: 0", "timeout_s", 300.0),
        ("      timeoutSeconds: 300\n", "", "timeout_s", 300.0),
        ("timeoutSeconds: 300", "timeoutSeconds: 600", "response_start_timeout_s", 300.0),
        ("timeoutSeconds: 300", "timeoutSeconds: 300", "response_start_timeout_s", None),
        (
            "timeoutSeconds: 300",
            "timeoutSeconds: 300\n      responseStartTimeoutSeconds: 20",
            "response_start_timeout_s",
            20.0,
        ),
        (
            "timeoutSeconds: 300",
            "timeoutSeconds: 600\n      responseStartTimeoutSeconds: 0",
            "response_start_timeout_s",
            None,
        ),
        ("timeoutSeconds: 300", "timeoutSeconds: 300\n      idleTimeoutSeconds: 9", "idle_timeout_s", 9.0),
        ("      containerConcurrency: 1\n", "", "container_concurrency", 0),
        ("httpGet: {path: /ready}", "grpc: {port: 1}", "probe", Probe("grpc", period_s=1.0)),
        ("httpGet: {path: /ready}", "exec: {command: [x]}", "probe", Probe("exec", period_s=1.0)),
        ("            periodSeconds: 1\n", "", "probe", Probe("http")),
        ('nvidia.com/gpu: "1"', "nvidia.com/gpu: 2", "gpus", 2),
        (
            "readinessProbe:",
            "startupProbe: {tcpSocket: {port: 1}, failureThreshold: 9}\n          readinessProbe:",
            "startup_probe",
            Probe(failure_threshold=9),
        ),
    ],
)
def test_fields_of_the_manifest(old: str, new: str, attribute: str, value: object, tmp_path: Path) -> None:
    """Zeros and missing fields take the cluster's defaults, as in Knative."""
    assert old in MANIFEST
    assert getattr(service(tmp_path, MANIFEST.replace(old, new)), attribute) == value


def test_what_is_not_simulated_is_named(tmp_path: Path) -> None:
    """A user is told which fields a run does not follow."""
    text = MANIFEST.replace(
        "      containers:\n", "      nodeSelector: {gpu: a10}\n      containers:\n        - image: sidecar\n"
    )
    text = text.replace(
        "          readinessProbe:", "          livenessProbe: {tcpSocket: {port: 1}}\n          readinessProbe:"
    )
    found = service(tmp_path, text)
    assert found.image == "registry.example/painter"
    assert found.unmodelled == (
        "spec.template.spec.nodeSelector",
        "spec.template.spec.containers[0]",
        "spec.template.spec.containers[1].livenessProbe",
    )


def test_the_clusters_defaults_reach_the_manifest(tmp_path: Path) -> None:
    """`config-defaults` and `config-deployment` hold where the manifest is silent."""
    defaults = parse_defaults(
        Defaults(), "config-defaults", {"revision-timeout-seconds": "120", "container-concurrency": "7"}, strict=True
    )
    defaults = parse_defaults(defaults, "config-deployment", {"progress-deadline": "20m"}, strict=True)
    text = MANIFEST.replace("      timeoutSeconds: 300\n", "").replace("      containerConcurrency: 1\n", "")
    found = service(tmp_path, text, defaults)
    assert (found.timeout_s, found.container_concurrency, found.revision.progress_deadline_s) == (120.0, 7, 1200.0)


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("config-defaults", {"revision-timeout-seconds": "700"}, "700 is above max-revision-timeout-seconds = 600"),
        ("config-defaults", {"revision-timeout-seconds": "5m"}, "'5m' cannot be read (write 300)"),
        ("config-defaults", {"container-concurrency": "2000"}, "must be in [0, 1000]"),
        ("config-defaults", {"revision-timout-seconds": "5"}, "did you mean revision-timeout-seconds?"),
        ("config-deployment", {"progress-deadline": "0s"}, "whole seconds above 0"),
        ("config-deployment", {"progress-deadline": "600"}, "'600' cannot be read (write 10m)"),
        ("config-deployment", {"pod-is-always-schedulable": "yes"}, "'yes' cannot be read (write false)"),
    ],
)
def test_what_the_other_config_maps_may_not_say(name: str, data: dict[str, str], words: str) -> None:
    """They are held to their bounds like config-autoscaler."""
    with pytest.raises(ExperimentError) as caught:
        parse_defaults(Defaults(), name, data, path="x.yaml", strict=True)
    assert words in str(caught.value)


def test_zero_concurrency_can_be_forbidden(tmp_path: Path) -> None:
    """`allow-container-concurrency-zero: false` refuses a manifest without a limit."""
    defaults = parse_defaults(Defaults(), "config-defaults", {"allow-container-concurrency-zero": "false"}, strict=True)
    with pytest.raises(ExperimentError, match="0 is forbidden"):
        service(tmp_path, MANIFEST.replace("      containerConcurrency: 1\n", ""), defaults)


CONFIG_MAP = """\
apiVersion: v1
kind: ConfigMap
metadata:
  name: config-autoscaler
  namespace: knative-serving
data:
  _example: |
    stable-window: "60s"
  stable-window: "90s"
  vendor.example/more: "x"
"""


def config_of(path: Path) -> AutoscalerConfig:
    """The settings in a ConfigMap's file."""
    found = read_config_map(path, "config-autoscaler")
    return parse_config(found.data, path=path, lines=found.document.lines, prefix=found.prefix)


def test_a_config_map_out_of_a_cluster(tmp_path: Path) -> None:
    """Its example and a vendor's keys are passed over, as Knative does."""
    path = tmp_path / "cm.yaml"
    path.write_text(f"apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: other}}\n---\n{CONFIG_MAP}")
    assert config_of(path).stable_window_s == 90.0
    _, data, _, document, prefix = read_config_map(path, "config-autoscaler")
    assert prefix == ("data",)
    assert document.lines["data", "stable-window"] == 13
    assert set(data) == {"_example", "stable-window", "vendor.example/more"}


def test_bare_data_in_a_file(tmp_path: Path) -> None:
    """A file that holds only keys and values is taken for the data."""
    path = tmp_path / "cm.yaml"
    path.write_text("stable-window: 40s\n")
    assert config_of(path).stable_window_s == 40.0


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            CONFIG_MAP.replace('"90s"', "90"),
            ':9: data.stable-window: 90 is not text, and Kubernetes refuses it (put it in quotes: "90")',
        ),
        (CONFIG_MAP.replace('"90s"', '"5s"'), ":9: data.stable-window: 5s is out of range"),
        (CONFIG_MAP.replace("ConfigMap", "Secret"), "holds no ConfigMap config-autoscaler"),
        ("kind: ConfigMap\ndata: [1]\n", "data: a list is not right"),
    ],
)
def test_config_maps_that_are_refused(text: str, words: str, tmp_path: Path) -> None:
    """With the line in the ConfigMap's own file."""
    path = tmp_path / "cm.yaml"
    path.write_text(text)
    with pytest.raises(ExperimentError) as caught:
        config_of(path)
    assert words in str(caught.value)


def test_a_manifest_given_as_a_mapping() -> None:
    """Code can hand over what it has, and gets the same checks."""
    data = {
        "apiVersion": "serving.knative.dev/v1",
        "kind": "Service",
        "metadata": {"name": "a"},
        "spec": {"template": {"spec": {"containers": [{"image": "painter"}]}}},
    }
    found = service_of(data, CONFIG)
    assert (found.name, found.path, found.revision.target_value) == ("a", "", 70.0)
    assert "kind: Service" in found.to_yaml()
    with pytest.raises(ExperimentError, match="is not a Knative Service"):
        service_of({**data, "kind": "Deployment"}, CONFIG)


@pytest.mark.parametrize(
    "values",
    [
        {"max-scale": "3"},
        {"max-scale": None},
        {"min-scale": "2", "target": "0.5", "window": "2m", "scale-down-delay": "90s", "metric": "rps"},
        {"min-scale": "9", "max-scale": "3"},
        {"window": "1s", "target-utilization-percentage": "many"},
        {"class": "hpa.autoscaling.knative.dev"},
        {"class": "other.knative.dev"},
        {"initial-scale": "0", "activation-scale": "1"},
        {"serving.knative.dev/progress-deadline": "1.5s"},
        {"networking.knative.dev/colour": "blue"},
    ],
)
def test_annotations_alone_are_checked_as_the_whole(
    values: dict[str, str | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A Service with other annotations is the one that is read from the beginning, or refused in the same words."""
    before = read_service(PUBLISHED, CONFIG).with_edits([], CONFIG, Defaults())
    edits = [(setting_place(before, f"annotations.{name}"), value) for name, value in values.items()]

    def outcome() -> object:
        try:
            return vars(before.with_edits(edits, CONFIG, Defaults()))
        except ExperimentError as error:
            return str(error)

    quick = outcome()
    monkeypatch.setattr(ServiceManifest, "_only_annotations", lambda *_: False)
    assert quick == outcome()
