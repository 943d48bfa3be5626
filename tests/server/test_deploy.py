"""What the server is deployed with: the image's recipe and the Service manifest."""

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from kpasim.server.command import command
from kpasim.spec.autoscaler import AutoscalerConfig
from kpasim.spec.manifest import read_service

ROOT = Path(__file__).parents[2]
MANIFEST = ROOT / "deploy" / "txt2img-service.yaml"
RECIPE = (ROOT / "Containerfile").read_text()


def options(arguments: list[str]) -> dict[str, object]:
    """The server's options as its command line reads them; fails where it would not."""
    context = command.make_context("txt2img", arguments)
    return context.params


def test_the_manifest_is_one_that_kpasim_reads() -> None:
    """A pod holds one GPU, serves as many requests as it may run, and is ready when /readyz says so."""
    service = read_service(MANIFEST, AutoscalerConfig())
    assert (service.name, service.gpus, service.timeout_s) == ("txt2img", 1, 300.0)
    assert (service.probe.kind, service.probe.period_s) == ("http", 1.0)
    (container,) = service.document["spec"]["template"]["spec"]["containers"]
    assert container["readinessProbe"]["httpGet"]["path"] == "/readyz"
    assert options(list(container["args"]))["concurrency"] == service.container_concurrency == 1
    assert container["securityContext"]["runAsNonRoot"]


def test_the_image_runs_the_server_without_root() -> None:
    """Its user is not root, and its command line is one that the server takes."""
    user = re.findall(r"^USER (\d+):\d+$", RECIPE, re.MULTILINE)
    assert user
    assert user[-1] != "0"
    start, more = (
        json.loads(re.findall(rf"^{word} (\[.*\])$", RECIPE, re.MULTILINE)[-1]) for word in ("ENTRYPOINT", "CMD")
    )
    assert start[:3] == ["python", "-m", "kpasim.server"]
    assert options(start[3:] + more) == options(["--host", "0.0.0.0", "--model", "/model"])


def test_the_image_copies_what_exists() -> None:
    """Everything that the recipe takes from the project is there."""
    for names in re.findall(r"^COPY (?!--)(.+) \S+$", RECIPE, re.MULTILINE):
        for name in names.split():
            assert (ROOT / name).exists()


def test_the_server_needs_none_of_the_simulators_packages() -> None:
    """The image installs the server extra alone, so nothing of the server imports a package of the base install."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    names = {re.split(r"[\[<>=]", line)[0] for line in project["dependencies"]}
    banned = sorted((names - {"numpy", "pydantic", "click"} - {"ruamel.yaml"}) | {"ruamel"})
    program = (
        "import sys\n"
        f"sys.modules.update(dict.fromkeys({banned!r}))\n"
        "import kpasim.server.app, kpasim.server.command, kpasim.server.process, kpasim.server.service\n"
        "ours = {name.split('.')[1] for name in sys.modules if name.startswith('kpasim.')}\n"
        "assert ours == {'server', 'errors'}, ours\n"
        "assert 'torch' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_port_is_the_one_that_knative_names(monkeypatch: pytest.MonkeyPatch) -> None:
    """Knative hands the container's port over in PORT; an option still wins."""
    monkeypatch.delenv("PORT", raising=False)
    assert options(["--model", "m"])["port"] == 7860
    monkeypatch.setenv("PORT", "9001")
    assert options(["--model", "m"])["port"] == 9001
    assert options(["--model", "m", "--port", "9002"])["port"] == 9002
