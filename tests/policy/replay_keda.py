"""Replays of cases recorded from KEDA; only bookkeeping, every decision is the policy's."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from kpasim.policy import hpa, keda, keda_http
from kpasim.spec.scaling import Keda
from tests.policy import replay_hpa, unsimulated
from tests.policy.replay_hpa import NS_PER_MS, NS_PER_S, Case, same

ANNOTATIONS = {
    "autoscaling.keda.sh/paused": keda.PAUSE,
    "autoscaling.keda.sh/paused-replicas": keda.PAUSE,
    "autoscaling.keda.sh/paused-scale-in": keda.PAUSE_SCALE_IN,
    "autoscaling.keda.sh/paused-scale-out": keda.PAUSE_SCALE_OUT,
    "autoscaling.keda.sh/force-activation": keda.FORCE_ACTIVATION,
}
FALSE = {"0", "f", "F", "false", "False", "FALSE"}
"""What Go reads as false; anything else pauses or forces."""


def count(value: int | None) -> int:
    """A count, or what stands for none."""
    return keda.NO_COUNT if value is None else value


def settings_of(spec: Case, created_ms: int, annotations: dict[str, str] | None = None) -> keda.Settings:
    """A recorded ScaledObject."""
    fallback = spec["fallback"] or {"failure_threshold": keda.NO_COUNT, "replicas": 0, "behavior": ""}
    bits = 0
    for name, value in (annotations or {}).items():
        if name.endswith("paused-replicas") or value not in FALSE:
            bits |= ANNOTATIONS[name]
    cooldown_s, initial_s = spec["cooldown_period_s"], spec["initial_cooldown_period_s"]
    return keda.Settings(
        spec["min_replica_count"] or 0,
        count(spec["idle_replica_count"]),
        300 * NS_PER_S if cooldown_s is None else cooldown_s * NS_PER_S,
        (initial_s or 0) * NS_PER_S,
        created_ms // 1000,
        fallback["failure_threshold"],
        fallback["replicas"],
        keda.FALLBACK_BEHAVIORS.index(fallback["behavior"] or "static"),
        bits,
    )


def shown_rows(rows: list[list[Any]], place: int, status: str, reason: str) -> None:
    """Note a condition where it changes."""
    if reason and (not rows or rows[-1][1:] != [status, reason]):
        rows.append([place, status, reason])


ACTIVE_STATUS = {keda.SCALER_ACTIVE: "True"}
READY_STATUS = {keda.READY: "True", keda.PARTIAL_ERROR: "Unknown", keda.TRIGGER_ERROR: "False"}


def hpa_bounds(least: int | None, most: int | None) -> tuple[int, int]:
    """Bounds of the HPA behind a ScaledObject, whose maximum an experiment takes over."""
    return max(least or 0, 1), Keda(kind="keda", max_replica_count=most).max_of(0)


def accepts(least: int | None, most: int | None, idle: int | None) -> bool:
    """Whether an experiment takes the three counts of a ScaledObject, of which those that are None are not written."""
    counts = {
        "min_replica_count": least,
        "max_replica_count": most or 100,
        "idle_replica_count": idle,
    }
    try:
        Keda.model_validate({"kind": "keda", **{name: one for name, one in counts.items() if one is not None}})
    except ValidationError:
        return False
    return True


def replay_activation(case: Case) -> None:
    """Polls of one ScaledObject, or the table of its counts."""
    if case["kind"] == "hpa_bounds_table":
        for least, most, idle, hpa_least, hpa_most, accepted in case["rows"]:
            same(f"bounds of {least, most}", (hpa_least, hpa_most), hpa_bounds(least, most))
            same(f"acceptance of {least, most, idle}", accepted, accepts(least, most, idle))
        return
    annotations = {change["before_poll"]: change["annotations"] for change in case["annotation_changes"]}
    spec, polls, expected = case["spec"], case["polls"], case["expected"]
    created_ms = case["created_at_unix_ms"]
    settings = settings_of(spec, created_ms, case["annotations"])
    triggers = polls["triggers"]
    state = unsimulated.keda_state(len(triggers))
    active_rows: list[list[Any]] = []
    ready_rows: list[list[Any]] = []
    fallback_rows: list[list[Any]] = []
    for place, since_ms in enumerate(polls["t_ms"]):
        where, now_ns = f"poll {place}", (created_ms + since_ms) * NS_PER_MS
        if place in annotations:
            settings = settings_of(spec, created_ms, annotations[place])
        replicas = polls["replicas_before"][place]
        ready = polls["ready_pods"][place] if "ready_pods" in polls else 0
        values = []
        active = failed = False
        for number, column in enumerate(triggers):
            says = column[place]
            value = keda.read_trigger(
                settings, state, number, says == "error", spec["metric_target_milli"][number],
                spec["metric_target_type"] == "AverageValue", replicas, ready,
            )  # fmt: skip
            values.append(None if value == keda.NO_FALLBACK else value)
            active |= says == "active" or value != keda.NO_FALLBACK
            failed |= says == "error" and value == keda.NO_FALLBACK
        new, active_reason, ready_reason = keda.poll(settings, state, now_ns, replicas, active, failed)
        written = None if new == keda.NO_COUNT or place in case["scale_write_errors"] else new
        if written is not None:
            keda.on_written(state, now_ns, active_reason)
            replicas = written
        same(f"{where}: written", expected["written"][place], written)
        same(f"{where}: replicas", expected["replicas_after"][place], replicas)
        last = None if state[0] == keda.NEVER_S else int(state[0])
        same(f"{where}: last active", expected["last_active_unix_s"][place], last)
        active_status = ACTIVE_STATUS.get(active_reason, "False")
        shown_rows(active_rows, place, active_status, keda.ACTIVE_REASONS[active_reason])
        shown_rows(ready_rows, place, READY_STATUS[ready_reason], keda.READY_REASONS[ready_reason])
        if spec["fallback"] is not None:
            in_force = keda.falls_back(settings, state)
            name = "FallbackExists" if in_force else "NoFallbackFound"
            shown_rows(fallback_rows, place, str(in_force), name)
            same(f"{where}: fallback metric", expected["fallback_metric_milli"][place], values)
            same(f"{where}: failures", expected["failures"][place], state[keda.FAILURES :].tolist())
    same("active condition", expected["active_condition"], active_rows)
    same("ready condition", expected["ready_condition"], ready_rows)
    if spec["fallback"] is not None:
        same("fallback condition", expected["fallback_condition"], fallback_rows)


def replay_chain(case: Case) -> None:
    """KEDA's polls and the ticks of its HPA on one target."""
    scaled, given, expected, events = case["scaled_object"], case["hpa"], case["expected"], case["events"]
    created_ms = case["created_at_unix_ms"]
    settings = settings_of(scaled, created_ms)
    triggers = scaled["triggers"]
    state = unsimulated.keda_state(len(triggers))
    bounds = hpa_bounds(scaled["min_replica_count"], scaled["max_replica_count"])
    same("HPA's bounds", (given["min_replicas"], given["max_replicas"]), bounds)
    hpa_settings = replay_hpa.settings_of(given["behavior"], *bounds)
    metrics = [{"type": "External", **trigger} for trigger in triggers]
    controller = replay_hpa.Controller(metrics)
    replicas = case["initial_replicas"]
    last_at_polls = []
    for place, since_ms in enumerate(events["t_ms"]):
        where, now_ns = f"event {place}", (created_ms + since_ms) * NS_PER_MS
        before, pods = replicas, events["pods"][place]
        values: list[Any] = []
        active = failed = False

        polls = events["who"][place] == "keda"
        # The HPA asks for no metric while it does not measure, so nothing fails for it then.
        asked = polls or hpa.measures(hpa_settings, controller.history, replicas) == hpa.MEASURED
        for number, value in enumerate(events["values"][place] if asked else ()):
            trigger, fails = triggers[number], value == "error"
            instead = keda.read_trigger(
                settings, state, number, fails, trigger["target_milli"], trigger["target_type"] == "AverageValue",
                before, pods[0] + pods[3],
            )  # fmt: skip
            fell_back = instead != keda.NO_FALLBACK
            values.append(instead if fell_back else value)
            failed |= fails and not fell_back
            active |= fell_back or (not fails and value > trigger["activation_milli"])
        written = None
        if polls:
            new, reason, _ = keda.poll(settings, state, now_ns, replicas, active, failed)
            if new != keda.NO_COUNT:
                keda.on_written(state, now_ns, reason)
                replicas = written = new
            last_at_polls.append(None if state[0] == keda.NEVER_S else int(state[0]))
        else:
            status = events["status_replicas"][place]
            replicas, _, _ = controller.tick(hpa_settings, now_ns, replicas, status, pods, values)
            if replicas != before:
                written = replicas
        same(f"{where}: written", expected["written"][place], written)
        same(f"{where}: replicas", expected["replicas_after"][place], replicas)
    same("last active", expected["last_active_unix_s_at_polls"], last_at_polls)


# --- keda_http_buckets


def replay_buckets(case: Case) -> None:
    """Operations on one ring."""
    ring = unsimulated.http_ring(case["window_ms"], case["granularity_ms"])
    for place, (op, now_ms, value) in enumerate(case["ops"]):
        if op == "record":
            keda_http.record(ring, now_ms, value)
        elif op == "average":
            same(f"average at op {place}", float(value), keda_http.average(ring, now_ms))
        else:
            assert op == "is_empty"
            same(f"emptiness at op {place}", value, unsimulated.http_ring_is_empty(ring, now_ms))


def replay_counter(case: Case) -> None:
    """The counters of one interceptor; a key without a row is not counted."""
    rows: dict[str, NDArray[np.int64]] = {}
    for place, (operation, after) in enumerate(case["ops"]):
        kind, key, *rest = operation
        if kind == "ensure":
            rows.setdefault(key, np.zeros(2, dtype=np.int64))
        elif kind == "remove":
            same(f"removal at op {place}", rest[0], rows.pop(key, None) is not None)
        elif key in rows:
            (keda_http.enter if kind == "increase" else keda_http.leave)(rows[key], rest[0])
        same(f"state after op {place}", after, {key: row.tolist() for key, row in rows.items()})


def replay_scaler(case: Case) -> None:
    """Readings of all interceptors by the scaler."""
    ticks, keys = case["ticks"], case["keys"]
    names = sorted({name for tick in ticks for name in tick["interceptors"]})
    rings = {key: unsimulated.http_ring() for key in keys}
    memories = {key: unsimulated.http_memory(len(names)) for key in keys}
    shown: dict[str, list[float]] = {}
    for place, tick in enumerate(ticks):
        if place == case["configured_before_tick"]:
            rings = {
                key: ring
                if (wanted := unsimulated.http_ring(case["window_ms"], case["granularity_ms"]))[3:] == ring[3:]
                else wanted
                for key, ring in rings.items()
            }
        answers = tick["interceptors"]
        reachable = any(answer != "unreachable" for answer in answers.values())
        same(f"tick {place}: error", tick["error"], not reachable)
        for key in keys if reachable else ():
            found = np.full(len(names), keda_http.GONE, dtype=np.int64)
            counts = np.zeros((len(names), 2), dtype=np.int64)
            for number, name in enumerate(names):
                if name not in answers:
                    continue
                if answers[name] == "unreachable":
                    found[number] = keda_http.UNREACHABLE
                elif key in answers[name]:
                    found[number] = keda_http.COUNTED
                    counts[number] = answers[name][key]
                else:
                    found[number] = keda_http.NOT_COUNTED
            known, concurrency, rate = keda_http.read(rings[key], memories[key], found, counts, tick["t_unix_ms"])
            shown.pop(key, None)
            if known:
                shown[key] = [concurrency, rate, math.ceil(rate)]
            else:
                rings[key] = unsimulated.http_ring()
        same(f"tick {place}: keys", sorted(tick["counts"]), sorted(shown))
        for key, expected in tick["counts"].items():
            for name, want, got in zip(("concurrency", "rate", "rate rounded up"), expected, shown[key], strict=True):
                same(f"tick {place}: {name} of {key}", float(want), float(got))


HTTP_REPLAYS = {"buckets": replay_buckets, "counter": replay_counter, "scaler": replay_scaler}


def replay_http(case: Case) -> None:
    """Buckets, counters or readings of the HTTP add-on."""
    HTTP_REPLAYS[case["kind"]](case)


REPLAYS: dict[str, Callable[[Case], None]] = {
    "keda_activation": replay_activation,
    "keda_chain": replay_chain,
    "keda_http_buckets": replay_http,
}
