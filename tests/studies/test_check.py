"""Each rule of `kpasim check` finds what it is about, and a sound experiment gives none."""

import ast
import json
import re
from pathlib import Path
from string import Formatter
from typing import NamedTuple

import pytest
from click.testing import CliRunner

from kpasim.cli.check import command
from kpasim.errors import FileError
from kpasim.spec.autoscaler import AutoscalerConfig
from kpasim.spec.experiment import load
from kpasim.spec.manifest import read_service
from kpasim.spec.settings import with_settings
from kpasim.spec.yamlfile import packaged
from kpasim.studies import check as check_package
from kpasim.studies.check import RULES, Finding, check_file, findings, kserve

MANIFEST = """\
apiVersion: serving.knative.dev/v1
kind: Service
metadata:
  name: painter
  annotations:
    team: graphics
spec:
  template:
    metadata:
      annotations:
        autoscaling.knative.dev/min-scale: "1"
        autoscaling.knative.dev/max-scale: "4"
        autoscaling.knative.dev/target-utilization-percentage: "100"
        autoscaling.knative.dev/target-burst-capacity: "3"
    spec:
      containerConcurrency: 1
      timeoutSeconds: 300
      containers:
        - image: registry.example/painter
          readinessProbe:
            httpGet: {path: /ready}
            periodSeconds: 1
          resources:
            limits:
              nvidia.com/gpu: "1"
"""

EXPERIMENT = """\
service: painter.yaml
workload:
  kind: poisson
  rate: 0.1
  duration: 10m
model:
  service-time: {time: {distribution: lognormal, median: 10s, sigma: 0.1}}
  cold-start:
    stages:
      - {name: start, time: {distribution: lognormal, median: 20s, sigma: 0.1}}
cluster:
  instance-types:
    - {name: small, price-per-hour: 1.0}
"""

HEY = "kind: hey\n  requests: 100\n  concurrency: 4\n  timeout: 3m"
POISSON = "kind: poisson\n  rate: 0.1\n  duration: 10m"
SLOW = ("median: 20s", "median: 100s")
MIN = '        autoscaling.knative.dev/min-scale: "1"\n'
ZERO = (("cluster:", "start: zero\ncluster:"), (MIN, ""))
BATCHES = "kind: batches\n  size: 4\n  every: 3m\n  duration: 30m"
STAGES = """\
  cold-start:
    stages:
      - {name: start, time: {distribution: lognormal, median: 20s, sigma: 0.1}}
"""
MAX = 'autoscaling.knative.dev/max-scale: "4"'
TBC = 'autoscaling.knative.dev/target-burst-capacity: "3"'
TU = 'target-utilization-percentage: "100"'
ECI = "k8s.aliyun.com/eci-use-specs"


class Row(NamedTuple):
    """What to replace in both texts, and what is found then."""

    edits: tuple[tuple[str, str], ...]
    level: str
    place: str
    words: str


ROWS = {
    "gpu-limit": Row(
        (('          resources:\n            limits:\n              nvidia.com/gpu: "1"\n', ""),),
        "warning",
        "resources.limits",
        "no GPU limit",
    ),
    "shallow-probe": Row(
        (("httpGet: {path: /ready}", "tcpSocket: {port: 80}"),), "warning", "readinessProbe", "a TCP probe"
    ),
    "slow-probe": Row((("            periodSeconds: 1\n", ""),), "note", "readinessProbe", "up to 10s after it is"),
    "no-early-use": Row(
        (("httpGet: {path: /ready}", "exec: {command: [ready]}"),),
        "warning",
        "readinessProbe",
        "an exec readinessProbe",
    ),
    "unlimited-concurrency": Row(
        (("containerConcurrency: 1", "containerConcurrency: 0"),),
        "warning",
        "containerConcurrency",
        "any number of requests",
    ),
    "utilisation": Row(
        ((TU, 'target-utilization-percentage: "70"'), (POISSON, HEY.replace("4", "5"))),
        "warning",
        "annotations.target-utilization-percentage",
        "asks for 8 pods for 5 clients, where 5 would do",
    ),
    "target-above-limit": Row(
        ((MAX, MAX + '\n        autoscaling.knative.dev/target: "2"'),), "note", "annotations.target", "counts as 1"
    ),
    "two-spellings": Row(
        ((MAX, MAX + '\n        autoscaling.knative.dev/maxScale: "9"'),),
        "warning",
        "annotations.max-scale",
        "the second does nothing",
    ),
    "ignored-annotation": Row(
        ((MAX, MAX + '\n        autoscaling.knative.dev/maxscale: "9"'),),
        "warning",
        "annotations.autoscaling.knative.dev/maxscale",
        "ignores it",
    ),
    "no-max-scale": Row(
        ((MAX, 'autoscaling.knative.dev/max-scale: "0"'),), "warning", "annotations.max-scale", "unlimited"
    ),
    "initial-above-max": Row(
        ((MAX, MAX + '\n        autoscaling.knative.dev/initial-scale: "5"'),),
        "warning",
        "annotations.initial-scale",
        "initial-scale 5 is above max-scale 4",
    ),
    "activator-stays": Row(
        ((TBC, 'autoscaling.knative.dev/target-burst-capacity: "211"'),),
        "note",
        "annotations.target-burst-capacity",
        "211 idle pods",
    ),
    "direct-path": Row(
        ((TBC, 'autoscaling.knative.dev/target-burst-capacity: "0"'),),
        "warning",
        "annotations.target-burst-capacity",
        "wait inside the pod",
    ),
    "no-scraping": Row(
        ((TBC, 'autoscaling.knative.dev/target-burst-capacity: "-1"'),),
        "note",
        "annotations.target-burst-capacity",
        "not asked for their load",
    ),
    "rps-metric": Row(
        ((MAX, MAX + "\n        autoscaling.knative.dev/metric: rps"),),
        "warning",
        "annotations.metric",
        "waiting requests are not counted",
    ),
    "short-grace": Row(
        (("timeoutSeconds: 300", "timeoutSeconds: 20"),), "warning", "timeoutSeconds", "shorter than its drain of 30 s"
    ),
    "many-specs": Row(
        ((MAX, MAX + f"\n        {ECI}: small,b,c,d,e,f"),),
        "warning",
        f"annotations.{ECI}",
        "6 instance types, of which the first five",
    ),
    "mixed-specs": Row(
        (
            (MAX, MAX + f"\n        {ECI}: small,big"),
            ("cold-start:", "  per-instance-type: {big: 0.5}\n  cold-start:"),
            (
                "service-time: {time: {distribution: lognormal, median: 10s, sigma: 0.1}}",
                "service-time:\n    time: 10s",
            ),
        ),
        "note",
        f"annotations.{ECI}",
        "by up to 2.0 times",
    ),
    "affinity": Row(
        (("team: graphics", "serving.knative.dev.alibabacloud/affinity: cookie"),),
        "note",
        "metadata.annotations",
        "to an activator, not to a pod",
    ),
    "timeout-below-start": Row(
        (SLOW, *ZERO, ("timeoutSeconds: 300", "timeoutSeconds: 60")),
        "warning",
        "timeoutSeconds",
        "timeoutSeconds 60 is below cold start plus service, 1m50s at the median",
    ),
    "response-start": Row(
        (SLOW, *ZERO, ("timeoutSeconds: 300", "timeoutSeconds: 300\n      responseStartTimeoutSeconds: 60")),
        "warning",
        "responseStartTimeoutSeconds",
        "no byte within 60 s",
    ),
    "idle-timeout": Row(
        (SLOW, *ZERO, ("timeoutSeconds: 300", "timeoutSeconds: 300\n      idleTimeoutSeconds: 60")),
        "warning",
        "idleTimeoutSeconds",
        "no byte within 60 s",
    ),
    "client-gives-up": Row(
        ((POISSON, "kind: hey\n  requests: 100\n  concurrency: 4"),),
        "warning",
        "workload.timeout",
        "the client timeout is 20s",
    ),
    "client-outwaits": Row(
        (("rate: 0.1", "rate: 0.1\n  timeout: 400s"),), "note", "workload.timeout", "504 after timeoutSeconds 300"
    ),
    "no-cold-start": Row(
        ((STAGES, "  cold-start: {stages: []}\n"),),
        "warning",
        "model.cold-start",
        "a new pod works as soon as it is there",
    ),
    "panic-lasts": Row((SLOW,), "note", "annotations.panic-threshold-percentage", "panic for 2m40s or more"),
    "scale-to-zero": Row((SLOW, *ZERO), "warning", "annotations.min-scale", "the next user waits 1m40s"),
    "window-below-start": Row(
        (SLOW, (POISSON, BATCHES)), "warning", "annotations.window", "up 1m after a burst, and takes 1m40s"
    ),
    "progress-deadline": Row(
        (SLOW, (MAX, MAX + '\n        serving.knative.dev/progress-deadline: "90s"')),
        "warning",
        "annotations.serving.knative.dev/progress-deadline",
        "exceed the progress deadline of 1m30s",
    ),
    "killed-while-starting": Row(
        (
            SLOW,
            (
                "          readinessProbe:",
                "          startupProbe: {httpGet: {path: /ready, port: 8080}}\n          readinessProbe:",
            ),
        ),
        "error",
        "startupProbe",
        "is killed after 30s",
    ),
    "slow-liveness": Row(
        (
            SLOW,
            (
                "          readinessProbe:",
                "          livenessProbe: {httpGet: {path: /live}}\n          readinessProbe:",
            ),
        ),
        "warning",
        "spec.template.spec.containers[0].livenessProbe",
        "may kill the container after 20s",
    ),
    "cut-short": Row(
        (("median: 10s, sigma: 0.1}}", "median: 40s, sigma: 0.1}}\n  shutdown: {drains-on-sigterm: false}"),),
        "warning",
        "model.shutdown.drains-on-sigterm",
        "do not survive a scale-down",
    ),
    "drain-outlasts-grace": Row(
        (("median: 10s, sigma: 0.1}}", "median: 40s, sigma: 0.1}}\n  shutdown: {stop-time: 5m}"),),
        "warning",
        "timeoutSeconds",
        "killed after timeoutSeconds 300",
    ),
    "max-scale-below-need": Row(
        ((POISSON, HEY.replace("4", "8")),),
        "warning",
        "annotations.max-scale",
        "max-scale 4 serves 4 requests at once, and there are 8 clients",
    ),
    "sharing-assumed": Row(
        (("containerConcurrency: 1", "containerConcurrency: 4"),),
        "warning",
        "containerConcurrency",
        "Assumed: a container works on 1 request at a time (one per GPU)",
    ),
    "overload": Row(
        (("rate: 0.1", "rate: 1"),),
        "warning",
        "annotations.max-scale",
        "needs 10 pods of 0.0995 requests/s",
    ),
    "cluster-below-max-scale": Row(
        (("price-per-hour: 1.0", "price-per-hour: 1.0, stock: 2"), (POISSON, HEY)),
        "warning",
        "cluster",
        "hold 2 pods, and max-scale is 4",
    ),
    "timeout-below-service": Row(
        (("timeoutSeconds: 300", "timeoutSeconds: 12"), ("sigma: 0.1", "sigma: 0.3")),
        "warning",
        "timeoutSeconds",
        "some of the requests are worked on for longer (10s at the median, 20s for 1 in 100)",
    ),
    "slots-below-limit": Row(
        (
            ("containerConcurrency: 1", "containerConcurrency: 4"),
            ("sigma: 0.1}}\n  cold", "sigma: 0.1}, slots: 2}\n  cold"),
        ),
        "warning",
        "containerConcurrency",
        "lets 4 requests into a pod, and the container works on 2 at once",
    ),
    "no-warm-pod": Row(
        ((MIN, ""), ("cluster:", "start: {state: warm, for: 5m}\ncluster:")),
        "warning",
        "start",
        "begins without its warm pod",
    ),
    "horizon-before-end": Row(
        (("cluster:", "horizon: 5m\ncluster:"),), "warning", "horizon", "ends after 5m, and the load lasts 10m"
    ),
    "hourly-minimum": Row(
        (("cluster:", "cost: {minimum: 1h}\ncluster:"),), "note", "cost.minimum", "billed for at least 1h, and the load"
    ),
    "no-requests": Row(
        ((POISSON, "kind: constant\n  rate: 0.1\n  duration: 5s"),), "warning", "workload", "sends no request"
    ),
    "unused-rps-target": Row(
        (("cluster:", 'config-autoscaler: {requests-per-second-target-default: "2"}\ncluster:'),),
        "note",
        "config-autoscaler.requests-per-second-target-default",
        "has no effect: the metric is concurrency",
    ),
    "activation-scale": Row(
        ((MAX, MAX + '\n        autoscaling.knative.dev/activation-scale: "2"'), (MIN, "")),
        "note",
        "annotations.activation-scale",
        "1 for a while before zero",
    ),
    "one-at-a-time": Row(
        (("name: start,", "name: start, at-a-time: 1,"), (POISSON, HEY)),
        "note",
        "model.cold-start.stages.start",
        "of 3 pods asked for at once the last comes about 40s after the first",
    ),
    "uneven-requests": Row(
        ((POISSON, HEY.replace("100", "102")),), "note", "workload.requests", "hey sends 100 requests, not 102"
    ),
    "few-requests": Row(((POISSON, HEY.replace("100", "40")),), "note", "workload.requests", "99 % of 40 requests"),
    "provisional-model": Row(
        (("model:\n", "model:\n  name: guess\n  provisional: true\n"),),
        "note",
        "model",
        "the model guess is provisional",
    ),
    "unpriced": Row(
        (("{name: small, price-per-hour: 1.0}", "{name: unheard-of}"),),
        "note",
        "cluster.instance-types",
        "no price for unheard-of",
    ),
    "unknown-field": Row(
        (("containerConcurrency: 1", "containerConcurrency: 1\n      timeoutSecond: 5"),),
        "warning",
        "spec.template.spec.timeoutSecond",
        "has no field timeoutSecond here",
    ),
    "needs-feature": Row(
        (("      containers:", "      nodeSelector: {gpu: a10}\n      containers:"),),
        "warning",
        "spec.template.spec.nodeSelector",
        "kubernetes.podspec-nodeselector is off",
    ),
    "label-for-annotation": Row(
        (("    team: graphics", '    team: graphics\n  labels:\n    autoscaling.knative.dev/max-scale: "4"'),),
        "warning",
        "metadata.labels.autoscaling.knative.dev/max-scale",
        "does nothing",
    ),
    "unknown-resource": Row(
        (("nvidia.com/gpu:", "nvidia.com/gpus:"),),
        "warning",
        "spec.template.spec.containers[0].resources.limits.nvidia.com/gpus",
        "no device plugin",
    ),
    "limit-above-timeout": Row(
        (("timeoutSeconds: 300", "timeoutSeconds: 300\n      idleTimeoutSeconds: 400"),),
        "note",
        "idleTimeoutSeconds",
        "has no effect",
    ),
    "unmodelled": Row(
        (("      containers:", "      nodeSelector: {gpu: a10}\n      containers:"),),
        "note",
        "nodeSelector",
        "not simulated: spec.template.spec.nodeSelector",
    ),
}


def write(folder: Path, edits: tuple[tuple[str, str], ...] = ()) -> Path:
    """Write the edited experiment and its manifest."""
    texts = {"painter.yaml": MANIFEST, "experiment.yaml": EXPERIMENT}
    for old, new in edits:
        assert any(old in text for text in texts.values()), old
        texts = {name: text.replace(old, new, 1) for name, text in texts.items()}
    for name, text in texts.items():
        (folder / name).write_text(text)
    return folder / "experiment.yaml"


def test_a_sound_experiment_has_nothing_to_find(tmp_path: Path) -> None:
    """No rule speaks without a reason."""
    assert check_file(write(tmp_path)) == []


@pytest.mark.parametrize("name", ROWS)
def test_a_rule_finds_what_it_is_about(name: str, tmp_path: Path) -> None:
    """With level, place, file and line, a reason and a remedy."""
    row = ROWS[name]
    found = {one.name: one for one in check_file(write(tmp_path, row.edits))}

    assert name in found
    finding = found[name]
    assert (finding.level, finding.place) == (row.level, row.place)
    assert row.words in finding.what
    assert finding.why.endswith(".")
    assert finding.fix.endswith(".")
    assert Path(finding.path).exists()
    assert finding.line is not None


def test_the_fix_removes_the_finding(tmp_path: Path) -> None:
    """Where the experiment does what the fix says, the rule is silent."""
    bursts = (SLOW, (POISSON, BATCHES))
    assert [one.name for one in check_file(write(tmp_path, bursts))] == ["window-below-start", "panic-lasts"]
    calm = (*bursts, (MAX, MAX + '\n        autoscaling.knative.dev/scale-down-delay: "60s"'))
    assert [one.name for one in check_file(write(tmp_path, calm))] == ["panic-lasts"]


@pytest.mark.parametrize(
    ("limit", "share", "enough"),
    [
        (1, 100, "2 requests in flight are enough"),
        (4, 70, "3 requests in flight are enough"),
        (4, 100, "5 requests in flight are enough"),
        (1, 70, "a request in flight is enough"),
    ],
)
def test_what_makes_one_pod_panic_depends_on_its_target(limit: int, share: int, enough: str, tmp_path: Path) -> None:
    """The pods wanted are rounded up before they are held against the threshold: 0.7 of a request already needs two."""
    edits = (SLOW, ("containerConcurrency: 1", f"containerConcurrency: {limit}"), (TU, TU.replace("100", f"{share}")))

    found = {one.name: one for one in check_file(write(tmp_path, edits))}

    assert enough in found["panic-lasts"].why


def test_a_service_that_takes_no_time_needs_no_more_pods(tmp_path: Path) -> None:
    """It is checked as any other: no pod is ever too slow for the load."""
    experiment = load(write(tmp_path)).with_settings({"model.service-time": "0s", "model.cold-start": "0s"})

    assert not {one.name for one in findings(experiment)} & {"overload", "max-scale-below-need"}


def test_every_rule_is_tested() -> None:
    """The table has a row for each rule, but for those that have a test of their own."""
    alone = {"other_autoscaler", "refused_image", "service_account", "not_a_number", "no_deadline"}
    alone |= {"gpu_slice", "cloud_run"}  # tests/spec/test_objects.py
    alone |= {rule.__name__ for rule in kserve.RULES}  # tests/studies/test_check_kserve.py
    assert alone <= {rule.__name__ for rule in RULES}
    assert len(ROWS) >= len(RULES) - len(alone)


def test_every_text_is_said_and_gets_the_values_that_it_names() -> None:
    """Also the variants that only few cases lead to: no table of findings.toml is left over, no name in it unknown."""
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in Path(check_package.__file__).parent.glob("*.py")]
    nodes = [node for tree in trees for node in ast.walk(tree)]
    words = {node.value for node in nodes if isinstance(node, ast.Constant)}
    given: dict[str, set[str]] = {}
    for call in (node for node in nodes if isinstance(node, ast.Call)):
        for rule in (one.value for one in call.args if isinstance(one, ast.Constant) and isinstance(one.value, str)):
            given.setdefault(rule, {"case", "service", "revision", "map", "key"}).update(
                keyword.arg or "**" for keyword in call.keywords
            )
    for rule, table in packaged("findings.toml").items():
        variants = {name: one for name, one in table.items() if isinstance(one, dict) and name != "changes"}
        assert {rule, *variants} <= words
        texts = [one for part in (table, *variants.values()) for one in part.values() if isinstance(one, str)]
        named = {re.split(r"[.\[]", name)[0] for text in texts for _, name, _, _ in Formatter().parse(text) if name}
        assert "**" in given[rule] or named <= given[rule], rule


def test_a_manifest_by_itself(tmp_path: Path) -> None:
    """Rules about times and load are silent, the others speak."""
    write(tmp_path, (("httpGet: {path: /ready}", "tcpSocket: {port: 80}"), SLOW))
    assert [one.name for one in check_file(tmp_path / "painter.yaml")] == ["shallow-probe"]


def test_a_gpu_of_an_instance_is_only_a_note(tmp_path: Path) -> None:
    """An instance type brings its GPU along."""
    edits = (*ROWS["gpu-limit"].edits, (MAX, MAX + f"\n        {ECI}: small"))
    assert [(one.name, one.level) for one in check_file(write(tmp_path, edits))] == [("gpu-limit", "note")]


@pytest.mark.parametrize(
    ("level", "more"), [("warning", ""), ("error", "\n        autoscaling.knative.dev/metric: memory")]
)
def test_the_hpa_class_is_a_warning_and_what_is_not_simulated_an_error(tmp_path: Path, level: str, more: str) -> None:
    """It is simulated where it looks at CPU."""
    path = tmp_path / "painter.yaml"
    path.write_text(MANIFEST.replace(MAX, f"autoscaling.knative.dev/class: hpa.autoscaling.knative.dev{more}"))
    [found] = [one for one in findings(read_service(path, AutoscalerConfig())) if one.name == "other-autoscaler"]
    assert (found.level, found.line) == (level, 12)


@pytest.mark.parametrize(
    ("old", "new", "level", "name"),
    [
        ("registry.example/painter", "x", "error", "refused"),
        ("      containers:", "      serviceAccountName: sa\n      containers:", "note", "service-account"),
        (MAX, 'autoscaling.knative.dev/target: "NaN"', "error", "not-a-number"),
        (MAX, MAX + '\n        serving.knative.dev/progress-deadline: "0s"', "error", "no-deadline"),
    ],
)
def test_what_only_a_manifest_by_itself_is_asked(old: str, new: str, level: str, name: str, tmp_path: Path) -> None:
    """Whether a cluster would take it matters where nothing is simulated."""
    path = tmp_path / "painter.yaml"
    path.write_text(MANIFEST.replace(old, new))
    assert (level, name) in [(one.level, one.name) for one in check_file(path)]


def test_what_knative_refuses_is_an_error_with_its_line(tmp_path: Path) -> None:
    """An annotation on the wrong object, for instance."""
    path = write(tmp_path, (("team: graphics", 'autoscaling.knative.dev/minScale: "1"'), ('"4"', '"x"')))
    found = check_file(path)
    assert [(one.level, one.name, one.line) for one in found] == [("error", "refused", 6), ("error", "refused", 12)]
    assert "move it to spec.template.metadata.annotations" in found[0].what


def test_files_that_are_neither(tmp_path: Path) -> None:
    """A file that is no YAML is not a finding but an error."""
    path = tmp_path / "x.yaml"
    path.write_text("a: [")
    with pytest.raises(FileError):
        check_file(path)
    path.write_text("kind: Deployment\n")
    with pytest.raises(FileError, match="no Knative Service"):
        check_file(path)


def test_the_gravest_come_first(tmp_path: Path) -> None:
    """Errors, then warnings, then notes."""
    found = check_file(
        write(tmp_path, (SLOW, (POISSON, BATCHES), ("httpGet: {path: /ready}", "tcpSocket: {port: 80}")))
    )
    assert [one.level for one in found] == ["warning", "warning", "note"]


def test_the_command_prints_findings(tmp_path: Path) -> None:
    """Place, reason and remedy on stdout, the count on stderr."""
    path = write(tmp_path, (SLOW, (POISSON, BATCHES)))
    done = CliRunner().invoke(command, [str(path)])
    assert done.exit_code == 0
    assert f"{tmp_path}/painter.yaml:10: annotations.window" in done.stdout
    assert "  Why: The stable window" in done.stdout
    assert "  Fix: Set scale-down-delay" in done.stdout
    assert "0 errors, 1 warning, 1 note" in done.stderr
    assert f"Next: kpasim run {path}" in done.stderr
    brief = CliRunner().invoke(command, [str(path), "--quiet"])
    assert "Why" not in brief.stdout
    assert "note" not in brief.stdout


def test_the_command_prints_json(tmp_path: Path) -> None:
    """All findings with all their parts."""
    done = CliRunner().invoke(command, [str(write(tmp_path, (SLOW, (POISSON, BATCHES)))), "--json"])
    answer = json.loads(done.stdout)
    assert answer["counts"] == {"error": 0, "warning": 1, "note": 1}
    assert set(answer["findings"][0]) == set(Finding.__dataclass_fields__)


def test_the_exit_status_of_the_command(tmp_path: Path) -> None:
    """0 for what works, 3 for warnings under --strict, 1 for what will not work."""
    run = CliRunner().invoke
    assert run(command, [str(write(tmp_path)), "--strict"]).exit_code == 0
    assert run(command, [str(write(tmp_path, (SLOW, (POISSON, BATCHES)))), "--strict"]).exit_code == 3
    assert run(command, [str(write(tmp_path, (('"4"', '"x"'),)))]).exit_code == 1


def test_a_stream_with_long_pauses_is_found(tmp_path: Path) -> None:
    """Pieces that come more rarely than idleTimeoutSeconds allows cut every answer."""
    edits = (
        ("timeoutSeconds: 300", "timeoutSeconds: 300\n      idleTimeoutSeconds: 50"),
        ("sigma: 0.1}}\n  cold", "sigma: 0.1}, first-byte: 1s, chunk-interval: 51s}\n  cold"),
    )

    (found,) = [one for one in check_file(write(tmp_path, edits)) if one.name == "idle-timeout"]

    assert "every 51s, and after 50 s of silence" in found.what


@pytest.mark.parametrize("kind", ["hpa", "keda", "keda-http", "ray-serve"])
def test_another_autoscaler_hears_nothing_of_knatives(kind: str) -> None:
    """It reads none of Knative's settings, and its own maximum is what is too small."""
    overload = load("experiments/overload.yaml")
    own = {one.name: one for one in findings(overload)}
    found = {one.name: one for one in findings(with_settings(overload, {"autoscaler": {"kind": kind}}))}
    assert "activator-stays" in own
    assert own["overload"].changes == {"service.annotations.max-scale": 5}
    assert "activator-stays" not in found
    assert (found["overload"].place, found["overload"].changes) == ("autoscaler", {})
    assert "the autoscaler's maximum is 3" in found["overload"].what
