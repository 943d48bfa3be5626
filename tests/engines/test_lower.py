"""From experiments to numbers, and their random numbers."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ruamel.yaml import YAML

from kpasim.engines import compiled
from kpasim.engines import params as of
from kpasim.engines.lower import lower
from kpasim.engines.machines import instance_type_names
from kpasim.engines.model.autoscaler import RAY_SERVE
from kpasim.engines.params import Draws, Params
from kpasim.engines.reference import run
from kpasim.engines.sampling import NOTHING_RECORDED, Recorded, Sampler, arrivals
from kpasim.errors import ExperimentError, RecordError
from kpasim.policy.schedule import UNBOUNDED
from kpasim.spec.experiment import Experiment, from_mapping, load

REPOSITORY = Path(__file__).parents[2]
S = of.SECOND_NS
MS = S // 1000

BASE = """
service:
  apiVersion: serving.knative.dev/v1
  kind: Service
  metadata: {name: painter, annotations: {}}
  spec:
    template:
      metadata: {annotations: {}}
      spec:
        containerConcurrency: 2
        timeoutSeconds: 120
        containers: [{image: painter, readinessProbe: {tcpSocket: {port: 80}, periodSeconds: 2}}]
workload: {kind: hey, requests: 50, concurrency: 5, timeout: 90s}
model: {service-time: 3s, cold-start: 20s}
cluster: {}
"""


def draw(
    asked: Experiment, params: Params, replication: int, recorded: Recorded = NOTHING_RECORDED, **room: int
) -> Draws:
    """The random numbers of one replication."""
    return Sampler(asked, params, recorded).draw(replication, **room)


def draw_many(asked: Experiment, params: Params, replications: Sequence[int], **room: int) -> list[Draws]:
    """The random numbers of several replications."""
    return Sampler(asked, params).draw_many(replications, **room)


def parsed(text: str) -> dict[str, Any]:
    """A YAML mapping as plain Python."""
    return dict(YAML(typ="safe", pure=True).load(text) or {})


def merged(base: Any, change: Any) -> Any:
    """A mapping with another one's values in it, at any depth; everything else is replaced."""
    if not (isinstance(base, Mapping) and isinstance(change, Mapping)):
        return change
    return {**base, **{key: merged(base.get(key), value) for key, value in change.items()}}


def experiment(change: str = "") -> Experiment:
    """The base experiment with changes in YAML; some keys stand for places deep in the manifest.

    An open workload takes the place of hey's.

    `annotations` are those of the autoscaler, `template` all of the template's, `service-annotations` the Service's,
    `pod` the pod's spec, `probe` the readiness probe, `container` the container.
    """
    changes = parsed(change)
    data = merged(parsed(BASE), changes)
    if data["workload"]["kind"] != "hey":
        data["workload"] = changes["workload"]
    service = data["service"]
    template = service["spec"]["template"]
    short = {f"autoscaling.knative.dev/{key}": str(value) for key, value in data.pop("annotations", {}).items()}
    template["metadata"]["annotations"] = short | data.pop("template", {})
    service["metadata"]["annotations"] = data.pop("service-annotations", {})
    container = template["spec"]["containers"][0]
    if "probe" in data:
        container["readinessProbe"] = data.pop("probe")
    container.update(data.pop("container", {}))
    template["spec"].update(data.pop("pod", {}))
    return from_mapping(data)


STREAM = """pod: {{idleTimeoutSeconds: 40}}
model: {{service-time: {{time: 90s, first-byte: 1s, chunk-interval: {every}}}}}"""

FORECAST = """workload: {kind: constant, rate: 1, duration: 60s}
autoscaler: {kind: lookahead, history-days: 1, quantile: 90, scale-up-forward: 20s}"""

# Change of the experiment, field of Params, its value.
FIELDS: list[tuple[str, str, Any]] = [
    ("", "container_concurrency", 2),
    ("pod: {containerConcurrency: 0}", "container_concurrency", 0),
    ("", "slots", 1),
    ("model: {service-time: {time: 3s, slots: 1}}", "slots", 1),
    ("model: {service-time: {time: 3s, slots: 0}}", "slots", 0),
    ("", "timeout_ns", 120 * S),
    ("", "first_byte_timeout_ns", 0),
    ("pod: {idleTimeoutSeconds: 40}", "first_byte_timeout_ns", 40 * S),
    ("pod: {idleTimeoutSeconds: 40, responseStartTimeoutSeconds: 30}", "first_byte_timeout_ns", 30 * S),
    ("pod: {timeoutSeconds: 600}", "first_byte_timeout_ns", 300 * S),
    ("pod: {timeoutSeconds: 600, responseStartTimeoutSeconds: 0}", "first_byte_timeout_ns", 0),
    ("config-defaults: {revision-idle-timeout-seconds: '40'}", "first_byte_timeout_ns", 40 * S),
    ("config-defaults: {revision-idle-timeout-seconds: '120'}", "first_byte_timeout_ns", 0),
    (
        "{config-defaults: {revision-idle-timeout-seconds: '40'}, pod: {idleTimeoutSeconds: 0}}",
        "first_byte_timeout_ns",
        0,
    ),
    ("pod: {idleTimeoutSeconds: 40}", "stream_idle_ns", 0),
    (STREAM.format(every="40s"), "stream_idle_ns", 0),
    (STREAM.format(every="41s"), "stream_idle_ns", 40 * S),
    ("", "service_by_start", 0),
    ("model: {service-time: {time: 3s, by: start}}", "service_by_start", 1),
    ("", "slowdown", []),
    ("model: {service-time: {time: 3s, slowdown: [1.0, 1.8]}}", "slowdown", [1.0, 1.8]),
    ("model: {service-time: {time: 3s, shared-by: node}}", "shared_by_node", 1),
    ("", "type_factor", [1.0]),
    (
        """model: {service-time: {time: 3s, per-instance-type: {b: 0.5}}}
cluster: {instance-types: [{name: a}, {name: b}]}""",
        "type_factor",
        [1.0, 0.5],
    ),
    (
        """model: {service-time: {time: 3s, per-instance-type: {b: 0.5}}}
cluster: {instance-types: [{name: a}, {name: b}, {name: c}]}
template: {k8s.aliyun.com/eci-use-specs: "b,a"}""",
        "type_factor",
        [0.5, 1.0],
    ),
    ("template: {k8s.aliyun.com/eci-use-specs: 'b,a'}", "type_factor", [1.0, 1.0]),
    ("template: {k8s.aliyun.com/eci-use-specs: 'a,b,c,d,e,f'}", "type_factor", [1.0] * 5),
    (
        """model: {service-time: {time: 3s, per-instance-type: {b: 0.5}}}
cluster: {nodes: {type: b}}""",
        "type_factor",
        [0.5],
    ),
    ("model: {cancel-stops-work: true}", "cancel_stops_work", 1),
    ("model: {shutdown: {drains-on-sigterm: false}}", "drains_on_sigterm", 0),
    ("model: {shutdown: {stop-time: 4s}}", "stop_ns", 4 * S),
    ("annotations: {metric: rps}", "metric_rps", 1),
    ("config-autoscaler: {max-scale-up-rate: '3'}", "max_scale_up_rate", 3.0),
    ("config-autoscaler: {max-scale-down-rate: '4'}", "max_scale_down_rate", 4.0),
    ("", "target_value", 1.4),
    ("annotations: {target-utilization-percentage: 50}", "target_value", 1.0),
    ("", "total_value", 2.0),
    ("annotations: {metric: rps, target: 30}", "total_value", 30.0),
    ("", "target_burst_capacity", 211.0),
    ("annotations: {target-burst-capacity: -1}", "target_burst_capacity", -1.0),
    ("annotations: {panic-threshold-percentage: 150}", "panic_threshold", 1.5),
    ("annotations: {activation-scale: 3}", "activation_scale", 3),
    ("", "reachable", 1),
    ("annotations: {window: 40s}", "stable_window_s", 40),
    ("annotations: {window: 40s}", "panic_window_s", 4),
    ("", "weight_stable", 0.0),
    (
        "annotations: {window: 30s, metric-aggregation-algorithm: weighted-exponential}",
        "weight_stable",
        1 - 1e-4 ** (1 / 30),
    ),
    (
        "annotations: {window: 60s, metric-aggregation-algorithm: weightedExponential}",
        "weight_panic",
        1 - 1e-4 ** (1 / 6),
    ),
    ("annotations: {scale-down-delay: 15s}", "scale_down_delay_s", 15.0),
    ("config-autoscaler: {activator-capacity: '50'}", "activator_capacity", 50.0),
    ("annotations: {minScale: 2}", "min_scale", 2),
    ("annotations: {max-scale: 7}", "max_scale", 7),
    ("", "initial_scale", 1),
    ("annotations: {initial-scale: 3}", "initial_scale", 3),
    ("{annotations: {initial-scale: 3}, start: zero}", "initial_scale", 0),
    ("config-autoscaler: {enable-scale-to-zero: 'false'}", "enable_scale_to_zero", 0),
    ("config-autoscaler: {scale-to-zero-grace-period: 20s}", "grace_ns", 20 * S),
    ("annotations: {scale-to-zero-pod-retention-period: 1m}", "retention_ns", 60 * S),
    ("config-deployment: {progress-deadline: 300s}", "progress_deadline_ns", 300 * S),
    ("", "always_schedulable", 0),
    ("config-deployment: {pod-is-always-schedulable: 'true'}", "always_schedulable", 1),
    ("", "probe_period_ns", 2 * S),
    ("probe: {tcpSocket: {port: 80}}", "probe_period_ns", 10 * S),
    ("probe: {tcpSocket: {port: 80}, periodSeconds: 3, timeoutSeconds: 2}", "probe_timeout_ns", 2 * S),
    ("probe: {tcpSocket: {port: 80}, initialDelaySeconds: 5}", "probe_initial_delay_ns", 5 * S),
    ("probe: {tcpSocket: {port: 80}, successThreshold: 2, periodSeconds: 1}", "probe_successes", 2),
    ("", "aggressive", 0),
    ("probe: {tcpSocket: {port: 80}}", "aggressive", 1),
    ("probe: {exec: {command: [x]}}", "aggressive", 0),
    ("", "startup_period_ns", 0),
    ("container: {startupProbe: {tcpSocket: {port: 80}}}", "startup_period_ns", 10 * S),
    ("container: {startupProbe: {tcpSocket: {port: 80}, periodSeconds: 4}}", "startup_period_ns", 4 * S),
    (
        "container: {startupProbe: {tcpSocket: {port: 80}, initialDelaySeconds: 6}}",
        "startup_initial_delay_ns",
        6 * S,
    ),
    ("container: {startupProbe: {tcpSocket: {port: 80}}}", "startup_failures", 3),
    ("container: {startupProbe: {tcpSocket: {port: 80}, failureThreshold: 30}}", "startup_failures", 30),
    ("", "early_use", 1),
    ("probe: {exec: {command: [x]}, periodSeconds: 1}", "early_use", 0),
    ("container: {startupProbe: {tcpSocket: {port: 80}}}", "early_use", 0),
    ("", "stage_kind", [of.START]),
    (
        "model: {cold-start: {stages: [{name: a, kind: provision}, {name: b, kind: pull}, {name: c}]}}",
        "stage_kind",
        [of.PROVISION, of.PULL, of.START],
    ),
    (
        "model: {cold-start: {stages: [{name: a}, {name: b, when: after-ready}, {name: c, when: first-request}]}}",
        "stage_when",
        [of.BEFORE_READY, of.AFTER_READY, of.FIRST_REQUEST],
    ),
    ("model: {cold-start: {stages: [{name: a, at-a-time: 2}]}}", "stage_at_a_time", [2]),
    ("model: {cold-start: {stages: [{name: a, cached-per-node: true}]}}", "stage_cached", [1]),
    (
        "model: {cold-start: {stages: [{name: a, bandwidth: {size: 2Ki, shared-bandwidth: 1k}}]}}",
        "stage_bytes",
        [2048.0],
    ),
    (
        "model: {cold-start: {stages: [{name: a, time: 3s, bandwidth: {size: 2Ki, shared-bandwidth: 1k}}]}}",
        "stage_bytes",
        [0.0, 2048.0],
    ),
    (
        "model: {cold-start: {stages: [{name: a, bandwidth: {size: 2Ki, shared-bandwidth: 1k}}]}}",
        "stage_bandwidth",
        [1000.0],
    ),
    ("", "crash_probability", 0.0),
    ("model: {cold-start: {crash: {probability: 10%}}}", "crash_probability", 0.1),
    ("model: {cold-start: {always-fails: true}}", "crash_probability", 1.0),
    ("model: {cold-start: {crash: {restart-delay: 3s}}}", "restart_ns", 3 * S),
    ("cluster: {instance-types: [{name: a}, {name: b}]}", "pool_type", [0, 1]),
    ("cluster: {instance-types: [{name: a}, {name: b}]}", "pool_slots", [1, 1]),
    ("cluster: {nodes: {gpus-per-node: 8}, gpus-per-pod: 2}", "pool_slots", [4]),
    ("cluster: {nodes: {gpus-per-node: 8}}", "pool_slots", [8]),
    ("cluster: {nodes: {gpus-per-node: 8}, gpus-per-pod: 0}", "pool_slots", [1 << 30]),
    ("", "pool_ready", [0]),
    ("cluster: {nodes: {count: 3}}", "pool_ready", [3]),
    ("", "pool_max", [-1]),
    ("cluster: {instance-types: [{name: a, stock: 2}, {name: b}]}", "pool_max", [2, -1]),
    ("cluster: {nodes: {count: 3}}", "pool_max", [3]),
    ("cluster: {nodes: {count: 3, max: 5}}", "pool_max", [5]),
    ("", "pool_provisioned", [0]),
    ("cluster: {nodes: {count: 1, max: 2}}", "pool_provisioned", [1]),
    ("cluster: {nodes: {idle-release: 7m}}", "pool_release_ns", [420 * S]),
    ("", "scrape_failure", 0.0),
    ("cluster: {scrape-failure: 5%}", "scrape_failure", 0.05),
    ("cluster: {activators: 3}", "activators", 3),
    ("cluster: {ingress: {path: activator}}", "always_activator", 1),
    ("cluster: {ingress: {policy: least-request}}", "ingress_policy", of.LEAST_REQUEST),
    ("cluster: {ingress: {policy: random}}", "ingress_policy", of.RANDOM),
    ("cluster: {ingress: {workers: 4}}", "ingress_workers", 4),
    ("", "affinity", of.NO_AFFINITY),
    ("template: {serving.knative.dev.alibabacloud/affinity: cookie}", "affinity", of.UPSTREAM_AFFINITY),
    ("service-annotations: {serving.knative.dev.alibabacloud/affinity: cookie}", "affinity", of.UPSTREAM_AFFINITY),
    (
        """service-annotations: {serving.knative.dev.alibabacloud/affinity: cookie}
cluster: {ingress: {affinity: none}}""",
        "affinity",
        of.NO_AFFINITY,
    ),
    ("cluster: {ingress: {affinity: pod}}", "affinity", of.POD_AFFINITY),
    ("template: {serving.knative.dev.alibabacloud/cookie-timeout: '1800'}", "affinity_timeout_ns", 1800 * S),
    ("cluster: {delays: {first-stat: 4ms}}", "first_stat_ns", 4 * MS),
    ("cluster: {delays: {front-to-server: 2ms}}", "front_to_server_ns", 2 * MS),
    ("cluster: {delays: {hand-over: 3ms}}", "hand_over_ns", 3 * MS),
    ("cluster: {delays: {server-to-client: 5ms}}", "server_to_client_ns", 5 * MS),
    ("cluster: {delays: {tick-to-pod: 300ms}}", "reconcile_ns", 100 * MS),
    ("cluster: {delays: {tick-to-pod: 300ms}}", "rollout_ns", 200 * MS),
    ("cluster: {delays: {sks-switch: 500ms, endpoints-to-ingress: 200ms}}", "sks_ns", 300 * MS),
    ("cluster: {delays: {endpoints-to-ingress: 200ms}}", "endpoints_to_ingress_ns", 200 * MS),
    ("cluster: {delays: {endpoints-to-activator: 20ms}}", "endpoints_to_activator_ns", 20 * MS),
    ("cluster: {delays: {probe-period: 100ms}}", "activator_probe_period_ns", 100 * MS),
    ("cluster: {delays: {queue-proxy-poll: 25ms}}", "queue_proxy_poll_ns", 25 * MS),
    ("cluster: {delays: {deletion-extra: 9ms}}", "deletion_ns", 9 * MS),
    ("cluster: {delays: {clock-jitter: 2ms}}", "clock_jitter_ns", 2 * MS),
    ("cluster: {delays: {api-jitter: 4ms}}", "api_jitter_ns", 4 * MS),
    ("cluster: {delays: {status-jitter: 6ms}}", "status_jitter_ns", 6 * MS),
    ("cluster: {delays: {wake: 1ms}}", "wake_ns", MS),
    ("", "closed", 1),
    ("workload: {kind: hey, requests: 53}", "workers", 5),
    ("workload: {kind: hey, requests: 53}", "requests_per_worker", 10),
    ("workload: {kind: hey, duration: 30s}", "requests_per_worker", 0),
    ("workload: {kind: hey, duration: 30s}", "load_duration_ns", 30 * S),
    ("workload: {kind: hey, qps: 4}", "worker_period_ns", 250 * MS),
    ("workload: {kind: hey, think-time: 3s}", "think_ns", 3 * S),
    ("{start: idled, repeat: 24h}", "until_ns", 86_400 * S),
    ("", "client_timeout_ns", 90 * S),
    ("workload: {kind: hey, timeout: 0s}", "client_timeout_ns", 0),
    ("workload: {kind: hey, requests: 53}", "requests", 50),
    ("workload: {kind: hey, duration: 10s, qps: 2}", "requests", 105),
    ("workload: {kind: hey, sessions: {count: 4}}", "sessions", 4),
    ("workload: {kind: hey, sessions: {cookies: false}}", "cookies", 0),
    ("workload: {kind: hey, sessions: {count: 4}}", "cookies", 1),
    ("start: idled", "start", of.IDLED),
    ("start: zero", "start", of.ZERO),
    ("start: {state: warm, for: 9s}", "start_for_ns", 9 * S),
    ("", "horizon_ns", 0),
    ("horizon: 20m", "horizon_ns", 1200 * S),
    ("", "stays", 0),
    ("annotations: {min-scale: 1}", "stays", 1),
    ("config-autoscaler: {enable-scale-to-zero: 'false'}", "stays", 1),
    ("seed: 7", "seed", 7),
    ("", "autoscaler", of.KPA),
    ("autoscaler: hpa", "autoscaler", of.HPA),
    ("autoscaler: keda", "autoscaler", of.KEDA),
    ("autoscaler: keda-http", "autoscaler", of.KEDA_HTTP),
    ("autoscaler: ray-serve", "autoscaler", RAY_SERVE),
    ("", "data_plane", of.ACTIVATORS),
    ("autoscaler: hpa", "data_plane", of.SERVICE),
    ("autoscaler: keda-http", "data_plane", of.INTERCEPTOR),
    ("autoscaler: ray-serve", "data_plane", of.ROUTER),
    ("autoscaler: hpa", "container_concurrency", 0),
    ("autoscaler: hpa", "ingress_policy", of.RANDOM),
    ("autoscaler: {kind: ray-serve, max-ongoing-requests: 7}", "container_concurrency", 7),
    ("autoscaler: {kind: spare, pods: 3}", "spare", 3),
    ("autoscaler: {kind: spare, pods: 3}", "stays", 1),
    ("", "grace_period_ns", 0),
    ("autoscaler: hpa", "grace_period_ns", 30 * S),
    ("autoscaler: {kind: ray-serve, graceful-shutdown-timeout: 9s}", "grace_period_ns", 9 * S),
    ("autoscaler: hpa", "least", 1),
    ("autoscaler: {kind: keda, min-replica-count: 2}", "least", 2),
    ("autoscaler: {kind: hpa, max-replicas: 8}", "most", 8),
    ("{autoscaler: hpa, annotations: {max-scale: 6}}", "most", 6),
    ("autoscaler: {kind: hpa, metric: cpu}", "metric", of.CPU),
    ("autoscaler: keda", "metric", of.RATE),
    ("autoscaler: ray-serve", "metric", of.ONGOING),
    ("autoscaler: hpa", "of_pods", 1),
    ("autoscaler: {kind: hpa, metric-type: External}", "of_pods", 0),
    ("autoscaler: {kind: hpa, metric-type: Object, target-type: Value}", "is_average", 0),
    ("autoscaler: {kind: keda, target: 2.5}", "target_milli", 2500),
    ("autoscaler: {kind: hpa, metric: utilization}", "target_milli", 80_000),
    ("autoscaler: {kind: hpa, metric: cpu, cpu-when-busy: 0.5}", "busy_cpu", 0.5),
    ("autoscaler: {kind: hpa, scrape-interval: 10s}", "scrape_ns", 10 * S),
    ("autoscaler: hpa", "window_scrapes", 1),
    ("autoscaler: keda", "window_scrapes", 4),
    ("autoscaler: {kind: hpa, adapter-delay: 3s}", "adapter_ns", 3 * S),
    ("autoscaler: {kind: hpa, sync-period: 20s}", "sync_ns", 20 * S),
    ("autoscaler: hpa", "has_behavior", 0),
    ("autoscaler: {kind: hpa, behavior: {}}", "has_behavior", 1),
    ("autoscaler: {kind: hpa, behavior: {scale-up: {stabilization-window: 7s}}}", "up_window_ns", 7 * S),
    ("autoscaler: {kind: hpa, behavior: {scale-up: {select-policy: Min}}}", "up_select", 1),
    ("autoscaler: {kind: hpa, behavior: {}}", "up_policies", [[0, 4, 15 * S], [1, 100, 15 * S]]),
    ("autoscaler: {kind: hpa, behavior: {}}", "down_window_ns", 300 * S),
    ("autoscaler: {kind: hpa, behavior: {scale-down: {stabilization-window: 9s}}}", "down_window_ns", 9 * S),
    ("autoscaler: {kind: hpa, behavior: {scale-down: {select-policy: Disabled}}}", "down_select", 2),
    ("autoscaler: {kind: hpa, behavior: {scale-down: {policies: [{type: Pods, value: 2, period: 1m}]}}}",
     "down_policies", [[0, 2, 60 * S]]),
    ("autoscaler: {kind: hpa, tolerance: 0.2}", "tolerance_up", 0.2),
    ("autoscaler: {kind: hpa, behavior: {scale-down: {tolerance: 0.3}}}", "tolerance_down", 0.3),
    ("autoscaler: {kind: hpa, metric-type: External}", "scale_to_zero", 1),
    ("autoscaler: {kind: keda, polling-interval: 20s}", "poll_ns", 20 * S),
    ("autoscaler: {kind: keda, min-replica-count: 2, idle-replica-count: 1}", "idle", 1),
    ("autoscaler: {kind: keda-http, scaledown-period: 90s}", "cooldown_ns", 90 * S),
    ("autoscaler: {kind: keda, initial-cooldown-period: 40s}", "initial_cooldown_ns", 40 * S),
    ("autoscaler: {kind: keda, activation-threshold: 1.5}", "activation", 1.5),
    ("autoscaler: {kind: keda, query-failure: 10%}", "query_failure", 0.1),
    ("autoscaler: {kind: keda, fallback: {failure-threshold: 3, replicas: 4}}", "fallback_failures", 3),
    ("autoscaler: {kind: keda, fallback: {failure-threshold: 3, replicas: 4}}", "fallback_replicas", 4),
    ("autoscaler: {kind: keda, fallback: {failure-threshold: 3, replicas: 4, behavior: currentReplicas}}",
     "fallback_behavior", 1),
    ("autoscaler: {kind: keda-http, window: 2m}", "ring_window_ms", 120_000),
    ("autoscaler: {kind: keda-http, granularity: 2s}", "ring_step_ms", 2000),
    ("autoscaler: {kind: keda-http, queue-tick: 400ms}", "queue_tick_ns", 400 * MS),
    ("autoscaler: {kind: keda-http, stream-interval: 100ms}", "stream_ns", 100 * MS),
    ("autoscaler: keda-http", "exact_rate", 1),
    ("autoscaler: {kind: keda-http, object: HTTPScaledObject}", "exact_rate", 0),
    ("autoscaler: {kind: keda-http, min-replicas: 3, idle-replicas: 1}", "idle", 1),
    # up, down, to zero [s]; share of a step up and down
    ("autoscaler: {kind: ray-serve, upscale-delay: 5s, downscale-delay: 6s}", "rule", [5, 6, 6, 1, 1]),
    ("autoscaler: {kind: ray-serve, downscale-to-zero-delay: 8s}", "rule", [30, 600, 8, 1, 1]),
    ("autoscaler: {kind: ray-serve, upscaling-factor: 0.5, downscaling-factor: 0.6}", "rule", [30, 600, 600, 0.5, 0.6]),
    ("{horizon: 4h, autoscaler: {kind: schedule, load-starts: 'mon 08:00', timezone: Asia/Shanghai, "
     "windows: [{days: mon-fri, start: '09:00', end: '11:30', replicas: 2}]}}",
     "schedule", [[0, 0, UNBOUNDED], [3600 * S, 2, UNBOUNDED], [12_600 * S, 0, UNBOUNDED],
                  [90_000 * S, 2, UNBOUNDED], [99_000 * S, 0, UNBOUNDED], [176_400 * S, 2, UNBOUNDED],
                  [185_400 * S, 0, UNBOUNDED]]),
    ("{horizon: 1h, autoscaler: {kind: schedule, load-starts: 'sun 23:30', "
     "windows: [{days: sun, start: '22:00', end: '06:00', replicas: 3}]}}",
     "schedule", [[0, 3, UNBOUNDED], [23_400 * S, 0, UNBOUNDED]]),
    (FORECAST, "looks_ahead", 1),
    (FORECAST, "quantile", 0.9),
    (FORECAST, "ahead_ns", 20 * S),
    (FORECAST, "slot_ns", 60 * S),
    (FORECAST, "period_ns", 86_400 * S),
    # One request a second from 1 s on: 59 in the first minute, one in the second, each with its mean service time.
    ("", "restarts", np.zeros((0, 2))),
    ("cluster: {autoscaler-restarts: [{at: 100s, back-after: 10s, connected-after: 22s}, {at: 5m}]}",
     "restarts", [[100 * S, 110 * S], [300 * S, 301 * S]]),
    ("", "silences", np.zeros((0, 3))),
    ("cluster: {activators: 2, autoscaler-restarts: [{at: 100s}], activator-restarts: [{at: 5m, activator: 2}]}",
     "silences", [[-1, 100 * S, 114 * S], [1, 300 * S, 316 * S]]),
    (FORECAST, "history", [59 / 60 * 3.0, 1 / 60 * 3.0, *[0.0] * 1438]),
]  # fmt: skip


@pytest.mark.parametrize(("change", "field", "value"), FIELDS)
def test_a_setting_reaches_its_field(change: str, field: str, value: Any) -> None:
    """What the experiment says is what the engines read."""
    assert np.asarray(getattr(lower(experiment(change)), field)) == pytest.approx(np.asarray(value), rel=1e-7)


def test_every_field_is_reached() -> None:
    """The table above holds every field there is, so that a new one is not forgotten."""
    assert {field for _, field, _ in FIELDS} == set(Params._fields)


def test_an_open_loop_has_no_workers() -> None:
    """An open loop is not closed, and the tables have room for more requests than ever come."""
    params = lower(experiment("workload: {kind: poisson, rate: 2, duration: 100s}"))

    assert (params.closed, params.workers, params.requests_per_worker, params.load_duration_ns) == (0, 0, 0, 0)
    assert params.requests > 200


@pytest.mark.parametrize(
    ("change", "place", "word"),
    [
        (
            "{start: warm, annotations: {initial-scale: 0}, config-autoscaler: {allow-zero-initial-scale: 'true'}}",
            "start",
            "zero",
        ),
        ("model: {cold-start: {always-fails: true, crash: {restart-delay: 0s}}}", "restart-delay", "without end"),
        ("cluster: {nodes: {gpus-per-node: 1}, gpus-per-pod: 2}", "gpus-per-node", "too few"),
        ("{autoscaler: hpa, cluster: {autoscaler-restarts: [{at: 1m}]}}", "autoscaler-restarts", "only Knative's"),
        (
            """workload: {kind: hey, duration: 10s}
model: {service-time: 0s}
cluster: {delays: {client-to-front: 0s, server-to-client: 0s}}""",
            "workload",
            "without end",
        ),
        ("workload: {kind: constant, rate: 1000, duration: 10h}", "workload", "at most 10,000,000"),
        (
            "model: {cold-start: {stages: [{name: a, when: after-ready, at-a-time: 1}]}}",
            "stages[0]",
            "before readiness only",
        ),
        (
            """model: {cold-start: {stages: [
{name: a, time: 3s, at-a-time: 1, bandwidth: {size: 2Ki, shared-bandwidth: 1k}}]}}""",
            "stages[0]",
            "split",
        ),
        ("template: {serving.knative.dev.alibabacloud/cookie-timeout: soon}", "service", "'soon'"),
        (
            "model: {posterior: [{service-time.time: 2s}, {service-time.slots: 2}]}",
            "posterior[1]",
            "distributions",
        ),
    ],
)
def test_what_cannot_be_played_is_refused(change: str, place: str, word: str) -> None:
    """One line says which key it is and what is wrong."""
    with pytest.raises(ExperimentError) as caught:
        lower(experiment(change))

    (problem,) = caught.value.problems
    assert place in problem.place
    assert word in problem.message


def test_types_are_numbered_in_the_order_they_are_tried() -> None:
    """The manifest's list gives the order, of what the cluster has."""
    change = """cluster: {instance-types: [{name: a}, {name: b}, {name: c}]}
template: {k8s.aliyun.com/eci-use-specs: "c,a"}"""

    assert instance_type_names(experiment(change)) == ("c", "a")
    assert instance_type_names(experiment()) == ("",)
    assert instance_type_names(experiment("cluster: {nodes: {type: big}}")) == ("big",)


# --- draws ------------------------------------------------------------------------------------------------------------

RANDOM_MODEL = """
model:
  service-time:
    first-byte: {distribution: exponential, mean: 1s}
    classes:
      - {name: short, share: 3, time: {distribution: exponential, mean: 2s}}
      - {name: long, share: 1, time: {distribution: exponential, mean: 8s}}
  cold-start:
    stages:
      - {name: pull, kind: pull, time: {distribution: uniform, low: 1s, high: 3s}}
      - {name: load, time: 5s, per-instance-type: {b: {distribution: exponential, mean: 4s}}}
cluster:
  instance-types: [{name: a}, {name: b}]
"""
CLOSED = experiment(RANDOM_MODEL)
CLOCKED = experiment(RANDOM_MODEL + "workload: {kind: hey, duration: 60s}")
OPEN = experiment(RANDOM_MODEL + "workload: {kind: poisson, rate: 2, duration: 60s}")


def assert_equal(one: Draws, other: Draws) -> None:
    """Two replications' numbers are the same."""
    for name, a, b in zip(Draws._fields, one, other, strict=True):
        assert np.array_equal(a, b), name


@pytest.mark.parametrize("asked", [CLOSED, CLOCKED, OPEN], ids=["closed", "clocked", "open"])
def test_a_replication_does_not_depend_on_what_else_is_drawn(asked: Experiment) -> None:
    """Alone, among others, in another order: replication 3 is replication 3."""
    params = lower(asked)
    alone = draw(asked, params, 3)

    assert_equal(alone, draw_many(asked, params, [0, 3, 1])[1])
    assert_equal(alone, Sampler(asked, params).draw(3))
    assert not np.array_equal(alone.service, draw(asked, params, 4).service)


def test_more_pods_leave_the_first_ones_as_they_were() -> None:
    """Asking for more pods and nodes adds rows and changes none."""
    asked = experiment(RANDOM_MODEL).with_setting("cluster.nodes", {"count": 0, "max": 9})
    asked = asked.with_setting("cluster.nodes.provision", {"distribution": "exponential", "mean": "60s"})
    params = lower(asked)
    few, many = draw(asked, params, 0, pods=4, nodes=3), draw(asked, params, 0, pods=40, nodes=30)

    assert np.array_equal(few.pod, many.pod[:4])
    assert np.array_equal(few.node, many.node[:3])
    assert len(np.unique(many.node)) == 30


def test_more_capacity_leaves_the_requests_of_a_clocked_loop_as_they_were() -> None:
    """The k-th request of a worker keeps its numbers when each worker may send more."""
    params = lower(CLOCKED)
    wider = params._replace(requests=2 * params.requests)
    stride = params.requests // params.workers
    small, large = draw(CLOCKED, params, 0), draw(CLOCKED, wider, 0)

    assert wider.requests == 2 * params.requests
    for worker in range(params.workers):
        mine = slice(worker * stride, (worker + 1) * stride)
        same = slice(worker * 2 * stride, worker * 2 * stride + stride)
        assert np.array_equal(small.service[mine], large.service[same])
        assert np.array_equal(small.delay[mine], large.delay[same])
        assert np.array_equal(small.klass[mine], large.klass[same])


def test_shapes_are_as_engines_expect() -> None:
    """Requests have rows, classes and stages have columns, and every number is a whole one."""
    made = draw(OPEN, lower(OPEN), 0, pods=7)
    n = len(made.sent)

    assert made.service.shape == (n, 2)
    assert made.klass.shape == made.delay.shape == made.first_byte.shape == (n,)
    assert made.pod.shape == (7, of.STAGES + 2 * 2)
    assert made.node.shape == (7, 2)
    assert made.phase.shape == (of.REPORT + 1,)
    for array in made[:-3]:
        assert isinstance(array, np.ndarray)
        assert array.dtype == np.int64
        assert array.flags.c_contiguous
        assert array.flags.writeable


def test_a_class_has_its_own_times_and_share() -> None:
    """A quarter of the requests are long ones, which take four times as long."""
    asked = OPEN.with_setting("workload.duration", "2000s")
    made = draw(asked, lower(asked), 0)

    assert made.klass.mean() == pytest.approx(0.25, abs=0.04)
    assert made.service.mean(axis=0) == pytest.approx([2e9, 8e9], rel=0.1)


def test_a_type_may_have_a_stage_time_of_its_own() -> None:
    """Columns of stages follow types: a constant one beside a random one, others the same for both."""
    made = draw(CLOSED, lower(CLOSED), 0, pods=200)
    pull_a, pull_b, load_a, load_b = made.pod[:, of.STAGES :].T

    assert np.array_equal(pull_a, pull_b)
    assert S <= pull_a.min() < pull_a.max() <= 3 * S
    assert set(load_a.tolist()) == {5 * S}
    assert load_b.mean() == pytest.approx(4e9, rel=0.3)


def test_clocks_that_know_nothing_of_the_revision_have_phases_of_their_own() -> None:
    """Wall clock, reports, the load's beginning and pods' clocks are uniform over a period and independent."""
    asked = experiment("cluster: {activators: 2}")
    params = lower(asked)
    many = draw_many(asked, params, range(400), pods=2)
    own = [of.WALL, of.REPORT, of.REPORT + 1]
    phase = np.array([[*one.phase[own], one.load_phase_ns] for one in many]) / np.array([2 * S, S, S, 2 * S])
    drawn = [of.ADDRESS, of.UID, of.KUBELET_PHASE, of.POLL_PHASE]
    pod = np.array([one.pod[1, drawn] for one in many]) / np.array([1 << 31, 1 << 31, 2 * S, 50 * MS])
    both = np.hstack([phase, pod])

    assert both.min() >= 0.0
    assert both.max() < 1.0
    assert both.mean(axis=0) == pytest.approx(0.5, abs=0.06)
    assert np.abs(np.corrcoef(both.T) - np.eye(both.shape[1])).max() < 0.2


def test_the_clocks_of_a_revision_begin_when_it_does() -> None:
    """Ticks, scrapes and probes begin in this order of delays, all sooner or all later, within their periods."""
    delays = "{creation-to-ticks: 1s, creation-to-scrapes: 600ms, creation-to-probes: 40ms}"
    asked = experiment(f"cluster: {{delays: {delays}}}")
    phase = np.array([one.phase for one in draw_many(asked, lower(asked), range(200))])
    tick = phase[:, of.TICK]

    assert S // 2 <= tick.min() < 0.6 * S
    assert 1.4 * S < tick.max() < 1.5 * S
    assert np.abs(phase[:, of.SCRAPE] - tick * 6 // 10).max() <= 1
    assert np.abs(phase[:, of.PROBE] - tick // 25).max() <= 1


def test_queue_proxies_begin_soon_after_their_containers() -> None:
    """Half of them within the median, which may be set, and few much later."""
    asked = experiment("cluster: {delays: {queue-proxy-start: 100ms}}")
    begun = draw(asked, lower(asked), 0, pods=2000).pod[:, of.QUEUE_PROXY_PHASE]

    assert np.median(begun) == pytest.approx(100 * MS, rel=0.1)
    assert np.mean(begun > 300 * MS) == pytest.approx(0.1, abs=0.03)
    assert begun.max() <= 100 * 100 * MS


def test_a_measured_load_begins_when_it_did() -> None:
    """Where the beginning of the load is known, nothing is added to the time after the start state."""
    known = Recorded(load_phase_ns=of.AT_ONCE)

    assert draw(CLOSED, lower(CLOSED, known), 3, known).load_phase_ns == of.AT_ONCE


def test_settings_compared_under_one_seed_meet_the_same_requests() -> None:
    """Another autoscaler, another cold start, another cluster: the requests are the same."""
    base = draw(OPEN, lower(OPEN), 5)
    for path, value in {
        "service.annotations.target-utilization-percentage": 90,
        "model.cold-start.stages.pull.time": "9s",
        "cluster.activators": 3,
    }.items():
        other = OPEN.with_setting(path, value)
        made = draw(other, lower(other), 5)
        assert np.array_equal(made.service, base.service)
        assert np.array_equal(made.sent, base.sent)
        assert np.array_equal(made.delay, base.delay)
        assert np.array_equal(made.klass, base.klass)


def test_another_rate_stretches_the_same_arrivals() -> None:
    """Twice the rate halves every time between two requests."""
    slow = experiment("workload: {kind: poisson, rate: 1, duration: 100s}").workload
    fast = experiment("workload: {kind: poisson, rate: 2, duration: 50s}").workload

    assert arrivals(fast, 1, 0) * 2 == pytest.approx(arrivals(slow, 1, 0), abs=2)  # type: ignore[arg-type]


def test_client_delays_are_spread_over_their_range() -> None:
    """Requests that leave together arrive one after the other, within the longest delay."""
    made = draw(CLOSED, lower(CLOSED), 0)

    assert 0 <= made.delay.min() < made.delay.max() < 3 * MS
    assert len(np.unique(made.delay)) == 50


def test_replications_take_draws_of_the_posterior_in_turn() -> None:
    """Replications 0, 2, 4 follow the first draw, 1, 3, 5 the second."""
    asked = experiment("model: {posterior: [{service-time.time: 2s}, {service-time.time: 4s}]}")
    params = lower(asked)

    firsts = [one.service[0, 0] for one in draw_many(asked, params, range(4))]
    assert firsts == [2 * S, 4 * S, 2 * S, 4 * S]
    assert draw(asked, params, 3).service[0, 0] == 4 * S


def test_contention_factors_are_drawn_with_the_service_times() -> None:
    """A replication under a draw is the same, bit for bit, as under a model that has the draw's numbers."""
    draws = [{"time": "2s", "slowdown": [1.0, 1.5]}, {"time": "4s", "slowdown": [1.0, 1.1]}]
    posterior = [{"service-time.time": one["time"], "service-time.slowdown.1": one["slowdown"][1]} for one in draws]
    base = experiment("workload: {kind: hey, requests: 12, concurrency: 4}").with_settings(
        {"service.containerConcurrency": 2}
    )
    drawn = base.with_settings({"model": {"service-time": draws[0], "posterior": posterior}})
    fixed = [base.with_settings({"model": {"service-time": one}}) for one in draws]
    params = lower(drawn)

    assert [one.slowdown.tolist() for one in draw_many(drawn, params, range(3))] == [[1.0, 1.5], [1.0, 1.1], [1.0, 1.5]]
    for replication in range(4):
        its = fixed[replication % 2]
        for engine in (run, compiled.run):
            mine = engine(params, draw(drawn, params, replication))
            assert np.array_equal(mine.requests, engine(lower(its), draw(its, lower(its), replication)).requests)


def test_a_draw_keeps_the_number_of_contention_factors() -> None:
    """Whether requests share a GPU at all is no number that a draw may change."""
    change = "model: {service-time: {time: 2s, slowdown: [1.0, 1.5]}, posterior: [{service-time.slowdown: %s}]}"

    assert lower(experiment(change % "[1.0, 1.7]")).slowdown.tolist() == [1.0, 1.5]
    with pytest.raises(ExperimentError, match="contention factors"):
        lower(experiment(change % "[]"))


POSTERIOR = """
model:
  service-time: {distribution: mixture, components: [
    {weight: 0.6, distribution: lognormal, median: 10s, sigma: 0.02},
    {weight: 0.4, distribution: lognormal, mean: 15s, cv: 0.1}]}
  cold-start:
    stages:
      - {name: order, kind: provision, time: {distribution: lognormal, median: 40s, sigma: 0.1}}
      - {name: pull, kind: pull, time: 3s, per-instance-type: {b: {distribution: exponential, mean: 4s}}}
      - {name: load, time: 5s}
  posterior: [%s]
cluster:
  instance-types: [{name: a}, {name: b}]
"""
ALIKE = (
    POSTERIOR
    % """
    {service-time.time.components.0.median: 9s, cold-start.stages.order.time.sigma: 0.2,
     cold-start.stages.load.time: 2},
    {service-time.time.components.0.weight: 0.2, cold-start.stages.order.time.sigma: 0.3},
    {service-time.time.components.1.cv: 0.5, cold-start.stages.pull.time: 1s}"""
)
OTHER_FAMILIES = (
    POSTERIOR
    % """
    {cold-start.stages.load.time: {distribution: exponential, mean: 2s}},
    {service-time.time: {distribution: weibull, scale: 9s, shape: 2}},
    {service-time.time: {distribution: mixture, components: [{weight: 1, time: 4s}]}}"""
)
OTHER_SHAPES = (
    POSTERIOR
    % """
    {service-time.first-byte: {distribution: exponential, mean: 1s}},
    {cold-start.stages.order.time.median: 30s}"""
)


@pytest.mark.parametrize("model", [ALIKE, OTHER_FAMILIES, OTHER_SHAPES], ids=["alike", "families", "shapes"])
@pytest.mark.parametrize(
    "load", ["", "workload: {kind: hey, duration: 60s}", "workload: {kind: poisson, rate: 1, duration: 60s}"]
)
def test_replications_of_a_posterior_drawn_together_are_those_drawn_alone(model: str, load: str) -> None:
    """Whether distributions are of one family or of several, no bit depends on what is drawn beside."""
    asked = experiment(model + load)
    params = lower(asked)
    together = draw_many(asked, params, [5, 0, 1, 2, 7], pods=9)

    for replication, found in zip([5, 0, 1, 2, 7], together, strict=True):
        assert_equal(found, draw(asked, params, replication, pods=9))
    assert not np.array_equal(together[1].pod, together[2].pod)


# --- recorded numbers -------------------------------------------------------------------------------------------------


def test_recorded_service_times_take_the_place_of_drawn_ones() -> None:
    """The k-th start takes the k-th measured time, in which types and sharing are contained already."""
    asked = experiment(
        """model: {service-time: {time: 3s, slowdown: [1.0, 2.0], per-instance-type: {b: 0.5}}}
cluster: {nodes: {type: b}}"""
    )
    measured = Recorded(service_s=np.array([1.5, 2.5]))
    params = lower(asked, measured)
    made = draw(asked, params, 0, measured)

    assert params.service_by_start == 1
    assert (params.type_factor.tolist(), params.slowdown.tolist()) == ([1.0], [])
    assert made.service[:3, 0].tolist() == [1.5 * S, 2.5 * S, 3 * S]


def test_recorded_send_times_make_an_open_load() -> None:
    """Requests go out when they did, whoever sent them."""
    measured = Recorded(sent_s=np.array([0.0, 0.25, 9.0]), phase_ns={of.TICK: 7})
    params = lower(CLOSED, measured)
    made = draw(CLOSED, params, 0, measured)

    assert (params.closed, params.requests) == (0, 3)
    assert made.sent.tolist() == [0, S // 4, 9 * S]
    assert made.phase[of.TICK] == 7
    assert len(made.service) == 3


def test_reports_lie_where_they_are_known_to() -> None:
    """Known places of the reports, counted from the end of a wall-clock second, are shared out among replications."""
    places = (100_000_000, 930_000_000)
    measured = Recorded(report_places_ns=places)
    params = lower(CLOSED, measured)
    made = [draw(CLOSED, params, one, measured) for one in range(50)]

    assert {int(one.phase[of.REPORT] + one.phase[of.WALL]) % S for one in made} == set(places)
    assert len({int(one.phase[of.WALL]) for one in made}) == 50


def replay(folder: Path, text: str, change: str = "") -> Experiment:
    """The base experiment under a recorded load."""
    path = folder / "trace.csv"
    path.write_text(text)
    return experiment(f"workload: {{kind: replay, file: '{path}', service: took, class: kind}}\n" + change)


CLASSES = "model: {service-time: {classes: [{name: x, share: 1, time: 3s}, {name: y, share: 1, time: 4s}]}}"


def test_a_trace_brings_service_times_and_classes_along(tmp_path: Path) -> None:
    """They belong to the requests, also when those are not in order in the file."""
    asked = replay(tmp_path, "arrival,took,kind\n5,1.5,y\n3,,x\n4,2,y\n", CLASSES)
    params = lower(asked)
    made = draw(asked, params, 0)

    assert params.requests == 3
    assert made.sent.tolist() == [0, S, 2 * S]
    assert made.own_service.tolist() == [0, 2 * S, 1.5 * S]
    assert made.klass.tolist() == [0, 1, 1]


def test_a_trace_may_not_name_an_unknown_class(tmp_path: Path) -> None:
    """The message says which classes there are."""
    asked = replay(tmp_path, "arrival,took,kind\n5,1.5,z\n", CLASSES)

    with pytest.raises(ExperimentError, match=r"workload\.class: names the class 'z', .* \(x, y\)"):
        draw(asked, lower(asked), 0)


def test_a_trace_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    """Its file and line are named."""
    with pytest.raises(RecordError, match=r"trace\.csv:2: arrival: 'soon'"):
        lower(replay(tmp_path, "arrival,took,kind\nsoon,1,x\n", CLASSES))


# --- played -----------------------------------------------------------------------------------------------------------


def test_the_headline_experiment_plays() -> None:
    """Fifty requests of five clients, all answered, by the five pods that the published run ended with."""
    asked = load(REPOSITORY / "experiments" / "hey50x5.yaml")
    params = lower(asked)

    for draws in draw_many(asked, params, [0, 1]):
        outcome = run(params, draws)
        assert outcome.requests["status"].tolist() == [200] * 50
        assert len(outcome.pods) == 5


@pytest.mark.parametrize("asked", [CLOCKED, OPEN], ids=["clocked", "open"])
def test_other_loads_play(asked: Experiment) -> None:
    """Every request gets an answer or a reason, and every pod goes."""
    params = lower(asked)
    draws = draw(asked, params, 0)
    outcome = run(params, draws)

    assert set(outcome.requests["status"].tolist()) <= {200, 0, 503, 504}
    assert len(outcome.requests) > 50
    assert (outcome.pods[:, 8] != of.NEVER_NS).all()
    assert math.isfinite(outcome.end_ns)
