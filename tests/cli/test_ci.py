"""`kpasim check` where others run it: as the hook of pre-commit, and as the steps that the guide shows for CI."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from ruamel.yaml import YAML
from sarif_pydantic import Sarif

ROOT = Path(__file__).parents[2]
GOOD = """apiVersion: serving.knative.dev/v1
kind: Service
metadata: {name: painter}
spec:
  template:
    metadata: {annotations: {autoscaling.knative.dev/max-scale: "4"}}
    spec:
      containerConcurrency: 1
      containers: [{image: example.org/painter:1, resources: {limits: {nvidia.com/gpu: 1}}}]
"""
BAD = GOOD.replace("containerConcurrency: 1\n", "containerConcurrency: -1\n")
ISVC = """apiVersion: serving.kserve.io/v1beta1
kind: InferenceService
metadata: {name: flowers}
spec: {predictor: {minReplicas: 3, maxReplicas: 2, containers: [{image: example.org/flowers:1}]}}
"""
OTHER = "a: 1\nb: [2, 3]\n"


def run(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """A command with this interpreter's programs first, `kpasim` among them."""
    programs = folder / ".bin"
    programs.mkdir(exist_ok=True)
    kpasim = programs / "kpasim"
    kpasim.write_text(f'#!/bin/sh\nexec {sys.executable} -m kpasim "$@"\n')
    kpasim.chmod(0o755)
    environment = {
        **os.environ,
        "PATH": f"{programs}:{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "PRE_COMMIT_HOME": str(folder / ".pre-commit"),
        **dict.fromkeys(("GIT_AUTHOR_NAME", "GIT_COMMITTER_NAME", "GIT_AUTHOR_EMAIL", "GIT_COMMITTER_EMAIL"), "t@t"),
    }
    return subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def repository(folder: Path, hooks: str) -> None:
    """A git repository with manifests in the index, and pre-commit's configuration."""
    for name, text in {"good.yaml": GOOD, "other.yaml": OTHER, ".pre-commit-config.yaml": hooks}.items():
        (folder / name).write_text(text)
    assert run(folder, "git", "init", "-q").returncode == 0
    (folder / ".gitignore").write_text(".bin\n.pre-commit\n")
    run(folder, "git", "add", "-A")


def try_hook(folder: Path) -> None:
    """What is good passes, what Knative or KServe refuses does not and is named, other YAML is left alone."""
    passed = run(folder, sys.executable, "-m", "pre_commit", "run", "--verbose")
    assert passed.returncode == 0, passed.stdout + passed.stderr
    assert "kpasim check" in passed.stdout
    assert "Passed" in passed.stdout
    (folder / "bad.yaml").write_text(BAD)
    (folder / "isvc.yaml").write_text(ISVC)
    run(folder, "git", "add", "-A")
    failed = run(folder, sys.executable, "-m", "pre_commit", "run")
    assert failed.returncode == 1, failed.stdout + failed.stderr
    assert "bad.yaml:8: spec.template.spec.containerConcurrency" in failed.stdout
    assert "isvc.yaml:4: spec.predictor.maxReplicas" in failed.stdout
    assert "error  good.yaml" not in failed.stdout


def test_pre_commit_runs_the_hook(tmp_path: Path):
    """pre-commit takes the definition of the hook, and runs its command; only the environment is this one."""
    definition = ROOT / ".pre-commit-hooks.yaml"
    assert run(tmp_path, sys.executable, "-m", "pre_commit", "validate-manifest", str(definition)).returncode == 0
    hooks = YAML(typ="safe").load(definition.read_text())
    for hook in hooks:
        assert hook["language"] == "python"
        hook["language"] = "unsupported"
    repository(tmp_path, json.dumps({"repos": [{"repo": "local", "hooks": hooks}]}))
    try_hook(tmp_path)


@pytest.mark.statistical
def test_pre_commit_installs_and_runs_the_hook(tmp_path: Path):
    """The same from this repository, with an environment of its own, as on a machine without kpasim."""
    commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    own = {"repo": str(ROOT), "rev": commit.strip(), "hooks": [{"id": "kpasim-check"}]}
    repository(tmp_path, json.dumps({"repos": [own]}))
    (tmp_path / ".bin" / "kpasim").unlink()
    try_hook(tmp_path)


def test_the_steps_that_the_guide_shows_run(tmp_path: Path):
    """A good folder passes, a bad one fails the step, and in both cases there is a log to upload."""
    guide = (ROOT / "docs" / "guides" / "manifest.md").read_text()
    block = next(part for part in guide.split("```yaml\n")[1:] if "upload-sarif" in part).partition("```")[0]
    steps = YAML(typ="safe").load(block)
    checks = [step["run"] for step in steps if "kpasim check" in step.get("run", "")]
    (upload,) = [step for step in steps if "upload-sarif" in step.get("uses", "")]
    assert len(checks) == 1
    assert upload["if"] == "always()"  # an error ends the job before
    (tmp_path / "k8s").mkdir()
    (tmp_path / "k8s" / "good.yaml").write_text(GOOD)
    (tmp_path / "k8s" / "other.yaml").write_text(OTHER)
    log = tmp_path / upload["with"]["sarif_file"]

    done = run(tmp_path, "bash", "-e", "-c", checks[0])
    found = Sarif.model_validate_json(log.read_text())
    assert done.returncode == 0, done.stderr
    assert not [one for one in found.runs[0].results or [] if one.level == "error"]

    (tmp_path / "k8s" / "bad.yaml").write_text(BAD)
    done = run(tmp_path, "bash", "-e", "-c", checks[0])
    found = Sarif.model_validate_json(log.read_text())
    errors = [one for one in found.runs[0].results or [] if one.level == "error"]
    assert done.returncode == 1
    assert [one.locations[0].physical_location.artifact_location.uri for one in errors] == ["k8s/bad.yaml"]
