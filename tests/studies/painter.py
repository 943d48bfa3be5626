"""A service that paints pictures, as manifests and experiments of tests."""

from typing import Any

from kpasim.spec.experiment import Experiment, from_mapping
from tests.services import service


def manifest(
    notes: dict[str, str] | None = None, container: dict[str, Any] | None = None, **spec: Any
) -> dict[str, Any]:
    """A Service that leaves nothing to wish for, but for what is given."""
    probe = {"httpGet": {"path": "/ready"}, "periodSeconds": 1}
    wanted = {"max-scale": "4", "min-scale": "1", "target-utilization-percentage": "100", **(notes or {})}
    return service(
        {key: value for key, value in wanted.items() if value},
        container={"readinessProbe": probe, "resources": {"limits": {"nvidia.com/gpu": "1"}}, **(container or {})},
        **{"containerConcurrency": 1, "timeoutSeconds": 300, **spec},
    )


def experiment(
    workload: dict[str, Any], model: dict[str, Any] | None = None, service: dict[str, Any] | None = None, **more: Any
) -> Experiment:
    """An experiment of it."""
    return from_mapping(
        {
            "service": service or manifest(),
            "workload": workload,
            "model": {"service-time": 10, "cold-start": "60s", **(model or {})},
            "cluster": {"instance-types": [{"name": "g", "price-per-hour": 3.6, "gpus": 1}]},
            "replications": 3,
            "seed": 1,
            **more,
        }
    )


def poisson(rate: float, duration: str, **more: Any) -> dict[str, Any]:
    """Requests at random."""
    return {"kind": "poisson", "rate": rate, "duration": duration, **more}
