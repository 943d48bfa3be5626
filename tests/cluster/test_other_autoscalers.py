"""What is simulated only is not measured on a cluster."""

from pathlib import Path

import pytest

from kpasim.cluster.errors import ClusterError
from kpasim.cluster.validate import LOCAL, Settings, validate
from kpasim.spec.experiment import from_mapping
from tests.services import service


@pytest.mark.parametrize("kind", ["hpa", "spare"])
def test_another_autoscaler_is_not_validated(tmp_path: Path, kind: str) -> None:
    """The cluster would run Knative's own, and its prediction would be of something else."""
    data = {
        "service": service(),
        "workload": {"kind": "constant", "rate": 1.0, "duration": "5s"},
        "model": {"service-time": "1s", "cold-start": "1s"},
        "autoscaler": kind,
    }
    with pytest.raises(ClusterError, match=f"autoscaler {kind} is simulated only"):
        validate(from_mapping(data), Settings(target=LOCAL), tmp_path / "run")
    assert not (tmp_path / "run").exists()
