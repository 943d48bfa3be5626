"""The autoscaler of an experiment: Knative's own, or another for the same load, with the settings of its project.

A target that is not given is the target of the Service's manifest, so that autoscalers are compared at one target.
"""

import math
import re
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Annotated, Any, ClassVar, Literal, NamedTuple, Self, get_args
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError, model_validator

from kpasim.spec.base import Count, Number, Positive, Spec, Whole, key_of, wrong
from kpasim.spec.quantities import PositiveSeconds, Seconds, Share, duration_text
from kpasim.spec.yamlfile import names_of

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
DAY_S = 86_400
WEEK = datetime(2026, 1, 5)
"""A Monday."""
MAX_REPLICAS = 100
"""Maximum of pods where neither the autoscaler's settings nor `max-scale` give one; KEDA's default."""


def _time_of_day(text: Any) -> Any:
    """`08:00`, also where YAML has read it as a number of minutes or seconds."""
    if isinstance(text, int) and not isinstance(text, bool):
        text = f"{text // 60:02}:{text % 60:02}"
    if not (isinstance(text, str) and re.fullmatch(r"([01]?\d|2[0-3]):[0-5]\d|24:00", text)):
        raise wrong("is not a time of day (write 08:00)")
    return text


def days_of(text: str) -> tuple[int, ...]:
    """Weekdays, 0 for Monday, of `mon-fri` or `mon,wed`.

    Raises:
        ValueError: Not weekdays.
    """
    days: list[int] = []
    for part in text.lower().replace(" ", "").split(","):
        first, _, last = part.partition("-")
        begin, end = DAYS.index(first), DAYS.index(last or first)
        days += [day % 7 for day in range(begin, end + 1 if end >= begin else end + 8)]
    return tuple(dict.fromkeys(days))


def _read_by(reader: Callable[[str], object], complaint: str) -> AfterValidator:
    """A validator that leaves a text as it is, and refuses it where it cannot be read."""

    def check(text: str) -> str:
        try:
            reader(text)
        except (KeyError, ValueError, OSError):
            raise wrong(complaint) from None
        return text

    return AfterValidator(check)


def _moment(text: Any) -> Any:
    """A weekday with a time, or a date with a time."""
    if isinstance(text, datetime):
        text = text.isoformat()
    try:
        moment_of(str(text), "UTC")
    except ValueError:
        raise wrong("is not a moment of the week (write mon 08:00, or 2026-11-30T08:00)") from None
    return str(text)


def moment_of(text: str, zone: str) -> datetime:
    """A moment in a time zone: a date with a time, or a weekday with a time in a week without a change of the clocks.

    Raises:
        ValueError: Neither `mon 08:00` nor an ISO date with a time.
    """
    day, _, time = text.strip().lower().partition(" ")
    if day in DAYS:
        time_s = seconds_of_day(time or "00:00")
        return WEEK.replace(tzinfo=ZoneInfo(zone)) + timedelta(days=DAYS.index(day), seconds=time_s)
    at = datetime.fromisoformat(text)
    return at.astimezone(ZoneInfo(zone)) if at.tzinfo else at.replace(tzinfo=ZoneInfo(zone))


def seconds_of_day(text: str) -> int:
    """Seconds since midnight of `08:00`.

    Raises:
        ValueError: Not a time of day.
    """
    hours, minutes = text.split(":")
    return int(hours) * 3600 + int(minutes) * 60


def _whole_seconds(time_s: float) -> float:
    if time_s != int(time_s):
        raise wrong("is not a whole number of seconds (write 1s)")
    return time_s


TimeOfDay = Annotated[str, BeforeValidator(_time_of_day)]
"""A time of day: `08:00`; `24:00` is the end of a day."""


class Kpa(Spec):
    """Knative's Pod Autoscaler, as the Service's manifest and `config-autoscaler` set it."""

    kind: Literal["kpa"] = "kpa"
    """Knative's Pod Autoscaler."""


class Spare(Spec):
    """Knative's Pod Autoscaler with spare pods: its answer plus a number (knative/serving#15812, not merged)."""

    kind: Literal["spare"]
    """Knative's Pod Autoscaler with spare pods."""
    pods: Whole = 1
    """Pods added to each answer of the autoscaler, an answer of 0 pods included; `max-scale` still limits the sum."""


class Window(Spec):
    """A part of the week with a minimum of pods."""

    days: Annotated[str, _read_by(days_of, "is not a list of weekdays (write mon-fri, or mon,wed)")] = "mon-sun"
    """Weekdays on which it starts: `mon-fri`, or `sat,sun`."""
    start: TimeOfDay
    """Time of day at which it starts."""
    end: TimeOfDay
    """Time of day at which it ends; on the next day where it is not after `start`."""
    replicas: Whole
    """Minimum of pods meanwhile."""


class Schedule(Spec):
    """Knative's Pod Autoscaler with a minimum of pods by weekday and time of day."""

    kind: Literal["schedule"]
    """Knative's Pod Autoscaler with a minimum by the time of the week."""
    timezone: Annotated[str, _read_by(ZoneInfo, "is not a time zone (write UTC or Europe/Berlin)")] = "UTC"
    """Time zone of the windows."""
    load_starts: Annotated[str, BeforeValidator(_moment)] = "mon 00:00"
    """Moment of the week at which the load starts: a weekday and a time in that time zone (`mon 08:00`), or a date and
    a time (`2026-11-30T08:00+08:00`)."""
    windows: tuple[Window, ...] = Field(min_length=1)
    """Parts of the week with a minimum of pods; where two overlap, the larger minimum holds."""


class Lookahead(Spec):
    """Knative's Pod Autoscaler with a forecast from earlier days, as Alibaba's AHPA documents it: the larger counts."""

    kind: Literal["lookahead"]
    """Knative's Pod Autoscaler with a forecast."""
    quantile: Annotated[float, Field(strict=True, gt=0, le=100)] = 95
    """Quantile of the demand at the same time on earlier days, in percent."""
    scale_up_forward_s: Seconds | None = None
    """Time that the forecast is ahead; not given: the mean cold start of the model."""
    history_days: Annotated[int, Field(strict=True, ge=1, le=366)] = 7
    """Number of earlier days: loads of the same kind with other random numbers. A recorded load repeats itself, so
    that its forecast is perfect."""


class Rule(Spec):
    """A limit of how fast an HPA changes the number of pods."""

    type: Literal["Pods", "Percent"]
    """Unit of `value`: pods, or percent of the present number."""
    value: Annotated[int, Field(strict=True, gt=0, le=10**6)]
    """Maximum change within the period."""
    period_s: Annotated[PositiveSeconds, Field(le=1800)] = 15.0
    """Length of the period; at most 30m."""


class _Direction(Spec):
    select_policy: Literal["Max", "Min", "Disabled"] = "Max"
    """Policy that counts: the largest change, the smallest, or no change in this direction."""
    tolerance: Number | None = None
    """Relative difference from the target that changes nothing; not given: `tolerance` of the autoscaler."""


class ScaleUp(_Direction):
    """How an HPA adds pods; Kubernetes' defaults."""

    stabilization_window_s: Annotated[Seconds, Field(le=3600)] = 0.0
    """Time over which the smallest recommendation counts; at most 1h."""
    policies: tuple[Rule, ...] = (Rule(type="Pods", value=4), Rule(type="Percent", value=100))
    """Limits of the change."""


class ScaleDown(_Direction):
    """How an HPA removes pods; Kubernetes' defaults."""

    stabilization_window_s: Annotated[Seconds, Field(le=3600)] | None = None
    """Time over which the largest recommendation counts; at most 1h. Not given: `downscale-stabilization`."""
    policies: tuple[Rule, ...] = (Rule(type="Percent", value=100),)
    """Limits of the change."""


class Behavior(Spec):
    """`behavior` of an HPA; missing parts have Kubernetes' defaults."""

    scale_up: ScaleUp = ScaleUp()
    """How pods are added."""
    scale_down: ScaleDown = ScaleDown()
    """How pods are removed."""


class Aim(NamedTuple):
    """What an autoscaler holds its metric to.

    Attributes:
        metric: The metric, as a `metric` of any autoscaler names it.
        target: Target for each pod; None for that of the manifest.
        whole: Whether only whole numbers from 1 can be a target.
    """

    metric: str
    target: float | None
    whole: bool = False


class Other(Spec):
    """An autoscaler that is not Knative's but an object of its own over a Deployment.

    What differs from kind to kind is said by its class, and nothing else asks which kind it is.
    """

    BOUNDS: ClassVar[tuple[str, str]] = ("min_replicas", "max_replicas")
    """Fields with the minimum and the maximum of pods, under the names of its project."""
    IDLE: ClassVar[str] = "idle_replicas"
    """The field with the pods of a service without load, where there is one; KEDA's."""

    @model_validator(mode="after")
    def _bounded(self) -> Self:
        """The maximum is not below the minimum, and the idle count is below it.

        To KEDA a minimum that is written counts as 1 at least, one that is not as 0.

        Source:
            kedacore/keda@8b4f083, apis/keda/v1alpha1/scaledobject_types.go, ``CheckReplicaCountBoundsAreValid``.
        """
        (low, high), idle = self.BOUNDS, getattr(self, self.IDLE, None)
        least, most = getattr(self, low), getattr(self, high)
        if most is not None and most < least:
            raise wrong(f"{key_of(high)} {most} is below {key_of(low)} {least}")
        if idle is not None and idle >= (max(1, least) if low in self.model_fields_set else 0):
            raise wrong(f"{key_of(self.IDLE)} must be below {key_of(low)}")
        return self

    @property
    def least(self) -> int:
        """Minimum of pods."""
        return int(getattr(self, self.BOUNDS[0]))

    def max_of(self, max_scale: int) -> int:
        """Maximum of pods, with the manifest's `max-scale` (0 for none) where none is given."""
        return getattr(self, self.BOUNDS[1]) or max_scale or MAX_REPLICAS

    @classmethod
    def from_knative(cls, min_scale: int, *, of_kserve: bool) -> dict[str, Any]:
        """Settings that it takes from a manifest for Knative: its own minimum, or a larger `min-scale`."""
        least = cls.BOUNDS[0]
        return {key_of(least): max(cls.model_fields[least].default, min_scale)}

    @property
    def aim(self) -> Aim:
        """What it holds its metric to."""
        raise NotImplementedError

    @property
    def in_words(self) -> str:
        """Its other settings in a few words."""
        raise NotImplementedError

    @property
    def why_zero(self) -> str:
        """Why it removes the last pod."""
        return "the metric asks for no pod"


class _Controller(Other):
    """An HPA, by itself or behind KEDA, and the pods that it scales: a Deployment behind a Service."""

    behavior: Behavior | None = None
    """Limits of changes. Not given: the older rule of Kubernetes, at most twice the pods or 4 every sync;
    `behavior: {}` gives the documented defaults."""
    tolerance: Number = 0.1
    """Relative difference from the target that changes nothing."""
    sync_period_s: PositiveSeconds = 15.0
    """Time from one decision of the HPA to the next."""
    downscale_stabilization_s: Seconds = 300.0
    """Time over which the largest recommendation counts before pods are removed."""
    termination_grace_period_s: Seconds = 30.0
    """Time that a removed pod has to finish its requests; the Deployment's `terminationGracePeriodSeconds`."""

    @property
    def down_window_s(self) -> float:
        """Stabilisation window of the HPA for removing pods."""
        own_s = self.behavior.scale_down.stabilization_window_s if self.behavior else None
        return self.downscale_stabilization_s if own_s is None else own_s

    @property
    def in_words(self) -> str:
        return f"decides every {duration_text(self.sync_period_s)}, {self._goes}"

    @property
    def _goes(self) -> str:
        return f"down after {duration_text(self.down_window_s)}"


class _Measured(_Controller):
    """An autoscaler that reads a metric which something else has scraped."""

    metric: Literal["concurrency", "rps", "utilization", "cpu"] = "concurrency"
    """Metric: requests in flight (`concurrency`), requests per second (`rps`), percent of time in which a pod's
    container works (`utilization`), or percent of the CPU request (`cpu`)."""
    cpu_when_busy: Positive = 1.0
    """Share of the CPU request that a container uses while it works; an assumption of the metric `cpu`."""
    target: Positive | None = None
    """Target of the metric for each pod (with `Value`: of the whole). Not given: the target of the manifest; for `rps`
    divided by the mean service time; 80 for `utilization` and `cpu`."""
    scrape_interval_s: PositiveSeconds = 15.0
    """Time from one scrape of the metric to the next."""
    metric_window_s: Seconds | None = None
    """Window that the metric is averaged over; 0 is the latest scrape. Not given: 1m for `rps` and `utilization`, 0
    for `concurrency`, one scrape for `cpu`."""
    adapter_delay_s: Seconds = 0.0
    """Time from a scrape until the autoscaler can read it."""

    @classmethod
    def from_knative(cls, min_scale: int, *, of_kserve: bool) -> dict[str, Any]:
        # KServe's ScaledObject has the behavior of its HPA as well.
        behavior: dict[str, Any] = {"behavior": {}} if of_kserve else {}
        return super().from_knative(min_scale, of_kserve=of_kserve) | behavior

    @property
    def aim(self) -> Aim:
        return Aim(self.metric, self.target)


class Hpa(_Measured):
    """Kubernetes' HorizontalPodAutoscaler over a Deployment: nobody holds requests while there is no pod."""

    kind: Literal["hpa"]
    """Kubernetes' HorizontalPodAutoscaler."""
    min_replicas: Whole = 1
    """Minimum of pods; 0 needs `External` or `Object` (Kubernetes 1.37)."""
    max_replicas: Count | None = None
    """Maximum of pods; not given: `max-scale` of the manifest, 100 where it has none."""
    metric_type: Literal["Pods", "External", "Object"] = "Pods"
    """Source: each pod by itself, or one number for all of them, measured at the gateway."""
    target_type: Literal["AverageValue", "Value"] = "AverageValue"
    """`AverageValue`: the target is for each pod; `Value`: the target is for the whole (`External` and `Object`)."""

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.metric_type == "Pods" and self.target_type == "Value":
            raise wrong("target-type Value stands beside metric-type Pods (must be AverageValue)")
        if self.metric_type == "Pods" and self.min_replicas == 0:
            raise wrong("min-replicas 0 needs metric-type External or Object: without pods there is no pod to ask")
        if self.metric == "cpu" and self.target is not None and self.target not in range(1, 10_001):
            raise wrong(f"target {self.target:g} of the metric cpu is not right (must be a whole percentage from 1)")
        if self.metric_type != "Pods" and self.metric in {"utilization", "cpu"}:
            raise wrong(f"metric {self.metric} is measured in pods (write metric-type: Pods)")
        return self

    @property
    def in_words(self) -> str:
        if self.metric != "cpu":
            return super().in_words
        used = f"{100 * self.cpu_when_busy:.6g} % of its CPU request"
        return f"{super().in_words}; a container uses {used} while it works"

    @property
    def why_zero(self) -> str:
        return f"no pod was asked for in the stabilisation window ({duration_text(self.down_window_s)})"


def _no_trigger(cooldown_s: float) -> str:
    """Why KEDA removes the last pod."""
    return f"no trigger was active for the cooldown ({duration_text(cooldown_s)})"


class Fallback(Spec):
    """Number of pods while KEDA's source fails."""

    failure_threshold: Whole
    """Failures in a row beyond which it holds."""
    replicas: Whole
    """Number of pods."""
    behavior: Literal["static", "currentReplicas", "currentReplicasIfHigher", "currentReplicasIfLower"] = "static"
    """How `replicas` and the present number of pods combine."""


class Keda(_Measured):
    """KEDA over a Deployment: it switches between zero and one pod, its HPA does the rest; nobody holds requests."""

    BOUNDS = ("min_replica_count", "max_replica_count")
    IDLE = "idle_replica_count"

    kind: Literal["keda"]
    """KEDA."""
    min_replica_count: Whole = 0
    """Minimum of pods."""
    max_replica_count: Count | None = None
    """Maximum of pods; not given: `max-scale` of the manifest, 100 where it has none."""
    idle_replica_count: Whole | None = None
    """Pods while no trigger is active; below `min-replica-count`."""
    polling_interval_s: PositiveSeconds = 30.0
    """Time from one look at the triggers to the next."""
    cooldown_period_s: Seconds = 300.0
    """Time without an active trigger before all pods go."""
    initial_cooldown_period_s: Seconds = 0.0
    """Time after the creation before pods may go where no trigger was ever active."""
    metric: Literal["concurrency", "rps", "utilization", "cpu"] = "rps"
    """Metric, measured at the gateway: requests per second (`rps`), or requests in flight (`concurrency`; requests
    that fail at zero pods are never in flight, so that it never wakes a service up)."""
    metric_type: Literal["AverageValue", "Value"] = "AverageValue"
    """`AverageValue`: the target is for each pod; `Value`: the target is for the whole."""
    activation_threshold: Number = 0.0
    """The trigger is active while the metric is above this."""
    query_failure: Share = 0.0
    """Share of queries that the source does not answer."""
    fallback: Fallback | None = None
    """Number of pods while the source fails."""

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.metric in {"utilization", "cpu"}:
            raise wrong(f"metric {self.metric} is measured in pods (write rps or concurrency)")
        return self

    @property
    def _goes(self) -> str:
        every, cooldown = duration_text(self.polling_interval_s), duration_text(self.cooldown_period_s)
        return f"polls every {every}, to zero after {cooldown}"

    @property
    def why_zero(self) -> str:
        return _no_trigger(self.cooldown_period_s)


class KedaHttp(_Controller):
    """KEDA's HTTP add-on over a Deployment: its interceptor holds requests until a pod is ready."""

    kind: Literal["keda-http"]
    """KEDA's HTTP add-on."""
    object: Literal["InterceptorRoute", "HTTPScaledObject"] = "InterceptorRoute"
    """Object that configures it: an `InterceptorRoute` with a ScaledObject, or the deprecated `HTTPScaledObject`, which
    rounds a rate up to whole requests per second."""
    min_replicas: Whole = 0
    """Minimum of pods."""
    max_replicas: Count | None = None
    """Maximum of pods; not given: `max-scale` of the manifest, 100 where it has none."""
    idle_replicas: Whole | None = None
    """Pods while there is no request; below `min-replicas`. `InterceptorRoute` only."""
    metric: Literal["concurrency", "request-rate"] = "concurrency"
    """`scalingMetric`: requests in the interceptor, or requests per second averaged over `window`."""
    target: Count | None = None
    """`targetValue` for each pod, a whole number. Not given: the target of the manifest, for `request-rate` divided by
    the mean service time, as the nearest whole number; the add-on's own default is 100."""
    window_s: PositiveSeconds = 60.0
    """Window of `request-rate`."""
    granularity_s: Annotated[PositiveSeconds, AfterValidator(_whole_seconds)] = 1.0
    """Length of its buckets, whole seconds."""
    scaledown_period_s: Seconds = 300.0
    """Time without a request before all pods go."""
    initial_cooldown_period_s: Seconds = 0.0
    """Time after the creation before pods may go where there was never a request."""
    queue_tick_s: PositiveSeconds = 0.5
    """Time from one look of the scaler at the interceptors to the next."""
    stream_interval_s: PositiveSeconds = 0.2
    """Time from one message of the scaler to KEDA, that the service is active, to the next."""
    polling_interval_s: PositiveSeconds = 15.0
    """Time from one look of KEDA at the scaler to the next."""

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.idle_replicas is not None and self.object == "HTTPScaledObject":
            raise wrong("idle-replicas needs object InterceptorRoute")
        return self

    @property
    def aim(self) -> Aim:
        return Aim(self.metric, self.target, whole=True)

    @property
    def _goes(self) -> str:
        return f"to zero after {duration_text(self.scaledown_period_s)}"

    @property
    def why_zero(self) -> str:
        return _no_trigger(self.scaledown_period_s)


class Deployment(NamedTuple):
    """The pods of an autoscaler with a rule of its own, and how it watches them.

    Attributes:
        target: Target of the metric for each pod; None for that of the manifest.
        settles_s: How long after the last response it may still remove pods.
        rule: Settings of its rule; times in seconds.
        begins: Pods at the start, the minimum where it is None.
        plane: Who carries requests: a Service, which holds none, or an interceptor or router, which holds them while
            there is no pod.
        at_a_time: Requests that a pod is given at a time, 0 for any number.
        metric: What it reads; `ongoing` is the requests in pods and those that are held.
        scrape_s: Time from one scrape of the metric to the next.
        window_s: Window that the metric is averaged over; 0 is the latest scrape.
        grace_s: Time that a removed pod has to finish its requests.
        looks_s: Time from one look at pods that start to the next; None where the kubelet's probes tell.
    """

    target: float | None
    settles_s: float
    rule: tuple[float, ...]
    begins: int | None = None
    plane: Literal["service", "interceptor", "router"] = "service"
    at_a_time: int = 0
    metric: Literal["concurrency", "rps", "utilization", "ongoing"] = "concurrency"
    scrape_s: float = 15.0
    window_s: float = 0.0
    grace_s: float = 30.0
    looks_s: float | None = None


class Deployed(Other):
    """An autoscaler over a Deployment with a rule and a clock of its own: no HPA, and nothing of Knative's."""

    @property
    def deployment(self) -> Deployment:
        """What the engines need of the settings."""
        raise NotImplementedError

    @property
    def aim(self) -> Aim:
        return Aim(self.deployment.metric, self.deployment.target)

    def document(self, name: str, max_scale: int, target: float) -> tuple[str, dict[str, Any]]:
        """The settings for a cluster below a comment; those of an experiment, where its project has no file of its own.

        ``name`` is that of the Service, ``target`` that of the metric for each pod, given or derived.
        """
        settings = self.model_dump(mode="json", exclude_defaults=True)
        return "autoscaler of an experiment of kpasim", {"autoscaler": settings}


class RayServe(Deployed):
    """Ray Serve: its handles hold requests and send each to the less busy of two replicas."""

    kind: Literal["ray-serve"]
    """Ray Serve."""
    min_replicas: Whole = 1
    """Minimum of replicas."""
    initial_replicas: Whole | None = None
    """Replicas at the start; not given: `min-replicas`."""
    max_replicas: Count | None = None
    """Maximum of replicas; not given: `max-scale` of the manifest, 100 where it has none."""
    target_ongoing_requests: Positive | None = None
    """Target of requests for each replica. Not given: the target of the manifest; Ray's own default is 2."""
    max_ongoing_requests: Count = 5
    """Maximum of requests that a replica has at the same time; others wait in the handle."""
    upscale_delay_s: Seconds = 30.0
    """Time for which more replicas must be asked for before they are added."""
    downscale_delay_s: Seconds = 600.0
    """Time for which fewer replicas must be asked for before they are removed."""
    downscale_to_zero_delay_s: Seconds | None = None
    """The same for the last replica; not given: `downscale-delay`."""
    upscaling_factor: Positive = 1.0
    """Share of a step up that is made at a time."""
    downscaling_factor: Positive = 1.0
    """Share of a step down that is made at a time."""
    look_back_period_s: PositiveSeconds = 30.0
    """Window that the requests of a replica are averaged over."""
    metrics_interval_s: PositiveSeconds = 10.0
    """Time from one report of the requests to the next."""
    graceful_shutdown_timeout_s: Seconds = 20.0
    """Time that a removed replica has to finish its requests."""

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.max_replicas is not None and self.max_replicas < (self.initial_replicas or 0):
            raise wrong(f"max-replicas {self.max_replicas} is below initial-replicas {self.initial_replicas}")
        return self

    @property
    def _to_zero_delay_s(self) -> float:
        own_s = self.downscale_to_zero_delay_s
        return self.downscale_delay_s if own_s is None else own_s

    @property
    def deployment(self) -> Deployment:
        to_zero_s = self._to_zero_delay_s
        settles_s = self.downscale_delay_s + self.look_back_period_s + (0.0 if self.min_replicas else to_zero_s)
        delays = (self.upscale_delay_s, self.downscale_delay_s, to_zero_s)
        from kpasim.policy.ray_serve import CONTROL_LOOP_NS  # numpy, which takes longer than to check a manifest

        return Deployment(
            target=self.target_ongoing_requests,
            settles_s=settles_s,
            rule=(*delays, self.upscaling_factor, self.downscaling_factor),
            begins=self.initial_replicas,
            plane="router",
            at_a_time=self.max_ongoing_requests,
            metric="ongoing",
            scrape_s=self.metrics_interval_s,
            window_s=self.look_back_period_s,
            grace_s=self.graceful_shutdown_timeout_s,
            # The controller sees in one of its loops that a replica has started.
            looks_s=CONTROL_LOOP_NS / 1e9,
        )

    def document(self, name: str, max_scale: int, target: float) -> tuple[str, dict[str, Any]]:
        """Its `autoscaling_config`.

        Source: ray 2.60.0, python/ray/serve/schema.py
        """
        config = {
            **{key: getattr(self, key) for key in names_of("ray-autoscaling")},
            "max_replicas": self.max_of(max_scale),
            "target_ongoing_requests": round(target, 6),
        }
        given = {key: value for key, value in config.items() if value is not None}
        settings = {"name": name, "max_ongoing_requests": self.max_ongoing_requests, "autoscaling_config": given}
        return "deployment of Ray Serve's config file", settings

    @property
    def in_words(self) -> str:
        return f"delays {duration_text(self.upscale_delay_s)} up, {duration_text(self.downscale_delay_s)} down"

    @property
    def why_zero(self) -> str:
        return f"no request for the downscale delay ({duration_text(self._to_zero_delay_s)})"


Scaling = Kpa | Hpa | Keda | KedaHttp | Schedule | Spare | Lookahead | RayServe
KINDS: dict[str, type[Spec]] = {get_args(one.model_fields["kind"].annotation)[0]: one for one in get_args(Scaling)}
"""Autoscalers by their kind."""


def scaling_of(data: Mapping[str, Any]) -> Scaling:
    """The autoscaler of a mapping as files have it.

    Raises:
        ValueError: It is refused.
    """
    return KINDS[data["kind"]].model_validate(data)  # type: ignore[return-value]


_MANY = 10**6
"""Pods that no run reaches, for no maximum."""


def of_hpa_class(metric: str, target: str | None, min_scale: int, max_scale: int, window_s: float | None) -> Hpa:
    """The HPA that Knative makes for a revision of its class `hpa.autoscaling.knative.dev`.

    Without an annotation the metric is `cpu`, and the target Kubernetes' 80 % of the CPU request. The minimum is never
    below 1, a maximum of 0 is none. The annotation `window` becomes both stabilisation windows.

    Raises:
        ValueError: A metric that is not simulated.

    Source:
        knative/serving@98e5ef9, pkg/reconciler/autoscaling/hpa/resources/hpa.go
    """
    if metric not in {"cpu", "concurrency", "rps"}:
        raise ValueError(f"has metric {metric}, which is not simulated (cpu, concurrency and rps are)")
    given: dict[str, Any] = {"kind": "hpa", "metric": metric, "min_replicas": max(min_scale, 1)}
    given["max_replicas"] = max(min(max_scale or _MANY, _MANY), given["min_replicas"])
    if target is not None:
        number = float(target)
        whole = math.ceil if metric == "cpu" else int
        given["target"] = float(whole(number)) if math.isfinite(number) else number
    if window_s is not None:
        window = {"stabilization_window_s": window_s}
        given["behavior"] = {"scale_up": window, "scale_down": window}
    try:
        return Hpa.model_validate(given)
    except ValidationError as error:
        raise ValueError(f"has a {error.errors()[0]['msg']}") from None


def _named(data: Any) -> Any:
    """A bare word is a kind."""
    if isinstance(data, str):
        return {"kind": data}
    return {"kind": "kpa", **data} if isinstance(data, Mapping) and "kind" not in data else data


AnyScaling = Annotated[Annotated[Scaling, Field(discriminator="kind")], BeforeValidator(_named)]
"""Any of the autoscalers, by its `kind`; a bare word is a kind."""
