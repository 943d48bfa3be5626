"""`kpasim check` of several files, of folders, and its formats for machines."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from sarif_pydantic import Sarif

from kpasim.cli.main import cli

SERVICE = """\
apiVersion: serving.knative.dev/v1
kind: Service
metadata: {name: NAME}
spec:
  template:
    metadata: {annotations: {autoscaling.knative.dev/targett: "7"}}
    spec: {containerConcurrency: 1, containers: [{image: "example/a,b:1"}]}
"""


@pytest.fixture(autouse=True)
def _files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder with two Services in a file, a Deployment, a template, and a file that is no YAML."""
    monkeypatch.chdir(tmp_path)
    Path("k8s/deep").mkdir(parents=True)
    both = "".join(f"{SERVICE.replace('NAME', name)}---\n" for name in ("front", "painter"))
    Path("k8s/two.yaml").write_text(both.replace("example/a,b:1", "example/a:1"))
    Path("k8s/deep/isvc.yaml").write_text(
        "apiVersion: serving.kserve.io/v1beta1\nkind: InferenceService\nmetadata: {name: a}\n"
        "spec: {predictor: {minReplica: 0, model: {modelFormat: {name: sklearn}, storageUri: gs://x}}}\n"
    )
    Path("k8s/deployment.yaml").write_text("apiVersion: apps/v1\nkind: Deployment\n")
    Path("k8s/template.yaml").write_text("apiVersion: serving.knative.dev/v1\nmetadata: {{ .Values.x }}\n")
    Path("k8s/broken.yaml").write_text("apiVersion: serving.knative.dev/v1\nkind: [\n")


def check(*arguments: str) -> tuple[int, str, str]:
    """Exit status, stdout and stderr."""
    done = CliRunner().invoke(cli, ["check", *arguments])
    assert done.exception is None or isinstance(done.exception, SystemExit)
    return done.exit_code, done.stdout, done.stderr


def test_every_service_of_a_file_is_checked():
    """Each has its misspelt annotation found at its own line."""
    status, out, err = check("k8s/two.yaml", "--quiet")
    assert status == 0
    assert out.count("two.yaml:6: annotations.autoscaling.knative.dev/targett") == 1
    assert out.count("two.yaml:14: annotations.autoscaling.knative.dev/targett") == 1
    assert "kpasim manifest import k8s/two.yaml#front" in err
    assert check("k8s/two.yaml#painter", "--quiet")[1].count("targett") == 2


def test_a_manifest_is_checked_without_what_experiments_need():
    """Neither numpy nor the parts of an experiment are imported: that took longer than the check."""
    code = (
        "import sys; from kpasim.studies.check import check_file;"
        "assert check_file('k8s/two.yaml', {}, trials=True);"
        "print(sorted({'numpy', 'scipy', 'kpasim.spec.experiment', 'kpasim.spec.workload'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_folder_is_searched_for_services_and_the_rest_is_counted():
    """Files that name Knative and cannot be read are errors; templates and other kinds are left out."""
    status, out, err = check("k8s", "--quiet")
    assert status == 1
    assert "k8s/broken.yaml:" in out
    assert "a predictor has no field minReplica" in " ".join(out.split())
    assert "2 YAML files without a Service or an experiment left out" in err
    assert "3 files: 1 error" in err


def test_a_folder_without_a_service_is_refused(tmp_path):
    """One line."""
    (tmp_path / "none").mkdir()
    status, _, err = check("none")
    assert status == 2
    assert "no file with a Service or an experiment in none" in err


def test_github_annotations_name_file_line_and_rule():
    """Special characters are escaped, as GitHub reads them."""
    status, out, _ = check("k8s/two.yaml", "k8s/deep/isvc.yaml", "--format", "github", "--quiet")
    assert status == 0
    lines = out.splitlines()
    assert all(line.startswith("::warning file=k8s/") for line in lines)
    assert any(
        line.startswith("::warning file=k8s/two.yaml,line=6,title=kpasim ignored-annotation::") for line in lines
    )
    assert any("a utilisation of 70%25 asks for" in line for line in lines)


def test_sarif_is_valid_and_holds_every_finding():
    """Against the types of SARIF 2.1.0, with the level, the rule and the line of each."""
    _, out, _ = check("k8s", "--format", "sarif")
    log = json.loads(out)
    Sarif.model_validate(log)
    assert (log["version"], log["$schema"]) == ("2.1.0", "https://json.schemastore.org/sarif-2.1.0.json")
    [run] = log["runs"]
    ids = [rule["id"] for rule in run["tool"]["driver"]["rules"]]
    assert len(set(ids)) == len(ids)
    listed = json.loads(check("k8s", "--format", "json")[1])
    findings = [one for file in listed["files"] for one in file["findings"]]
    assert len(run["results"]) == len(findings)
    for result, finding in zip(run["results"], findings, strict=True):
        assert result["level"] in {"error", "warning", "note"}
        assert (result["level"], ids[result["ruleIndex"]]) == (finding["level"], result["ruleId"])
        [location] = result["locations"]
        assert location["physicalLocation"]["region"]["startLine"] == (finding["line"] or 1)
        assert not location["physicalLocation"]["artifactLocation"]["uri"].startswith("/")


def test_json_of_one_file_is_its_findings():
    """As before, and as --json says it."""
    one = json.loads(check("k8s/two.yaml", "--format", "json")[1])
    assert one == json.loads(check("k8s/two.yaml", "--json")[1])
    assert set(one) == {"file", "counts", "findings"}


def test_a_template_says_that_it_must_be_rendered():
    """Named by itself it is an error."""
    status, _, err = check("k8s/template.yaml")
    assert status == 1
    assert err.startswith("Error: k8s/template.yaml:2: is a template, with {{: render it first (helm template")


def test_a_template_whose_actions_are_in_quotes_is_one_too():
    """It is YAML; what is wrong with it is that it is not rendered."""
    rows = 'autoscaling.knative.dev/max-scale: "{{ .Values.max }}"'
    Path("quoted.yaml").write_text(
        SERVICE.replace("NAME", "a").replace("a,b:1", "a:1").replace('autoscaling.knative.dev/targett: "7"', rows)
    )
    status, out, _ = check("quoted.yaml")
    assert status == 1
    assert "quoted.yaml:6" in out
    assert "is a template, with {{: render it first" in " ".join(out.split())
