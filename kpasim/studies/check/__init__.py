"""What is surprising or wrong in a manifest or an experiment, before money is spent.

Each rule is a function of a `Case` that yields findings. Rules about times need a model of the
service, rules about demand a workload, so a bare manifest gets fewer findings than an experiment.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kpasim.errors import FileError
from kpasim.spec.autoscaler import AutoscalerConfig
from kpasim.spec.base import dotted, line_of
from kpasim.spec.configmaps import Defaults
from kpasim.spec.experiment import Experiment, load
from kpasim.spec.manifest import API_VERSION, ServiceManifest, read_service
from kpasim.spec.settings import with_service_settings, with_settings
from kpasim.spec.webhook import review
from kpasim.spec.yamlfile import Document, read_documents
from kpasim.studies.check import fields, manifest, running
from kpasim.studies.check.case import LEVELS, Case, Finding

__all__ = ["LEVELS", "RULES", "Finding", "check_file", "findings", "is_manifest"]

RULES = (*fields.RULES, *manifest.RULES, *running.RULES)
"""Every rule, in the order in which findings of one level are shown."""


def findings(target: Experiment | ServiceManifest) -> list[Finding]:
    """Everything worth knowing about an experiment or a manifest, the gravest first."""
    case = Case(target.service, target) if isinstance(target, Experiment) else Case(target)
    # Arithmetic with a setting that is no number finds nothing.
    rules = RULES if case.has_numbers else fields.RULES
    found = [one for rule in rules for one in rule(case)]
    return sorted(found, key=lambda one: LEVELS.index(one.level))


def is_manifest(path: str | Path) -> bool:
    """Whether a file holds Kubernetes objects, and so is no experiment."""
    return any(isinstance(one.data, dict) and "kind" in one.data for one in read_documents(path))


def check_file(path: str | Path, settings: Mapping[str, Any] | None = None, *, trials: bool = False) -> list[Finding]:
    """Findings about a file that is an experiment or a manifest; what cannot be read at all is a finding too.

    Args:
        path: The file.
        settings: Settings that are changed before, by path.
        trials: Whether fixes are simulated; one that does not help is not advised.

    Raises:
        RunError: A setting is refused.
        FileError: The file is neither.
    """
    try:
        if is_manifest(path):
            return findings(with_service_settings(read_service(path, AutoscalerConfig()), settings or {}))
        experiment = with_settings(load(path), settings or {})
        found = findings(experiment)
        if trials and any(one.changes for one in found):
            from kpasim.studies.check.trial import tried

            return tried(experiment, found)
        return found
    except FileError as error:
        if not all(problem.place for problem in error.problems):
            raise
        return _refusals(error, path)


def _refusals(error: FileError, path: str | Path) -> list[Finding]:
    """What is refused, as findings; with what else can be said of a manifest that is."""
    sources: dict[str, str] = {}
    besides: list[Finding] = []
    for document in _services(path):
        verdict = review(document.data, AutoscalerConfig(), Defaults())
        sources |= {dotted(fault.place): fault.source for fault in verdict.faults}
        said = [("needs-feature", fault.place, fields.needs_feature_texts(fault)) for fault in verdict.needs]
        said += [
            ("unknown-field", place, fields.unknown_field_texts(place))
            for place in verdict.unknown
            if place[0] != "status"
        ]
        besides += [
            Finding("warning", name, dotted(place), *texts, str(path), line_of(place, document.lines))
            for name, place, texts in said
        ]
    refused = [
        Finding(
            "error",
            "refused",
            one.place,
            one.message,
            f"{sources[one.place]} decides." if one.place in sources else _REFUSED_WHY,
            "Correct it; loads and settings were not looked at.",
            file.path,
            one.line,
        )
        for file in getattr(error, "errors", (error,))
        for one in file.problems
    ]
    return [*refused, *besides]


def _services(path: str | Path) -> list[Document]:
    """The first Knative Service of a file, as a list; empty where there is none."""
    for document in read_documents(path):
        data = document.data
        if isinstance(data, dict) and data.get("kind") == "Service" and data.get("apiVersion") == API_VERSION:
            return [document]
    return []


_REFUSED_WHY = "Knative's webhooks, Kubernetes or kpasim would not take the file."
