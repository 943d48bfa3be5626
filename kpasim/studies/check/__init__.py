"""What is surprising or wrong in a manifest or an experiment, before money is spent.

Each rule is a function of a `Case` that yields findings. Rules about times need a model of the
service, rules about demand a workload, so a bare manifest gets fewer findings than an experiment.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kpasim.errors import FileError
from kpasim.spec.base import dotted, line_of
from kpasim.spec.configmaps import ClusterConfig, cluster_of
from kpasim.spec.manifest import API_VERSION, ServiceManifest, read_object
from kpasim.spec.objects import Object, is_list, objects_in, one_service, services_of, split_name
from kpasim.spec.settings import with_service_settings, with_settings
from kpasim.spec.webhook import review
from kpasim.spec.yamlfile import read_documents
from kpasim.studies.check import fields, kserve, manifest, running
from kpasim.studies.check.case import LEVELS, Case, Finding, in_words
from kpasim.studies.check.configmaps import config_map_findings

if TYPE_CHECKING:
    from kpasim.spec.experiment import Experiment

__all__ = ["LEVELS", "RULES", "Finding", "check_file", "findings", "is_manifest", "unreadable"]

RULES = (*fields.RULES, *kserve.RULES, *manifest.RULES, *running.RULES)
"""Every rule, in the order in which findings of one level are shown."""


def findings(target: Experiment | ServiceManifest, cluster: ClusterConfig | None = None) -> list[Finding]:
    """Everything worth knowing about an experiment, or about a manifest in a cluster, the gravest first."""
    if isinstance(target, ServiceManifest):
        case, found = Case(target, cluster=cluster or ClusterConfig()), []
    else:
        case, found = Case(target.service, target), config_map_findings(target.config_maps)
    # Arithmetic with a setting that is no number finds nothing.
    rules = RULES if case.has_numbers else fields.RULES
    unread = manifest.OF_KNATIVES_AUTOSCALER | running.OF_KNATIVES_AUTOSCALER if case.has_other_autoscaler else ()
    found += [one for rule in rules if rule not in unread for one in rule(case)]
    return sorted(found, key=lambda one: LEVELS.index(one.level))


def is_manifest(path: str | Path) -> bool:
    """Whether a file holds Kubernetes objects, or an empty List of them, and so is no experiment."""
    documents = read_documents(split_name(path)[0])
    return bool(objects_in(documents)) or any(is_list(one.data) for one in documents)


def check_file(
    path: str | Path,
    settings: Mapping[str, Any] | None = None,
    *,
    trials: bool = False,
    cluster_config: Sequence[str | Path] = (),
) -> list[Finding]:
    """Findings about a file that is an experiment or a manifest; what cannot be read at all is a finding too.

    Every Service of a manifest is checked, or the one that `FILE#NAME` names; settings are for a manifest of one
    Service. With ``trials`` fixes are simulated, and one that does not help is not advised.

    Raises:
        RunError: A setting is refused.
        FileError: The file is neither.
    """
    if is_manifest(path):
        services = [one_service(path)] if settings else services_of(path)
        cluster = cluster_of(cluster_config)
        found = config_map_findings(cluster.maps)
        found += [finding for one in services for finding in _of_service(one, settings or {}, cluster)]
        return sorted(found, key=lambda finding: LEVELS.index(finding.level))
    from kpasim.spec.experiment import load

    try:
        experiment = with_settings(load(path, cluster_config=cluster_config), settings or {})
        found = findings(experiment)
        if trials and any(one.changes for one in found):
            from kpasim.studies.check.trial import tried

            return tried(experiment, found)
        return found
    except FileError as error:
        if not all(problem.place for problem in error.problems):
            raise
        return _refusals(error, [], ClusterConfig())


def _of_service(one: Object, settings: Mapping[str, Any], cluster: ClusterConfig) -> list[Finding]:
    """Findings about a Service by itself."""
    try:
        service = read_object(one, cluster.autoscaler, cluster.defaults)
        return findings(with_service_settings(service, settings, cluster=cluster), cluster)
    except FileError as error:
        return _refusals(error, [one], cluster)


def _refusals(error: FileError, services: Sequence[Object], cluster: ClusterConfig) -> list[Finding]:
    """What is refused, as findings; with what else can be said of a manifest that is."""
    sources: dict[str, str] = {}
    besides: list[Finding] = []
    for one in services:
        if one.kind != "Service" or one.version != API_VERSION:
            continue
        verdict = review(one.data, cluster)
        sources |= {dotted((*one.prefix, *fault.place)): f"{fault.source} decides." for fault in verdict.faults}
        said = [(fault.place, in_words("needs-feature", **fields.about_feature(fault))) for fault in verdict.needs]
        said += [
            (place, in_words("unknown-field", **fields.about_unknown_field(place)))
            for place in verdict.unknown
            if place[0] != "status"
        ]
        besides += [
            Finding(
                **words,
                place=dotted(place),
                path=one.document.path,
                line=line_of((*one.prefix, *place), one.document.lines),
            )
            for place, words in said
        ]
    fix = "Correct it; loads and settings were not looked at."
    return [*_errors(error, "refused", lambda place: sources.get(place, _REFUSED_WHY), fix), *besides]


def unreadable(error: FileError) -> list[Finding]:
    """A file that is neither an experiment nor a manifest, as findings: one file of many."""
    return _errors(error, "unreadable", lambda place: "kpasim cannot use the file.", "Correct it.")


def _errors(error: FileError, name: str, why: Callable[[str], str], fix: str) -> list[Finding]:
    """Everything that is wrong with one or several files, as findings, each with the reason for its place."""
    return [
        Finding("error", name, one.place, one.message, why(one.place), fix, file.path, one.line)
        for file in getattr(error, "errors", (error,))
        for one in file.problems
    ]


_REFUSED_WHY = "Knative's or KServe's webhooks, Kubernetes or kpasim would not take the file."
