"""Rules about KServe's InferenceService: what its controller drops or fills in, and what its file does not say."""

from collections.abc import Iterator

from kpasim.spec.autoscaler import PREFIX, SPELLINGS
from kpasim.spec.base import dotted
from kpasim.spec.kserve import ANNOTATION_FIELDS, MODE, MODES, PREDICTOR
from kpasim.studies.check.case import Case, Finding, rules_in

_SHORT = {key: name for name, keys in SPELLINGS.items() for key in keys}


def dropped_annotation(case: Case) -> Iterator[Finding]:
    """An annotation that KServe does not hand down to the Knative Service."""
    if case.service.kserve is None:
        return
    for place in case.service.kserve.dropped:
        key = str(place[-1])
        name = ANNOTATION_FIELDS.get(_SHORT.get(key, ""))
        special = {f"{PREFIX}initial-scale": "initial-scale", MODE: "mode"}
        variant = "field" if name else special.get(key, "")
        yield case.finding("dropped-annotation", variant, place=place, key=key, name=name, modes=", ".join(MODES))


def stays_up(case: Case) -> Iterator[Finding]:
    """KServe keeps a pod where nobody asked for one."""
    kserve = case.service.kserve
    if kserve and "minReplicas" not in kserve.predictor and case.config.enable_scale_to_zero:
        yield case.finding("kserve-min-scale", place=PREDICTOR)


def of_the_cluster(case: Case) -> Iterator[Finding]:
    """What the file does not say and the cluster decides."""
    kserve = case.service.kserve
    if kserve is None:
        return
    if kserve.has_unknown_image:
        yield case.finding("serving-runtime", place=PREDICTOR, kind="deployment" if kserve.scaling else "ksvc")
    stages = case.model.cold_start.stages if case.model else ()
    if kserve.storage and not any(stage.kind in {"pull", "storage-initializer"} for stage in stages):
        variant = "with-model" if case.model else ""
        yield case.finding("storage-initializer", variant, place=PREDICTOR, storage=kserve.storage)


def cpu_of_a_gpu_service(case: Case) -> Iterator[Finding]:
    """Standard mode scales a GPU service by how busy its CPUs are."""
    scaling = case.service.kserve.scaling if case.service.kserve else None
    metric = scaling.get("metric") if scaling else None
    if metric in {"cpu", "memory"} and case.service.gpus:
        yield case.finding("scales-by-cpu", place=PREDICTOR, metric=metric, mode=MODE)


def not_simulated(case: Case) -> Iterator[Finding]:
    """A transformer or an explainer is a Service of its own."""
    kserve = case.service.kserve
    for place in kserve.unmodelled if kserve else ():
        if place[:2] != PREDICTOR:
            yield case.finding("kserve-component", place=place, component=place[-1], path=dotted(place))


RULES = rules_in(__name__)
