"""Rules that need a model of the service, a workload, or a cluster."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

from kpasim.spec.model import ServiceModel, Stage
from kpasim.spec.sharing import sharing
from kpasim.spec.workload import Hey
from kpasim.studies.check.case import DRAIN_S, KUBELET_PERIOD_S, SLOW_START_S, Case, Finding, Rule, spoken


def no_cold_start(case: Case) -> Iterator[Finding]:
    """New pods cost no time."""
    if case.model is None or case.model.cold_start.stages:
        return
    yield case.warn(
        "no-cold-start",
        "model.cold-start",
        "the model has no cold start: a new pod works as soon as it is there",
        "A GPU pod takes minutes to start, and that is what most of the wait comes from. A model that was fitted to "
        "requests alone knows nothing of it.",
        "Give model.cold-start, or files with starts of pods (kubectl get pods -o json) to kpasim calibrate as well.",
    )


def timeout_below_start(case: Case) -> Iterator[Finding]:
    """The first request after a scale to zero ends in 504."""
    median, late = case.start_s
    need = late + case.service_s[0]
    if not case.service.timeout_s < need:
        return
    yield case.warn(
        "timeout-below-start",
        "timeoutSeconds",
        f"timeoutSeconds {case.service.timeout_s:g} is below cold start plus service, "
        f"{spoken(median + case.service_s[0])} at the median and {spoken(need)} in a slow start",
        "The time a request waits for a pod counts; the activator answers 504 when it is over.",
        f"Set timeoutSeconds to {math.ceil(need / 60) * 60} (600 is the cluster's limit), or keep a pod with "
        "min-scale.",
    )


def response_start(case: Case) -> Iterator[Finding]:
    """The first byte comes too late."""
    limit = case.service.response_start_timeout_s
    if limit is None or not limit < case.start_s[1] + case.service_s[0] or case.service.timeout_s <= limit:
        return
    yield case.warn(
        "response-start",
        "responseStartTimeoutSeconds",
        f"no byte within {limit:g} s means 504, and a cold start plus service takes "
        f"{spoken(case.start_s[1] + case.service_s[0])}",
        "The limit counts from the arrival, waiting included; it is 300 by default where timeoutSeconds is larger.",
        f"Set responseStartTimeoutSeconds: {int(case.service.timeout_s)}.",
    )


def idle_timeout(case: Case) -> Iterator[Finding]:
    """An answer is silent for too long, at its beginning or between its pieces."""
    limit = case.service.idle_timeout_s
    if limit is None or case.model is None:
        return
    every = case.model.service_time.chunk_interval_s
    need = case.start_s[1] + case.service_s[0]
    if case.model.service_time.first_byte is not None and every and every > limit:
        what = f"pieces of an answer come every {spoken(every)}, and after {limit:g} s of silence it is cut"
    elif limit < need and limit < case.service.timeout_s:
        what = f"no byte within {limit:g} s means 504, and a cold start plus service takes {spoken(need)}"
    else:
        return
    yield case.warn(
        "idle-timeout",
        "idleTimeoutSeconds",
        what,
        "The time runs from the arrival to the first byte, waiting included, and from then on between any two bytes.",
        f"Set idleTimeoutSeconds above {spoken(max(need, every or 0.0))}, or to 0 for no such limit.",
    )


def client_gives_up(case: Case) -> Iterator[Finding]:
    """Clients give up before a cold start is over."""
    if case.experiment is None:
        return
    timeout = case.experiment.workload.timeout_s
    need = case.start_s[1] + case.service_s[0]
    cold = case.experiment.start.state != "warm" or (case.clients or 1) > case.slots
    if not timeout or not timeout < need or not cold:
        return
    extra = " It is hey's default." if isinstance(case.experiment.workload, Hey) and timeout == 20 else ""
    yield case.warn(
        "client-gives-up",
        "workload.timeout",
        f"clients give up after {spoken(timeout)}, and a cold start plus service takes {spoken(need)}",
        f"Requests that wait for a new pod are counted as errors, and the pod may work on for nobody.{extra}",
        f"Give hey -t {math.ceil(need / 60) * 60}, that is workload.timeout.",
    )


def gateway_outlives_client(case: Case) -> Iterator[Finding]:
    """Clients wait longer than the cluster lets them."""
    if case.experiment is None:
        return
    timeout = case.experiment.workload.timeout_s
    if not timeout or timeout <= case.service.timeout_s:
        return
    yield case.note(
        "client-outwaits",
        "workload.timeout",
        f"clients wait {spoken(timeout)}, but a request ends with 504 after timeoutSeconds {case.service.timeout_s:g}",
        "The smaller limit decides.",
        "Raise timeoutSeconds, or take 504 into account.",
    )


def panic_lasts(case: Case) -> Iterator[Finding]:
    """Slow starts keep the autoscaler panicking."""
    start = case.start_s[0]
    revision = case.service.revision
    if not start > SLOW_START_S:
        return
    # With one ready pod: the least number of requests whose pods, rounded up, reach the threshold.
    least = math.floor(revision.target_value * (math.ceil(revision.panic_threshold) - 1) + 1e-9) + 1
    enough = "a request in flight is" if least == 1 else f"{least} requests in flight are"
    yield case.note(
        "panic-lasts",
        "panic-threshold-percentage",
        f"a burst means panic for {spoken(start + revision.stable_window_s)} or more, in which no pod is removed",
        f"Panic begins when the pods wanted are {revision.panic_threshold:g} times the ready ones, lasts a stable "
        f"window beyond the last such tick, and pods that start for {spoken(start)} are not ready. With one ready pod "
        f"{enough} enough.",
        "Bound it with max-scale; a higher panic-threshold-percentage delays it only for services of many pods.",
    )


def cold_start_from_zero(case: Case) -> Iterator[Finding]:
    """After a pause somebody waits for minutes."""
    revision = case.service.revision
    start = case.start_s[0]
    if not start > SLOW_START_S or revision.min_scale or not revision.enable_scale_to_zero:
        return
    yield case.warn(
        "scale-to-zero",
        "min-scale",
        f"scale to zero: after a pause of about {spoken(revision.stable_window_s + max(revision.pod_retention_s, 2))} "
        f"the next user waits {spoken(start)}",
        "The last pod goes once a stable window has passed without a request (plus retention), and a cold start is "
        "what brings it back.",
        'Keep one with min-scale: "1", or for a while with scale-to-zero-pod-retention-period, and compare the bills.',
    )


def window_below_start(case: Case) -> Iterator[Finding]:
    """Pods are removed faster than they can be brought back."""
    revision = case.service.revision
    start = case.start_s[0]
    held = revision.stable_window_s + revision.scale_down_delay_s
    if not start > held:
        return
    yield case.warn(
        "window-below-start",
        "window",
        f"a pod is given up {spoken(held)} after a burst, and takes {spoken(start)} to come back",
        "The stable window (and scale-down-delay) is all that remembers demand; bursts that come more rarely meet "
        "cold pods.",
        "Set scale-down-delay to about the cold start, or a longer window, and compare the bills.",
    )


def progress_deadline(case: Case) -> Iterator[Finding]:
    """A revision is given up before it is ready."""
    deadline = case.service.revision.progress_deadline_s
    if not case.start_s[1] > deadline:
        return
    yield case.warn(
        "progress-deadline",
        "serving.knative.dev/progress-deadline",
        f"starts of {spoken(case.start_s[1])} exceed the progress deadline of {spoken(deadline)}",
        "A first rollout without progress for that long marks the revision as failed: it loses min-scale, and without "
        "requests its pods may be taken away while they still start.",
        f'Set serving.knative.dev/progress-deadline: "{math.ceil(case.start_s[1] / 60) * 2}m".',
    )


def killed_while_starting(case: Case) -> Iterator[Finding]:
    """The kubelet kills the container before it can answer."""
    takes = case.container_start_s
    startup = case.service.startup_probe
    if startup is not None:
        period = startup.period_s or KUBELET_PERIOD_S
        allowed = startup.initial_delay_s + period * startup.failure_threshold
        if takes > allowed:
            yield case.fail(
                "killed-while-starting",
                "startupProbe",
                f"the container is killed after {spoken(allowed)}, and takes {spoken(takes)} to start",
                f"After failureThreshold {startup.failure_threshold} failures, {period:g} s apart, the kubelet starts "
                "it again from the beginning; such a pod never serves.",
                f"Set failureThreshold to at least {math.ceil((takes - startup.initial_delay_s) / period) + 1}.",
            )
        return
    for one in case.service.data["spec"]["template"]["spec"]["containers"]:
        probe = one.get("livenessProbe")
        if not isinstance(probe, Mapping):
            continue
        period = probe.get("periodSeconds") or KUBELET_PERIOD_S
        failures = probe.get("failureThreshold") or 3
        allowed = (probe.get("initialDelaySeconds") or 0) + period * failures
        if takes > allowed:
            yield case.warn(
                "slow-liveness",
                "livenessProbe",
                f"a livenessProbe may kill the container after {spoken(allowed)}, and a start takes {spoken(takes)}",
                f"If it fails until the model is loaded, {failures} failures {period:g} s apart start the container "
                "again from the beginning. kpasim does not simulate liveness probes.",
                "Give the livenessProbe an initialDelaySeconds above the start, or probe what answers at once.",
            )


def cut_short(case: Case) -> Iterator[Finding]:
    """Requests are cut when their pod is scaled down."""
    long = case.service_s[2]
    if case.model is None or case.model.shutdown.drains_on_sigterm or not long > DRAIN_S:
        return
    yield case.warn(
        "cut-short",
        "model.shutdown.drains-on-sigterm",
        f"requests of {spoken(long)} do not survive a scale-down: the container is told to stop after {DRAIN_S:g} s",
        "After 30 s without a new request the container gets SIGTERM, finished or not; one that does not finish its "
        "work first answers 502.",
        "Handle SIGTERM in the container: stop accepting, finish the running request, exit.",
    )


def drain_outlasts_grace(case: Case) -> Iterator[Finding]:
    """The kernel ends what the drain would finish."""
    if case.model is None or case.service.timeout_s < DRAIN_S:
        return
    need = max(DRAIN_S, case.service_s[2]) + case.model.shutdown.stop_time_s
    if need <= case.service.timeout_s:
        return
    yield case.warn(
        "drain-outlasts-grace",
        "timeoutSeconds",
        f"draining takes up to {spoken(need)}, and the pod is killed after timeoutSeconds {case.service.timeout_s:g}",
        "timeoutSeconds is also the pod's termination grace period.",
        f"Set timeoutSeconds to at least {math.ceil(need / 60) * 60}.",
    )


def too_few_pods(case: Case) -> Iterator[Finding]:
    """The load does not fit into max-scale pods."""
    if case.experiment is None or not math.isfinite(case.slots):
        return
    if case.clients and case.clients > case.most_pods * case.slots:
        capacity = case.most_pods * case.slots
        yield case.warn(
            "max-scale-below-need",
            "max-scale",
            f"max-scale {case.most_pods:g} serves {capacity:g} requests at once, and there are {case.clients} clients",
            "The others wait for their turn, every time; the autoscaler stays in panic for as long as demand is twice "
            "capacity.",
            f'Set max-scale to "{math.ceil(case.clients / case.slots)}", or accept the wait.',
        )
    mean = case.service_s[1]
    if case.peak_rate and case.peak_rate * mean > case.most_pods * case.slots:
        yield case.warn(
            "overload",
            "max-scale",
            f"{case.peak_rate:g} requests/s of {spoken(mean)} need {math.ceil(case.peak_rate * mean / case.slots)} "
            f"pods, and max-scale is {case.most_pods:g}",
            "The queue grows for as long as the rate lasts, until requests time out.",
            "Raise max-scale, use a quicker GPU, or shed load before the cluster.",
        )


def sharing_is_assumed(case: Case) -> Iterator[Finding]:
    """A pod takes several requests, and the model does not say what they do to each other."""
    if case.experiment is None or not (found := sharing(case.experiment)).assumed:
        return
    yield case.note(
        "sharing-assumed",
        "containerConcurrency",
        found.text,
        f"containerConcurrency {case.service.container_concurrency} lets more requests into a pod, which wait there.",
        "Give model.service-time.slots (requests worked on at once) or slowdown; kpasim calibrate measures them.",
    )


def too_few_gpus(case: Case) -> Iterator[Finding]:
    """The cluster has fewer GPUs than max-scale pods need."""
    if case.experiment is None:
        return
    cluster = case.experiment.cluster
    gpus = case.experiment.gpus_per_pod
    if cluster.nodes and gpus:
        nodes = cluster.nodes.max if cluster.nodes.max is not None else cluster.nodes.count
        room: float = nodes * (cluster.nodes.gpus_per_node // gpus)
        where = f"{nodes} nodes of {cluster.nodes.gpus_per_node} GPU"
    else:
        stocks = [one.stock for one in case.experiment.instance_types]
        room = math.inf if not stocks or None in stocks else sum(stock for stock in stocks if stock is not None)
        where = "the instance types' stock"
    if not room < case.most_pods:
        return
    yield case.warn(
        "cluster-below-max-scale",
        "cluster",
        f"{where} hold {room:g} pods, and max-scale is "
        f"{'unlimited' if math.isinf(case.most_pods) else f'{case.most_pods:g}'}",
        "Further pods stay Pending; the autoscaler counts on them, and panic does not end while they are not ready.",
        f'Set max-scale to "{room:g}", or give the cluster more room.',
    )


def uneven_requests(case: Case) -> Iterator[Finding]:
    """Hey sends fewer requests than it is told to."""
    workload = case.experiment.workload if case.experiment else None
    if not isinstance(workload, Hey) or workload.per_worker is None:
        return
    sent = workload.per_worker * workload.concurrency
    if sent != workload.requests:
        yield case.note(
            "uneven-requests",
            "workload.requests",
            f"hey sends {sent} requests, not {workload.requests}",
            f"Each of {workload.concurrency} workers sends floor({workload.requests} / {workload.concurrency}).",
            f"Use a multiple of {workload.concurrency}.",
        )
    for share, least in ((99, 100), (95, 20)):
        if sent < least:
            yield case.note(
                "few-requests",
                "workload.requests",
                f"hey cannot say what {share} % of {sent} requests stay below",
                f"It prints 0% in 0.0000 secs below {least} requests.",
                f"Send at least {least}, or look at kpasim's own percentiles.",
            )
            return


def guessed_model(case: Case) -> Iterator[Finding]:
    """The answer rests on a guess."""
    if case.model is None or not case.model.provisional:
        return
    yield case.note(
        "provisional-model",
        "model",
        f"the model {case.model.name} is provisional",
        "Its times were chosen, not measured.",
        "Fit it to a run of your own with kpasim calibrate.",
    )


def unpriced(case: Case) -> Iterator[Finding]:
    """No cost will be reported."""
    if case.experiment is None:
        return
    from kpasim.results.cost import price_list

    given = case.experiment.cost.prices if case.experiment.cost else {}
    missing = [
        one.name
        for one in case.experiment.instance_types
        if one.price_per_hour is None and one.name not in given and one.name not in price_list()
    ]
    if missing or not case.experiment.instance_types:
        yield case.note(
            "unpriced",
            "cluster.instance-types",
            f"no price for {', '.join(missing)}" if missing else "no instance type, so nothing has a price",
            "Cost is what scaling is weighed against.",
            "Give price-per-hour in cluster.instance-types.",
        )


def one_at_a_time(case: Case) -> Iterator[Finding]:
    """Pods come one after the other."""
    stage = _queued_stage(case.model)
    if stage is None:
        return
    each = stage.time.mean_s() / stage.at_a_time
    there = 1 if case.experiment and case.experiment.start.state == "warm" else 0
    wanted = min(case.pods_for(case.clients) if case.clients else 2, case.most_pods) - there
    if wanted <= stage.at_a_time:
        return
    yield case.note(
        "one-at-a-time",
        f"model.cold-start.stages.{stage.name}",
        f"of {wanted:g} pods asked for at once the last comes about {spoken(each * (wanted - stage.at_a_time))} after "
        "the first",
        f"{stage.at_a_time} pod{'s' if stage.at_a_time > 1 else ''} at a time can be in {stage.name}, for "
        f"{spoken(stage.time.mean_s())} each.",
        "Ask the provider for quota, or keep pods warm with min-scale.",
    )


def _queued_stage(model: ServiceModel | None) -> Stage | None:
    stages = model.cold_start.stages if model else ()
    return next((stage for stage in stages if stage.at_a_time and stage.time.mean_s() > 1), None)


RULES: tuple[Rule, ...] = (
    no_cold_start,
    timeout_below_start,
    response_start,
    idle_timeout,
    client_gives_up,
    gateway_outlives_client,
    panic_lasts,
    cold_start_from_zero,
    window_below_start,
    progress_deadline,
    killed_while_starting,
    cut_short,
    drain_outlasts_grace,
    sharing_is_assumed,
    too_few_pods,
    too_few_gpus,
    one_at_a_time,
    uneven_requests,
    guessed_model,
    unpriced,
)
"""Every rule of this module, in the order in which findings of one level are shown."""
