"""Rules that need a model of the service, a workload, or a cluster."""

import math
from collections.abc import Iterator, Mapping

from kpasim.spec.autoscaler import AutoscalerConfig
from kpasim.spec.manifest import TEMPLATE_SPEC, Probe
from kpasim.spec.sharing import sharing
from kpasim.studies.check.case import DRAIN_S, KUBELET_PERIOD_S, SLOW_START_S, Case, Finding, Rule, rules_in

_LONG_WAIT = 4
"""Service times that a request waits while pods start, beyond which it is said."""


def no_cold_start(case: Case) -> Iterator[Finding]:
    """New pods cost no time."""
    if case.model is not None and not case.model.cold_start.stages:
        yield case.finding("no-cold-start")


def timeout_below_start(case: Case) -> Iterator[Finding]:
    """The first request after a scale to zero ends in 504."""
    usual_s, need_s = (start_s + case.service_s[0] for start_s in case.start_s)
    if not case.service.timeout_s < case.wait_for_pod_s + case.service_s[0]:
        return
    variant, changes, longer = _longer(case, math.ceil(need_s / 60) * 60)
    yield case.finding("timeout-below-start", variant, changes=changes, usual_s=usual_s, need_s=need_s, longer=longer)


def _longer(case: Case, wanted_s: int) -> tuple[str, dict[str, int], str]:
    """The variant of a finding, and a larger timeoutSeconds as settings and in words, as far as the cluster allows it.

    The limit that the cluster would fill in below it is raised as well.
    """
    if wanted_s > case.most_timeout_s:
        return "beyond-limit", {}, ""
    start_s = case.experiment.defaults.response_start_timeout_s if case.experiment else 0
    if case.service.response_start_timeout_s is None and 0 < start_s < wanted_s:
        return (
            "",
            {"service.timeoutSeconds": wanted_s, "service.responseStartTimeoutSeconds": wanted_s},
            f"Set timeoutSeconds to {wanted_s} and responseStartTimeoutSeconds to {wanted_s} (else the cluster's "
            f"{start_s:g} holds).",
        )
    return "", {"service.timeoutSeconds": wanted_s}, f"Set timeoutSeconds to {wanted_s}."


def timeout_below_service(case: Case) -> Iterator[Finding]:
    """Requests are cut while they are worked on."""
    limit_s, (usual_s, _, long_s) = case.service.timeout_s, case.service_s
    if not limit_s < long_s:
        return
    variant, changes, longer = _longer(case, math.ceil(1.2 * long_s / 60) * 60)
    how_many = "half" if limit_s < usual_s else "some"
    yield case.finding("timeout-below-service", variant, changes=changes, how_many=how_many, longer=longer)


def response_start(case: Case) -> Iterator[Finding]:
    """The first byte comes too late."""
    limit_s, timeout_s = case.service.response_start_timeout_s, int(case.service.timeout_s)
    streams = case.model is not None and case.model.service_time.first_byte is not None
    need_s = max(case.wait_for_pod_s + case.first_byte_s, 0.0 if streams else case.service_s[2])
    if limit_s is None or not limit_s < need_s or case.service.timeout_s <= limit_s:
        return
    given = case.service.data["spec"]["template"]["spec"].get("responseStartTimeoutSeconds")
    yield case.finding(
        "response-start",
        "" if given else "default",
        changes={"service.responseStartTimeoutSeconds": timeout_s},
        limit_s=limit_s,
        takes="a wait for a pod plus service" if case.wait_for_pod_s else "the service alone",
        need_s=need_s,
        timeout_s=timeout_s,
    )


def idle_timeout(case: Case) -> Iterator[Finding]:
    """An answer is silent for too long, at its beginning or between its pieces."""
    limit_s = case.service.idle_timeout_s
    if limit_s is None or case.model is None:
        return
    every_s = case.model.service_time.chunk_interval_s or 0.0
    need_s = case.wait_for_pod_s + case.first_byte_s
    between = case.model.service_time.first_byte is not None and every_s > limit_s
    if between or limit_s < min(need_s, case.service.timeout_s):
        yield case.finding(
            "idle-timeout",
            "between-pieces" if between else "",
            limit_s=limit_s,
            need_s=need_s,
            every_s=every_s,
            least_s=max(need_s, every_s),
        )


def client_gives_up(case: Case) -> Iterator[Finding]:
    """Clients give up before a cold start is over."""
    timeout_s, (usual_s, _, need_s) = case.patience_s, case.service_s
    variant, how_many = "during-service", "half" if timeout_s <= usual_s else "some"
    if not timeout_s < need_s:
        if not (case.wait_for_pod_s and timeout_s < case.wait_for_pod_s + usual_s):
            return
        variant, need_s = "", case.start_s[1] + usual_s
    wanted_s = math.ceil(1.2 * need_s / 60) * 60
    yield case.finding(
        "client-gives-up",
        variant,
        changes={"workload.timeout": f"{wanted_s}s"},
        how_many=how_many,
        need_s=need_s,
        wanted_s=wanted_s,
        hey=" It is hey's default." if case.hey and timeout_s == 20 else "",
    )


def gateway_outlives_client(case: Case) -> Iterator[Finding]:
    """Clients wait longer than the cluster lets them."""
    if case.service.timeout_s < case.patience_s < math.inf:
        yield case.finding("client-outwaits")


def panic_lasts(case: Case) -> Iterator[Finding]:
    """Slow starts keep the autoscaler panicking."""
    start_s = case.start_s[0]
    revision = case.service.revision
    if not start_s > SLOW_START_S:
        return
    # With one ready pod: the least number of requests whose pods, rounded up, reach the threshold.
    least = math.floor(revision.target_value * (math.ceil(revision.panic_threshold) - 1) + 1e-9) + 1
    enough = "a request in flight is" if least == 1 else f"{least} requests in flight are"
    yield case.finding("panic-lasts", panic_s=start_s + revision.stable_window_s, enough=enough)


def cold_start_from_zero(case: Case) -> Iterator[Finding]:
    """After a pause somebody waits for minutes."""
    if not case.start_s[0] > SLOW_START_S or math.isinf(case.zero_after_s):
        return
    meets = case.begins_cold or case.pauses
    kept = {"service.annotations.min-scale": 1} if meets and not case.begins_cold else None
    yield case.finding("scale-to-zero", "" if meets else "no-pause", changes=kept)


def slow_scale_out(case: Case) -> Iterator[Finding]:
    """More load than the ready pods bear waits for pods that start slowly."""
    wanted = case.needed_pods
    if (
        case.begins_cold
        or case.pauses
        or not case.wait_for_pod_s > max(SLOW_START_S, _LONG_WAIT * case.service_s[2])
        or wanted <= case.warm_pods
    ):
        return
    ready = f"{case.warm_pods} {'is' if case.warm_pods == 1 else 'are'} ready"
    yield case.finding("slow-scale-out", changes={"service.annotations.min-scale": int(wanted)}, ready=ready)


def window_below_start(case: Case) -> Iterator[Finding]:
    """Pods are removed faster than they can be brought back."""
    start_s = case.start_s[0]
    held_s = case.service.revision.stable_window_s + case.service.revision.scale_down_delay_s
    if not start_s > held_s or not case.has_bursts:
        return
    delay_s = min(math.ceil(start_s / 60) * 60, 3600)
    longer = {"service.annotations.scale-down-delay": f"{delay_s}s"}
    yield case.finding("window-below-start", changes=longer, held_s=held_s, delay_s=delay_s)


def progress_deadline(case: Case) -> Iterator[Finding]:
    """A revision is given up before it is ready."""
    if case.start_s[1] > case.service.revision.progress_deadline_s:
        yield case.finding("progress-deadline", wanted_min=math.ceil(case.start_s[1] / 60) * 2)


def killed_while_starting(case: Case) -> Iterator[Finding]:
    """The kubelet kills the container before it can answer."""
    startup = case.service.startup_probe
    if startup is not None:
        yield from _startup_kills(case, startup)
        return
    for index, one in enumerate(case.service.data["spec"]["template"]["spec"]["containers"]):
        probe = one.get("livenessProbe")
        if not isinstance(probe, Mapping):
            continue
        period_s = probe.get("periodSeconds") or KUBELET_PERIOD_S
        failures = probe.get("failureThreshold") or 3
        allowed_s = (probe.get("initialDelaySeconds") or 0) + period_s * (failures - 1)
        if case.container_start_s[1] > allowed_s:
            place = (*TEMPLATE_SPEC, "containers", index, "livenessProbe")
            yield case.finding("slow-liveness", place=place, allowed_s=allowed_s, failures=failures, period_s=period_s)


def _startup_kills(case: Case, probe: Probe) -> Iterator[Finding]:
    """The last failure falls within one period, by the phase of the kubelet."""
    usual_s, late_s = case.container_start_s
    period_s = probe.period_s or KUBELET_PERIOD_S
    surely_s = probe.initial_delay_s + period_s * probe.failure_threshold
    perhaps_s = surely_s - period_s
    if not late_s > perhaps_s:
        return
    wanted = math.ceil((late_s - probe.initial_delay_s) / period_s) + 2
    yield case.finding(
        "killed-while-starting",
        "certain" if usual_s > surely_s else "",
        changes={"startupProbe.failureThreshold": wanted},
        probe=probe,
        period_s=period_s,
        perhaps_s=perhaps_s,
        surely_s=surely_s,
        wanted=wanted,
    )


def cut_short(case: Case) -> Iterator[Finding]:
    """Requests are cut when their pod is scaled down."""
    if case.model is not None and not case.model.shutdown.drains_on_sigterm and case.service_s[2] > DRAIN_S:
        yield case.finding("cut-short")


def drain_outlasts_grace(case: Case) -> Iterator[Finding]:
    """The kernel ends what the drain would finish."""
    if case.model is None or case.service.timeout_s < DRAIN_S:
        return
    need_s = max(DRAIN_S, case.service_s[2]) + case.model.shutdown.stop_time_s
    if need_s > case.service.timeout_s:
        yield case.finding("drain-outlasts-grace", need_s=need_s, wanted_s=math.ceil(need_s / 60) * 60)


def sharing_is_assumed(case: Case) -> Iterator[Finding]:
    """A pod takes several requests, and the model does not say what they do to each other."""
    if case.experiment is None or not (found := sharing(case.experiment)).assumed:
        return
    waits = case.in_flight > case.slots * max(case.warm_pods, 1)
    limited = {"service.containerConcurrency": int(case.slots)} if waits else None
    yield case.finding("sharing-assumed", "waits" if waits else "", changes=limited, text=found.text)


def slots_below_limit(case: Case) -> Iterator[Finding]:
    """Requests wait inside a container, where no free pod can take them."""
    limit = case.service.container_concurrency
    slots = case.model.service_time.slots if case.model else None
    if slots and limit > slots:
        yield case.finding(
            "slots-below-limit", changes={"service.containerConcurrency": slots}, limit=limit, slots=slots
        )


def begins_without_pod(case: Case) -> Iterator[Finding]:
    """The pod of a warm start has gone before the load begins, or those of min-scale are not there yet."""
    if case.experiment is None:
        return
    starts_now = case.experiment.start.state == "zero" and case.service.revision.min_scale
    if starts_now and case.start_s[0] > SLOW_START_S:
        yield case.finding("no-warm-pod", "not-there-yet")
    if case.warm_pod_is_gone:
        first_s = float(case.load.sent_s[0]) if case.load else 0.0
        yield case.finding("no-warm-pod", "asked-for" if "start" in case.experiment.raw else "", first_s=first_s)


def horizon_before_end(case: Case) -> Iterator[Finding]:
    """The run ends before the load does."""
    horizon_s = case.experiment.horizon_s if case.experiment else None
    end_s = case.load.end_s if case.load else _end_of_hey(case)
    if horizon_s is None or not horizon_s < end_s:
        return
    later = {"horizon": f"{math.ceil(end_s + case.service_s[2])}s"} if case.load else None
    yield case.finding("horizon-before-end", "at-least" if case.clients else "", changes=later, end_s=end_s)


def _end_of_hey(case: Case) -> float:
    workload = case.hey
    if workload is None:
        return 0.0
    return workload.duration_s or (workload.per_worker or 0) * case.service_s[1]


def short_of_minimum(case: Case) -> Iterator[Finding]:
    """A minimum of billing decides the cost of a short run."""
    cost = case.experiment.cost if case.experiment else None
    end_s = case.load.end_s if case.load else _end_of_hey(case)
    if cost is not None and cost.minimum_s > end_s + DRAIN_S + case.start_s[0]:
        yield case.finding("hourly-minimum", cost=cost, end_s=end_s)


def replay_is_readable(case: Case) -> Iterator[Finding]:
    """The file that the workload replays is opened when its load is looked at."""
    if case.load is not None and not len(case.load.sent_s):
        yield case.finding("no-requests")


def unused_rps_target(case: Case) -> Iterator[Finding]:
    """A key of config-autoscaler that has no effect on this revision."""
    default = AutoscalerConfig().requests_per_second_target_default
    if case.service.revision.metric != "rps" and case.config.requests_per_second_target_default != default:
        yield case.finding("unused-rps-target")


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
        yield case.finding(
            "max-scale-below-need",
            place=place,
            changes=_more_pods(case, wanted),
            maximum=maximum,
            served=most * case.slots,
            wanted=wanted,
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
    yield case.finding(
        "overload",
        "" if grows_for_s else "of-a-burst",
        place=place,
        changes=_more_pods(case, wanted),
        maximum=maximum,
        limit=limit,
        most=most,
        wait_s=wait_s,
        wanted=wanted,
    )


def too_few_gpus(case: Case) -> Iterator[Finding]:
    """The cluster has fewer GPUs than max-scale pods need."""
    if case.experiment is None or not case.most_machines < case.most_pods:
        return
    nodes = case.experiment.cluster.nodes
    where = "the instance types' stock"
    if nodes:
        where = f"{nodes.count if nodes.max is None else nodes.max} nodes of {nodes.gpus_per_node} GPU"
    most = "unlimited" if math.isinf(case.most_pods) else f"{case.most_pods:g}"
    needed = case.needed_pods > case.most_machines
    yield case.finding("cluster-below-max-scale", "needed" if needed else "", where=where, most=most)


def one_at_a_time(case: Case) -> Iterator[Finding]:
    """Pods come one after the other."""
    stages = case.model.cold_start.stages if case.model else ()
    stage = next((one for one in stages if one.at_a_time and one.time.mean_s() > 1), None)
    if stage is None:
        return
    wanted = (case.needed_pods if case.experiment else 2) - case.warm_pods
    if wanted <= stage.at_a_time:
        return
    each_s = stage.time.mean_s()
    yield case.finding(
        "one-at-a-time",
        place=f"model.cold-start.stages.{stage.name}",
        wanted=wanted,
        later_s=each_s * (math.ceil(wanted / stage.at_a_time) - 1),
        pods=f"{stage.at_a_time} pod{'s' if stage.at_a_time > 1 else ''}",
        stage=stage,
        each_s=each_s,
    )


def uneven_requests(case: Case) -> Iterator[Finding]:
    """Hey sends fewer requests than it is told to."""
    workload = case.hey
    if workload is None or workload.per_worker is None:
        return
    sent = workload.per_worker * workload.concurrency
    if sent != workload.requests:
        yield case.finding("uneven-requests", sent=sent, workload=workload)
    for share, least in ((99, 100), (95, 20)):
        if sent < least:
            yield case.finding("few-requests", share=share, sent=sent, least=least)
            return


def guessed_model(case: Case) -> Iterator[Finding]:
    """The answer rests on a guess."""
    if case.model is not None and case.model.provisional:
        yield case.finding("provisional-model")


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
        yield case.finding("unpriced", "" if missing else "nothing", missing=", ".join(missing))


RULES = rules_in(__name__)

OF_KNATIVES_AUTOSCALER: frozenset[Rule] = frozenset(
    {panic_lasts, cold_start_from_zero, slow_scale_out, window_below_start, begins_without_pod, unused_rps_target}
)
"""Rules about settings that no other autoscaler reads."""
