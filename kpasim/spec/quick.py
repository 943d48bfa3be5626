"""A first experiment for a manifest: sensible guesses, each with a remark on where to get the real number."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from string import Template
from typing import Any

from ruamel.yaml import YAML

from kpasim.errors import ExperimentError, Problem
from kpasim.spec.configmaps import cluster_of
from kpasim.spec.experiment import Experiment, loads
from kpasim.spec.heyflags import parse_hey
from kpasim.spec.manifest import ServiceManifest, read_service
from kpasim.spec.objects import split_name
from kpasim.spec.quantities import duration_text
from kpasim.spec.yamlfile import dumped, packaged_text, parse_documents

DEFAULT_WORKLOAD: Mapping[str, Any] = {"kind": "hey", "requests": 50, "concurrency": 5, "timeout": "180s"}


_GUESSED_SERVICE_TIME = """
    time: {distribution: lognormal, median: 10s, sigma: 0.3}"""
_WHERE = "; kubectl get events and the container's log have the real times."
_GUESSED_COLD_START = """
    stages:
      - {name: provision, kind: provision, time: {distribution: lognormal, median: 100s, sigma: 0.3}}
      - {name: image, kind: pull, time: 30s}
      - {name: load, kind: start, time: {distribution: lognormal, median: 30s, sigma: 0.4}}"""
_PROVISIONAL = """
  provisional: true          # guesses; delete this line when the numbers are yours"""


def _named_or_whole(service: ServiceManifest, manifest: str | Path, base: str | Path) -> str:
    """The service's key: its file, or the manifest itself where it came from a stream."""
    file, name = split_name(manifest)
    if file != "-":
        path = relative(file, base)
        return f"service: {flow(f'{path}#{name}' if name else path)}"
    data = {key: value for key, value in service.written.items() if key != "status"}
    return yaml_text({"service": data}).rstrip()


def relative(file: str | Path, base: str | Path) -> str:
    """The path of a file as seen from a folder."""
    return Path(os.path.relpath(Path(file).resolve(), Path(base).resolve())).as_posix()


def _cluster(service: ServiceManifest) -> list[str]:
    """The cluster block: instances the manifest names, and a GPU where it asks for none."""
    no_gpu = "  gpus-per-pod: 1            # the manifest has no GPU limit; 0 for a service without"
    types = service.eci_specs or service.node_types
    first = f"{{name: {flow(types[0])}}}" if types else "{name: gpu}              # without a price no cost"
    return [
        "cluster:",
        *([] if service.gpus else [no_gpu]),
        "  instance-types:            # to be had, in this order; price-per-hour and currency are yours to give",
        f"    - {first}",
        *(f"    # - {{name: {flow(name)}}}" for name in types[1:]),
    ]


def flow(value: Any) -> str:
    """A value on one line of YAML, keys in their order."""
    return yaml_text(value, flow_style=True).partition("\n")[0]


def yaml_text(value: Any, *, flow_style: bool | None = False) -> str:
    """A value as YAML, keys in their order and no line folded.

    With ``flow_style`` mappings and lists stand in one line; where it is None those of plain values only.
    """
    writer = YAML(typ="safe", pure=True)
    writer.default_flow_style = flow_style
    writer.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    return dumped(writer, value)


def quick_experiment(
    manifest: str | Path,
    hey_flags: str | None,
    service_time: str | None,
    cold_start: str | None,
    *,
    write_to: str | Path | None = None,
    cluster_config: Sequence[str | Path] = (),
) -> tuple[Experiment, str]:
    """An experiment made of a manifest and a few words from a command line, and the same as text for ``write_to``.

    hey's own defaults hold where its flags are silent. A time is a duration, or a distribution as one line of YAML;
    that of a cold start is from a pod's creation to its first response.

    Raises:
        ExperimentError: Anything of it is missing or cannot be used.
    """
    missing = [
        Problem(flag, f"is missing (give {what}, such as {example})")
        for flag, given, what, example in (
            ("--service-time", service_time, "the time one request takes", "11s"),
            ("--cold-start", cold_start, "the time from a pod's creation to its first response", "120s"),
        )
        if not given
    ]
    if missing:
        raise ExperimentError("command line", missing)
    return _imported(manifest, write_to, hey_flags or "", service_time, cold_start, cluster_config)


def read_value(name: str, text: str) -> Any:
    """A value from the command line: one line of YAML, nothing for None.

    Raises:
        ExperimentError: Not YAML.
    """
    documents = parse_documents(text, f"command line: {name}")
    if len(documents) > 1:
        raise ExperimentError.of("command line", f"{text!r} is more than one value", place=name)
    return documents[0].data if documents else None


def import_manifest(
    manifest: str | Path,
    *,
    out: str | Path | None,
    hey_flags: str | None,
    service_time: str | None,
    cold_start: str | None,
    cluster_config: Sequence[str | Path] = (),
) -> str:
    """The text of an experiment about a manifest; `-` reads the manifest from a stream and makes it part of it.

    Where nothing is given, 5 clients send 50 requests and times are guesses. Paths are relative to the file ``out``, or
    to the working folder.

    Raises:
        ExperimentError: Anything of it cannot be used.
    """
    return _imported(manifest, out, hey_flags, service_time, cold_start, cluster_config)[1]


def _imported(
    manifest: str | Path,
    out: str | Path | None,
    hey_flags: str | None,
    service_time: str | None,
    cold_start: str | None,
    cluster_config: Sequence[str | Path],
) -> tuple[Experiment, str]:
    """The experiment as it is from the working folder, and its text as it will be in the folder of ``out``."""
    workload = DEFAULT_WORKLOAD if hey_flags is None else hey_workload(hey_flags)
    time = None if service_time is None else read_value("--service-time", service_time)
    start = None if cold_start is None else read_value("--cold-start", cold_start)
    cluster = cluster_of(cluster_config)
    service = read_service(manifest, cluster.autoscaler, cluster.defaults)

    def text(base: str | Path) -> str:
        configs = [relative(one, base) for one in cluster_config]
        return Template(packaged_text("imported-experiment.yaml")).substitute(
            name=service.name,
            service=_named_or_whole(service, manifest, base),
            config=f"cluster-config: {flow(configs)}" if configs else "config-autoscaler: {}",
            workload="\n".join(f"  {key}: {flow(value)}" for key, value in workload.items()),
            service_time=_GUESSED_SERVICE_TIME if time is None else f" {flow(time)}",
            cold_source=_WHERE if start is None else "",
            cold_start=_GUESSED_COLD_START if start is None else f" {flow(start)}",
            provisional=_PROVISIONAL if time is None or start is None else "",
            cluster="\n".join(_cluster(service)),
        )

    # The folder of ``out`` may not exist yet, and nothing is to be made before all is known to be right.
    return loads(text("."), path="command line"), text(Path(out).parent if out else ".")


def hey_workload(flags: str) -> dict[str, Any]:
    """The workload of a hey command line as a file writes it; see `heyflags.parse_hey`."""
    workload = parse_hey(flags)
    for key in ("timeout", "duration"):
        if key in workload:
            workload[key] = duration_text(workload[key])
    return workload
