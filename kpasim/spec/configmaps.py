"""ConfigMaps of a cluster: found in YAML files, and what two of them mean for a Service.

`config-autoscaler` is read in `kpasim.spec.autoscaler`; of `config-defaults` and `config-deployment` only the keys that
a run depends on matter.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from kpasim.errors import ExperimentError, Problem
from kpasim.spec.autoscaler import AutoscalerConfig, parse_config, text_of
from kpasim.spec.base import Place, dotted, line_of, show, unknown_key
from kpasim.spec.goparse import format_float, parse_bool, parse_duration, parse_int
from kpasim.spec.quantities import duration_text
from kpasim.spec.yamlfile import Document, parse_documents, read_text


@dataclass(frozen=True, slots=True)
class Defaults:
    """What `config-defaults` and `config-deployment` say, as far as a run depends on it."""

    container_concurrency: int = 0
    container_concurrency_max_limit: int = 1000
    allow_container_concurrency_zero: bool = True
    timeout_s: float = 300.0
    max_timeout_s: float = 600.0
    response_start_timeout_s: float = 300.0
    idle_timeout_s: float = 0.0
    progress_deadline_s: float = 600.0
    pod_is_always_schedulable: bool = False


def not_text(value: Any) -> str:
    """What to say about a value that Kubernetes takes for something else than text."""
    try:
        text = text_of(value)
    except ValueError:
        text = "..."
    return f'{show(value)} is not text, and Kubernetes refuses it (put it in quotes: "{text}")'


def read_config_map(path: str | Path, name: str) -> tuple[dict[str, Any], Document, Place]:
    """The data of a ConfigMap in a YAML file, or of a file that holds nothing but such data.

    Args:
        path: The file.
        name: Name of the ConfigMap, to find it among several.

    Returns:
        Data, document, and where in the document the data stand.

    Raises:
        ExperimentError: Not YAML, or no such ConfigMap in it.
    """
    documents = parse_documents(read_text(path), path)
    maps = [one for one in documents if isinstance(one.data, dict) and one.data.get("kind") == "ConfigMap"]
    named = [
        one for one in maps if isinstance(one.data.get("metadata"), dict) and one.data["metadata"].get("name") == name
    ]
    if not maps and len(documents) == 1 and isinstance(documents[0].data, dict) and "kind" not in documents[0].data:
        return documents[0].data, documents[0], ()
    chosen = named[0] if named else maps[0] if len(maps) == 1 else None
    if chosen is None:
        raise ExperimentError(
            path, [Problem("", f"holds no ConfigMap {name} (kind: ConfigMap, metadata.name: {name})", 1)]
        )
    data = chosen.data.get("data") or {}
    if not isinstance(data, dict):
        raise ExperimentError(
            path, [Problem("data", f"{show(data)} is not right (must be a mapping)", line_of(("data",), chosen.lines))]
        )
    problems = [
        Problem(f"data.{key}", not_text(value), line_of(("data", key), chosen.lines))
        for key, value in data.items()
        if not isinstance(value, str)
    ]
    if problems:
        raise ExperimentError(path, problems)
    return data, chosen, ("data",)


def read_autoscaler_config(path: str | Path) -> AutoscalerConfig:
    """The settings in a ConfigMap file; keys that Knative ignores are ignored.

    Raises:
        ExperimentError: Not such a file, or refused by Knative.
    """
    data, document, prefix = read_config_map(path, "config-autoscaler")
    return parse_config(data, path=path, lines=document.lines, prefix=prefix)


_DEFAULTS_KEYS: dict[str, tuple[str, Any]] = {
    "container-concurrency": ("container_concurrency", parse_int),
    "container-concurrency-max-limit": ("container_concurrency_max_limit", parse_int),
    "allow-container-concurrency-zero": ("allow_container_concurrency_zero", parse_bool),
    "revision-timeout-seconds": ("timeout_s", lambda text: float(parse_int(text))),
    "max-revision-timeout-seconds": ("max_timeout_s", lambda text: float(parse_int(text))),
    "revision-response-start-timeout-seconds": ("response_start_timeout_s", lambda text: float(parse_int(text))),
    "revision-idle-timeout-seconds": ("idle_timeout_s", lambda text: float(parse_int(text))),
}
_DEPLOYMENT_KEYS: dict[str, tuple[str, Any]] = {
    "progress-deadline": ("progress_deadline_s", lambda text: parse_duration(text) / 1e9),
    "pod-is-always-schedulable": ("pod_is_always_schedulable", parse_bool),
}
CONFIG_MAPS = {"config-defaults": _DEFAULTS_KEYS, "config-deployment": _DEPLOYMENT_KEYS}
"""Keys of the other two ConfigMaps that a run depends on."""


def parse_defaults(
    defaults: Defaults,
    name: str,
    data: Mapping[str, Any],
    *,
    path: str | Path = "",
    source: Document | None = None,
    prefix: Place = (),
    strict: bool,
) -> Defaults:
    """Take the data of `config-defaults` or `config-deployment` into the defaults.

    Args:
        defaults: What holds so far.
        name: Which of the two ConfigMaps.
        data: Its data.
        path: File, for messages.
        source: Document, for lines in messages.
        prefix: Where in the document the data stand.
        strict: Whether to refuse keys that do not matter here.

    Raises:
        ExperimentError: A value that Knative would refuse.
    """
    keys = CONFIG_MAPS[name]
    values: dict[str, Any] = {}
    problems: list[Problem] = []
    lines = source.lines if source else {}

    def wrong(key: str, message: str) -> None:
        place = (*prefix, key)
        problems.append(Problem(dotted(place), message, line_of(place, lines)))

    for key, value in data.items():
        if key not in keys:
            if strict and key != "_example":
                wrong(key, unknown_key(key, keys))
            continue
        attribute, parse = keys[key]
        try:
            values[attribute] = parse(text_of(value))
        except ValueError:
            example = getattr(defaults, attribute)
            wanted = (
                ("true" if example else "false")
                if isinstance(example, bool)
                else duration_text(example)
                if "deadline" in key
                else format_float(example)
            )
            wrong(key, f"{show(value)} cannot be read (write {wanted})")
    result = replace(defaults, **values)
    for key, message in _defaults_faults(result):
        if key in data:
            wrong(key, message)
    if problems:
        raise ExperimentError(path, problems)
    return result


def _defaults_faults(d: Defaults) -> list[tuple[str, str]]:
    """Bounds that the two ConfigMaps break.

    Source:
        knative/serving@98e5ef9, pkg/apis/config/defaults.go, pkg/deployment/config.go
    """
    faults = []
    if d.timeout_s > d.max_timeout_s:
        text = f"{d.timeout_s:g} is above max-revision-timeout-seconds = {d.max_timeout_s:g}"
        faults += [("revision-timeout-seconds", text), ("max-revision-timeout-seconds", text)]
    if d.timeout_s <= 0:
        faults.append(("revision-timeout-seconds", f"{d.timeout_s:g} is out of range (must be above 0)"))
    if d.container_concurrency_max_limit < 1:
        faults.append(
            (
                "container-concurrency-max-limit",
                f"{d.container_concurrency_max_limit} is out of range (must be at least 1)",
            )
        )
    elif not 0 <= d.container_concurrency <= d.container_concurrency_max_limit:
        faults.append(
            (
                "container-concurrency",
                f"{d.container_concurrency} is out of range (must be in [0, {d.container_concurrency_max_limit}])",
            )
        )
    if d.progress_deadline_s <= 0 or d.progress_deadline_s != int(d.progress_deadline_s):
        faults.append(
            (
                "progress-deadline",
                f"{duration_text(d.progress_deadline_s)} is out of range (must be whole seconds above 0)",
            )
        )
    return faults
