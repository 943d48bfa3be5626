"""Replays of cases recorded from Kubernetes' HPA controller; only bookkeeping, every decision is the policy's."""

import math
from collections.abc import Callable, Iterable
from typing import Any
from unittest.mock import ANY

import numpy as np
from numpy.typing import NDArray

from kpasim.policy import hpa
from kpasim.spec import quantities
from kpasim.spec.scaling import ScaleDown, ScaleUp
from tests.policy.unsimulated import largest, rules, series_total

Case = dict[str, Any]

NS_PER_MS = 1_000_000
NS_PER_S = 1_000_000_000
PHASES = {"Pending": hpa.PENDING, "Running": hpa.RUNNING, "Failed": hpa.FAILED, "Succeeded": hpa.RUNNING}
CAPACITY = 2000


def same(what: str, expected: Any, got: Any) -> None:
    """Fail unless the controller had ``got``, floats to 1e-9 of their size."""
    if isinstance(expected, float):
        close = math.isclose(expected, got, rel_tol=1e-9, abs_tol=1e-300) or (math.isnan(expected) and math.isnan(got))
        assert close, f"{what}: {expected}, kpasim {got}"
    else:
        assert expected == got, f"{what}: {expected}, kpasim {got}"


def error_name(replicas: int) -> str | None:
    """Name of the error in a proposal, None when it is a number of pods."""
    return hpa.ERRORS[hpa.METRIC_UNAVAILABLE - replicas] if replicas <= hpa.METRIC_UNAVAILABLE else None


# --- hpa_replicas


def groups_of(case: Case) -> list[int]:
    """Group of each pod of a case."""
    groups = []
    for pod in case["pods"]:
        starting = case["kind"] == "cpu_average" and hpa.unready_for_cpu(
            pod["ready"],
            pod["started_ago_ms"] * NS_PER_MS,
            pod["ready_changed_ago_ms"] * NS_PER_MS,
            (pod["metric_age_ms"] or 0) * NS_PER_MS,
            (pod["metric_window_ms"] or 0) * NS_PER_MS,
            case["cpu_initialization_period_ms"] * NS_PER_MS,
            case["initial_readiness_delay_ms"] * NS_PER_MS,
        )
        groups.append(
            hpa.pod_group(PHASES[pod["phase"]], pod["terminating"], pod["metric_milli"] is not None, starting)
        )
    return groups


def replay_replicas(case: Case) -> None:
    """One metric's proposal."""
    expected, kind = case["expected"], case["kind"]
    if kind == "quantity":
        same("milli", expected["milli"], milli(case["text"]))
        return
    tolerances = (float(case["tolerance_up"]), float(case["tolerance_down"]))
    current, target = case["current_replicas"], case["target_milli"]
    usage: int | None
    if case["metric_error"]:
        replicas, ratio = hpa.METRIC_UNAVAILABLE, None
        usage = None
    elif kind == "external_average":
        total = series_total(case["series_milli"] or [], average=True)
        replicas = hpa.average_value_replicas(current, total, target, *tolerances)
        ratio = hpa.quotient(float(sum(case["series_milli"] or [])), float(target) * float(current))
        usage = None if current == 0 else 2**63 - 1 if total >= 2**63 - 1 else math.ceil(float(total) / current)
    elif kind in {"external_value", "object_value"}:
        if kind == "object_value":
            total = int(case["value_milli"])
        else:
            total = series_total(case["series_milli"] or [], average=False)
        ready = sum(pod["phase"] == "Running" and pod["ready"] for pod in case["pods"])
        replicas = hpa.value_replicas(current, total, target, len(case["pods"]), ready, *tolerances)
        ratio, usage = float(total) / target, total
    else:
        groups = groups_of(case)
        counts = [groups.count(group) for group in range(4)]
        ready, unready, missing, _ = counts
        total = sum(pod["metric_milli"] for pod, group in zip(case["pods"], groups, strict=True) if group == hpa.READY)
        replicas = hpa.pods_replicas(current, total, ready, unready, missing, len(groups), 0, target, *tolerances)
        usage = hpa.mean_milli(total, ready) if ready else None
        ratio = None if usage is None else usage / target
        if expected["error"] is None:
            same("groups", expected["pod_groups"], dict(zip(hpa.GROUPS, counts, strict=True)))
    same("error", expected["error"], error_name(replicas))
    if expected["error"] is not None:
        return
    same("replicas", expected["replicas"], replicas)
    if expected["usage_milli"] is not None:
        same("usage", expected["usage_milli"], usage)
    if expected["first_ratio"] is not None and ratio is not None:
        same("ratio", float(expected["first_ratio"]), ratio)
        within = hpa.within_tolerance(ratio, *tolerances)
        if expected["first_ratio_within_tolerance"] is not None:
            same("within tolerance", expected["first_ratio_within_tolerance"], within)


def milli(text: str) -> int:
    """Thousandths of a quantity, rounded away from zero as Kubernetes rounds."""
    exact = quantities.amount(text.lstrip("-")) * 1000
    return math.ceil(exact) * (-1 if text.startswith("-") else 1)


# --- hpa_behavior


def rules_of(stored: Case, window_s: float) -> hpa.Rules:
    """Rules of one direction as the API stores them."""
    given = stored["stabilization_window_s"]
    policies = [(policy["type"], policy["value"], policy["period_s"]) for policy in stored["policies"]]
    return rules(window_s if given is None else given, stored["select_policy"], policies)


def settings_of(
    behavior: Case | None,
    minimum: int,
    maximum: int,
    window_s: float = 300,
    tolerance: float = 0.1,
    *,
    configurable_tolerance: bool = True,
    scale_to_zero: bool = False,
    total_metric: bool = True,
) -> hpa.Settings:
    """An HPA with the stored behavior, or without."""
    tolerances = {"scale_up": tolerance, "scale_down": tolerance}
    if behavior is not None and configurable_tolerance:
        for name in tolerances:
            given = behavior[name]["tolerance"]
            tolerances[name] = tolerance if given is None else float(given)
    return hpa.Settings(
        minimum,
        maximum,
        int(behavior is not None),
        rules(0) if behavior is None else rules_of(behavior["scale_up"], 0),
        rules(window_s) if behavior is None else rules_of(behavior["scale_down"], window_s),
        tolerances["scale_up"],
        tolerances["scale_down"],
        int(scale_to_zero),
        int(total_metric),
    )


def history_of(now_ns: int, recommendations: Any = (), up_events: Any = (), down_events: Any = ()) -> hpa.History:
    """A history with the rows of a case, which hold a count and its age [ms]."""

    def rows(given: Any) -> NDArray[np.int64]:
        array = np.zeros((CAPACITY, 2), dtype=np.int64)
        for place, (count, age_ms) in enumerate(given):
            array[place] = count, now_ns - round(age_ms * NS_PER_MS)
        return array

    lists = [given or () for given in (recommendations, up_events, down_events)]
    state = np.array([hpa.ABSENT, *map(len, lists)], dtype=np.int64)
    return hpa.History(state, *(rows(given) for given in lists))


def rows_of(history: hpa.History, name: str, length: int, now_ns: int) -> list[list[int]]:
    """Rows of one list of a history, with ages [ms]."""
    rows = getattr(history, name)[: history.state[length]]
    return [[int(count), int(now_ns - time_ns) // NS_PER_MS] for count, time_ns in rows]


def replay_behavior(case: Case) -> None:
    """From a raw count to the next one, or what is remembered of it."""
    kind, expected, now_ns = case["kind"], case["expected"], 10_000 * NS_PER_S
    if kind == "defaults":
        same("scale up", expected["scale_up"], stored(case["scale_up"], up=True))
        same("scale down", expected["scale_down"], stored(case["scale_down"], up=False))
        return
    if kind == "stabilise":
        up = rules(case["up_window_s"])
        settings = hpa.Settings(1, 100, 1, up, rules(case["down_window_s"]), 0.1, 0.1, 0, 1)
    else:
        window_s = case.get("controller_downscale_window_s", 300)
        given = {name: case[name] for name in ("scale_up", "scale_down")} if "scale_up" in case else None
        settings = settings_of(given, case.get("min_replicas", 1), case.get("max_replicas", 100), window_s)
    history = history_of(
        now_ns, case.get("recommendations"), case.get("scale_up_events"), case.get("scale_down_events")
    )
    current, wanted = case.get("current_replicas", 0), case.get("desired_replicas", 0)
    if kind == "rate":
        replicas, limit = hpa.rate_limited(settings, history, now_ns, current, wanted)
        same("replicas", expected["replicas"], replicas)
        same("reason", expected["reason"], hpa.LIMIT_REASONS[limit])
    elif kind == "stabilise":
        replicas, able = hpa.stabilised(settings, history, now_ns, current, wanted)
        same("recommendation", expected["recommendation"], replicas)
        if replicas != wanted:
            same("reason", expected["reason"], hpa.ABLE_REASONS[able])
    elif kind == "store_event":
        hpa.on_rescaled(settings, history, now_ns, case["previous_replicas"], case["new_replicas"])
        same("up events", expected["scale_up_events_after"], rows_of(history, "up_events", hpa.UP_EVENTS, now_ns))
        down = rows_of(history, "down_events", hpa.DOWN_EVENTS, now_ns)
        same("down events", expected["scale_down_events_after"], down)
    else:
        assert kind in {"normalise", "normalise_without_behavior"}
        if settings.has_behavior:
            stable, able = hpa.stabilised(settings, history, now_ns, current, wanted)
            replicas, limit = hpa.rate_limited(settings, history, now_ns, current, stable)
        else:
            stable, able = hpa.stabilised_without_behavior(settings, history, now_ns, wanted)
            replicas, limit = hpa.limited_without_behavior(settings, current, stable)
        same("replicas", expected["replicas"], replicas)
        same("able to scale", expected["able_to_scale"], ["True", hpa.ABLE_REASONS[able]])
        same("limited", expected["scaling_limited"], [str(replicas != stable), hpa.LIMIT_REASONS[limit]])
    if "recommendations_after" in expected:
        rows = rows_of(history, "recommendations", hpa.RECOMMENDATIONS, now_ns)
        same("recommendations", expected["recommendations_after"], rows)


def stored(given: Case | None, *, up: bool) -> Case:
    """Rules of one direction as the API completes and stores them."""
    given = given or {}
    default = ScaleUp() if up else ScaleDown()
    policies = [{"type": one.type, "value": one.value, "period_s": one.period_s} for one in default.policies]
    window_s = given.get("stabilization_window_s")
    return {
        "stabilization_window_s": window_s if window_s is not None else default.stabilization_window_s,
        "select_policy": given.get("select_policy") or default.select_policy,
        "policies": given.get("policies") or policies,
        "tolerance": given.get("tolerance"),
    }


# --- hpa_trace

FAILED_METRICS = {
    "External": "FailedGetExternalMetric",
    "Object": "FailedGetObjectMetric",
    "Pods": "FailedGetPodsMetric",
}


def proposal(metric: Case, value: Any, pods: list[int], spec: int, status: int, tolerances: Iterable[float]) -> int:
    """What one metric asks for at a tick.

    Args:
        metric: The metric of the HPA's spec.
        value: ``"error"``, thousandths, or for type Pods one value or None per Running pod, ready ones first.
        pods: Ready, running but not ready, Pending and terminating pods.
        spec: Count in the target's spec.
        status: Count in the target's status.
        tolerances: Up and down.
    """
    ready, unready, pending, terminating = pods
    everything = sum(pods)
    target = metric["target_milli"]
    if value == "error":
        return hpa.METRIC_UNAVAILABLE
    if metric["type"] == "Pods":
        known = [one for one in value if one is not None]
        missing = ready + unready - len(known)
        return hpa.pods_replicas(spec, sum(known), len(known), pending, missing, everything, 0, target, *tolerances)
    if metric["target_type"] == "AverageValue":
        total = series_total([value], average=metric["type"] == "External")
        return hpa.average_value_replicas(status, total, target, *tolerances)
    return hpa.value_replicas(spec, value, target, everything, ready + terminating, *tolerances)


class Controller:
    """The controller of one HPA and the conditions it shows."""

    def __init__(self, metrics: list[Case]) -> None:
        self.metrics = metrics
        self.history = history_of(0)
        self.started = False
        self.shown: dict[str, tuple[str | None, str | None]] = dict.fromkeys(
            ("able_to_scale", "scaling_active", "scaling_limited", "scaled_to_zero"), (None, None)
        )

    def tick(
        self,
        settings: hpa.Settings,
        now_ns: int,
        replicas: int,
        status: int,
        pods: list[int],
        values: list[Any],
        *,
        writes: bool = True,
    ) -> tuple[int, int, str | None]:
        """One tick: the count afterwards, the code of a rescale's reason, the first error."""
        history = self.history
        if not self.started:
            hpa.start(history, now_ns, replicas)
            self.started = True
        self.shown["able_to_scale"] = ("True", "SucceededGetScale")
        tolerances = (settings.tolerance_up, settings.tolerance_down)
        proposals = [
            proposal(metric, value, pods, replicas, status, tolerances)
            for metric, value in zip(self.metrics, values, strict=False)
        ]
        best = largest(proposals, replicas)
        new, step, reason, able, limit = hpa.decide(settings, history, now_ns, replicas, best)
        failed = [place for place, one in enumerate(proposals) if error_name(one)]
        error = None
        if step in {hpa.MEASURED, hpa.NO_METRIC} and failed:
            error = error_name(proposals[failed[0]])
        if step == hpa.DISABLED_AT_ZERO:
            self.shown["scaling_active"] = ("False", "ScalingDisabled")
            if not settings.scale_to_zero:
                self.shown["scaled_to_zero"] = (None, None)
        elif step == hpa.NO_METRIC:
            self.shown["scaling_active"] = ("False", FAILED_METRICS[self.metrics[failed[0]]["type"]])
        elif step == hpa.MEASURED:
            self.shown["scaling_active"] = ("True", "ValidMetricFound")
            self.shown["able_to_scale"] = ("True", hpa.ABLE_REASONS[able])
            limited = limit != hpa.WITHIN_RANGE
            self.shown["scaling_limited"] = (str(limited), hpa.LIMIT_REASONS[limit])
        if new == replicas:
            return replicas, -1, error
        if not writes:
            self.shown["able_to_scale"] = ("False", "FailedUpdateScale")
            return replicas, -1, ANY
        hpa.on_rescaled(settings, history, now_ns, replicas, new)
        self.shown["able_to_scale"] = ("True", "SucceededRescale")
        condition = history.state[hpa.SCALED_TO_ZERO]
        self.shown["scaled_to_zero"] = {
            hpa.TRUE: ("True", "ScaledToZero"),
            hpa.FALSE: ("False", "NotScaledToZero"),
            hpa.ABSENT: (None, None),
        }[int(condition)]
        return new, reason, error


def trace_settings(spec: Case, controller: Case) -> hpa.Settings:
    """The HPA of a trace as it stands."""
    return settings_of(
        spec["behavior"],
        spec["min_replicas"],
        spec["max_replicas"],
        controller["downscale_window_s"],
        controller["tolerance"],
        configurable_tolerance=controller["gate_configurable_tolerance"],
        scale_to_zero=controller["gate_scale_to_zero"],
        total_metric=any(metric["type"] in {"External", "Object"} for metric in spec["metrics"]),
    )


def replay_trace(case: Case) -> None:
    """The whole controller, tick by tick."""
    expected, ticks, spec = case["expected"], case["ticks"], dict(case["spec"])
    controller = Controller(spec["metrics"])
    replicas = case["initial_replicas"]
    shown_at: dict[str, list[list[Any]]] = {name: [] for name in controller.shown}
    status_current = status_desired = 0
    writes, errors = [], []
    for place, now_ms in enumerate(ticks["t_ms"]):
        for change in case["changes"]:
            if change["before_tick"] != place:
                continue
            replicas = change.get("set_replicas", replicas)
            for name in ("min_replicas", "max_replicas"):
                spec[name] = change.get(name, spec[name])
            if "behavior" in change:
                given = change["behavior"]
                spec["behavior"] = given and {
                    "scale_up": stored(given["scale_up"], up=True),
                    "scale_down": stored(given["scale_down"], up=False),
                }
        if place in case["scale_read_errors"]:
            controller.shown["able_to_scale"] = ("False", "FailedGetScale")
            errors.append([place, ANY])
        else:
            before = replicas
            values = [column[place] for column in ticks["metrics"]]
            replicas, reason, error = controller.tick(
                trace_settings(spec, case["controller"]),
                now_ms * NS_PER_MS,
                replicas,
                ticks["status_replicas"][place],
                ticks["pods"][place],
                values,
                writes=place not in case["scale_write_errors"],
            )
            status_current = before
            if replicas != before:
                writes.append([place, before, replicas, hpa.RESCALE_REASONS[reason]])
            if error is not None:
                errors.append([place, error])
            if error is not ANY and controller.shown["scaling_active"][1] not in FAILED_METRICS.values():
                status_desired = replicas
        for name, value in controller.shown.items():
            row = list(value)
            if not shown_at[name] or shown_at[name][-1][1:] != row:
                shown_at[name].append([place, *row])
        where = f"tick {place}"
        same(f"{where}: replicas", expected["replicas_after"][place], replicas)
        same(f"{where}: status current", expected["status_current_replicas"][place], status_current)
        same(f"{where}: status desired", expected["status_desired_replicas"][place], status_desired)
    same("writes", expected["writes"], writes)
    for name, rows in shown_at.items():
        same(name, expected[name], rows)
    same("errors", expected["errors"], errors)


REPLAYS: dict[str, Callable[[Case], None]] = {
    "hpa_replicas": replay_replicas,
    "hpa_behavior": replay_behavior,
    "hpa_trace": replay_trace,
}
