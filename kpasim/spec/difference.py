"""What differs between two manifests or two experiments, in settings and not in spelling."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from kpasim.spec.autoscaler import PREFIX, SPELLINGS, AutoscalerConfig
from kpasim.spec.experiment import Experiment, load
from kpasim.spec.goparse import parse_duration, parse_float
from kpasim.spec.manifest import ServiceManifest, read_service
from kpasim.spec.objects import split_name
from kpasim.spec.yamlfile import read_documents

_NOT_SETTINGS = {
    "status", "metadata.managedFields", "metadata.resourceVersion", "metadata.uid", "metadata.generation",
    "metadata.creationTimestamp",
}  # fmt: skip
"""What a cluster adds to a Service and nobody sets."""

COMMENTS = {"model.name", "model.description", "model.source", "model.provisional"}
"""What describes a model and changes no run."""

_MEASURES = {"seed", "replications", "horizon", "repeat", "tolerances", "workload", "start", "cost"}
"""Sections of an experiment that say how a service is measured, not how it is set."""
_PRICES = {"price-per-hour", "currency"}

_DRAWS = "model.posterior"
"""Draws of the numbers of a model."""

_OF_CLIENTS = {"timeout", "sessions"}
"""Keys of a workload that change no request: when clients give up, and which of them come back."""
_OF_CLIENTS_FIELDS = {"timeout_s", "sessions"}

_SHORT = {key: name for name, keys in SPELLINGS.items() for key in keys}


class Difference(NamedTuple):
    """A setting that is not the same on both sides; None where it is not set."""

    setting: str
    before: Any
    after: Any

    @property
    def texts(self) -> tuple[str, str]:
        """Both sides in words."""
        before, after = ("not set" if value is None else str(value) for value in self[1:])
        return before, after


def read_either(path: str | Path) -> Experiment | ServiceManifest:
    """A file that is an experiment or a manifest.

    Raises:
        ExperimentError: It is neither.
    """
    documents = read_documents(split_name(path)[0])
    if any(isinstance(one.data, dict) and "kind" in one.data for one in documents):
        return read_service(path, AutoscalerConfig())
    return load(path)


def differences(before: Experiment | ServiceManifest, after: Experiment | ServiceManifest) -> list[Difference]:
    """Every setting that differs, in the order of the files.

    Spellings of annotations, quotes, units of durations and the order of keys make no difference; neither does a key
    that says what its default is, outside of the manifest.

    Of an experiment beside a manifest only the manifest counts.
    """
    if isinstance(before, Experiment) != isinstance(after, Experiment):
        before = before.service if isinstance(before, Experiment) else before
        after = after.service if isinstance(after, Experiment) else after
    left, right = _settings(before), _settings(after)
    names = [*left, *(name for name in right if name not in left)]
    return [
        Difference(name, left.get(name), right.get(name))
        for name in names
        if meaning(left.get(name)) != meaning(right.get(name))
    ]


def is_measure(path: str) -> bool:
    """Whether a setting says how a service is measured (load, start, end, prices), so that nobody can choose it."""
    return path.partition(".")[0] in _MEASURES or path.rpartition(".")[2] in _PRICES


def is_comment(path: str) -> bool:
    """Whether a setting changes neither simulation nor bill by its nature."""
    return path in COMMENTS or path.partition(".")[0] == "tolerances"


def is_load(path: str) -> bool:
    """Whether a setting decides when and how many requests are sent."""
    return path == "workload" or (path.startswith("workload.") and path.split(".")[1] not in _OF_CLIENTS)


def same_load(one: Experiment, other: Experiment) -> bool:
    """Whether replication k of both experiments meets the same requests: then the two may be compared in pairs."""
    loads = (each.workload.model_dump(by_alias=True, exclude=_OF_CLIENTS_FIELDS) for each in (one, other))
    return one.seed == other.seed and next(loads) == next(loads)


def _settings(of: Experiment | ServiceManifest) -> dict[str, Any]:
    """Every setting by its path."""
    if isinstance(of, ServiceManifest):
        return dict(_service(of))
    settings = {f"service.{path}": value for path, value in _service(of.service)}
    dumped = of.model_dump(mode="json", by_alias=True, exclude={"service"}, exclude_defaults=True)
    for name, value in dumped.items():
        settings |= dict(_leaves(value, name))
    return {path: value for path, value in settings.items() if path not in COMMENTS}


def _service(service: ServiceManifest) -> Iterator[tuple[str, Any]]:
    """Settings of a manifest; annotations by their short names, where both spellings are there the one that counts."""
    seen: set[str] = set()
    for path, value in _leaves(service.data, ""):
        if path in _NOT_SETTINGS or path.partition(".")[0] in _NOT_SETTINGS:
            continue
        key = path.removeprefix("spec.template.metadata.annotations.")
        if key == path:
            yield path.removeprefix("spec.template.spec."), value
            continue
        short = _SHORT.get(key, key.removeprefix(PREFIX))
        if short not in seen:
            seen.add(short)
            yield f"annotations.{short}", service.annotation(key) if key in _SHORT else value


def _leaves(data: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Everything in nested mappings and lists that holds nothing more, with its path."""
    if path in _NOT_SETTINGS:
        return
    if path == _DRAWS and data:
        # Thousands of numbers: what matters is whether they are the same.
        digits = hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()[:8]
        yield path, f"{len(data)} draws, {digits}"
        return
    if isinstance(data, Mapping) and data:
        for key, value in data.items():
            yield from _leaves(value, f"{path}.{key}" if path else str(key))
    elif isinstance(data, list) and data and all(isinstance(one, Mapping) for one in data):
        for index, one in enumerate(data):
            yield from _leaves(one, f"{path}.{one.get('name', index)}")
    elif data not in ({}, [], None):
        yield path, data


def meaning(value: Any) -> Any:
    """What a value says: numbers and durations by their size."""
    if isinstance(value, str):
        for read in (parse_float, parse_duration):
            try:
                number = read(value)
            except ValueError:
                continue
            return (read.__name__, number)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return ("parse_float", float(value))
    return value
