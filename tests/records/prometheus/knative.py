"""A simulated run as Knative's own programs would have exported it, under the names of either generation.

Autoscaler, activators and queue-proxies are targets of their own, each scraped at a phase of its own. Counters of a
label set begin with its first request; queue-proxies are there from their pod's containers to its end.
"""

from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from kpasim.records.prometheus.exposition import Written
from kpasim.records.prometheus.names import start_of_pods
from kpasim.records.prometheus.simulated import gauges, histogram, present
from kpasim.results.tables import Tables

OLD_GAUGES = {
    "pods_desired": "autoscaler_desired_pods",
    "pods_requested": "autoscaler_requested_pods",
    "pods_count": "autoscaler_actual_pods",
    "pods_not_ready_count": "autoscaler_not_ready_pods",
    "pods_pending_count": "autoscaler_pending_pods",
    "pods_terminating_count": "autoscaler_terminating_pods",
    "concurrency_stable": "autoscaler_stable_request_concurrency",
    "concurrency_panic": "autoscaler_panic_request_concurrency",
    "concurrency_target": "autoscaler_target_concurrency_per_pod",
    "capacity_excess": "autoscaler_excess_burst_capacity",
    "panic_mode": "autoscaler_panic_mode",
}
KNATIVE_BOUNDS_S = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
LEAD_S, TAIL_S = 60.0, 120.0


def scraped(
    tables: Tables,
    *,
    service: str,
    namespace: str = "default",
    begin_unix_s: float,
    end_s: float,
    interval_s: float = 15.0,
    generation: str = "opentelemetry",
    pods: bool = True,
    revision: str | None = None,
    seed: int = 7,
) -> Iterator[Written]:
    """The series of a run.

    Args:
        tables: One run.
        service: Name of the Knative service.
        namespace: Its namespace.
        begin_unix_s: Date of the start of the load [s since 1970].
        end_s: End of the load [s].
        interval_s: Scrape interval [s].
        generation: ``opentelemetry`` or ``opencensus``.
        pods: Whether queue-proxies are scraped.
        revision: Name of the revision; the service's first one if ``None``.
        seed: Of the phases at which targets are scraped.
    """
    new = generation == "opentelemetry"
    revision = revision or f"{service}-00001"
    of_revision = dict(
        zip(
            ("k8s_namespace_name", "kn_service_name", "kn_configuration_name", "kn_revision_name")
            if new
            else ("namespace_name", "service_name", "configuration_name", "revision_name"),
            (namespace, service, service, revision),
            strict=True,
        )
    )
    requests = tables.requests
    phase = np.random.default_rng(seed)

    def grid(begin_s: float = -LEAD_S, until_s: float = end_s + TAIL_S) -> NDArray[np.float64]:
        first = -LEAD_S + round(phase.uniform(0, interval_s), 3)
        times = np.arange(first, end_s + TAIL_S, interval_s)
        return times[(times >= begin_s) & (times < until_s)]

    def target(job: str, pod: str, container: str, address: str, space: str = "knative-serving") -> dict[str, str]:
        return {"job": job, "pod": pod, "container": container, "instance": address, "namespace": space}

    def of_target(labels: Mapping[str, str], times: NDArray[np.float64]) -> Iterator[Written]:
        yield Written("up", labels, begin_unix_s + times, np.ones(len(times)))
        yield Written(
            "process_start_time_seconds", labels, begin_unix_s + times, np.full(len(times), begin_unix_s - 9e4)
        )

    def counted(
        name: str,
        old_name: str,
        labels: Mapping[str, str],
        times: NDArray[np.float64],
        ends: NDArray[np.float64],
        durations: NDArray[np.float64],
        status: NDArray[np.int64],
    ) -> Iterator[Written]:
        for code in np.unique(status).tolist():
            of = status == code
            there = times >= ends[of].min()
            more = {"http_response_status_code" if new else "response_code": str(code)}
            for part, le, values in histogram(ends[of], durations[of], times[there], KNATIVE_BOUNDS_S):
                own = {**labels, **more, **le}
                if not new and le:
                    own["le"] = f"{float(le['le']) * 1000:g}".replace("inf", "+Inf")
                if not new and part == "_sum":
                    values = values * 1000  # noqa: PLW2901
                yield Written((name if new else old_name) + part, own, begin_unix_s + times[there], values, "unknown")
                if not new and part == "_count":
                    count = old_name.removesuffix("_latencies") + "_count"
                    yield Written(count, own, begin_unix_s + times[there], values, "unknown")

    central = target("autoscaler", "autoscaler-5c9", "autoscaler", "10.1.1.3:9090")
    times = grid()
    yield from of_target(central, times)
    for name, values in gauges(tables, times).items():
        metric = f"kn_revision_{name}" if new else OLD_GAUGES[name]
        yield Written(metric, central | of_revision, begin_unix_s + times, values)
    start, latency = requests["start_s"], requests["latency_s"]
    for index in np.unique(requests["activator"][requests["activator"] >= 0]).tolist():
        own = requests["activator"] == index
        place = target("activator-service", f"activator-7d{index}", "activator", f"10.1.1.1{index}:9090")
        times = grid()
        yield from of_target(place, times)
        ends = start[own] + latency[own]
        yield from counted(
            "http_server_request_duration_seconds",
            "activator_request_latencies",
            place | of_revision,
            times,
            ends[~np.isnan(ends)],
            latency[own][~np.isnan(ends)],
            requests["status"][own][~np.isnan(ends)],
        )
        active = present(start[own], ends, times)
        if new:
            few = place | {k: v for k, v in of_revision.items() if k in ("k8s_namespace_name", "kn_revision_name")}
            yield Written("kn_revision_request_active", few, begin_unix_s + times, active)
            yield Written("kn_revision_request_queued", few, begin_unix_s + times, np.zeros(len(times)))
    if not pods:
        return
    for index, pod in enumerate(tables.pods["pod"].tolist()):
        name = f"{start_of_pods(revision)}{index:05x}"
        begin, gone = tables.pods["ready_s"][index], tables.pods["gone_s"][index]
        if np.isnan(begin):
            continue
        place = target(
            f"{namespace}/queue-proxy", name, "queue-proxy", f"10.2.{index // 250}.{index % 250}:9091", namespace
        )
        times = grid(begin, np.inf if np.isnan(gone) else gone)
        if len(times) == 0:
            continue
        yield Written("up", place, begin_unix_s + times, np.ones(len(times)))
        if new:
            info = place | of_revision | {"k8s_pod_name": name, "container_name": "queue-proxy"}
            yield Written("target_info", info, begin_unix_s + times, np.ones(len(times)))
        served = (requests["pod"] == pod) & (requests["server_end_s"] <= times[-1])
        if not served.any():
            continue
        ends = requests["server_end_s"][served]
        status = requests["status"][served]
        labels = place if new else place | of_revision
        for metric, old, duration in (
            (
                "http_server_request_duration_seconds",
                "revision_request_latencies",
                ends - requests["server_arrival_s"][served],
            ),
            ("kn_serving_invocation_duration_seconds", "revision_app_request_latencies", requests["service_s"][served]),
        ):
            yield from counted(metric, old, labels, times, ends, duration, status)
