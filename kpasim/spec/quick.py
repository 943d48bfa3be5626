"""A first experiment for a manifest: sensible guesses, each with a remark on where to get the real number."""

from __future__ import annotations

import io
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from kpasim.errors import ExperimentError, Problem
from kpasim.spec.autoscaler import AutoscalerConfig
from kpasim.spec.experiment import Experiment, load, loads
from kpasim.spec.heyflags import parse_hey
from kpasim.spec.manifest import ServiceManifest, read_service
from kpasim.spec.quantities import duration_text
from kpasim.spec.yamlfile import parse_documents, write_text

DEFAULT_WORKLOAD: Mapping[str, Any] = {"kind": "hey", "requests": 50, "concurrency": 5, "timeout": "180s"}


def scaffold(
    manifest: str | Path,
    *,
    base: str | Path = ".",
    workload: Mapping[str, Any] = DEFAULT_WORKLOAD,
    service_time: Any = None,
    cold_start: Any = None,
) -> str:
    """The text of an experiment about a manifest.

    Args:
        manifest: A Service YAML.
        base: Folder the experiment will stand in; the manifest is named relative to it.
        workload: The workload's mapping.
        service_time: Service time as a file has it; a remark asks for it where it is None.
        cold_start: Cold start as a file has it; stages of a GPU pod where it is None.

    Raises:
        ExperimentError: The manifest cannot be used.
    """
    service = read_service(manifest, AutoscalerConfig())
    relative = Path(os.path.relpath(Path(manifest).resolve(), Path(base).resolve()))
    lines = [
        f"# {service.name}: what its users wait and what it costs, before money is spent.",
        f"service: {_flow(relative.as_posix())}",
        "",
        "# What kubectl -n knative-serving get cm config-autoscaler says; Knative's defaults where it is silent.",
        "config-autoscaler: {}",
        "",
        "workload:",
        *_block(workload, 1),
        "",
        "model:",
        "  # How long one request takes that has the GPU to itself: fit it with kpasim calibrate, or measure one.",
        f"  service-time: {_flow(service_time)}" if service_time is not None else _GUESSED_SERVICE_TIME,
    ]
    if cold_start is not None:
        lines += ["  # From the creation of a pod to its first answer.", f"  cold-start: {_flow(cold_start)}"]
    else:
        lines += [_GUESSED_COLD_START]
    if service_time is None or cold_start is None:
        lines += ["  provisional: true          # guesses; delete this line when the numbers are yours"]
    lines += [
        "",
        *_cluster(service),
        "start: warm                  # or idled, or zero",
        "replications: 200",
        "seed: 1",
        "",
    ]
    return "\n".join(lines)


_GUESSED_SERVICE_TIME = """\
  service-time:
    time: {distribution: lognormal, median: 10s, sigma: 0.3}"""

_GUESSED_COLD_START = """\
  # From the creation of a pod to its first answer; kubectl get events and the container's log have the real ones.
  cold-start:
    stages:
      - {name: provision, kind: provision, time: {distribution: lognormal, median: 100s, sigma: 0.3}}
      - {name: image, kind: pull, time: 30s}
      - {name: load, kind: start, time: {distribution: lognormal, median: 30s, sigma: 0.4}}"""


def _cluster(service: ServiceManifest) -> list[str]:
    """The cluster block: instances the manifest names, and a GPU where it asks for none."""
    lines = ["cluster:"]
    if not service.gpus:
        lines.append("  gpus-per-pod: 1            # the manifest has no nvidia.com/gpu limit; 0 for a service without")
    types = service.eci_specs
    lines.append("  instance-types:            # add price-per-hour and currency; known types have an old list price")
    lines += [f"    - {{name: {_flow(name)}}}" for name in types] or [
        "    - {name: gpu, price-per-hour: 1.0, currency: USD}"
    ]
    return lines


def _flow(value: Any) -> str:
    """A value on one line of YAML."""
    out = io.StringIO()
    writer = YAML(typ="safe", pure=True)
    writer.default_flow_style = True
    writer.width = 2**31
    writer.dump(value, out)
    return out.getvalue().partition("\n")[0]


def _block(data: Mapping[str, Any], depth: int) -> list[str]:
    """The keys of a mapping, one a line."""
    return [f"{'  ' * depth}{key}: {_flow(value)}" for key, value in data.items()]


def quick_experiment(
    manifest: str | Path,
    hey_flags: str,
    service_time: str | None,
    cold_start: str | None,
    *,
    write_to: str | Path | None = None,
) -> Experiment:
    """An experiment made of a manifest and a few words from a command line.

    Args:
        manifest: A Service YAML.
        hey_flags: hey's flags; hey's own defaults hold where they are silent.
        service_time: A duration, or a distribution as one line of YAML.
        cold_start: The same for the time from a pod's creation to its first answer.
        write_to: File to write the experiment to.

    Raises:
        ExperimentError: Anything of it is missing or cannot be used.
    """
    given = {"--service-time": service_time, "--cold-start": cold_start}
    missing = [
        Problem(flag, f"is missing (give {what}, such as {example})")
        for flag, what, example in (
            ("--service-time", "the time one request takes", "11s"),
            ("--cold-start", "the time from a pod's creation to its first answer", "120s"),
        )
        if given[flag] is None
    ]
    if missing:
        raise ExperimentError("command line", missing)
    workload = parse_hey(hey_flags)
    for key in ("timeout", "duration"):
        if key in workload:
            workload[key] = duration_text(workload[key])
    parts = {flag: _value(flag, text) for flag, text in given.items()}
    text = scaffold(
        manifest,
        base=Path(write_to).parent if write_to else ".",
        workload=workload,
        service_time=parts["--service-time"],
        cold_start=parts["--cold-start"],
    )
    if write_to is None:
        return loads(text, path="command line")
    loads(text, path="command line", base=Path(write_to).parent)
    write_text(write_to, text)
    return load(write_to)


def _value(flag: str, text: str | None) -> Any:
    """A value from the command line: one line of YAML."""
    documents = parse_documents(text or "", flag)
    if len(documents) != 1:
        raise ExperimentError("command line", [Problem(flag, f"{text!r} is not a time (write 11s)")])
    return documents[0].data
