"""Knative Service manifests.

Read with line numbers, checked as Knative's webhooks check them, and written back with nothing changed but what was
set.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from kpasim.errors import ExperimentError, Problem
from kpasim.spec.autoscaler import (
    HPA,
    KPA,
    SPELLINGS,
    AutoscalerConfig,
    RevisionSettings,
    annotation_key,
    resolve,
    text_of,
)
from kpasim.spec.base import Place, dotted, line_of, list_of, mapping_of, replaced, show, unknown, value_at
from kpasim.spec.configmaps import ClusterConfig, Defaults, not_text
from kpasim.spec.kserve import ANNOTATIONS, InferenceService, inference_service
from kpasim.spec.objects import Object, is_service, one_service
from kpasim.spec.quantities import amount
from kpasim.spec.scalerobjects import NotSimulatedError
from kpasim.spec.scaling import Kpa, Scaling, of_hpa_class, scaling_of
from kpasim.spec.webhook import Fault, annotation_faults, review
from kpasim.spec.yamledit import edited
from kpasim.spec.yamlfile import Document, bounded_yaml, dumped, is_text, names_of, node_at, parse_documents, template

ECI_SPECS = "k8s.aliyun.com/eci-use-specs"
"""Annotation that lists instance types, in the order they are tried."""
MOST_ECI_SPECS = 5
"""How many of them are tried."""
AFFINITY = "serving.knative.dev.alibabacloud/affinity"
"""Annotation that asks the gateway for session affinity; `cookie` is the only value."""
API_VERSION = "serving.knative.dev/v1"
"""The version of the API that Knative serves."""
SERVICE_ANNOTATIONS: Place = ("metadata", "annotations")
TEMPLATE_ANNOTATIONS: Place = ("spec", "template", "metadata", "annotations")
TEMPLATE_SPEC: Place = ("spec", "template", "spec")

GPU_RESOURCES = names_of("gpu-resources")
"""Resources for whole accelerators, or for a place on a shared one."""
_SLICES = re.compile(r"nvidia\.com/mig-.+|amd\.com/[a-z]+_[a-z0-9]+")
"""Resources for a part of a GPU: MIG slices, and partitions of AMD's."""
_MEMORY_SHARES = names_of("gpu-shares")
_NODE_AFFINITY: Place = ("affinity", "nodeAffinity", "requiredDuringSchedulingIgnoredDuringExecution")
_AFFECTS_TIMING = (
    "initContainers", "nodeSelector", "tolerations", "affinity", "topologySpreadConstraints", "priorityClassName",
    "runtimeClassName", "schedulerName", "hostNetwork", "volumes",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Probe:
    """A readiness probe. `period_s` is 0 where the manifest gives none: Knative then probes eagerly."""

    kind: Literal["tcp", "http", "grpc", "exec"] = "tcp"
    period_s: float = 0.0
    timeout_s: float = 1.0
    failure_threshold: int = 3
    success_threshold: int = 1
    initial_delay_s: float = 0.0


@dataclass(frozen=True)
class ServiceManifest:
    """A Knative Service as its author wrote it, and what follows from it.

    Attributes:
        namespace: `metadata.namespace`, `default` where not given.
        annotations: Annotations of the revision template.
        metadata_annotations: Annotations of the Service itself.
        container_concurrency: Hard limit of requests per pod, 0 for none.
        timeout_s: Longest time of a request, also the pod's termination grace period.
        response_start_timeout_s: Longest time to the first byte, None for no limit below `timeout_s`.
        idle_timeout_s: Longest time between two bytes, None for no limit below `timeout_s`.
        probe: The readiness probe of the main container.
        startup_probe: The startup probe of the main container, or else of another one; None without any. It forbids the
            activator early use of a pod.
        gpus: Accelerators in the limits of all containers together, of any vendor; a slice, or a share of one, is one.
        gpu_resources: Names of these resources.
        cpus: CPUs that all containers ask for together: their requests, or their limits where they have no request.
        image: Image of the main container.
        unmodelled: Fields that are present, could matter, and are not simulated.
        unknown_fields: Fields that no Service has: Kubernetes drops them.
        needs_features: What a cluster refuses whose `config-features` is as shipped; empty where that of the cluster
            is known.
        refusals: What Knative refuses although it can be simulated: the name of an image that stands in for one.
        revision: The autoscaler's settings of the revision.
        pod_is_always_schedulable: Whether a pod that cannot be scheduled leaves the revision available.
        path: File, empty for a manifest that is part of an experiment.
        data: The Knative Service as plain mappings.
        edits: Values set since the file was read, as places in `written`.
        cluster: The cluster's settings that it was checked with.
        kserve: The InferenceService that KServe makes the Service of; None for a Service that stands in the file.
    """

    name: str
    namespace: str
    annotations: dict[str, str]
    metadata_annotations: dict[str, str]
    container_concurrency: int
    timeout_s: float
    response_start_timeout_s: float | None
    idle_timeout_s: float | None
    probe: Probe
    startup_probe: Probe | None
    gpus: int
    gpu_resources: tuple[str, ...]
    cpus: float
    image: str
    unmodelled: tuple[str, ...]
    unknown_fields: tuple[Place, ...]
    needs_features: tuple[Fault, ...]
    refusals: tuple[Fault, ...]
    revision: RevisionSettings
    pod_is_always_schedulable: bool
    path: str
    data: dict[str, Any] = field(repr=False)
    source: Document = field(repr=False, compare=False)
    edits: tuple[tuple[Place, Any], ...] = ()
    prefix: Place = field(default=(), repr=False)
    kserve: InferenceService | None = field(default=None, repr=False)
    cluster: ClusterConfig = field(default=ClusterConfig(), repr=False, compare=False)

    @property
    def written(self) -> dict[str, Any]:
        """The object of the file: the Service, or the InferenceService that it is made of."""
        return self.kserve.data if self.kserve else self.data

    @property
    def document(self) -> Any:
        """The file's object as ruamel.yaml loads it for a round trip, comments included; edits are in it."""
        loader = bounded_yaml()
        loader.preserve_quotes = True
        documents = [document for document in loader.load_all(self.to_yaml()) if document is not None]
        return value_at(documents[self._index()], self.prefix if self.path else ())

    @property
    def scaling(self) -> Scaling:
        """The autoscaler that it asks for.

        Raises:
            ValueError: It is not simulated; the message says what is.
        """
        if self.kserve and self.kserve.scaling:
            return scaling_of(self.kserve.scaling)
        class_name = self.revision.class_name
        if class_name == HPA:
            metric, target = self.annotation("metric"), self.annotation("target")
            window_s = None if self.annotation("window") is None else self.revision.stable_window_s
            least, most = self.revision.min_scale, self.revision.max_scale
            return of_hpa_class("cpu" if metric is None else metric, target, least, most, window_s)
        if class_name != KPA:
            raise ValueError(f"asks for the autoscaler {class_name!r}, which is not simulated (must be {KPA} or {HPA})")
        return Kpa()

    @property
    def eci_specs(self) -> tuple[str, ...]:
        """Instance types that the pod asks for, in the order they are tried."""
        return tuple(word.strip() for word in self.annotations.get(ECI_SPECS, "").split(",") if word.strip())

    @property
    def node_types(self) -> tuple[str, ...]:
        """Instance types, or else accelerators, of the nodes that the pod selects by labels of AWS, GKE, AKS or ACK."""
        pod = self.data["spec"]["template"]["spec"]
        wanted = {key: [str(value)] for key, value in (pod.get("nodeSelector") or {}).items()}
        for term in list_of(value_at(pod, (*_NODE_AFFINITY, "nodeSelectorTerms"))):
            for one in value_at(term, ("matchExpressions",)) or ():
                if isinstance(one, Mapping) and one.get("operator") == "In":
                    wanted.setdefault(str(one.get("key")), [str(value) for value in one.get("values") or ()])
        return next((tuple(wanted[key]) for key in names_of("node-types") if key in wanted), ())

    @property
    def cookie_affinity(self) -> bool:
        """Whether the gateway is asked to keep a client at its backend."""
        return "cookie" in {self.annotations.get(AFFINITY), self.metadata_annotations.get(AFFINITY)}

    def annotation(self, name: str) -> str | None:
        """Text of a template annotation, by its short name (`max-scale`, any spelling) or its full key."""
        return self.annotations.get(annotation_key(self.annotations, name))

    def place(self, place: Place) -> Place:
        """Where the author wrote what stands at a place of the Service."""
        return self.kserve.place(place) if self.kserve else place

    def line(self, *place: str | int) -> int | None:
        """Line of a place of the Service in its file."""
        return line_of((*self.prefix, *self.place(place)), self.source.lines)

    def to_yaml(self) -> str:
        """The file with all edits; byte for byte the one that was read where there are none."""
        if not self.path:
            return dumped(bounded_yaml(), self.written)
        edits = [((*self.prefix, *place), value) for place, value in self.edits]
        return edited(self.source.text, self._index(), edits)

    def _index(self) -> int:
        """Which document of its file the Service is in."""
        if not self.path:
            return 0
        documents = parse_documents(self.source.text, self.path)
        return next(index for index, one in enumerate(documents) if one.lines[()] == self.source.lines[()])

    def with_edits(
        self, edits: Sequence[tuple[Place, Any]], config: AutoscalerConfig, defaults: Defaults
    ) -> ServiceManifest:
        """The Service with values set (None removes) at places of it or of the file's object, checked anew.

        Raises:
            ExperimentError: Knative, or KServe, would refuse it.
        """
        edits = [(self.place(place), value) for place, value in edits]
        data = self.written
        for place, value in edits:
            data = replaced(data, place, value)
        changed = {place for place, _ in edits}
        merged = tuple(edit for edit in self.edits if edit[0] not in changed) + tuple(edits)
        if self._only_annotations(edits) and self.cluster == ClusterConfig(config, defaults):
            return self._annotated(data, merged, changed)
        service = read_object(Object(data, self.source, self.prefix), config, defaults)
        return replace(service, edits=merged, path=self.path)

    def _only_annotations(self, edits: Sequence[tuple[Place, Any]]) -> bool:
        """Whether edits set annotations of the template and nothing else."""
        return self.kserve is None and all(
            place[:-1] == TEMPLATE_ANNOTATIONS and (value is None or isinstance(value, str)) for place, value in edits
        )

    def _annotated(
        self, data: dict[str, Any], edits: tuple[tuple[Place, Any], ...], changed: set[Place]
    ) -> ServiceManifest:
        """The Service with other annotations of the template: in a sweep, checking the rest again takes most time.

        Raises:
            ExperimentError: Knative would refuse them.
        """
        annotations = _annotations(data, TEMPLATE_ANNOTATIONS)
        check = _Checker(self.source, self.prefix)
        check.texts({place[-1]: annotations[place[-1]] for place in changed if place[-1] in annotations})
        for fault in annotation_faults(annotations, self.cluster):
            check.wrong((*TEMPLATE_ANNOTATIONS, *fault.place), fault.message)
        check.raise_if_any(self.source.path)
        return replace(
            self,
            annotations=annotations,
            revision=_revision(annotations, self.cluster, self.container_concurrency),
            data=data,
            edits=edits,
        )


def setting_place(service: ServiceManifest, name: str) -> Place:
    """Where in a Service a setting stands that is named like `annotations.max-scale` or `containerConcurrency`.

    Settings of an InferenceService have KServe's names, too: `spec.predictor.minReplicas`. The place is one of the
    file's object (`ServiceManifest.written`).

    Raises:
        ValueError: There is no such setting; the message says which there are.
    """
    if service.kserve:
        with contextlib.suppress(KeyError):
            return service.kserve.setting_place(name)
        return service.place(_knative_place(service, name))
    return _knative_place(service, name)


def _knative_place(service: ServiceManifest, name: str) -> Place:
    if name.startswith("annotations."):
        return (*TEMPLATE_ANNOTATIONS, annotation_key(service.annotations, name.removeprefix("annotations.")))
    head, _, rest = name.partition(".")
    if name in POD_FIELDS:
        return (*TEMPLATE_SPEC, name)
    if head == "readinessProbe" and rest in PROBE_FIELDS:
        return (*TEMPLATE_SPEC, "containers", _main(service.data["spec"]["template"]["spec"]["containers"]), head, rest)
    known = ["annotations.max-scale", *POD_FIELDS, *(f"readinessProbe.{word}" for word in PROBE_FIELDS)]
    raise ValueError(unknown("setting", name, known))


def setting_value(place: Place, value: Any) -> Any:
    """A value as it is written at a place: text for an annotation, a whole number for a field."""
    if value is None:
        return None
    if "annotations" in place:
        return text_of(value)
    if isinstance(value, float) and value == int(value):
        return int(value)
    return value


# --- reading ----------------------------------------------------------------------------------------------------------


def read_service(path: str | Path, config: AutoscalerConfig, defaults: Defaults | None = None) -> ServiceManifest:
    """The Knative Service of a YAML file: the only one, or the one that `FILE#NAME` names.

    It may be an item of a List, or what KServe makes of an InferenceService.

    Raises:
        ExperimentError: Not YAML, no Service in it or several, or a Service that Knative or KServe would refuse.
    """
    return read_object(one_service(path), config, defaults or Defaults())


def service_of(
    data: Mapping[str, Any],
    config: AutoscalerConfig,
    defaults: Defaults | None = None,
    *,
    source: Document | None = None,
    prefix: Place = (),
) -> ServiceManifest:
    """A Knative Service given as a mapping, which stands at ``prefix`` in the document ``source``.

    Raises:
        ExperimentError: Knative would refuse it.
    """
    one = Object(dict(data), source or Document("service", "", data), prefix)
    if not is_service(data):
        has = f"apiVersion {show(data.get('apiVersion'))}, kind {show(data.get('kind'))}"
        message = f"is not a Knative Service (has {has}; wanted: apiVersion serving.knative.dev/v1, kind Service)"
        raise one.error((), message)
    return replace(read_object(one, config, defaults or Defaults()), path="")


class _Checker:
    """Remembers what is wrong with a manifest, and where its file says so."""

    def __init__(self, source: Document, prefix: Place, kserve: InferenceService | None = None) -> None:
        self._source = source
        self._prefix = prefix
        self._kserve = kserve
        self.problems: list[Problem] = []

    def wrong(self, place: Place, message: str) -> None:
        full = self._full(place)
        if dotted(full) not in {problem.place for problem in self.problems}:
            self.problems.append(Problem(dotted(full), message, line_of(full, self._source.lines)))

    def _full(self, place: Place) -> Place:
        """Where in the document the author wrote what stands at a place of the Service."""
        return (*self._prefix, *(self._kserve.place(place) if self._kserve else place))

    def raise_if_any(self, path: str) -> None:
        if self.problems:
            failing = next((one for one in self.problems if "{{" in one.message), None)
            # In quotes an action of a template is YAML.
            unrendered = template(self._source.text, failing.line) if failing else None
            if unrendered:
                raise ExperimentError(path, [unrendered])
            raise ExperimentError(path, sorted(self.problems, key=lambda problem: problem.line or 0))

    def texts(self, values: Any, place: Place = TEMPLATE_ANNOTATIONS) -> None:
        """Hold annotations to be text, as Kubernetes reads them."""
        for key, value in mapping_of(values).items():
            if value is not None and not is_text(value, node_at(self._source.node, self._full((*place, key)))):
                self.wrong((*place, key), not_text(value))


POD_FIELDS = ("containerConcurrency", "timeoutSeconds", "responseStartTimeoutSeconds", "idleTimeoutSeconds")
"""Fields of the spec of a revision that are settings."""
PROBE_FIELDS = ("periodSeconds", "timeoutSeconds", "failureThreshold", "successThreshold", "initialDelaySeconds")
_PROBE_KINDS: dict[str, Literal["tcp", "http", "grpc", "exec"]] = {
    "tcpSocket": "tcp",
    "httpGet": "http",
    "grpc": "grpc",
    "exec": "exec",
}


def _main(containers: Any) -> int:
    """Index of the container that takes the requests: the one with a port, or the first."""
    return next((index for index, one in enumerate(containers) if isinstance(one, Mapping) and one.get("ports")), 0)


def read_object(one: Object, config: AutoscalerConfig, defaults: Defaults) -> ServiceManifest:
    """The Service of an object of a file.

    Raises:
        ExperimentError: Knative or KServe would refuse it.
    """
    written, source, prefix = one
    path, kserve = source.path, None
    if written.get("kind") != "Service":
        try:
            kserve = inference_service(written, defaults.kserve, allow_zero_initial=config.allow_zero_initial_scale)
        except NotSimulatedError as error:
            raise one.error(error.place, str(error)) from None
    data = kserve.service if kserve else written
    check = _Checker(source, prefix, kserve)
    if data.get("apiVersion") != API_VERSION:
        check.wrong(("apiVersion",), _old_version(data))
        raise ExperimentError(path, check.problems)
    annotations, on_service = (_annotations(data, place) for place in (TEMPLATE_ANNOTATIONS, SERVICE_ANNOTATIONS))
    for place in ANNOTATIONS if kserve else (TEMPLATE_ANNOTATIONS, SERVICE_ANNOTATIONS):
        check.texts(value_at(written, place), place)
    for place, message in kserve.faults if kserve else ():
        check.wrong(place, message)
    cluster = ClusterConfig(config, defaults)
    verdict = review(data, cluster)
    # A name of one letter stands in for an image in an experiment, and Cloud Run has e-mail addresses for
    # ServiceAccounts; only a cluster minds.
    refusals = tuple(
        fault
        for fault in verdict.faults
        if (fault.rule == "image" and len(str(value_at(data, fault.place))) == 1)
        or (fault.rule == "service-account-name" and "@" in str(value_at(data, fault.place)))
    )
    for fault in verdict.faults:
        if fault not in refusals:
            check.wrong(fault.place, fault.message)
    check.raise_if_any(path)
    spec = verdict.defaulted
    assert spec is not None
    containers = spec["containers"]
    main = containers[_main(containers)]
    timeout_s = float(spec["timeoutSeconds"])
    startups = [one["startupProbe"] for one in (main, *containers) if "startupProbe" in one]
    return ServiceManifest(
        name=data["metadata"].get("name", ""),
        namespace=data["metadata"].get("namespace") or "default",
        annotations=annotations,
        metadata_annotations=on_service,
        container_concurrency=spec["containerConcurrency"],
        timeout_s=timeout_s,
        response_start_timeout_s=_limit(spec.get("responseStartTimeoutSeconds", 0), timeout_s),
        idle_timeout_s=_limit(spec.get("idleTimeoutSeconds", 0), timeout_s),
        probe=_probe(main.get("readinessProbe", {})),
        startup_probe=_probe(startups[0]) if startups else None,
        gpus=sum(_gpus(one["resources"].get("limits", {})) for one in containers),
        gpu_resources=tuple(dict.fromkeys(name for one in containers for name in _gpu_names(one["resources"]))),
        cpus=sum(_cpus(one["resources"]) for one in containers),
        image=main["image"],
        unmodelled=_unmodelled(data, containers, kserve),
        unknown_fields=verdict.unknown if kserve is None else (*kserve.unknown, *map(kserve.place, verdict.unknown)),
        needs_features=verdict.needs,
        refusals=refusals,
        revision=_revision(annotations, cluster, spec["containerConcurrency"]),
        pod_is_always_schedulable=defaults.pod_is_always_schedulable,
        path=path,
        data=data,
        source=source,
        prefix=prefix,
        kserve=kserve,
        cluster=cluster,
    )


def _revision(annotations: Mapping[str, str], cluster: ClusterConfig, container_concurrency: int) -> RevisionSettings:
    """The autoscaler's settings of the revision."""
    config, deadline_s = cluster.autoscaler, cluster.defaults.progress_deadline_s
    revision = resolve(annotations, config, container_concurrency, progress_deadline_s=deadline_s)
    if config.pod_autoscaler_class != KPA and SPELLINGS["class"][0] not in annotations:
        return replace(revision, class_name=config.pod_autoscaler_class)
    return revision


def _old_version(data: Mapping[str, Any]) -> str:
    """What to say about a version of the API that is not served any longer."""
    spec = mapping_of(data.get("spec"))
    old = next((key for key in ("runLatest", "pinned", "release", "manual") if key in spec), "")
    moved = f", and move spec.{old}.configuration.revisionTemplate to spec.template" if old else ""
    return f"{show(data.get('apiVersion'))} is not served by Knative any longer (write {API_VERSION}{moved})"


def _annotations(data: Mapping[str, Any], place: Place) -> dict[str, str]:
    """Annotations at a place, empty where there are none; their values may still be of a wrong type."""
    # Nothing is an empty text to Kubernetes.
    return {key: "" if one is None else one for key, one in mapping_of(value_at(data, place)).items()}


def _limit(value_s: int, timeout_s: float) -> float | None:
    """A limit that can be reached: 0 is none, and above timeoutSeconds it has no effect."""
    return float(value_s) if 0 < value_s <= timeout_s else None


def _probe(probe: Mapping[str, Any]) -> Probe:
    return Probe(
        kind=next((kind for key, kind in _PROBE_KINDS.items() if key in probe), "tcp"),
        period_s=float(probe.get("periodSeconds", 0)),
        timeout_s=float(probe.get("timeoutSeconds", 1)),
        failure_threshold=probe.get("failureThreshold", 3),
        success_threshold=probe.get("successThreshold", 1),
        initial_delay_s=float(probe.get("initialDelaySeconds", 0)),
    )


def is_gpu(resource: str) -> bool:
    """Whether a resource of Kubernetes is an accelerator, or a part of one."""
    return resource in (*GPU_RESOURCES, *_MEMORY_SHARES) or bool(_SLICES.fullmatch(resource))


def is_slice(resource: str) -> bool:
    """Whether a resource is a part of an accelerator: a MIG slice, or a share of its memory or cores."""
    return resource in _MEMORY_SHARES or bool(_SLICES.fullmatch(resource))


def _gpu_names(resources: Mapping[str, Mapping[str, str]]) -> list[str]:
    return [name for name, value in resources.get("limits", {}).items() if is_gpu(name) and amount(value) > 0]


def _gpus(limits: Mapping[str, str]) -> int:
    """Accelerators of a container; its share of memory or cores of a GPU is part of one."""
    count = sum(int(amount(value)) for name, value in limits.items() if is_gpu(name) and name not in _MEMORY_SHARES)
    return min(count, 2**63 - 1) or int(any(amount(limits.get(name, 0)) > 0 for name in _MEMORY_SHARES))


def _cpus(resources: Mapping[str, Mapping[str, str]]) -> float:
    asked = (resources.get(kind, {}).get("cpu") for kind in ("requests", "limits"))
    return float(amount(next((value for value in asked if value is not None), 0)))


def _unmodelled(
    data: Mapping[str, Any], containers: Sequence[Mapping[str, Any]], kserve: InferenceService | None
) -> tuple[str, ...]:
    """Fields that could change a run and are not simulated, as their author wrote them."""
    template: Place = TEMPLATE_SPEC
    found: list[Place] = [(*template, key) for key in _AFFECTS_TIMING if data["spec"]["template"]["spec"].get(key)]
    main = _main(containers)
    found += [(*template, "containers", index) for index in range(len(containers)) if index != main]
    found += [
        (*template, "containers", index, "livenessProbe")
        for index, one in enumerate(containers)
        if "livenessProbe" in one
    ]
    if len(data["spec"].get("traffic") or ()) > 1:
        found.append(("spec", "traffic"))
    if kserve is None:
        return tuple(map(dotted, found))
    return tuple(map(dotted, [*map(kserve.place, found), *kserve.unmodelled]))
