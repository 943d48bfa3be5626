"""Rules that need a model of the service, a workload, or a cluster."""

import math
from collections.abc import Iterator, Mapping

from kpasim.spec.autoscaler import AutoscalerConfig
from kpasim.spec.manifest import TEMPLATE_SPEC, Probe
from kpasim.spec.sharing import sharing
from kpasim.studies.check.case import DRAIN_S, KUBELET_PERIOD_S, SLOW_START_S, Case, Finding, Rule, spoken

_LONG_WAIT = 4
"""Service times that a request waits while pods start, beyond which it is said."""


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
    if not case.service.timeout_s < case.wait_for_pod_s + case.service_s[0]:
        return
    most = case.most_timeout_s
    wanted = math.ceil(need / 60) * 60
    fits = wanted <= most
    words, changes = _longer(case, wanted)
    yield case.warn(
        "timeout-below-start",
        "timeoutSeconds",
        f"timeoutSeconds {case.service.timeout_s:g} is below cold start plus service, "
        f"{spoken(median + case.service_s[0])} at the median and {spoken(need)} in a slow start",
        "The time a request waits for a pod counts, also for a node; the activator returns 504 when it is over.",
        words
        if fits
        else f"Keep a pod with min-scale, or raise max-revision-timeout-seconds: the cluster allows {most:g} s.",
        changes if fits else {"service.annotations.min-scale": 1},
    )


def _longer(case: Case, wanted_s: int) -> tuple[str, dict[str, int]]:
    """A larger timeoutSeconds in words and as settings, with the limit that the cluster would fill in below it."""
    start_s = case.experiment.defaults.response_start_timeout_s if case.experiment else 0
    if case.service.response_start_timeout_s is None and 0 < start_s < wanted_s:
        return (
            f"Set timeoutSeconds to {wanted_s} and responseStartTimeoutSeconds to {wanted_s} (else the cluster's "
            f"{start_s:g} holds).",
            {"service.timeoutSeconds": wanted_s, "service.responseStartTimeoutSeconds": wanted_s},
        )
    return f"Set timeoutSeconds to {wanted_s}.", {"service.timeoutSeconds": wanted_s}


def timeout_below_service(case: Case) -> Iterator[Finding]:
    """Requests are cut while they are worked on."""
    limit_s, long = case.service.timeout_s, case.service_s[2]
    if not limit_s < long:
        return
    wanted, most = math.ceil(1.2 * long / 60) * 60, case.most_timeout_s
    fits = wanted <= most
    words, changes = _longer(case, wanted)
    yield case.warn(
        "timeout-below-service",
        "timeoutSeconds",
        f"timeoutSeconds is {limit_s:g}, and {'half' if limit_s < case.service_s[0] else 'some'} of the requests are "
        f"worked on for longer ({spoken(case.service_s[0])} at the median, {spoken(long)} for 1 in 100)",
        "Such a request ends with 504, whether it had to wait or not.",
        words if fits else f"Raise max-revision-timeout-seconds in config-defaults: the cluster allows {most:g} s.",
        changes if fits else None,
    )


def response_start(case: Case) -> Iterator[Finding]:
    """The first byte comes too late."""
    limit = case.service.response_start_timeout_s
    streams = case.model is not None and case.model.service_time.first_byte is not None
    need = max(case.wait_for_pod_s + case.first_byte_s, 0.0 if streams else case.service_s[2])
    if limit is None or not limit < need or case.service.timeout_s <= limit:
        return
    given = case.service.data["spec"]["template"]["spec"].get("responseStartTimeoutSeconds")
    takes = "a wait for a pod plus service" if case.wait_for_pod_s else "the service alone"
    yield case.warn(
        "response-start",
        "responseStartTimeoutSeconds",
        f"no byte within {limit:g} s means 504, and {takes} takes {spoken(need)}",
        "The limit counts from the arrival, waiting included."
        if given
        else f"The limit counts from the arrival, waiting included; {limit:g} s is the cluster's default, which holds "
        "where timeoutSeconds is larger.",
        f"Set responseStartTimeoutSeconds: {int(case.service.timeout_s)}.",
        {"service.responseStartTimeoutSeconds": int(case.service.timeout_s)},
    )


def idle_timeout(case: Case) -> Iterator[Finding]:
    """An answer is silent for too long, at its beginning or between its pieces."""
    limit = case.service.idle_timeout_s
    if limit is None or case.model is None:
        return
    every = case.model.service_time.chunk_interval_s
    need = case.wait_for_pod_s + case.first_byte_s
    if case.model.service_time.first_byte is not None and every and every > limit:
        what = f"pieces of a response come every {spoken(every)}, and after {limit:g} s of silence it is cut"
    elif limit < need and limit < case.service.timeout_s:
        what = f"no byte within {limit:g} s means 504, and a wait for a pod plus service takes {spoken(need)}"
    else:
        return
    yield case.warn(
        "idle-timeout",
        "idleTimeoutSeconds",
        what,
        "The time runs from the arrival to the first byte, waiting included, and from then on between any two bytes.",
        f"Set idleTimeoutSeconds above {spoken(max(need, every or 0.0))}, or to 0 for no such limit.",
        {"service.idleTimeoutSeconds": 0},
    )


def client_gives_up(case: Case) -> Iterator[Finding]:
    """Clients give up before a cold start is over."""
    timeout, (usual, _, need) = case.patience_s, case.service_s
    if timeout < need:
        what = (
            f"{'half' if timeout <= usual else 'some'} of the requests are worked on for longer ({spoken(usual)} at "
            f"the median, {spoken(need)} for 1 in 100)"
        )
        why, instead = "Such a request is counted as an error, and the pod may still process it.", ""
    elif case.wait_for_pod_s and timeout < case.wait_for_pod_s + usual:
        need = case.start_s[1] + usual
        what = f"a cold start plus service takes {spoken(need)}"
        why = "Requests that wait for a new pod are counted as errors, and the pod may still process them."
        instead = ", or keep enough pods with min-scale"
    else:
        return
    wanted = math.ceil(1.2 * need / 60) * 60
    yield case.warn(
        "client-gives-up",
        "workload.timeout",
        f"the client timeout is {spoken(timeout)}, and {what}",
        f"{why} It is hey's default." if case.hey and timeout == 20 else why,
        f"Give the clients {spoken(wanted)} (hey -t {wanted}){instead}.",
        {"workload.timeout": f"{wanted}s"},
    )


def gateway_outlives_client(case: Case) -> Iterator[Finding]:
    """Clients wait longer than the cluster lets them."""
    limit_s = case.service.timeout_s
    if limit_s < case.patience_s < math.inf:
        yield case.note(
            "client-outwaits",
            "workload.timeout",
            f"clients wait {spoken(case.patience_s)}, but a request ends with 504 after timeoutSeconds {limit_s:g}",
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
    start = case.start_s[0]
    if not start > SLOW_START_S or math.isinf(case.zero_after_s):
        return
    meets = case.begins_cold or case.pauses
    yield (case.warn if meets else case.note)(
        "scale-to-zero",
        "min-scale",
        f"scale to zero: after a pause of at least {spoken(case.zero_after_s)} the next user waits {spoken(start)}",
        "The last pod goes once a stable window has passed without a request, plus scale-down-delay (once for each "
        "pod that goes) and retention; a cold start brings it back."
        + ("" if meets else " This load has no such pause."),
        'Keep one with min-scale: "1", or for a while with scale-to-zero-pod-retention-period, and compare the bills.',
        {"service.annotations.min-scale": 1} if meets and not case.begins_cold else None,
    )


def slow_scale_out(case: Case) -> Iterator[Finding]:
    """More load than the ready pods bear waits for pods that start slowly."""
    wait_s, wanted = case.wait_for_pod_s, case.needed_pods
    if (
        case.begins_cold
        or case.pauses
        or not wait_s > max(SLOW_START_S, _LONG_WAIT * case.service_s[2])
        or wanted <= case.warm_pods
    ):
        return
    ready = f"{case.warm_pods} {'is' if case.warm_pods == 1 else 'are'} ready"
    yield case.warn(
        "slow-scale-out",
        "min-scale",
        f"the load needs {wanted:g} pods, {ready}, and requests wait {spoken(wait_s)} for the others",
        f"A pod takes {spoken(case.start_s[0])} to start; until then the queue grows.",
        f'Set min-scale to "{wanted:g}" while such a load comes, and compare the bills.',
        {"service.annotations.min-scale": int(wanted)},
    )


def window_below_start(case: Case) -> Iterator[Finding]:
    """Pods are removed faster than they can be brought back."""
    revision = case.service.revision
    start = case.start_s[0]
    held = revision.stable_window_s + revision.scale_down_delay_s
    if not start > held or not case.has_bursts:
        return
    delay = min(math.ceil(start / 60) * 60, 3600)
    yield case.warn(
        "window-below-start",
        "window",
        f"a pod is given up {spoken(held)} after a burst, and takes {spoken(start)} to come back",
        "The stable window (and scale-down-delay) is all that remembers demand; bursts that come more rarely meet "
        "cold pods.",
        f"Set scale-down-delay to about the cold start ({spoken(delay)}), or a longer window, and compare the bills.",
        {"service.annotations.scale-down-delay": f"{delay}s"},
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
    _, late = case.container_start_s
    startup = case.service.startup_probe
    if startup is not None:
        yield from _startup_kills(case, startup)
        return
    for index, one in enumerate(case.service.data["spec"]["template"]["spec"]["containers"]):
        probe = one.get("livenessProbe")
        if not isinstance(probe, Mapping):
            continue
        period = probe.get("periodSeconds") or KUBELET_PERIOD_S
        failures = probe.get("failureThreshold") or 3
        allowed = (probe.get("initialDelaySeconds") or 0) + period * (failures - 1)
        if late > allowed:
            yield case.warn(
                "slow-liveness",
                (*TEMPLATE_SPEC, "containers", index, "livenessProbe"),
                f"a livenessProbe may kill the container after {spoken(allowed)}, and a start takes {spoken(late)}",
                f"If it fails until the model is loaded, {failures} failures {period:g} s apart start the container "
                "again from the beginning. kpasim does not simulate liveness probes.",
                "Give the livenessProbe an initialDelaySeconds above the start, or probe a path that responds at once.",
            )


def _startup_kills(case: Case, probe: Probe) -> Iterator[Finding]:
    """The last failure falls within one period, by the phase of the kubelet."""
    usual, late = case.container_start_s
    period = probe.period_s or KUBELET_PERIOD_S
    surely = probe.initial_delay_s + period * probe.failure_threshold
    perhaps = surely - period
    if not late > perhaps:
        return
    wanted = math.ceil((late - probe.initial_delay_s) / period) + 2
    certain = usual > surely
    yield (case.fail if certain else case.warn)(
        "killed-while-starting",
        "startupProbe",
        f"the container is killed after {spoken(surely)}, and takes {spoken(usual)} to start"
        if certain
        else f"the container may be killed after {spoken(perhaps)} to {spoken(surely)}, and takes up to {spoken(late)} "
        "to start",
        f"After failureThreshold {probe.failure_threshold} failures, {period:g} s apart, the kubelet starts it again "
        "from the beginning; when the first probe comes depends on the kubelet's phase.",
        f"Set failureThreshold to at least {wanted}.",
        {"startupProbe.failureThreshold": wanted},
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
        "After 30 s without a new request the container gets SIGTERM, even with requests; a container that does "
        "not finish its requests first returns 502.",
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


def _more_pods(case: Case, wanted: int) -> dict[str, int] | None:
    """The fix that allows more pods, where it can be tried: the key of another autoscaler depends on its kind."""
    return (
        None if case.has_other_autoscaler or wanted > case.most_machines else {"service.annotations.max-scale": wanted}
    )


def too_few_pods(case: Case) -> Iterator[Finding]:
    """The load does not fit into max-scale pods."""
    if case.experiment is None or not math.isfinite(case.pod_rate):
        return
    most = min(case.most_pods, case.most_machines)
    maximum = "the autoscaler's maximum" if case.has_other_autoscaler else "max-scale"
    place = "autoscaler" if case.has_other_autoscaler else "max-scale"
    limit = f"{maximum} is" if case.most_pods <= case.most_machines else "the machines are"
    if case.clients and case.clients > most * case.slots:
        wanted = math.ceil(case.clients / case.slots)
        yield case.warn(
            "max-scale-below-need",
            place,
            f"{maximum} {case.most_pods:g} serves {most * case.slots:g} requests at once, and there are {case.clients} "
            "clients",
            "Further requests wait each time; the autoscaler stays in panic for as long as demand is twice capacity.",
            f'Set {maximum} to "{wanted}", or accept the wait.',
            _more_pods(case, wanted),
        )
    if case.load is None or not len(case.load.expected_s):
        return
    patience_s = grows_for_s = 2 * case.service_s[1]
    wait_s = case.load.longest_wait_s(most * case.pod_rate, grows_for_s)
    if wait_s <= patience_s:
        # A burst is soon worked off, but not before the last of it is given up.
        patience_s, grows_for_s = case.limit_s - case.service_s[1], 0.0
        wait_s = case.load.longest_wait_s(most * case.pod_rate)
        if wait_s <= max(patience_s, 0.0) or patience_s < 0.0:
            return
    wanted = case.load.servers_needed(case.pod_rate, patience_s, grows_for_s)
    ends = "" if grows_for_s else f", and requests end after {spoken(case.limit_s)}"
    yield case.warn(
        "overload",
        place,
        f"the load needs {wanted} pods of {case.pod_rate:.3g} requests/s each, and {limit} {most:g}",
        f"Requests come faster than {most:g} pods finish them; the queue grows until one waits {spoken(wait_s)}{ends}.",
        f'Set {maximum} to "{wanted}", use a faster GPU, or send less.',
        _more_pods(case, wanted),
    )


def slots_below_limit(case: Case) -> Iterator[Finding]:
    """Requests wait inside a container, where no free pod can take them."""
    limit = case.service.container_concurrency
    slots = case.model.service_time.slots if case.model else None
    if not slots or not limit > slots:
        return
    yield case.warn(
        "slots-below-limit",
        "containerConcurrency",
        f"containerConcurrency {limit} lets {limit} requests into a pod, and the container works on {slots} at once",
        "Further requests wait in the container, while another pod may be free; the autoscaler sees a half-empty pod.",
        f"Set containerConcurrency: {slots}.",
        {"service.containerConcurrency": slots},
    )


def begins_without_pod(case: Case) -> Iterator[Finding]:
    """The pod of a warm start has gone before the load begins, or those of min-scale are not there yet."""
    if case.experiment is None:
        return
    start = case.experiment.start
    if start.state == "zero" and case.service.revision.min_scale and case.start_s[0] > SLOW_START_S:
        yield case.warn(
            "no-warm-pod",
            "start",
            f"the load begins before the pods of min-scale are there: its first user waits {spoken(case.start_s[0])}",
            "start is zero: the revision has just been created, and its first pods still start.",
            "Say start: warm, if the load comes later.",
            {"start": "warm"},
        )
    if not case.warm_pod_is_gone:
        return
    yield (case.warn if "start" in case.experiment.raw else case.note)(
        "no-warm-pod",
        "start",
        f"the load begins without its warm pod: no request comes for longer than {spoken(case.zero_after_s)}, and the "
        "service scales to zero before",
        f"start is warm for {spoken(start.for_s)}, and the first request comes "
        f"{spoken(float(case.load.sent_s[0]) if case.load else 0.0)} into the load.",
        "Say start: idled if that is meant, make start shorter, or set min-scale.",
        {"service.annotations.min-scale": 1},
    )


def horizon_before_end(case: Case) -> Iterator[Finding]:
    """The run ends before the load does."""
    horizon = case.experiment.horizon_s if case.experiment else None
    end_s = case.load.end_s if case.load else _end_of_hey(case)
    if horizon is None or not horizon < end_s:
        return
    yield case.warn(
        "horizon-before-end",
        "horizon",
        f"the run ends after {spoken(horizon)}, and the load lasts {spoken(end_s)}{' or more' if case.clients else ''}",
        "Requests that come later are never sent, and requests in flight have no response.",
        f"Set horizon to more than {spoken(end_s)}, or leave it out.",
        {"horizon": f"{math.ceil(end_s + case.service_s[2])}s"} if case.load else None,
    )


def _end_of_hey(case: Case) -> float:
    workload = case.hey
    if workload is None:
        return 0.0
    return workload.duration_s or (workload.per_worker or 0) * case.service_s[1]


def short_of_minimum(case: Case) -> Iterator[Finding]:
    """A minimum of billing decides the cost of a short run."""
    cost = case.experiment.cost if case.experiment else None
    end_s = case.load.end_s if case.load else _end_of_hey(case)
    if cost is None or not cost.minimum_s > end_s + DRAIN_S + case.start_s[0]:
        return
    yield case.note(
        "hourly-minimum",
        "cost.minimum",
        f"each {cost.per} is billed for at least {spoken(cost.minimum_s)}, and the load lasts {spoken(end_s)}",
        "The cost counts pods, not their time: settings that start fewer pods look cheaper than they are over a day.",
        "Simulate a load as long as a day, or compare pod-seconds.",
    )


def replay_is_readable(case: Case) -> Iterator[Finding]:
    """The file that the workload replays is opened when its load is looked at."""
    if case.load is not None and not len(case.load.sent_s):
        yield case.warn(
            "no-requests",
            "workload",
            "the workload sends no request",
            "Its rate times its duration is less than a request.",
            "Make it longer, or raise the rate.",
        )


def unused_rps_target(case: Case) -> Iterator[Finding]:
    """A key of config-autoscaler that has no effect on this revision."""
    default = AutoscalerConfig().requests_per_second_target_default
    if case.service.revision.metric != "rps" and case.config.requests_per_second_target_default != default:
        yield case.note(
            "unused-rps-target",
            "config-autoscaler.requests-per-second-target-default",
            f"requests-per-second-target-default has no effect: the metric is {case.service.revision.metric}",
            "The key is read only for revisions with the annotation metric: rps.",
            "Set autoscaling.knative.dev/metric: rps, or remove the key.",
        )


def sharing_is_assumed(case: Case) -> Iterator[Finding]:
    """A pod takes several requests, and the model does not say what they do to each other."""
    if case.experiment is None or not (found := sharing(case.experiment)).assumed:
        return
    waits = case.in_flight > case.slots * max(case.warm_pods, 1)
    yield (case.warn if waits else case.note)(
        "sharing-assumed",
        "containerConcurrency",
        found.text,
        f"containerConcurrency {case.service.container_concurrency} lets more requests into a pod, which wait there.",
        "Give model.service-time.slots (requests processed at once) or slowdown; kpasim calibrate measures them."
        + (f" If it is so, set containerConcurrency: {case.slots:g}." if waits else ""),
        {"service.containerConcurrency": int(case.slots)} if waits else None,
    )


def too_few_gpus(case: Case) -> Iterator[Finding]:
    """The cluster has fewer GPUs than max-scale pods need."""
    if case.experiment is None or not case.most_machines < case.most_pods:
        return
    nodes = case.experiment.cluster.nodes
    where = "the instance types' stock"
    if nodes:
        where = f"{nodes.count if nodes.max is None else nodes.max} nodes of {nodes.gpus_per_node} GPU"
    hurts = case.needed_pods > case.most_machines
    yield (case.warn if hurts else case.note)(
        "cluster-below-max-scale",
        "cluster",
        f"{where} hold {case.most_machines:g} pods, and max-scale is "
        f"{'unlimited' if math.isinf(case.most_pods) else f'{case.most_pods:g}'}",
        "Further pods stay Pending; the autoscaler counts on them, and panic does not end while they are not ready.",
        f'Set max-scale to "{case.most_machines:g}", or give the cluster more capacity.',
    )


def uneven_requests(case: Case) -> Iterator[Finding]:
    """Hey sends fewer requests than it is told to."""
    workload = case.hey
    if workload is None or workload.per_worker is None:
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
    stages = case.model.cold_start.stages if case.model else ()
    stage = next((one for one in stages if one.at_a_time and one.time.mean_s() > 1), None)
    if stage is None:
        return
    wanted = (case.needed_pods if case.experiment else 2) - case.warm_pods
    if wanted <= stage.at_a_time:
        return
    later_s = stage.time.mean_s() * (math.ceil(wanted / stage.at_a_time) - 1)
    yield case.note(
        "one-at-a-time",
        f"model.cold-start.stages.{stage.name}",
        f"of {wanted:g} pods asked for at once the last comes about {spoken(later_s)} after the first",
        f"{stage.at_a_time} pod{'s' if stage.at_a_time > 1 else ''} at a time can be in {stage.name}, for "
        f"{spoken(stage.time.mean_s())} each.",
        "Ask the provider for quota, or keep pods warm with min-scale.",
    )


RULES: tuple[Rule, ...] = (
    no_cold_start,
    timeout_below_start,
    timeout_below_service,
    response_start,
    idle_timeout,
    client_gives_up,
    gateway_outlives_client,
    panic_lasts,
    cold_start_from_zero,
    slow_scale_out,
    window_below_start,
    progress_deadline,
    killed_while_starting,
    cut_short,
    drain_outlasts_grace,
    sharing_is_assumed,
    slots_below_limit,
    begins_without_pod,
    horizon_before_end,
    short_of_minimum,
    replay_is_readable,
    unused_rps_target,
    too_few_pods,
    too_few_gpus,
    one_at_a_time,
    uneven_requests,
    guessed_model,
    unpriced,
)
"""Every rule of this module, in the order in which findings of one level are shown."""

OF_KNATIVES_AUTOSCALER: frozenset[Rule] = frozenset(
    {panic_lasts, cold_start_from_zero, slow_scale_out, window_below_start, begins_without_pod, unused_rps_target}
)
"""Rules about settings that no other autoscaler reads."""
