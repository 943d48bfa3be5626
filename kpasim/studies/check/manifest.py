"""Rules that need nothing but the manifest."""

import math
from collections.abc import Iterator

from kpasim.spec.autoscaler import KPA, SPELLINGS, AutoscalerConfig, find_annotation
from kpasim.spec.manifest import ECI_SPECS, MOST_ECI_SPECS, is_slice
from kpasim.studies.check.case import DRAIN_S, KUBELET_PERIOD_S, QUEUE_PER_POD, Case, Finding, Rule, rules_in


def other_autoscaler(case: Case) -> Iterator[Finding]:
    """Another autoscaler is asked for."""
    if case.service.revision.class_name == KPA:
        return
    try:
        _ = case.service.scaling
    except ValueError as error:
        yield case.finding("other-autoscaler", "not-simulated", error=error)
        return
    yield case.finding("other-autoscaler")


def gpu_limit(case: Case) -> Iterator[Finding]:
    """No GPU is asked for."""
    if case.service.gpus or (case.experiment and case.experiment.cluster.gpus_per_pod == 0):
        return
    yield case.finding("gpu-limit", "own-instance" if case.service.eci_specs else "")


def gpu_slice(case: Case) -> Iterator[Finding]:
    """A part of a GPU is counted as a whole one."""
    slices = [name for name in case.service.gpu_resources if is_slice(name)]
    if slices:
        yield case.finding("gpu-slice", name=slices[0])


def cloud_run(case: Case) -> Iterator[Finding]:
    """Google's Cloud Run takes the same YAML and scales it by rules of its own."""
    keys = [*case.service.annotations, *case.service.metadata_annotations]
    keys += list(case.service.data["spec"]["template"]["spec"].get("nodeSelector") or ())
    found = next((key for key in keys if key.startswith("run.googleapis.com/")), None)
    if found:
        yield case.finding("cloud-run", key=found)


def shallow_probe(case: Case) -> Iterator[Finding]:
    """The probe passes before the model is loaded."""
    if case.service.probe.kind != "tcp":
        return
    if case.service.kserve and case.service.kserve.has_unknown_image:
        return
    given = any("readinessProbe" in one for one in case.service.data["spec"]["template"]["spec"]["containers"])
    yield case.finding("shallow-probe", "given" if given else "")


def slow_probe(case: Case) -> Iterator[Finding]:
    """Kubernetes looks only now and then whether a pod is ready."""
    probe = case.service.probe
    if case.service.kserve and case.service.kserve.has_unknown_image:
        return
    period_s = probe.period_s or KUBELET_PERIOD_S
    start_s = case.container_start_s[0]
    delay_s = max(0.0, probe.initial_delay_s - (0.0 if math.isnan(start_s) else start_s))
    if delay_s + period_s <= 2:
        return
    faster = {"service.readinessProbe.initialDelaySeconds": 0, "service.readinessProbe.periodSeconds": 1}
    yield case.finding(
        "slow-probe",
        "delayed" if delay_s else "",
        changes=faster if probe.period_s else None,
        late_s=delay_s + period_s,
        period_s=period_s,
    )


def no_early_use(case: Case) -> Iterator[Finding]:
    """The activator has to wait for Kubernetes."""
    if not (case.service.startup_probe or case.service.probe.kind == "exec"):
        return
    met = case.experiment is None or case.wait_for_pod_s > 0
    place, probe = "readinessProbe", "an exec readinessProbe"
    if case.service.startup_probe:
        place, probe = "startupProbe", "a startupProbe"
    yield case.finding("no-early-use", "" if met else "unmet", place=place, probe=probe)


def unlimited_concurrency(case: Case) -> Iterator[Finding]:
    """A GPU is given any number of requests at once."""
    if case.service.container_concurrency:
        return
    slots = int(case.slots) if math.isfinite(case.slots) else 1
    yield case.finding("unlimited-concurrency", changes={"service.containerConcurrency": slots} if case.model else None)


def utilisation(case: Case) -> Iterator[Finding]:
    """The utilisation asks for more pods than there are requests."""
    revision = case.service.revision
    if revision.metric != "concurrency" or revision.target_value >= revision.total_value:
        return
    at_once = case.in_flight
    asked, needed = case.pods_for(at_once), math.ceil(at_once / revision.total_value - 1e-9)
    small = revision.total_value <= 4
    if asked <= needed or (not small and case.clients is None):
        return
    share = revision.target_value / revision.total_value
    who = "client" if at_once == 1 else "clients" if case.clients else "requests in flight"
    yield case.finding(
        "utilisation", "" if small else "many", share=share, asked=asked, at_once=at_once, who=who, needed=needed
    )


def target_above_limit(case: Case) -> Iterator[Finding]:
    """A target has no effect."""
    found = find_annotation(case.service.annotations, "target")
    limit = case.service.container_concurrency
    if not found or not limit or case.service.revision.metric != "concurrency" or float(found[1]) <= limit:
        return
    yield case.finding("target-above-limit", target=found[1], limit=limit)


def two_spellings(case: Case) -> Iterator[Finding]:
    """An annotation is there twice, and one of them does nothing."""
    for name, keys in SPELLINGS.items():
        texts = [case.service.annotations[key] for key in keys if key in case.service.annotations]
        if len(texts) > 1 and texts[0] != texts[1]:
            yield case.finding("two-spellings", place=name, keys=keys, texts=texts)


def no_limit(case: Case) -> Iterator[Finding]:
    """Nothing bounds the bill."""
    if case.service.revision.max_scale:
        return
    yield case.finding("no-max-scale", "zero" if find_annotation(case.service.annotations, "max-scale") else "")


def initial_above_max(case: Case) -> Iterator[Finding]:
    """A new revision starts with more pods than it may have."""
    revision = case.service.revision
    if revision.max_scale and revision.initial_scale > revision.max_scale:
        yield case.finding("initial-above-max")


def _idle_pods(case: Case) -> int:
    """Pods that have to be idle for the activator to leave the path."""
    return math.ceil(case.service.revision.target_burst_capacity / case.service.revision.total_value)


def activator_stays(case: Case) -> Iterator[Finding]:
    """The activator never leaves the path."""
    if case.service.revision.target_burst_capacity <= 0:
        return
    pods = _idle_pods(case)
    if pods <= case.most_pods and pods <= 100:
        return
    yield case.finding("activator-stays", pods=pods)


def direct_path(case: Case) -> Iterator[Finding]:
    """Requests wait inside pods."""
    capacity = case.service.revision.target_burst_capacity
    default = AutoscalerConfig().target_burst_capacity
    if capacity < 0 or capacity == default:
        return
    pods = _idle_pods(case)
    # With more of its pods idle a service has next to no requests that could wait.
    if 2 * pods > case.most_pods and pods > 1:
        return
    limit = case.service.container_concurrency
    refusal = f" From {QUEUE_PER_POD * limit} requests at one pod on it returns 503." if limit else ""
    yield case.finding(
        "direct-path",
        "" if capacity == 0 else "one-idle" if pods == 1 else "several-idle",
        changes={"service.annotations.target-burst-capacity": int(default)},
        pods=pods,
        refusal=refusal,
    )


def activation_scale(case: Case) -> Iterator[Finding]:
    """A revision that goes idle has fewer pods for a while."""
    revision = case.service.revision
    if revision.activation_scale > 1 and revision.min_scale < revision.activation_scale:
        pods = max(1, int(revision.activation_scale / revision.max_scale_down_rate))
        yield case.finding("activation-scale", pods=pods)


def always_activator(case: Case) -> Iterator[Finding]:
    """Nothing is scraped."""
    if case.service.revision.target_burst_capacity == -1:
        yield case.finding("no-scraping")


def rps_metric(case: Case) -> Iterator[Finding]:
    """The backlog is invisible."""
    revision = case.service.revision
    if revision.metric != "rps":
        return
    if case.model is None:
        yield case.finding("rps-metric", "unknown-rate")
        return
    counted = {
        "service.annotations.metric": "concurrency",
        "service.annotations.target": case.service.container_concurrency or 1,
    }
    yield case.finding("rps-metric", "" if revision.target_value < case.pod_rate else "out-of-reach", changes=counted)


def short_grace(case: Case) -> Iterator[Finding]:
    """Pods are killed before they have drained."""
    if case.service.timeout_s < DRAIN_S:
        yield case.finding("short-grace", changes={"service.timeoutSeconds": 60} if case.model else None)


def many_specs(case: Case) -> Iterator[Finding]:
    """More instance types than are looked at, or of different speed."""
    specs = case.service.eci_specs
    if len(specs) > MOST_ECI_SPECS:
        yield case.finding("many-specs", place=ECI_SPECS, count=len(specs))
    factors = case.model.service_time.per_instance_type if case.model else {}
    speeds = {factors.get(name, 1.0) for name in specs}
    if len(speeds) > 1:
        yield case.finding("mixed-specs", place=ECI_SPECS, ratio=max(speeds) / min(speeds))


def affinity(case: Case) -> Iterator[Finding]:
    """Sticky sessions end at the activator."""
    switch = case.experiment.cluster.ingress.affinity if case.experiment else "auto"
    if not case.service.cookie_affinity or case.service.revision.target_burst_capacity == 0 or switch == "pod":
        return
    yield case.finding("affinity")


def unmodelled(case: Case) -> Iterator[Finding]:
    """Fields a run does not follow."""
    fields = case.service.unmodelled
    if fields:
        yield case.finding("unmodelled", place=fields[0].removeprefix("spec.template.spec."), fields=", ".join(fields))


RULES = rules_in(__name__)

OF_KNATIVES_AUTOSCALER: frozenset[Rule] = frozenset(
    {
        utilisation, target_above_limit, no_limit, initial_above_max, activator_stays, direct_path, activation_scale,
        always_activator, rps_metric,
    }
)  # fmt: skip
"""Rules about settings that no other autoscaler reads, and about the activator."""
