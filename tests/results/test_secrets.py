"""Secrets of a manifest stay in the manifest."""

from pathlib import Path
from typing import Any

import pytest

from kpasim import load, simulate
from kpasim.results.secrets import HIDDEN, without_secrets

SECRET = "hunter2-4711"


@pytest.mark.parametrize(
    "tree",
    [
        {"env": [{"name": "HF_TOKEN", "value": SECRET}, {"name": "X", "valueFrom": {"secretKeyRef": {"name": "hf"}}}]},
        {"readinessProbe": {"httpGet": {"httpHeaders": [{"name": "Authorization", "value": f"Bearer {SECRET}"}]}}},
        {"args": [f"--hf-token={SECRET}", "--port=8080"]},
        {"args": ["--hf-token", SECRET, "--port", "8080"]},
        {"command": ["sh", "-c", f"export API_KEY={SECRET}; serve"]},
        {"image": f"https://user:{SECRET}@registry.example/painter:1"},
        {"annotations": {"kubectl.kubernetes.io/last-applied-configuration": f'{{"env": "{SECRET}"}}'}},
        {"annotations": {"kpasim.dev/load-headers": f"Authorization: Bearer {SECRET}"}},
        {"headers": {"X-Anything": SECRET}},
    ],
)
def test_values_that_may_be_secret_are_hidden(tree: dict[str, Any]) -> None:
    """Environment, headers, URLs, arguments and annotations keep their names and lose their values."""
    hidden = without_secrets({"spec": tree})
    assert SECRET not in str(hidden)
    assert HIDDEN in str(hidden)


def test_what_is_no_secret_stays() -> None:
    """Settings, images and ports come out as they went in, and the tree given is not changed."""
    tree = {
        "image": "ghcr.io/x/painter:1",
        "annotations": {"autoscaling.knative.dev/target": "1"},
        "args": ["--port=1"],
    }
    assert without_secrets(tree) == tree


def test_no_file_of_a_run_holds_a_secret(tmp_path: Path) -> None:
    """A token in the environment of the manifest is in no file that a run leaves."""
    text = Path("experiments/hey50x5.yaml").read_text()
    manifest = Path("experiments/manifests/stable-diffusion.yaml").read_text()
    image = next(line for line in manifest.splitlines() if line.strip().startswith("image:"))
    indent = " " * (len(image) - len(image.lstrip()))
    env = f"{image}\n{indent}env:\n{indent}- name: HF_TOKEN\n{indent}  value: {SECRET}"
    (tmp_path / "manifests").mkdir()
    (tmp_path / "manifests" / "stable-diffusion.yaml").write_text(manifest.replace(image, env))
    (tmp_path / "experiment.yaml").write_text(text)
    simulate(load(tmp_path / "experiment.yaml"), replications=2).write(tmp_path / "run")
    assert "HF_TOKEN" in (tmp_path / "run" / "run.json").read_text()
    for path in (tmp_path / "run").iterdir():
        assert SECRET.encode() not in path.read_bytes(), path
