"""Any tuning of a manifest, however its author writes: what is asked for changes, and nothing else."""

import difflib
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kpasim.spec.difference import differences, read_either
from kpasim.spec.experiment import Experiment, load
from kpasim.spec.manifest import ServiceManifest
from kpasim.spec.quick import import_manifest
from tests.spec.test_manifest import PUBLISHED

VALUES: dict[str, tuple[Any, ...]] = {
    "annotations.min-scale": (0, 1, 2),
    "annotations.max-scale": (2, 7, 30),
    "annotations.target": (1, 2.5, 100),
    "annotations.target-utilization-percentage": (50, 72.5, 100),
    "annotations.window": ("15s", "1m30s", "10m"),
    "annotations.scale-down-delay": ("0s", "90s"),
    "annotations.scale-to-zero-pod-retention-period": ("0s", "1m1s"),
    "annotations.target-burst-capacity": (-1, 0, 250),
    "containerConcurrency": (0, 1, 8),
    "timeoutSeconds": (60, 301),
}
"""Settings that `kpasim tune` may change, with values that are right in any company."""

NOTHING: dict[str, Any] = {"hey_flags": None, "service_time": None, "cold_start": None}
TUNINGS = st.fixed_dictionaries({}, optional={path: st.sampled_from(values) for path, values in VALUES.items()})
SPELLINGS = st.fixed_dictionaries(
    {
        "annotations": st.lists(
            st.sampled_from(
                [
                    "autoscaling.knative.dev/minScale: '0'",
                    'autoscaling.knative.dev/max-scale: "10"   # as many as the quota allows',
                    "autoscaling.knative.dev/target: !!str 1",
                    "autoscaling.knative.dev/window: 60s",
                    "autoscaling.knative.dev/scaleDownDelay:   0s",
                    "vendor.example/a: &one 'kept # as it is'",
                    'vendor.example/b: "caf\\u00e9"',
                    "# a remark on a line of its own",
                ]
            ),
            unique=True,
        ),
        "spec": st.lists(
            st.sampled_from(
                ["containerConcurrency: 1", "timeoutSeconds: 300  # the gateway's", "enableServiceLinks: false"]
            ),
            unique=True,
        ),
        "name": st.sampled_from(["painter", "'painter'", '"painter"  # who is it?']),
        "head": st.sampled_from(
            ["", "---\n", "# Apply me with kubectl.\n\n", "kind: ConfigMap\nmetadata: {name: x}\n---\n"]
        ),
        "end": st.sampled_from(["", "\n", "\n\n# the end\n", "\n---\nkind: Route\n"]),
    }
)


def written(style: dict[str, Any]) -> str:
    """A manifest in somebody's style."""
    annotations = "".join(f"        {line}\n" for line in style["annotations"])
    # A mapping of nothing but remarks would be no mapping.
    if not any(not line.startswith("#") for line in style["annotations"]):
        annotations += "        vendor.example/c: d\n"
    fields = "".join(f"      {line}\n" for line in style["spec"])
    return (
        f"{style['head']}apiVersion: serving.knative.dev/v1\nkind: Service\nmetadata:\n  name: {style['name']}\n"
        f"spec:\n  template:\n    metadata:\n      annotations:\n{annotations}    spec:\n{fields}"
        f'      containers:\n      - image: registry.example/painter   \n        args: [--listen, "a: b"]{style["end"]}'
    )


def experiment_of(text: str, folder: Path) -> Experiment:
    """The experiment that an import makes of a manifest."""
    (folder / "service.yaml").write_bytes(text.encode())
    path = folder / "experiment.yaml"
    path.write_text(import_manifest(str(folder / "service.yaml"), out=str(path), **NOTHING))
    return load(path)


def same(one: Any, other: Any) -> bool:
    """Whether two values are the same setting: ``"0s"`` and ``0s``, 1 and ``"1"``."""
    return str(one) == str(other)


def hold(text: str, tuning: dict[str, Any], folder: Path) -> None:
    """Import, tune, export: the properties of all three."""
    experiment = experiment_of(text, folder)
    assert experiment.service.to_yaml() == text
    tuned = experiment.with_settings({f"service.{path}": value for path, value in tuning.items()})
    after = tuned.service.to_yaml()
    (folder / "tuned.yaml").write_bytes(after.encode())
    again = read_either(folder / "tuned.yaml")
    assert isinstance(again, ServiceManifest)
    # What was asked for is there, and a diff tells it and nothing else.
    for path, value in tuning.items():
        assert same(tuned.setting(f"service.{path}"), value)
    told = {one.setting: one.after for one in differences(read_either(folder / "service.yaml"), again)}
    assert told.keys() <= tuning.keys()
    assert all(same(told[path], tuning[path]) for path in told)
    assert differences(again, tuned.service) == []
    # Lines that differ are those of values asked for; remarks behind them stay.
    lines = [line for line in difflib.ndiff(text.splitlines(), after.splitlines()) if line[0] in "+-"]
    names = {path.rpartition(".")[2].replace("-", "").lower() for path in tuning}
    for line in lines:
        plain = line.replace("-", "").lower()
        assert any(name in plain for name in names)
    assert all(line.partition("  #")[2] in after for line in text.splitlines() if "  #" in line)
    # Doing it again changes nothing.
    assert tuned.with_settings({f"service.{path}": value for path, value in tuning.items()}).service.to_yaml() == after


@settings(max_examples=30, deadline=None)
@given(TUNINGS)
def test_any_tuning_of_the_published_manifest(tuning: dict[str, Any]) -> None:
    """Import and export give the file byte for byte; tuned, it differs in the tuned values, and a diff tells them."""
    with tempfile.TemporaryDirectory() as folder:
        hold(PUBLISHED.read_bytes().decode(), tuning, Path(folder))


@settings(max_examples=60, deadline=None)
@given(SPELLINGS, TUNINGS)
def test_any_tuning_of_any_style(style: dict[str, Any], tuning: dict[str, Any]) -> None:
    """Quotes, remarks, anchors, blanks, other documents and a missing last line end stay as they are."""
    with tempfile.TemporaryDirectory() as folder:
        hold(written(style), tuning, Path(folder))


@pytest.mark.parametrize("ending", ["\r\n", "\n"])
def test_line_ends_of_a_tuned_manifest_stay(ending: str, tmp_path: Path) -> None:
    """A file from Windows stays one."""
    text = PUBLISHED.read_bytes().decode().replace("\n", ending)
    tuned = experiment_of(text, tmp_path).with_settings({"service.annotations.min-scale": 3})
    assert tuned.service.to_yaml().count(ending) == text.count(ending) + 1
