"""Rules that need nothing but the manifest."""

import math
from collections.abc import Iterator

from kpasim.spec.autoscaler import KPA, SPELLINGS, AutoscalerConfig, find_annotation
from kpasim.spec.manifest import ECI_SPECS, MOST_ECI_SPECS, is_slice
from kpasim.studies.check.case import DRAIN_S, KUBELET_PERIOD_S, QUEUE_PER_POD, Case, Finding, Rule, spoken


def gpu_limit(case: Case) -> Iterator[Finding]:
    """No GPU is asked for."""
    if case.service.gpus or (case.experiment and case.experiment.cluster.gpus_per_pod == 0):
        return
    alone = bool(case.service.eci_specs)
    yield (case.note if alone else case.warn)(
        "gpu-limit",
        "resources.limits",
        f"no GPU limit (such as nvidia.com/gpu){', although the instance types have GPUs' if alone else ''}",
        "An instance of its own brings its GPU along; on a node pool several pods would land on one GPU, or on none."
        if alone
        else "The scheduler does not know that a pod needs a GPU: pods share one by accident, or start where there is "
        "none.",
        "Set resources.limits nvidia.com/gpu: 1.",
    )


def gpu_slice(case: Case) -> Iterator[Finding]:
    """A part of a GPU is counted as a whole one."""
    slices = [name for name in case.service.gpu_resources if is_slice(name)]
    if slices:
        yield case.note(
            "gpu-slice",
            "resources.limits",
            f"{slices[0]} is a part of a GPU, and counts as one",
            "Billing and nodes count what a pod holds; how much faster a whole GPU would be is not known.",
            "Give cluster.nodes.gpus-per-node as the number of such parts, and a price for a part.",
        )


def cloud_run(case: Case) -> Iterator[Finding]:
    """Google's Cloud Run takes the same YAML and scales it by rules of its own."""
    keys = [*case.service.annotations, *case.service.metadata_annotations]
    keys += list(case.service.data["spec"]["template"]["spec"].get("nodeSelector") or ())
    found = next((key for key in keys if key.startswith("run.googleapis.com/")), None)
    if found:
        yield case.warn(
            "cloud-run",
            "metadata.annotations",
            f"{found} is of Cloud Run, whose autoscaler is not Knative's",
            "Cloud Run scales by CPU utilisation, too, and reads neither Knative's windows and targets nor a cluster's "
            "settings; on Knative the run.googleapis.com annotations have no effect.",
            "Read the result as that of Knative. For Cloud Run it holds only roughly.",
        )


def shallow_probe(case: Case) -> Iterator[Finding]:
    """The probe passes before the model is loaded."""
    if case.service.probe.kind != "tcp":
        return
    if case.service.kserve and case.service.kserve.has_unknown_image:
        return
    given = any("readinessProbe" in one for one in case.service.data["spec"]["template"]["spec"]["containers"])
    what = "a TCP probe" if given else "no readinessProbe, which means a TCP probe"
    yield case.warn(
        "shallow-probe",
        "readinessProbe",
        f"{what}: it passes as soon as the port is open",
        "Servers open their port first and load the model after; requests are then sent to a pod that cannot answer "
        "yet, while the pods that can have free slots.",
        "Use httpGet with a path that returns 200 only when the model is loaded.",
    )


def slow_probe(case: Case) -> Iterator[Finding]:
    """Kubernetes looks only now and then whether a pod is ready."""
    probe = case.service.probe
    if case.service.kserve and case.service.kserve.has_unknown_image:
        return
    period = probe.period_s or KUBELET_PERIOD_S
    start = case.container_start_s[0]
    delay = max(0.0, probe.initial_delay_s - (0.0 if math.isnan(start) else start))
    if delay + period <= 2:
        return
    late = f"The kubelet probes every {period:g} s (periodSeconds; 10 when not given)"
    if delay:
        late += f", and not before initialDelaySeconds {probe.initial_delay_s:g} is over"
    yield case.note(
        "slow-probe",
        "readinessProbe",
        f"a pod counts as ready up to {spoken(delay + period)} after it is",
        f"{late}. Until then the autoscaler does not count the pod and keeps panicking, and a direct path does not use "
        "it; the activator does.",
        f"Set {'initialDelaySeconds: 0 and ' if delay else ''}periodSeconds: 1.",
        {"service.readinessProbe.initialDelaySeconds": 0, "service.readinessProbe.periodSeconds": 1}
        if case.service.probe.period_s
        else None,
    )


def no_early_use(case: Case) -> Iterator[Finding]:
    """The activator has to wait for Kubernetes."""
    if not (case.service.startup_probe or case.service.probe.kind == "exec"):
        return
    what = "a startupProbe" if case.service.startup_probe else "an exec readinessProbe"
    met = case.experiment is None or case.wait_for_pod_s > 0
    yield (case.warn if met else case.note)(
        "no-early-use",
        "startupProbe" if case.service.startup_probe else "readinessProbe",
        f"{what} makes every cold start longer",
        "The activator may use a pod as soon as queue-proxy's own probe passes, 0 to 0.35 s after the container "
        f"responds; with {what} it waits for Kubernetes' Ready, up to a probe period later.",
        "Use an httpGet readinessProbe with a large failureThreshold instead.",
    )


def unlimited_concurrency(case: Case) -> Iterator[Finding]:
    """A GPU is given any number of requests at once."""
    if case.service.container_concurrency:
        return
    total = case.service.revision.total_value
    yield case.warn(
        "unlimited-concurrency",
        "containerConcurrency",
        "containerConcurrency 0: a pod is given any number of requests",
        f"The autoscaler then takes {total:g} requests for what a pod can bear and adds pods from "
        f"{case.service.revision.target_value:g} on; a GPU that serves them one by one makes them wait in the "
        "container.",
        "Set containerConcurrency to what the container works on at once (1 for one diffusion pipeline).",
        {"service.containerConcurrency": int(case.slots) if math.isfinite(case.slots) else 1} if case.model else None,
    )


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
    yield (case.warn if small else case.note)(
        "utilisation",
        "target-utilization-percentage",
        f"a utilisation of {share:.0%} asks for {asked} pods for {at_once:g} {who}, where {needed} would do",
        f"The autoscaler aims at {revision.target_value:g} requests per pod and rounds up: {at_once:g} / "
        f"{revision.target_value:g}. The share also multiplies an explicit target.",
        'Set autoscaling.knative.dev/target-utilization-percentage: "100" where a pod serves few requests at once.',
        {"service.annotations.target-utilization-percentage": 100},
    )


def target_above_limit(case: Case) -> Iterator[Finding]:
    """A target has no effect."""
    found = find_annotation(case.service.annotations, "target")
    limit = case.service.container_concurrency
    if not found or not limit or case.service.revision.metric != "concurrency" or float(found[1]) <= limit:
        return
    yield case.note(
        "target-above-limit",
        "target",
        f"target {found[1]} is above containerConcurrency {limit} and counts as {limit}",
        "The smaller of the two is what a pod is taken to hold.",
        f'Set target: "{limit}", or raise containerConcurrency.',
    )


def two_spellings(case: Case) -> Iterator[Finding]:
    """An annotation is there twice, and one of them does nothing."""
    for name, keys in SPELLINGS.items():
        texts = [case.service.annotations[key] for key in keys if key in case.service.annotations]
        if len(texts) > 1 and texts[0] != texts[1]:
            yield case.warn(
                "two-spellings",
                name,
                f"{keys[0]} = {texts[0]} and {keys[1]} = {texts[1]}: the second does nothing",
                "Both spellings are the same annotation, and the kebab-case one wins.",
                f"Remove {keys[1]}.",
            )


def other_autoscaler(case: Case) -> Iterator[Finding]:
    """Another autoscaler is asked for."""
    class_name = case.service.revision.class_name
    if class_name == KPA:
        return
    fix = f"Remove the class, or set it to {KPA}."
    try:
        _ = case.service.scaling
    except ValueError as error:
        yield case.fail("other-autoscaler", "class", f"the manifest {error}", "The result would be another.", fix)
        return
    yield case.warn(
        "other-autoscaler",
        "class",
        f"the class {class_name} scales by Kubernetes' HPA",
        "It never scales to zero, and by default it looks at CPU, which says nothing about a GPU.",
        fix,
    )


def no_limit(case: Case) -> Iterator[Finding]:
    """Nothing bounds the bill."""
    if case.service.revision.max_scale:
        return
    zero = find_annotation(case.service.annotations, "max-scale")
    yield case.warn(
        "no-max-scale",
        "max-scale",
        f"{'max-scale 0 means no limit' if zero else 'no max-scale'}: the number of GPUs is unlimited",
        "A burst, a retry storm or a crawler asks for as many pods as it has requests.",
        'Set autoscaling.knative.dev/max-scale to what you are ready to pay for, for example "10".',
    )


def initial_above_max(case: Case) -> Iterator[Finding]:
    """A new revision starts with more pods than it may have."""
    revision = case.service.revision
    if revision.max_scale and revision.initial_scale > revision.max_scale:
        yield case.warn(
            "initial-above-max",
            "initial-scale",
            f"initial-scale {revision.initial_scale} is above max-scale {revision.max_scale}, and counts until it was "
            "reached once",
            "The lower bound is applied first, so every new revision starts with the larger number.",
            f'Set initial-scale to at most "{revision.max_scale}".',
        )


def _idle_pods(case: Case) -> int:
    """Pods that have to be idle for the activator to leave the path."""
    return math.ceil(case.service.revision.target_burst_capacity / case.service.revision.total_value)


def activator_stays(case: Case) -> Iterator[Finding]:
    """The activator never leaves the path."""
    revision = case.service.revision
    if revision.target_burst_capacity <= 0:
        return
    pods = _idle_pods(case)
    if pods <= case.most_pods and pods <= 100:
        return
    yield case.note(
        "activator-stays",
        "target-burst-capacity",
        f"the activator stays in the path: it would leave at {pods} idle pods or more",
        f"It leaves when ready pods times {revision.total_value:g} reach target-burst-capacity "
        f"{revision.target_burst_capacity:g} plus the load. That is good for long requests: they wait in one queue, "
        "go to the first free pod, and new pods take from it at once.",
        "Leave it so. With target-burst-capacity 0 requests wait inside the pod they were sent to.",
    )


def direct_path(case: Case) -> Iterator[Finding]:
    """Requests wait inside pods."""
    revision = case.service.revision
    capacity = revision.target_burst_capacity
    default = AutoscalerConfig().target_burst_capacity
    if capacity < 0 or capacity == default:
        return
    pods = _idle_pods(case)
    # With more of its pods idle a service has next to no requests that could wait.
    if 2 * pods > case.most_pods and pods > 1:
        return
    limit = case.service.container_concurrency
    refusal = f" From {QUEUE_PER_POD * limit} requests at one pod on it returns 503." if limit else ""
    while_idle = "one pod is" if pods == 1 else f"{pods} pods are"
    tell = case.warn if pods <= 1 else case.note
    yield tell(
        "direct-path",
        "target-burst-capacity",
        f"target-burst-capacity {capacity:g}: "
        f"{'' if capacity == 0 else f'the activator leaves the path while {while_idle} idle, and '}"
        "requests wait inside the pod they were sent to",
        "The gateway chooses a pod when a request comes (Kourier: round robin, Istio: the less busy of two), not when "
        f"a pod is free, and a request that waits cannot move to a pod that became ready.{refusal}",
        "Remove the annotation (211 keeps the activator and its one queue in the path of a small service).",
        {"service.annotations.target-burst-capacity": int(default)},
    )


def activation_scale(case: Case) -> Iterator[Finding]:
    """A revision that goes idle has fewer pods for a while."""
    revision = case.service.revision
    if revision.activation_scale > 1 and revision.min_scale < revision.activation_scale:
        yield case.note(
            "activation-scale",
            "activation-scale",
            f"activation-scale {revision.activation_scale} holds only while there are requests: "
            f"{max(1, int(revision.activation_scale / revision.max_scale_down_rate))} for a while before zero",
            "Without a request in the window the rate of scaling down decides alone; it passes smaller numbers.",
            "Use min-scale where so many pods must stay.",
        )


def always_activator(case: Case) -> Iterator[Finding]:
    """Nothing is scraped."""
    if case.service.revision.target_burst_capacity != -1:
        return
    yield case.note(
        "no-scraping",
        "target-burst-capacity",
        "target-burst-capacity -1: pods are not asked for their load",
        "Without the scraper's zeros an idle revision requests all pods for a burst at its first tick, and "
        "after the load it stays at full size for most of a stable window, then drops within seconds.",
        "Use it where bursts matter more than the bill; 211 reacts in stages within about six seconds.",
    )


def rps_metric(case: Case) -> Iterator[Finding]:
    """The backlog is invisible."""
    revision = case.service.revision
    if revision.metric != "rps":
        return
    known, rate = case.model is not None, case.pod_rate if case.model else 0.0
    reaches = revision.target_value < rate
    beyond = f"; a pod finishes {rate:.3g} requests/s, and pods are added from {revision.target_value:g} for each on"
    yield (case.note if reaches else case.warn)(
        "rps-metric",
        "metric",
        f"metric rps: waiting requests are not counted{beyond if known and not reaches else ''}",
        "Only arrivals count. A saturated GPU service whose clients wait sends fewer requests, and the autoscaler "
        "removes pods.",
        "Use concurrency, which counts waiting requests.",
        {
            "service.annotations.metric": "concurrency",
            "service.annotations.target": case.service.container_concurrency or 1,
        }
        if known
        else None,
    )


def short_grace(case: Case) -> Iterator[Finding]:
    """Pods are killed before they have drained."""
    if case.service.timeout_s >= DRAIN_S:
        return
    yield case.warn(
        "short-grace",
        "timeoutSeconds",
        f"timeoutSeconds {case.service.timeout_s:g} is also the pod's grace period, shorter than its drain of "
        f"{DRAIN_S:g} s",
        "A pod that is scaled down waits until it has seen no new request for 30 s; it is killed before, with its "
        "requests.",
        "Set timeoutSeconds to at least 60.",
        {"service.timeoutSeconds": 60} if case.model else None,
    )


def many_specs(case: Case) -> Iterator[Finding]:
    """More instance types than are looked at, or of different speed."""
    specs = case.service.eci_specs
    if len(specs) > MOST_ECI_SPECS:
        yield case.warn(
            "many-specs",
            ECI_SPECS,
            f"{len(specs)} instance types, of which the first five are tried",
            "ECI reads at most five.",
            "Keep the five you want most, in order.",
        )
    factors = case.model.service_time.per_instance_type if case.model else {}
    speeds = {factors.get(name, 1.0) for name in specs}
    if len(speeds) > 1:
        yield case.note(
            "mixed-specs",
            ECI_SPECS,
            f"instance types differ in speed by up to {max(speeds) / min(speeds):.1f} times",
            "When the first has no stock a pod gets the next one. To the autoscaler all pods are equal.",
            "Put types of one speed first, or give a stock in cluster.instance-types and see.",
        )


def affinity(case: Case) -> Iterator[Finding]:
    """Sticky sessions end at the activator."""
    switch = case.experiment.cluster.ingress.affinity if case.experiment else "auto"
    if not case.service.cookie_affinity or case.service.revision.target_burst_capacity == 0 or switch == "pod":
        return
    yield case.note(
        "affinity",
        "metadata.annotations",
        "cookie affinity ties a client to an activator, not to a pod",
        "While the activator is in the path it is what the gateway sees as backend; it sends each request to the "
        "first free pod. hey keeps no cookies, so a load test does not show affinity at all.",
        "Do not rely on it for caches in a pod; where your gateway ties to pods, set cluster.ingress.affinity: pod.",
    )


def unmodelled(case: Case) -> Iterator[Finding]:
    """Fields a run does not follow."""
    if case.service.unmodelled:
        yield case.note(
            "unmodelled",
            case.service.unmodelled[0].removeprefix("spec.template.spec."),
            f"not simulated: {', '.join(case.service.unmodelled)}",
            "These fields could change when pods start or which requests they get.",
            "Account for their effect in the model, or compare with a run of your own.",
        )


RULES: tuple[Rule, ...] = (
    other_autoscaler,
    gpu_limit,
    gpu_slice,
    cloud_run,
    shallow_probe,
    slow_probe,
    no_early_use,
    unlimited_concurrency,
    utilisation,
    target_above_limit,
    two_spellings,
    no_limit,
    initial_above_max,
    activator_stays,
    direct_path,
    activation_scale,
    always_activator,
    rps_metric,
    short_grace,
    many_specs,
    affinity,
    unmodelled,
)
"""Every rule of this module, in the order in which findings of one level are shown."""

OF_KNATIVES_AUTOSCALER: frozenset[Rule] = frozenset(
    {
        utilisation, target_above_limit, no_limit, initial_above_max, activator_stays, direct_path, activation_scale,
        always_activator, rps_metric,
    }
)  # fmt: skip
"""Rules about settings that no other autoscaler reads, and about the activator."""
