"""A small, right experiment, for tests to spoil."""

from pathlib import Path

MANIFEST = """\
apiVersion: serving.knative.dev/v1
kind: Service
metadata:
  name: painter
  annotations:
    team: "graphics"
spec:
  template:
    metadata:
      annotations:
        autoscaling.knative.dev/max-scale: "4"
    spec:
      containerConcurrency: 1
      timeoutSeconds: 300
      containers:
        - image: registry.example/painter
          ports: [{containerPort: 8080}]
          readinessProbe:
            httpGet: {path: /ready}
            periodSeconds: 1
          resources:
            limits:
              nvidia.com/gpu: "1"
"""

MODEL = """\
service-time:
  time: {distribution: lognormal, median: 10s, sigma: 0.3}
cold-start:
  stages:
    - {name: pull, kind: pull, time: 30s}
    - {name: load, kind: start, time: 20s}
"""

EXPERIMENT = """\
service: painter.yaml
config-autoscaler:
  stable-window: 60s
workload:
  kind: poisson
  rate: 0.5
  duration: 10m
model: painter-model
cluster:
  instance-types:
    - {name: small, price-per-hour: 1.0}
start: warm
replications: 20
"""


def write(folder: Path, experiment: str = EXPERIMENT, manifest: str = MANIFEST, model: str = MODEL) -> Path:
    """Write the three files and return the experiment's path."""
    (folder / "painter.yaml").write_text(manifest)
    (folder / "painter-model.yaml").write_text(model)
    path = folder / "experiment.yaml"
    path.write_text(experiment)
    return path


def shipped(kind: str) -> list[Path]:
    """The repository's experiments, or its sweeps, which name an experiment."""
    files = sorted((Path(__file__).parents[2] / "experiments").glob("*.yaml"))
    sweeps = [path for path in files if "\nexperiment:" in path.read_text()]
    return sweeps if kind == "sweep" else [path for path in files if path not in sweeps]
