"""Rules about KServe's InferenceService: what its controller drops or fills in, and what its file does not say."""

from collections.abc import Iterator

from kpasim.spec.autoscaler import PREFIX, SPELLINGS
from kpasim.spec.base import dotted
from kpasim.spec.kserve import ANNOTATION_FIELDS, MODE, MODES, PREDICTOR
from kpasim.studies.check.case import Case, Finding, Rule

_SHORT = {key: name for name, keys in SPELLINGS.items() for key in keys}


def dropped_annotation(case: Case) -> Iterator[Finding]:
    """An annotation that KServe does not hand down to the Knative Service."""
    if case.service.kserve is None:
        return
    for place in case.service.kserve.dropped:
        key = str(place[-1])
        name = ANNOTATION_FIELDS.get(_SHORT.get(key, ""))
        if name:
            why = f"KServe writes it from spec.predictor.{name}; only the field counts."
            fix = f"Remove it, and set spec.predictor.{name}."
        elif key == f"{PREFIX}initial-scale":
            why = "KServe drops it where it is no whole number, or 0 while the cluster forbids that."
            fix = "Write a whole number; for 0 set allow-zero-initial-scale: true in config-autoscaler."
        elif key == MODE:
            why = f"KServe knows {', '.join(MODES)}, and the cluster's default mode holds otherwise."
            fix = "Write Knative or Standard."
        else:
            why = "inferenceservice-config lists it in serviceAnnotationDisallowedList."
            fix = "Remove it, or take it off that list."
        yield case.warn("dropped-annotation", place, f"KServe drops the annotation {key}", why, fix)


def stays_up(case: Case) -> Iterator[Finding]:
    """KServe keeps a pod where nobody asked for one."""
    kserve = case.service.kserve
    if kserve is None or "minReplicas" in kserve.predictor or not case.config.enable_scale_to_zero:
        return
    yield case.note(
        "kserve-min-scale",
        PREDICTOR,
        "no minReplicas: KServe writes min-scale 1, so one pod stays",
        "KServe's default is 1, unlike Knative's 0 (constants.DefaultMinReplicas).",
        "Set spec.predictor.minReplicas: 0 to scale to zero, or leave it so.",
        {"service.spec.predictor.minReplicas": 0},
    )


def of_the_cluster(case: Case) -> Iterator[Finding]:
    """What the file does not say and the cluster decides."""
    kserve = case.service.kserve
    if kserve is None:
        return
    if kserve.has_unknown_image:
        yield case.note(
            "serving-runtime",
            PREDICTOR,
            "the ServingRuntime decides about image, probes and annotations, and is not in the file",
            "KServe merges it into the pod; only the cluster knows it.",
            f"Compare: kubectl get {'deployment' if kserve.scaling else 'ksvc'} {case.service.name} -o yaml.",
        )
    stages = case.model.cold_start.stages if case.model else ()
    if kserve.storage and not any(stage.kind in {"pull", "storage-initializer"} for stage in stages):
        yield (case.warn if case.model else case.note)(
            "storage-initializer",
            PREDICTOR,
            f"every new pod first downloads the model from {kserve.storage}",
            "KServe's storage initializer runs before the container, in every pod; the cold start holds no such stage."
            if case.model
            else "KServe's storage initializer runs before the container, in every pod.",
            "Give the cold start a stage: {name: model, kind: storage-initializer, bandwidth: {size: 12Gi, per-pod: "
            "400M}}.",
        )


def cpu_of_a_gpu_service(case: Case) -> Iterator[Finding]:
    """Standard mode scales a GPU service by how busy its CPUs are."""
    scaling = case.service.kserve.scaling if case.service.kserve else None
    metric = scaling.get("metric") if scaling else None
    if metric in {"cpu", "memory"} and case.service.gpus:
        yield case.warn(
            "scales-by-cpu",
            PREDICTOR,
            f"Standard mode: Kubernetes' HPA scales by {metric}, which says nothing about a GPU",
            "KServe makes an HPA of scaleMetric, cpu by default, and nobody holds requests while pods start.",
            f"Compare autoscalers under the load: kpasim versus EXPERIMENT --with kpa,keda; or set {MODE}: Knative.",
        )


def not_simulated(case: Case) -> Iterator[Finding]:
    """A transformer or an explainer is a Service of its own."""
    kserve = case.service.kserve
    for place in kserve.unmodelled if kserve else ():
        if place[:2] != PREDICTOR:
            yield case.note(
                "kserve-component",
                place,
                f"the {place[-1]} is not simulated: only the predictor is",
                f"KServe makes a Knative Service of its own of it, which scales by itself ({dotted(place)}).",
                "Give its latency to the service time, or simulate it by itself.",
            )


RULES: tuple[Rule, ...] = (dropped_annotation, stays_up, of_the_cluster, cpu_of_a_gpu_service, not_simulated)
"""Every rule of this module, in the order in which findings of one level are shown."""
