"""What a real cluster said of Services and ConfigMaps, and kpasim says, too.

``pytest tests/spec/test_webhook.py --vectors DIR`` replays another folder of verdicts in the same format: those in
tests/vectors are server-side dry runs against Knative 98e5ef9 behind kube-apiserver 1.36.2, and those of
services-code are verdicts of the same code, and of Kubernetes 1.34's validation, run by itself on drawn Services.
"""

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from kpasim.errors import ExperimentError
from kpasim.spec.autoscaler import HPA, KPA, AutoscalerConfig, parse_config
from kpasim.spec.configmaps import CONFIG_MAPS, ClusterConfig, Defaults, parse_defaults
from kpasim.spec.manifest import read_service
from kpasim.spec.webhook import review
from kpasim.spec.webhook.configmap import CHECKSUM, refusals
from kpasim.studies.check import Finding, findings
from tests.conftest import FAMILIES, LATER, load_vectors

SHIPPED_EXAMPLES = {
    "config-autoscaler": "c727b3e8",
    "config-defaults": "5b64ff5c",
    "config-deployment": "555b4826",
    "config-features": "424df6ce",
    "config-gc": "aa3813a8",
    "config-certmanager": "b7a9a602",
    "config-domain": "26c09de5",
    "config-leader-election": "f4b71f57",
    "config-logging": "9f25d429",
    "config-network": "0573e07d",
    "config-observability": "59abacb5",
}
"""Checksums of the examples in config/core/configmaps."""
MISSING = re.compile(r"error looking up service account \S+/(\S+): ")


def defaults_of(cluster: dict[str, dict[str, str]]) -> Defaults:
    """The defaults of a cluster whose ConfigMaps are known."""
    defaults = Defaults()
    for name in CONFIG_MAPS:
        defaults = parse_defaults(defaults, name, cluster.get(name, {}), strict=False)
    return defaults


def said(path: Path, config: AutoscalerConfig, defaults: Defaults) -> list[Finding]:
    """What check says of a manifest on a cluster that is known."""
    try:
        return findings(read_service(path, config, defaults))
    except ExperimentError as error:
        return [Finding("error", "refused", one.place, one.message, "", "") for one in error.problems]


def test_every_recorded_case_has_a_test(request: pytest.FixtureRequest) -> None:
    """A folder of another kind of verdicts is named, and not passed over."""
    given = load_vectors(Path(request.config.getoption("vectors")))
    unknown = {family: len(cases) for family, cases in given.items() if family not in FAMILIES + LATER}
    kinds = Counter(case["object"].get("kind") for case in given.get("services", []))
    unknown |= {str(kind): count for kind, count in kinds.items() if kind != "Service"}
    assert not unknown, f"no test replays these cases: {unknown}"


@pytest.mark.vectors("services")
def test_check_agrees_with_the_webhook_on_a_service(case: dict[str, Any], tmp_path: Path) -> None:
    """Accepted or refused, the fields that are dropped, and what Knative fills in."""
    assert case["object"].get("kind") == "Service", f"kpasim reviews Services, not a {case['object'].get('kind')}"
    config = parse_config(case["cluster_config"]["config-autoscaler"])
    defaults = defaults_of(case["cluster_config"])
    path = tmp_path / "service.yaml"
    path.write_text(json.dumps(case["object"]))
    found = said(path, config, defaults)
    missing = MISSING.search(case.get("message", ""))
    if missing:
        # The manifest is right; this cluster lacks an object that it names, and check says that it must be there.
        assert [one for one in found if one.name == "service-account" and f" {missing[1]} " in one.what]
        return
    assert (not [one for one in found if one.name == "refused"]) == case["accepted"], case.get("message")
    if not case["accepted"]:
        return
    dropped = re.findall(r'unknown field "([^"\\]+)', " ".join(case["warnings"]))
    assert sorted(one.place for one in found if one.name == "unknown-field") == sorted(dropped)
    assert review(case["object"], ClusterConfig(config, defaults)).defaulted == case["defaulted"]["spec"]


@pytest.mark.vectors("services")
def test_what_is_not_simulated_is_not_called_refused(case: dict[str, Any], tmp_path: Path) -> None:
    """A class that Knative accepts is an error of its own; its HPA is a warning, but an error by other metrics."""
    template = (case["object"].get("spec") or {}).get("template") or {}
    annotations = (template.get("metadata") or {}).get("annotations") or {}
    if not case["accepted"] or annotations.get("autoscaling.knative.dev/class", KPA) == KPA:
        return
    path = tmp_path / "service.yaml"
    path.write_text(json.dumps(case["object"]))
    config = parse_config(case["cluster_config"]["config-autoscaler"])
    found = findings(read_service(path, config))
    errors = [one for one in found if one.level == "error"]
    if annotations["autoscaling.knative.dev/class"] == HPA and annotations.get(
        "autoscaling.knative.dev/metric", "cpu"
    ) in {"cpu", "concurrency", "rps"}:
        assert not errors
        assert any("Kubernetes' HPA" in one.what for one in found if one.level == "warning")
        return
    (error,) = errors
    assert error.name == "other-autoscaler"
    assert "not simulated" in error.what


@pytest.mark.vectors("configmaps")
def test_kpasim_agrees_with_the_webhook_on_a_config_map(case: dict[str, Any]) -> None:
    """A change of the ConfigMap that Knative ships is accepted or refused."""
    name = case["configmap"]
    data = {**case["cluster_config"].get(name, {}), **case["data"]}
    annotations = {CHECKSUM: SHIPPED_EXAMPLES[name]} if name in SHIPPED_EXAMPLES else {}
    assert (refusals(name, data, annotations) == []) == case["accepted"], case.get("message")
