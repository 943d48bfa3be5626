"""A small sweep that is simulated in a second or two, by the reference engine."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

MANIFEST = """\
apiVersion: serving.knative.dev/v1
kind: Service
metadata: {name: painter}
spec:
  template:
    metadata:
      annotations:
        autoscaling.knative.dev/max-scale: "4"  # as many as there are GPUs
        autoscaling.knative.dev/window: "30s"
    spec:
      containerConcurrency: 1
      containers:
        - image: registry.example/painter
          readinessProbe: {tcpSocket: {port: 8080}, periodSeconds: 1}
          resources: {limits: {nvidia.com/gpu: "1"}}
"""
EXPERIMENT = """\
service: painter.yaml
workload: {kind: hey, requests: 12, concurrency: 3, timeout: 120s}
model:
  service-time: {distribution: lognormal, median: 4s, sigma: 0.3}
  cold-start:
    stages:
      - {name: provision, kind: provision, time: {distribution: lognormal, median: 10s, sigma: 0.3}}
      - {name: load, kind: start, time: 5s}
cluster:
  instance-types: [{name: small, price-per-hour: 3.6}, {name: large, price-per-hour: 7.2}]
start: warm
replications: 5
seed: 3
"""
SWEEP = """\
experiment: painting.yaml
axes:
  service.annotations.max-scale: [1, 2, 3]
  service.annotations.min-scale: [0, 1, 2]
  service.annotations.window: [10s, 30s]
replications: 8
"""


def write(folder: Path, sweep: str = SWEEP, experiment: str = EXPERIMENT) -> Path:
    """Write the files and return the sweep's path."""
    (folder / "painter.yaml").write_text(MANIFEST)
    (folder / "painting.yaml").write_text(experiment)
    path = folder / "painting-sweep.yaml"
    path.write_text(sweep)
    return path


def rows(folder: Path) -> Any:
    """The table of all replications that a sweep left."""
    return pq.read_table(folder / "replications.parquet")


def command_line(*arguments: str | Path, **more: Any) -> subprocess.CompletedProcess[str]:
    """Run `kpasim` with these arguments in a process of its own."""
    words = [sys.executable, "-m", "kpasim.cli.main", *map(str, arguments)]
    return subprocess.run(words, check=False, capture_output=True, text=True, timeout=300, **more)
