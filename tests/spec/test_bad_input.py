"""Whatever is wrong with a file is said in one line that names file, line, key, value and what would be right."""

import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from kpasim.errors import ExperimentError, KpasimError
from kpasim.spec.base import Place
from kpasim.spec.experiment import from_mapping, load, loads, read_model
from kpasim.spec.yamlfile import parse_documents, read_documents
from tests.spec.files import EXPERIMENT, MANIFEST, MODEL, write

EX, KS, MO = "experiment.yaml", "painter.yaml", "painter-model.yaml"


class Bad(NamedTuple):
    """One thing that is wrong: what to replace in which file, and where and how the message says so."""

    file: str
    old: str
    new: str
    line: int | None
    key: str
    words: str


ANNOTATION = "spec.template.metadata.annotations.autoscaling.knative.dev/"
SPEC = "spec.template.spec."
MAX = 'autoscaling.knative.dev/max-scale: "4"'

CASES = {
    # the experiment
    "misspelt key": Bad(EX, "replications", "replicatons", 13, "replicatons", "did you mean replications?"),
    "missing service": Bad(EX, "service: painter.yaml\n", "", 1, "service", "is missing"),
    "missing workload": Bad(
        EX, "workload:\n  kind: poisson\n  rate: 0.5\n  duration: 10m\n", "", 1, "workload", "is missing"
    ),
    "missing model": Bad(EX, "model: painter-model\n", "", 1, "model", "is missing"),
    "service file that is not there": Bad(EX, "painter.yaml", "paintr.yaml", 1, "service", "does not exist"),
    "service of another shape": Bad(EX, "painter.yaml", "[1]", 1, "service", "a manifest file, or the manifest itself"),
    "model nobody has": Bad(EX, "painter-model", "paintr-model", 8, "model", "did you mean painter-model?"),
    "model path that is not there": Bad(EX, "painter-model", "./nope.yaml", 8, "model", "'./nope.yaml'"),
    "model of another shape": Bad(EX, "model: painter-model", "model: 3", 8, "model", "3 is not right"),
    "unknown workload": Bad(EX, "poisson", "poison", 4, "workload", "'poison' is not known (did you mean poisson?)"),
    "workload without kind": Bad(EX, "  kind: poisson\n", "", 4, "workload", "kind is missing (kind: hey, poisson,"),
    "unknown workload key": Bad(
        EX, "rate: 0.5", "rate: 0.5\n  timeot: 5s", 7, "workload.timeot", "did you mean timeout?"
    ),
    "workload key missing": Bad(EX, "  rate: 0.5\n", "", 4, "workload.rate", "is missing"),
    "negative rate": Bad(EX, "0.5", "-0.5", 6, "workload.rate", "-0.5 is out of range (must be above 0)"),
    "text for a number": Bad(EX, "0.5", "fast", 6, "workload.rate", "'fast' is not a rate; write 0.5"),
    "infinite number": Bad(EX, "0.5", ".inf", 6, "workload.rate", "inf is not a rate; write 0.5"),
    "duration in words": Bad(
        EX, "10m", "10 minutes", 7, "workload.duration", "'10 minutes' is not a duration; write 10m"
    ),
    "duration without unit": Bad(EX, "10m", '"10"', 7, "workload.duration", "'10' is not a duration; write 10s"),
    "duration of zero": Bad(EX, "10m", "0s", 7, "workload.duration", "0 is out of range (must be above 0)"),
    "boolean for a number": Bad(EX, "20", "true", 13, "replications", "true is not right (must be a whole number)"),
    "fraction of a replication": Bad(EX, "20", "2.5", 13, "replications", "2.5 is not right (must be a whole number)"),
    "no replications": Bad(EX, "20", "0", 13, "replications", "0 is out of range (must be at least 1)"),
    "unknown start": Bad(EX, "warm", "worm", 12, "start", "'worm' is not known (did you mean warm?)"),
    "mapping for text": Bad(EX, "name: small", "name: {a: 1}", 11, "cluster.instance-types[0].name", "must be text"),
    "price below zero": Bad(EX, "1.0}", "-1.0}", 11, "cluster.instance-types[0].price-per-hour", "at least 0"),
    "currency that is none": Bad(EX, "1.0}", "1.0, currency: $}", 11, "cluster.instance-types[0].currency", "'$'"),
    "two types of one name": Bad(
        EX, "1.0}", "1.0}\n    - {name: small}", 10, "cluster.instance-types", "two members named 'small'"
    ),
    "two currencies": Bad(
        EX,
        "1.0}",
        "1.0}\n    - {name: b, price-per-hour: 1, currency: CNY}",
        10,
        "cluster.instance-types",
        "CNY and USD",
    ),
    "nodes without a node": Bad(
        EX, "start:", "  nodes: {count: 0}\nstart:", 12, "cluster.nodes", "no pod could ever run"
    ),
    "too many activators": Bad(EX, "cluster:", "cluster:\n  activators: 64", 10, "cluster.activators", "63"),
    "tolerance of nothing": Bad(EX, "start:", "tolerances: {p51: 3%}\nstart:", 12, "tolerances.p51", "mean, p50, p90"),
    "tolerance that is none": Bad(EX, "start:", "tolerances: {p50: some}\nstart:", 12, "tolerances.p50", "15%, 2s"),
    "trace that is not there": Bad(
        EX,
        "kind: poisson\n  rate: 0.5\n  duration: 10m",
        "kind: replay\n  file: t.csv",
        6,
        "workload.file",
        "is not a file",
    ),
    "fewer requests than workers": Bad(
        EX,
        "kind: poisson\n  rate: 0.5\n  duration: 10m",
        "kind: hey\n  requests: 4\n  concurrency: 5",
        4,
        "workload",
        "requests = 4 is below concurrency = 5",
    ),
    "empty list of phases": Bad(
        EX,
        "kind: poisson\n  rate: 0.5\n  duration: 10m",
        "kind: steps\n  phases: []",
        6,
        "workload.phases",
        "at least 1",
    ),
    "autoscaler key misspelt": Bad(
        EX, "stable-window", "stable-windw", 3, "config-autoscaler.stable-windw", "did you mean stable-window?"
    ),
    "autoscaler window too short": Bad(
        EX, "60s", "5s", 3, "config-autoscaler.stable-window", "5s is out of range (must be in [6s, 1h])"
    ),
    "autoscaler window too fine": Bad(
        EX, "60s", "6.5s", 3, "config-autoscaler.stable-window", "6.5s is finer than a second"
    ),
    "autoscaler window without unit": Bad(EX, "60s", "60", 3, "config-autoscaler.stable-window", "write 60s"),
    "autoscaler rate of one": Bad(
        EX, "stable-window: 60s", "max-scale-up-rate: 1", 3, "config-autoscaler.max-scale-up-rate", "above 1"
    ),
    "autoscaler flag in words": Bad(
        EX,
        "stable-window: 60s",
        "enable-scale-to-zero: sure",
        3,
        "config-autoscaler.enable-scale-to-zero",
        "true or false",
    ),
    "autoscaler bounds crossed": Bad(
        EX,
        "stable-window: 60s",
        "min-scale: 3\n  max-scale: 2",
        3,
        "config-autoscaler.min-scale",
        "3 is above max-scale = 2",
    ),
    "autoscaler settings of another shape": Bad(
        EX, "\n  stable-window: 60s", " 7", 2, "config-autoscaler", "7 is not right"
    ),
    "autoscaler file that is not there": Bad(
        EX, "\n  stable-window: 60s", " cm.yaml", 2, "config-autoscaler", "does not exist"
    ),
    "another autoscaler": Bad(
        EX, "stable-window: 60s", "pod-autoscaler-class: other.example.com", 1, "service", "not simulated"
    ),
    # the file as a whole
    "not YAML": Bad(EX, "workload:", "workload: [", 6, "", "is not YAML"),
    "tab": Bad(EX, "  kind:", "\tkind:", 5, "", "is not YAML"),
    "key given twice": Bad(
        EX, "start: warm", "start: warm\nstart: zero", 13, "start", "is given twice (first in line 12"
    ),
    "list instead of a mapping": Bad(EX, EXPERIMENT, "- a\n- b\n", 1, "", "holds a list"),
    "one word": Bad(EX, EXPERIMENT, "hello\n", 1, "", "holds one value"),
    "empty": Bad(EX, EXPERIMENT, "# nothing\n", 1, "", "is empty"),
    "two documents": Bad(EX, "cluster:", "---\ncluster:", 10, "", "several YAML documents"),
    "anchor in itself": Bad(EX, "start: warm", "start: &a {state: *a}", 12, "start.state", "refers to itself"),
    "unknown alias": Bad(EX, "start: warm", "start: *nobody", 12, "", "is not YAML"),
    "unknown tag": Bad(EX, "start: warm", "start: !python/object:os.system x", 12, "start", "means nothing here"),
    "key that is a list": Bad(EX, "start: warm", "? [1, 2]\n: 3", 12, "", "a key must be text"),
    "number nobody can read": Bad(EX, "20", "9" * 5000, 13, "replications", "is not a number that can be read"),
    # the manifest
    "no Knative Service": Bad(
        KS, "serving.knative.dev/v1", "v1", 1, "", "holds no Knative Service (it holds v1 Service"
    ),
    "unnamed Service": Bad(KS, "  name: painter\n", "", 3, "metadata.name", "is missing"),
    "annotation out of range": Bad(KS, '"4"', '"-4"', 11, ANNOTATION + "max-scale", "-4 is out of range"),
    "annotation not a number": Bad(KS, '"4"', '"four"', 11, ANNOTATION + "max-scale", "'four' is not a whole number"),
    "annotation without quotes": Bad(KS, '"4"', "4", 11, ANNOTATION + "max-scale", 'put it in quotes: "4"'),
    "annotation YAML 1.1 takes for a boolean": Bad(
        KS, '"4"', "on", 11, ANNOTATION + "max-scale", 'put it in quotes: "on"'
    ),
    "utilisation as a fraction": Bad(
        KS,
        MAX,
        'autoscaling.knative.dev/target-utilization-percentage: "0.7"',
        11,
        ANNOTATION + "target-utilization-percentage",
        "0.7 is out of range (must be in [1, 100]; 70 for 70 %)",
    ),
    "window without unit": Bad(KS, MAX, 'autoscaling.knative.dev/window: "60"', 11, ANNOTATION + "window", "write 60s"),
    "unknown class": Bad(
        KS,
        MAX,
        "autoscaling.knative.dev/class: vpa.knative.dev",
        11,
        ANNOTATION + "class",
        "'vpa.knative.dev' is not known",
    ),
    "unknown metric": Bad(
        KS, MAX, "autoscaling.knative.dev/metric: qps", 11, ANNOTATION + "metric", "concurrency or rps"
    ),
    "minimum above maximum": Bad(
        KS,
        MAX,
        MAX + '\n        autoscaling.knative.dev/minScale: "9"',
        11,
        ANNOTATION + "max-scale",
        "max-scale = 4 is less than min-scale = 9",
    ),
    "activation scale of one": Bad(
        KS,
        MAX,
        'autoscaling.knative.dev/activation-scale: "1"',
        11,
        ANNOTATION + "activation-scale",
        "1 is out of range (must be at least 2)",
    ),
    "initial scale zero": Bad(
        KS,
        MAX,
        'autoscaling.knative.dev/initialScale: "0"',
        11,
        ANNOTATION + "initialScale",
        "allow-zero-initial-scale",
    ),
    "progress deadline": Bad(
        KS,
        MAX,
        'serving.knative.dev/progress-deadline: "1.5s"',
        11,
        "spec.template.metadata.annotations.serving.knative.dev/progress-deadline",
        "must be whole seconds",
    ),
    "annotation on the Service": Bad(
        KS,
        'team: "graphics"',
        'autoscaling.knative.dev/minScale: "1"',
        6,
        "metadata.annotations.autoscaling.knative.dev/minScale",
        "move it to spec.template.metadata.annotations",
    ),
    "concurrency above the limit": Bad(
        KS,
        "containerConcurrency: 1",
        "containerConcurrency: 2000",
        13,
        SPEC + "containerConcurrency",
        "must be in [0, 1000]",
    ),
    "concurrency in quotes": Bad(
        KS,
        "containerConcurrency: 1",
        'containerConcurrency: "1"',
        13,
        SPEC + "containerConcurrency",
        "'1' is not right (must be a whole number)",
    ),
    "timeout above the limit": Bad(
        KS, "300", "601", 14, SPEC + "timeoutSeconds", "601 is out of range (must be in [0, 600];"
    ),
    "no container": Bad(KS, "- image: registry.example/painter", "[]\n#", None, "", "is not YAML"),
    "GPU limit that is none": Bad(
        KS,
        'nvidia.com/gpu: "1"',
        'nvidia.com/gpu: "half"',
        23,
        SPEC + "containers[0].resources.limits.nvidia.com/gpu",
        "must be a quantity",
    ),
    "half a GPU": Bad(
        KS,
        'nvidia.com/gpu: "1"',
        'nvidia.com/gpu: "0.5"',
        23,
        SPEC + "containers[0].resources.limits.nvidia.com/gpu",
        "0.5 is not a whole number",
    ),
    "two probes in one": Bad(
        KS,
        "httpGet: {path: /ready}",
        "httpGet: {path: /ready}\n            tcpSocket: {port: 1}",
        18,
        SPEC + "containers[0].readinessProbe",
        "several handlers",
    ),
    "negative probe period": Bad(
        KS,
        "periodSeconds: 1",
        "periodSeconds: -1",
        20,
        SPEC + "containers[0].readinessProbe.periodSeconds",
        "-1 is out of range (must be in [0, 2147483647])",
    ),
    "template of another shape": Bad(
        KS,
        "    spec:\n      containerConcurrency: 1",
        "    spec: 3\n    x:\n      y: 1",
        12,
        SPEC[:-1],
        "3 is not right (must be a mapping)",
    ),
    # the model
    "model key misspelt": Bad(MO, "cold-start", "cold-strat", 3, "cold-strat", "did you mean cold-start?"),
    "no service time": Bad(
        MO,
        "service-time:\n  time: {distribution: lognormal, median: 10s, sigma: 0.3}\n",
        "",
        1,
        "service-time",
        "is missing",
    ),
    "unknown distribution": Bad(
        MO, "lognormal", "lognorm", 2, "service-time.time", "'lognorm' is not known (did you mean lognormal?)"
    ),
    "unknown parameter": Bad(MO, "median: 10s", "medium: 10s", 2, "service-time.time.medium", "did you mean median?"),
    "negative sigma": Bad(MO, "0.3", "-0.3", 2, "service-time.time.sigma", "at least 0"),
    "pair of parameters": Bad(MO, "sigma: 0.3", "cv: 0.3", 2, "service-time.time", "median and sigma, or mean and cv"),
    "unknown stage kind": Bad(
        MO, "kind: pull", "kind: poll", 5, "cold-start.stages[0].kind", "'poll' is not known (did you mean pull?)"
    ),
    "two stages of one name": Bad(MO, "name: load", "name: pull", 4, "cold-start.stages", "two members named 'pull'"),
    "stage that takes text": Bad(
        MO, "time: 30s", "time: long", 5, "cold-start.stages[0].time", "'long' is not a duration"
    ),
    "slow-down from below": Bad(
        MO, "cold-start:", "  slowdown: [2.0]\ncold-start:", 3, "service-time.slowdown", "begins with 2"
    ),
    "bandwidth in GB": Bad(
        MO,
        "time: 30s",
        "bandwidth: {size: 12GB, shared-bandwidth: 1G}",
        5,
        "cold-start.stages[0].bandwidth.size",
        "'12GB' is not a quantity",
    ),
}


def spoiled(name: str, folder: Path) -> Path:
    """Write a sound experiment with one thing wrong."""
    case = CASES[name]
    texts = {EX: EXPERIMENT, KS: MANIFEST, MO: MODEL}
    assert case.old in texts[case.file]
    texts[case.file] = texts[case.file].replace(case.old, case.new, 1)
    return write(folder, texts[EX], texts[KS], texts[MO])


@pytest.mark.parametrize("name", CASES)
def test_one_line_says_what_is_wrong(name: str, tmp_path: Path) -> None:
    """File, line and key stand before the message, which holds the value and what would be right."""
    case = CASES[name]

    with pytest.raises(ExperimentError) as caught:
        load(spoiled(name, tmp_path))

    (line,) = str(caught.value).splitlines()
    where = f"{tmp_path}/{case.file}:" if case.line is None else f"{tmp_path}/{case.file}:{case.line}:"
    assert line.startswith(where)
    assert case.words in line
    if case.key:
        assert f" {case.key}: " in line


def test_there_are_many_kinds_of_bad_input() -> None:
    """The table is long, and no two of its entries are the same."""
    assert len({case[:3] for case in CASES.values()}) == len(CASES) >= 80


def test_all_problems_of_a_file_are_named_at_once(tmp_path: Path) -> None:
    """A user mends a file in one go: every problem has its line, in the order of the file."""
    text = EXPERIMENT.replace("60s", "5s").replace("0.5", "-1").replace("10m", "soon").replace("20", "0")
    with pytest.raises(ExperimentError) as caught:
        load(write(tmp_path, text))

    assert [problem.line for problem in caught.value.problems] == [3, 6, 7, 13]
    assert len(str(caught.value).splitlines()) == 4


def test_problems_of_several_files_are_named_at_once(tmp_path: Path) -> None:
    """Each line begins with the file that it is about."""
    path = write(tmp_path, EXPERIMENT.replace("0.5", "-1"), MANIFEST.replace('"4"', '"x"'), MODEL.replace("30s", "x"))
    with pytest.raises(ExperimentError) as caught:
        load(path)

    files = [re.sub(r":.*", "", line.removeprefix(f"{tmp_path}/")) for line in str(caught.value).splitlines()]
    assert files == [EX, KS, MO]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"\x89PNG\r\n\x1a\n\x00\x00\xff", "is not UTF-8 text"),
        (b"a: 1\nb: \x00\n", "is a binary file"),
        (b"caf\xe9: 1\n", "is not UTF-8 text"),
        (b"a: " + b"x" * 5_000_000, "is larger than 4 MB"),
        (b"[" * 3000, "is nested too deeply"),
        (b"%YAML nonsense\n---\na: 1\n", "is not YAML"),
        (b'a: "\\UFFFFFFFF"\n', "is not YAML"),
        (b"a: \x07\n", "is not YAML"),
    ],
)
def test_files_that_are_no_text(content: bytes, words: str, tmp_path: Path) -> None:
    """Binary, huge, deep and broken files are told from YAML in one line."""
    path = tmp_path / "x.yaml"
    path.write_bytes(content)
    with pytest.raises(KpasimError) as caught:
        load(path)

    (line,) = str(caught.value).splitlines()
    assert words in line
    assert str(path) in line


def test_a_missing_file_and_a_folder(tmp_path: Path) -> None:
    """Neither is an experiment, and the message says which of them it is."""
    with pytest.raises(ExperimentError, match="no such file"):
        load(tmp_path / "nope.yaml")
    with pytest.raises(ExperimentError, match="is a folder"):
        load(tmp_path)
    with pytest.raises(ExperimentError, match="is a folder"):
        read_model(tmp_path)


def test_a_key_of_several_lines_is_told_in_one() -> None:
    """Neither keys nor values break the line of their message."""
    with pytest.raises(ExperimentError) as caught:
        loads('"a\\nb\\u2028c": 1\nservice: "x\\ny"\nmodel: "u\\nv"\n')
    assert len(str(caught.value).splitlines()) == len(caught.value.problems) == 4


def test_anchors_inside_anchors_do_not_explode() -> None:
    """A few lines that stand for a billion values are refused before memory runs out."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 10)]
    with pytest.raises(ExperimentError, match="holds more than 50,000 values"):
        loads("\n".join(lines))


ODD: tuple[Any, ...] = (
    None, [], {}, "x", "", -1, 0, 1e308, True, [1], {"a": 1}, {"kind": "x"}, "0s", [[]], [None], {"name": None}, 3.5,
    "a: b", "\u2028", 10**30,
)  # fmt: skip


def places(data: Any, place: Place = ()) -> Iterator[Place]:
    """Every place of nested mappings and lists."""
    if place:
        yield place
    for key, value in data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ():
        yield from places(value, (*place, key))


def replaced(data: Any, place: Place, value: Any) -> Any:
    """A copy with another value in one place."""
    if not place:
        return value
    copy = data.copy()
    copy[place[0]] = replaced(data[place[0]], place[1:], value)
    return copy


def test_no_value_in_any_place_gives_a_traceback() -> None:
    """Whatever stands anywhere in an experiment, it is read or refused in whole lines."""
    whole, service, model = (parse_documents(text, "")[0].data for text in (EXPERIMENT, MANIFEST, MODEL))
    whole |= {"service": service, "model": model}
    lines: list[str] = []
    for place in places(whole):
        for value in ODD:
            try:
                from_mapping(replaced(whole, place, value))
            except ExperimentError as error:
                lines += str(error).splitlines()
    assert len(lines) > 500
    assert [line for line in lines if not line.startswith("experiment: ")] == []


def run(command: str, file: Path) -> subprocess.CompletedProcess[str]:
    """A command on a file, as a process."""
    arguments = [sys.executable, "-m", "kpasim", command, str(file)]
    return subprocess.run(arguments, capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.parametrize("command", ["run", "check", "sweep"])
def test_a_chain_of_aliases_is_one_line(command: str, tmp_path: Path) -> None:
    """Anchors that hold the anchor before them, 900 deep: flat as text, too deep as a value."""
    chain = tmp_path / "chain.yaml"
    chain.write_text("a0: &a0 [1]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}]\n" for n in range(1, 900)))
    done = run(command, chain)
    assert done.returncode == 1
    assert "nested too deeply" in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert len((done.stdout + done.stderr).splitlines()) < 8


def test_a_file_of_a_million_values_is_refused_in_seconds(tmp_path: Path) -> None:
    """The number of values is bounded while the file is read, not after it."""
    many = tmp_path / "many.yaml"
    many.write_text("a: [" + "1," * 1_500_000 + "1]")
    begun = time.process_time()
    with pytest.raises(ExperimentError, match="more than 50,000 values"):
        read_documents(many)
    assert time.process_time() - begun < 15


def test_an_anchor_may_be_defined_again(tmp_path: Path) -> None:
    """As in YAML 1.2, an alias means the last definition before it, and nobody is warned."""
    file = tmp_path / "reused.yaml"
    file.write_text("a: &x 1\nb: *x\nc: &x 2\nd: *x\n")
    assert read_documents(file)[0].data == {"a": 1, "b": 1, "c": 2, "d": 2}


def test_a_list_of_wrong_entries_is_not_called_empty() -> None:
    """A phase whose rate is out of range has one line, not a second line about a list of no entries."""
    text = (Path("experiments/hey50x5.yaml")).read_text()
    data = yaml_of(text) | {"workload": {"kind": "steps", "phases": [{"rate": -1, "duration": "10s"}]}}
    with pytest.raises(ExperimentError) as error:
        from_mapping(data, base=Path("experiments"))
    assert "workload.phases[0].rate" in str(error.value)
    assert "entries" not in str(error.value)


def test_a_duration_beyond_all_bounds_is_called_too_long() -> None:
    """The message does not advise to write what was written."""
    data = yaml_of(Path("experiments/hey50x5.yaml").read_text()) | {"horizon": "100000000h"}
    with pytest.raises(ExperimentError, match="is too long"):
        from_mapping(data, base=Path("experiments"))


def yaml_of(text: str) -> dict[str, Any]:
    """The mapping of a YAML text."""
    data: dict[str, Any] = parse_documents(text, "text")[0].data
    return data
