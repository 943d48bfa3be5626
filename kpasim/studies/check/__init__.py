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
from kpasim.spec.experiment import Experiment, load
from kpasim.spec.manifest import ServiceManifest, read_service
from kpasim.spec.settings import with_service_settings, with_settings
from kpasim.spec.yamlfile import read_documents
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
        return _refusals(error)


def _refusals(error: FileError) -> list[Finding]:
    """What is refused, as findings."""
    errors = getattr(error, "errors", (error,))
    return [
        Finding(
            "error",
            "refused",
            one.place,
            one.message,
            _REFUSED_WHY,
            "Correct it; nothing else was looked at.",
            file.path,
            one.line,
        )
        for file in errors
        for one in file.problems
    ]


_REFUSED_WHY = "Knative's webhooks, Kubernetes or kpasim would not take the file."
