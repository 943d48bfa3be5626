"""Whatever a file holds, it is used or refused in lines that name it: no traceback, no hang, nothing left behind.

One harness for everything that reads a file: experiments, sweeps, models, manifests, ConfigMaps, measured files of
every kind, run folders and the page about them. A thousand inputs in CI, 100,000 more with ``-m statistical``.
"""

import contextlib
import io
import re
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from kpasim.cli.main import Refused
from kpasim.errors import KpasimError, printable
from kpasim.records.read import read
from kpasim.report import evidence, markup
from kpasim.report.run_page import run_page
from kpasim.spec.autoscaler import AutoscalerConfig
from kpasim.spec.configmaps import cluster_of, read_config_map
from kpasim.spec.experiment import load, read_model
from kpasim.spec.manifest import read_service
from kpasim.spec.sweep import load_sweep
from kpasim.studies.versus.rivals import rivals
from tests.real_runs import folder
from tests.records.test_read import VALID
from tests.spec.test_scalerobjects import HEY, HPA, HTTP_SCALED_OBJECT, SCALED_OBJECT

ROOT = Path(__file__).parents[1]
MOST_S = 5
"""How long a single input may take."""
MEASURED = "s6-single-req"
CONFIG_MAP = """apiVersion: v1
kind: ConfigMap
metadata: {name: config-autoscaler, namespace: knative-serving}
data:
  stable-window: "60s"
  target-burst-capacity: "211"
  enable-scale-to-zero: "true"
"""
CLUSTER_CONFIG = """apiVersion: operator.knative.dev/v1beta1
kind: KnativeServing
metadata: {name: knative-serving, namespace: knative-serving}
spec:
  config:
    autoscaler: {stable-window: "60s", allow-zero-initial-scale: "true"}
    defaults: {revision-timeout-seconds: "300", container-name-template: "c-{{.Name}}", revision-cpu-limit: "1"}
    deployment: {progress-deadline: "600s"}
    features: {kubernetes.podspec-nodeselector: "enabled", secure-pod-defaults: "allowrootbounded"}
---
apiVersion: serving.kserve.io/v1alpha1
kind: ServingRuntime
metadata: {name: painter}
spec:
  annotations: {autoscaling.knative.dev/window: 20s}
  supportedModelFormats: [{name: tensorflow, version: "1", autoSelect: true, priority: 1}]
  protocolVersions: [v1]
  containers: [{name: kserve-container, image: "example.org/painter:1", resources: {limits: {cpu: 1}}}]
---
apiVersion: v1
kind: ConfigMap
metadata: {name: inferenceservice-config, namespace: kserve}
data:
  deploy: '{"defaultDeploymentMode": "Knative"}'
  inferenceService: '{"serviceAnnotationDisallowedList": ["autoscaling.knative.dev/min-scale"]}'
"""


class Target(NamedTuple):
    """Something that reads a file.

    Attributes:
        file: Name of the file that is damaged, within the folder that is handed over.
        content: A valid one.
        use: What reads it, given the file.
    """

    file: str
    content: bytes
    use: Callable[[Path], object]


def _yaml(path: str) -> bytes:
    return (ROOT / path).read_bytes()


def _page(path: Path) -> None:
    """The page about the run folder around a file."""
    run_page(evidence.read(path.parent))


def _on_cluster(path: Path) -> None:
    """An InferenceService as the cluster's configuration has it."""
    cluster = cluster_of([path])
    read_service(path.parent / "experiments/manifests/flowers-gpu.yaml", cluster.autoscaler, cluster.defaults)


def _run_folder(path: Path) -> None:
    read(path.parent)


TARGETS: dict[str, Target] = {
    "experiment": Target("experiments/hey50x5.yaml", _yaml("experiments/hey50x5.yaml"), load),
    "steps": Target("experiments/overload.yaml", _yaml("experiments/overload.yaml"), load),
    "sweep": Target("experiments/cost-vs-latency.yaml", _yaml("experiments/cost-vs-latency.yaml"), load_sweep),
    "model": Target("models/sd-webui-gn5.yaml", _yaml("models/sd-webui-gn5.yaml"), read_model),
    "manifest": Target(
        "experiments/manifests/stable-diffusion.yaml",
        _yaml("experiments/manifests/stable-diffusion.yaml"),
        lambda path: read_service(path, AutoscalerConfig()),
    ),
    "inference-service": Target(
        "experiments/manifests/flowers-gpu.yaml",
        _yaml("experiments/manifests/flowers-gpu.yaml"),
        lambda path: read_service(path, AutoscalerConfig()),
    ),
    **{
        f"scaler {name}": Target("scaler.yaml", text.encode(), lambda path: rivals(load(HEY), [str(path)]))
        for name, text in (("hpa", HPA), ("keda", SCALED_OBJECT), ("http", HTTP_SCALED_OBJECT))
    },
    "cluster-config": Target("cluster.yaml", CLUSTER_CONFIG.encode(), _on_cluster),
    "config-map": Target("cm.yaml", CONFIG_MAP.encode(), lambda path: read_config_map(path, "config-autoscaler")),
    **{f"record {kind}": Target("measured", content, read) for kind, content in VALID.items()},
    **{
        f"run folder {name}": Target(f"run/{name}", (folder(MEASURED) / name).read_bytes(), _run_folder)
        for name in ("run.json", "requests.csv", "pods.csv", "ticks.csv", "scaling.csv", "summary.json")
    },
    **{
        f"page {name}": Target(f"run/{name}", (folder(MEASURED) / name).read_bytes(), _page)
        for name in ("run.json", "requests.csv", "pods.csv", "ticks.csv", "scaling.csv")
    },
}

JUNK = (
    *(b"\n", b"\r", b"\t", b",", b'"', b"'", b":", b": ", b"- ", b"{", b"}", b"[", b"]", b"#", b"|\n", b"---\n"),
    *(b"&a ", b"*a", b"<<: *a", b"!!python/x ", b"null", b"true", b"~", b"\x00", b"\xff\xfe", b"\xef\xbb\xbf"),
    *(b"NaN", b"Infinity", b"-1", b"0", b"1e999", b"1e308", b"0x10", b"9" * 20, b"9" * 400, b"60s", b"1h1h", b"-5s"),
    *(b"../../etc/passwd", b"/dev/zero", b"\xe2\x80\xa8", b"</script>"),
)
"""Pieces that have upset readers of files."""
PIECES = st.one_of(
    st.binary(max_size=12),
    st.text(max_size=8).map(lambda text: text.encode("utf-8", "surrogatepass")),
    st.sampled_from(JUNK),
)
DAMAGE = st.one_of(
    st.lists(st.tuples(st.floats(0, 1), st.integers(0, 40), PIECES), min_size=1, max_size=5),
    st.binary(max_size=300),
)


class TooLongError(BaseException):
    """An input took longer than it may; not an `Exception`, so that nothing swallows it."""


@contextlib.contextmanager
def deadline(seconds: int) -> Iterator[None]:
    """Break off what takes longer."""

    def stop(*_: object) -> None:
        raise TooLongError

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def damaged(content: bytes, damage: bytes | list[tuple[float, int, bytes]]) -> bytes:
    """A file with pieces cut out and others put in, or other bytes altogether."""
    if isinstance(damage, bytes):
        return damage
    for where, length, piece in damage:
        place = int(where * len(content))
        content = content[:place] + piece + content[place + length :]
    return content


def surroundings(place: Path) -> None:
    """What the files to be read refer to."""
    for name in ("experiments/manifests", "models"):
        shutil.copytree(ROOT / name, place / name)
    shutil.copy(ROOT / "experiments" / "hey50x5.yaml", place / "experiments")
    shutil.copytree(folder(MEASURED), place / "run")


def used_or_refused(place: Path, target: Target, content: bytes) -> None:
    """Use a file; what is wrong with it is said in whole lines, soon, and nothing is left beside it."""
    path = place / target.file
    kept = path.read_bytes() if path.exists() else None
    path.write_bytes(content)
    before = sorted(place.rglob("*"))
    said = None
    try:
        with deadline(MOST_S):
            target.use(path)
    except KpasimError as error:
        said = str(error)
    finally:
        after = sorted(place.rglob("*"))
        if kept is None:
            path.unlink()
        else:
            path.write_bytes(kept)
    assert after == before
    if said is not None:
        told = io.StringIO()
        with contextlib.redirect_stderr(told):
            Refused(said).show()
        lines = told.getvalue().removesuffix("\n").split("\n")
        assert all(line.startswith("Error: ") and line[7:].strip() for line in lines), lines
        assert printable(told.getvalue()) == told.getvalue()  # no escape sequence of a file reaches a terminal


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    """A folder in which the files lie."""
    with tempfile.TemporaryDirectory(prefix="kpasim-fuzz-") as root:
        surroundings(Path(root))
        yield Path(root)


@pytest.fixture(autouse=True)
def _light_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """A page is made without its scripts, which no input changes."""
    monkeypatch.setattr("plotly.offline.get_plotlyjs", lambda: "")
    monkeypatch.setattr(markup, "_asset", lambda _: "")
    monkeypatch.setattr(markup, "_hash", lambda _: "")


@pytest.mark.parametrize("name", TARGETS)
def test_the_undamaged_file_is_used(place, name):
    """Each target takes the file that damage begins with."""
    target = TARGETS[name]
    (place / target.file).write_bytes(target.content)
    with deadline(60):
        target.use(place / target.file)


def harness(examples: int) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """So many inputs, the same ones each time."""
    quiet = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large]
    how = settings(max_examples=examples, deadline=None, derandomize=True, database=None, suppress_health_check=quiet)
    what = given(name=st.sampled_from(sorted(TARGETS)), damage=DAMAGE)
    return lambda test: how(what(test))


def peak_memory_kib(*, anew: bool = False) -> int:
    """The most memory that this process has held: since it began, or since this was last asked ``anew``.

    Tests before this one in the same process may have held more.
    """
    if anew:
        Path("/proc/self/clear_refs").write_text("5")
    found = re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())
    assert found
    return int(found[1])


@pytest.mark.parametrize(
    ("number", "examples"), [(0, 1_000), *(pytest.param(n, 20_000, marks=pytest.mark.statistical) for n in range(1, 6))]
)
def test_damaged_files_are_used_or_refused(place: Path, number: int, examples: int) -> None:
    """Any damage to any file: no traceback, no hang, nothing left behind, never a gigabyte."""

    @seed(number)
    @harness(examples)
    def each(name: str, damage: bytes | list[tuple[float, int, bytes]]) -> None:
        used_or_refused(place, TARGETS[name], damaged(TARGETS[name].content, damage))

    before_kib = peak_memory_kib(anew=True)
    each()
    assert peak_memory_kib() - before_kib < 1 << 20
