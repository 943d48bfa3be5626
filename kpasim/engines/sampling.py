"""All random numbers of a replication, made once and outside the engines.

Uniform numbers of one stream belong to requests, pods or nodes by their index; distributions turn them into times here.
A replication's numbers are therefore the same whatever else is drawn, in whichever order, and however many are asked
for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from operator import attrgetter
from typing import Any, NamedTuple
from weakref import WeakSet

import numpy as np

from kpasim.arrays import Floats, Ints
from kpasim.engines import params as of
from kpasim.engines.clock import LATEST
from kpasim.engines.draws import Stream, chance_key, uniforms, uniforms_of
from kpasim.engines.machines import LONGEST_NS, nanoseconds, refused, stages
from kpasim.engines.params import Draws, Params
from kpasim.spec.distributions import Constant, Distribution, ppf_of_each
from kpasim.spec.experiment import Experiment
from kpasim.spec.model import ServiceModel
from kpasim.spec.rates import Uniforms
from kpasim.spec.workload import OpenLoop, Rated, Replay
from kpasim.workloads import arrivals as open_loops

PODS = 256
"""Pods that there are draws for, if nobody says more."""
REQUESTS_PER_POD = 8
"""A pod seldom serves fewer requests."""
PART = 1 << 17
"""Requests that draws of a long run with tables are made for at a time, see ``long``."""
_ADDRESSES = 1 << 31
_NO_INTS: Ints = np.zeros(0, dtype=np.int64)

_Uniform = Callable[[int, Sequence[int]], Floats]
"""``uniform(stream, counts)``: so many numbers of a stream for each replication, one replication after the other."""


class Recorded(NamedTuple):
    """Measured numbers that take the place of drawn ones, as when a measured run is predicted.

    Attributes:
        service_s: Service times in the order of starts of service; where there are fewer than requests, the rest is
            drawn.
        sent_s: Send times from the start of the load, ascending. The load is then an open one.
        phase_ns: Phases by their place in ``Draws.phase``.
        kubelet_phase_ns: Phases of the kubelet's probes of the first pods, from the start of their containers.
        cut_phase_ns: Phases of their queue-proxies' statistics, likewise.
        load_phase_ns: At which phase of the ticks' period the load begins, from the creation of the revision;
            ``AT_ONCE`` if it begins when ``start.for`` is over. Drawn if not given.
        report_places_ns: Where within the wall-clock second the first activator's reports may lie; each replication
            takes one. Anywhere if empty.
        start_s: Times of the first stage of a start, of the pods in the order of their creation; drawn where one is
            not a number and beyond the last.
    """

    service_s: Floats | None = None
    sent_s: Floats | None = None
    phase_ns: Mapping[int, int] | None = None
    kubelet_phase_ns: tuple[int, ...] = ()
    cut_phase_ns: tuple[int, ...] = ()
    load_phase_ns: int | None = None
    report_places_ns: tuple[int, ...] = ()
    start_s: Floats | None = None


NOTHING_RECORDED = Recorded()


class Times(NamedTuple):
    """The distributions of an experiment, or of one draw of its model's posterior.

    Attributes:
        service: Service time, one for each class.
        first_byte: Time to the first byte, ``None`` where answers come whole.
        stages: Times of each stage of a start, one for each instance type.
        provision: Provisioning of a node.
        slowdown: Contention factors; the same for all replications without a posterior.
    """

    service: tuple[Distribution, ...]
    first_byte: Distribution | None
    stages: tuple[tuple[Distribution, ...], ...]
    provision: Distribution
    slowdown: tuple[float, ...] = ()


class Sampler:
    """Makes the draws of an experiment's replications.

    Attributes:
        params: The experiment in numbers.
        recorded: Measured numbers that take the place of drawn ones, as given to ``lower``.
    """

    def __init__(self, experiment: Experiment, params: Params, recorded: Recorded = NOTHING_RECORDED) -> None:
        """Prepare what all replications share.

        Raises:
            ExperimentError: A trace names a class that the model does not have.
            RecordError: A file that the workload replays cannot be read.
        """
        self.params = params
        self._workload = experiment.workload
        self.recorded = recorded
        self._experiment = experiment
        self._times: dict[int, Times] = {}
        delays = experiment.cluster.delays
        self._delay_ns = nanoseconds(delays.client_to_front_s)
        self._queue_proxy_ns = nanoseconds(delays.queue_proxy_start_s)
        after_s = (delays.creation_to_ticks_s, delays.creation_to_scrapes_s, delays.creation_to_probes_s)
        self._after_creation_ns = np.array(after_s) * 1e9
        classes = experiment.model.service_time.classes
        shares = np.array([one.share for one in classes] or [1.0])
        self._edges = np.cumsum(shares / shares.sum())[:-1]
        self._own_service, self._classes = _NO_INTS, _NO_INTS
        if isinstance(experiment.workload, Replay) and recorded.sent_s is None:
            self._own_service, self._classes = _from_trace(experiment, experiment.workload)

    def draw(self, replication: int, *, pods: int = PODS, nodes: int | None = None) -> Draws:
        """The random numbers of one replication; see ``draw_many``."""
        return self.draw_many([replication], pods=pods, nodes=nodes)[0]

    def draw_many(self, replications: Sequence[int], *, pods: int = PODS, nodes: int | None = None) -> list[Draws]:
        """The random numbers of several replications, in their order.

        Args:
            replications: Indices of the replications.
            pods: Pods to make draws for.
            nodes: Added nodes to make draws for; as many as pods when not given.
        """
        nodes = pods if nodes is None else nodes
        asked = (tuple(replications), pods, nodes)
        kept = _kept_for(self)
        if asked in kept:
            return kept[asked]
        draws = self._draw_many(replications, pods, nodes)
        if len(kept) < MOST_KEPT and _numbers(draws) * MOST_KEPT <= MOST_NUMBERS:
            kept[asked] = draws
        return draws

    @property
    def has_parts(self) -> bool:
        """Whether draws of a run are better made a few at a time: those of many requests at a rate."""
        is_drawn = self.recorded is NOTHING_RECORDED and self._workload.has_parts
        return is_drawn and self.params.requests > PART

    def draws_as(self, other: Sampler) -> bool:
        """Whether all random numbers are those of another sampler: settings of the autoscaler change none."""
        mine, theirs = self._experiment, other._experiment
        return (
            mine.workload is theirs.workload
            and mine.model is theirs.model
            and mine.cluster is theirs.cluster
            and self.recorded is other.recorded
            and mine.instance_types == theirs.instance_types
            and self._numbers == other._numbers
        )

    @cached_property
    def _numbers(self) -> list[Any]:
        """What decides about random numbers, in a form that is compared at once."""
        values = _OF_DRAWS(self.params)
        return [(one.shape, one.tobytes()) if isinstance(one, np.ndarray) else one for one in values]

    def _draw_many(self, replications: Sequence[int], pods: int, nodes: int) -> list[Draws]:
        each = [self.times_of(one) for one in replications]
        if all(times is each[0] for times in each):
            each = each[:1]
        if len({_shape(times) for times in each}) > 1:
            return [
                self.draw_with([one], [times], pods, nodes)[0] for one, times in zip(replications, each, strict=True)
            ]
        return self.draw_with(replications, each, pods, nodes)

    def draw_with(self, replications: Sequence[int], each: Sequence[Times], pods: int, nodes: int) -> list[Draws]:
        """The random numbers of several replications, made times by the distributions of each, or once those of all."""
        return self._draw(replications, each, [self.sent(one) for one in replications], pods, nodes)

    # the same random numbers, but a few at a time

    def draw_but_requests(self, replication: int, pods: int) -> Draws:
        """The random numbers of one replication but those of its requests, with as many nodes as pods."""
        return self._draw([replication], [self.times_of(replication)], [_NO_INTS], pods, pods)[0]

    def sent_in_parts(self, replication: int, size: int) -> Iterator[Ints]:
        """When an open loop's requests are sent, ``size`` of them at a time; see ``arrivals.in_parts``."""
        assert isinstance(self._workload, Rated)
        return open_loops.in_parts(self._workload, _of_requests(self.params.seed, replication), size)

    def delays(self, replication: int, first: int, count: int) -> tuple[Ints, Ints]:
        """Delays and classes of the requests ``first .. first + count - 1`` of an open loop."""
        return self._delays(self._part(replication, first), [count])

    def services(self, replication: int, first: int, count: int) -> tuple[Ints, Ints]:
        """Service times and times to the first byte from number ``first`` on, of an open loop."""
        return self._services(self._part(replication, first), [self.times_of(replication)], [count])

    def pods(self, replication: int, first: int, count: int) -> Ints:
        """What is drawn for the pods ``first .. first + count - 1``."""
        [pods] = self._pods(self._part(replication, first), [self.times_of(replication)], 1, count)
        return np.asarray(pods)

    def nodes(self, replication: int, first: int, count: int) -> Ints:
        """What is drawn for the added nodes ``first .. first + count - 1``."""
        [nodes] = self._nodes(self._part(replication, first), self.times_of(replication), 1, count)
        return np.asarray(nodes)

    def _part(self, replication: int, first: int) -> _Uniform:
        """Numbers of one replication from request, pod or node ``first`` on."""

        def uniform(stream: int, counts: Sequence[int]) -> Floats:
            each = of.STAGES if stream == Stream.POD else 1
            return uniforms(self.params.seed, replication, stream, counts[0], first * each)

        return uniform

    def times_of(self, replication: int) -> Times:
        """The distributions of one replication."""
        place = replication % max(1, len(self._experiment.model.posterior))
        if place not in self._times:
            self._times[place] = _times(of_replication(self._experiment, place))
        return self._times[place]

    def _draw(
        self, replications: Sequence[int], each: Sequence[Times], sent: Sequence[Ints], pods: int, nodes: int
    ) -> list[Draws]:
        """Draws of replications, all transformed at once, with the requests of ``sent`` (in a closed loop, of all)."""
        p, runs = self.params, len(replications)

        def uniform(stream: int, counts: Sequence[int]) -> Floats:
            return uniforms_of(p.seed, replications, stream, counts)

        counts = [p.requests if p.closed else len(one) for one in sent]
        ends = np.cumsum(counts).tolist()
        parts = [slice(end - count, end) for end, count in zip(ends, counts, strict=True)]
        service, first_byte = self._services(uniform, each, counts)
        self._put_recorded(service, parts)
        delay, klass = self._delays(uniform, counts)
        u = uniform(Stream.PHASE, [of.REPORT + p.activators + 1] * runs).reshape(runs, -1)
        phase, load = self._phases(u[:, :-1]), self._load(u[:, -1])
        pod = self._pods(uniform, each, runs, pods)
        node = self._nodes(uniform, each[0], runs, nodes)
        is_drawn = len(p.slowdown) and self._experiment.model.posterior
        factors = [np.array(times.slowdown if is_drawn else (), dtype=np.float64) for times in each]
        return [
            Draws(
                phase=phase[place],
                service=service[part],
                klass=klass[part] if len(klass) else self._classes,
                first_byte=first_byte[part],
                delay=delay[part],
                sent=sent[place],
                own_service=self._own_service,
                pod=pod[place],
                node=node[place],
                key=chance_key(p.seed, replication),
                load_phase_ns=load[place],
                slowdown=factors[place % len(factors)],
            )
            for place, (replication, part) in enumerate(zip(replications, parts, strict=True))
        ]

    def _services(self, uniform: _Uniform, each: Sequence[Times], counts: Sequence[int]) -> tuple[Ints, Ints]:
        """Service times, shape ``(requests, classes)``, and times to the first byte, if there are any."""
        in_order = (lambda u: u) if self.params.service_by_start else self._by_worker
        row = np.repeat(np.arange(len(counts)), counts)
        u = in_order(uniform(Stream.SERVICE, counts))
        by_class = zip(*(times.service for times in each), strict=True)
        service = np.stack([_nanoseconds(one, u, row) for one in by_class], axis=1)
        first_byte = [times.first_byte for times in each if times.first_byte is not None]
        if not first_byte:
            return service, _NO_INTS
        return service, _nanoseconds(first_byte, in_order(uniform(Stream.FIRST_BYTE, counts)), row)

    def _delays(self, uniform: _Uniform, counts: Sequence[int]) -> tuple[Ints, Ints]:
        """Delays to the front; and classes, where there are several and no trace names them."""
        delay = (self._by_worker(uniform(Stream.DELAY, counts)) * self._delay_ns).astype(np.int64)
        if not len(self._edges) or len(self._classes):
            return delay, _NO_INTS
        return delay, np.searchsorted(self._edges, self._by_worker(uniform(Stream.CLASS, counts)), side="right")

    def sent(self, replication: int) -> Ints:
        """When an open loop's requests are sent, from the start of the load [ns]; empty for a closed loop."""
        if self.params.closed:
            return _NO_INTS
        if self.recorded.sent_s is not None:
            return np.rint(np.asarray(self.recorded.sent_s) * 1e9).astype(np.int64)
        assert isinstance(self._workload, OpenLoop)
        return arrivals(self._workload, self.params.seed, replication)

    def _by_worker(self, u: Floats) -> Floats:
        """Uniform numbers in the order of ``Params``' draws.

        Where only the clock ends a closed loop, nobody knows how many requests a worker sends: the k-th request of
        worker w takes the number k * workers + w, so that it stays the same when there is room for more.
        """
        p = self.params
        if not (p.closed and p.load_duration_ns):
            return u
        return np.ascontiguousarray(u.reshape(-1, p.requests // p.workers, p.workers).swapaxes(1, 2)).ravel()

    def _put_recorded(self, service: Ints, parts: Sequence[slice]) -> None:
        if self.recorded.service_s is None:
            return
        measured = np.rint(np.asarray(self.recorded.service_s) * 1e9).astype(np.int64)
        for part in parts:
            rows = service[part]
            rows[: len(measured)] = measured[: len(rows), np.newaxis]

    def _phases(self, u: Floats) -> Ints:
        """Phases of all clocks, shape ``(runs, REPORT + activators)``.

        Ticks, scrapes and the activator's probes of one revision begin with its decider, metric and private endpoints,
        which one reconcile creates a moment after the revision: within half and one and a half times the usual delay,
        and in the same order. Wall clock and reports know nothing of the revision.

        Source:
            knative/serving, pkg/autoscaler/scaling/multiscaler.go, pkg/autoscaler/metrics/collector.go and
            pkg/activator/net/revision_backends.go, where each makes its ticker when the object is seen first.
        """
        period_ns = np.full(u.shape[1], of.SECOND_NS, dtype=np.float64)
        period_ns[of.WALL] = period_ns[of.TICK] = of.TICK_NS
        period_ns[of.PROBE] = self.params.activator_probe_period_ns
        own = u * period_ns
        own[:, [of.TICK, of.SCRAPE, of.PROBE]] = self._after_creation_ns * (0.5 + u[:, of.TICK, np.newaxis])
        phases = (own % period_ns).astype(np.int64)
        places_ns = np.array(self.recorded.report_places_ns, dtype=np.int64)
        if len(places_ns):
            known_ns = places_ns[(u[:, of.REPORT] * len(places_ns)).astype(np.int64)]
            phases[:, of.REPORT] = (known_ns - phases[:, of.WALL]) % of.SECOND_NS
        for place, phase_ns in (self.recorded.phase_ns or {}).items():
            phases[:, place] = phase_ns
        return phases

    def _load(self, u: Floats) -> list[int]:
        """The phase at which each load begins: nobody starts one in step with the autoscaler's ticks."""
        if self.recorded.load_phase_ns is not None:
            return [self.recorded.load_phase_ns] * len(u)
        return [int(phase_ns) for phase_ns in u * of.TICK_NS]

    def _pods(self, uniform: _Uniform, each: Sequence[Times], runs: int, pods: int) -> Ints:
        p, types = self.params, len(self.params.type_factor)
        pod = np.empty((runs, pods, of.STAGES + types * len(each[0].stages)), dtype=np.int64)
        own = uniform(Stream.POD, [pods * of.STAGES] * runs).reshape(runs, pods, of.STAGES)
        period_ns = np.empty(of.STAGES)
        period_ns[[of.ADDRESS, of.UID]] = _ADDRESSES
        period_ns[of.KUBELET_PHASE] = p.probe_period_ns
        period_ns[of.POLL_PHASE] = p.queue_proxy_poll_ns
        period_ns[of.QUEUE_PROXY_PHASE] = 0.0
        pod[:, :, : of.STAGES] = own * period_ns
        begun = own[:, :, of.QUEUE_PROXY_PHASE]
        pod[:, :, of.QUEUE_PROXY_PHASE] = self._queue_proxy_ns * np.minimum(np.sqrt(begun / (1.0 - begun)), LATEST)
        for column, known in (
            (of.KUBELET_PHASE, self.recorded.kubelet_phase_ns),
            (of.QUEUE_PROXY_PHASE, self.recorded.cut_phase_ns),
        ):
            pod[:, : len(known), column] = known
        row = np.arange(runs)[:, np.newaxis]
        for place in range(len(each[0].stages)):
            columns = pod[:, :, of.STAGES + place * types : of.STAGES + (place + 1) * types]
            by_type = list(zip(*(times.stages[place] for times in each), strict=True))
            if all(isinstance(time, Constant) for of_type in by_type for time in of_type):
                columns[:] = np.array([[nanoseconds(time.mean_s()) for time in of_type] for of_type in by_type]).T[
                    :, None
                ]
                continue
            # One number for all types: a pod that is slow on one is slow on the others.
            u = uniform(Stream.STAGE + place, [pods] * runs).reshape(runs, pods)
            for type_, of_type in enumerate(by_type):
                if type_ and all(mine is first for mine, first in zip(of_type, by_type[0], strict=True)):
                    columns[:, :, type_] = columns[:, :, 0]
                else:
                    columns[:, :, type_] = _nanoseconds(of_type, u, row)
        if self.recorded.start_s is not None:
            starts = self.recorded.start_s[:pods]
            there = np.flatnonzero(~np.isnan(starts))
            pod[:, there, of.STAGES : of.STAGES + types] = np.rint(starts[there, np.newaxis] * 1e9)
        return pod

    def _nodes(self, uniform: _Uniform, times: Times, runs: int, nodes: int) -> Ints:
        provisioned = self.params.pool_provisioned
        if not provisioned.any():
            return np.zeros((runs, nodes, len(provisioned)), dtype=np.int64)
        u = uniform(Stream.NODE, [nodes] * runs).reshape(runs, nodes, 1)
        return _nanoseconds([times.provision], u, _NO_INTS) * provisioned


def arrivals(workload: OpenLoop, seed: int, replication: int) -> Ints:
    """When an open loop's requests are sent in one replication.

    Returns:
        Times from the start of the load [ns], ascending, shape ``(requests,)``.

    Raises:
        RecordError: A file that the workload replays cannot be read.
    """
    return open_loops.arrivals(workload, _of_requests(seed, replication))


def _of_requests(seed: int, replication: int) -> Uniforms:
    return lambda count, first: uniforms(seed, replication, Stream.ARRIVAL, count, first)


_OF_DRAWS = attrgetter(*(
    name
    for name in Params._fields
    if name
    not in {
        "max_scale_up_rate", "max_scale_down_rate", "target_value", "total_value", "target_burst_capacity",
        "panic_threshold", "activation_scale", "stable_window_s", "panic_window_s", "weight_stable", "weight_panic",
        "scale_down_delay_s", "min_scale", "max_scale", "initial_scale", "grace_ns", "retention_ns", "stays", "start",
        "container_concurrency", "until_ns", "horizon_ns",
    }
))  # fmt: skip
"""What decides about random numbers, or may: all but settings of the autoscaler and the ends of a run."""
MOST_KEPT = 64
"""Draws that are kept for other settings at most."""
MOST_NUMBERS = 1 << 23
"""Numbers that these hold together at most, 64 MiB."""


_Asked = tuple[tuple[int, ...], int, int]
"""Replications, pods and nodes."""


class _Kept(NamedTuple):
    """Draws of a sampler, by what was asked for, and other samplers that are known to draw the same."""

    sampler: Sampler
    draws: dict[_Asked, list[Draws]]
    others: WeakSet[Sampler]


_kept: _Kept | None = None
"""Draws that were made last: all settings of a sweep, and all candidates of a search, ask for the same ones."""


def _kept_for(sampler: Sampler) -> dict[_Asked, list[Draws]]:
    """What is kept for a sampler; empty where the last one drew other numbers."""
    global _kept
    kept = _kept  # as a whole: a thread that draws for another experiment has a table of its own
    if kept is None or not (sampler in kept.others or sampler.draws_as(kept.sampler)):
        kept = _kept = _Kept(sampler, {}, WeakSet())
    kept.others.add(sampler)
    return kept.draws


def _numbers(draws: Sequence[Draws]) -> int:
    """How many numbers draws hold."""
    return sum(value.size for one in draws for value in one if isinstance(value, np.ndarray))


_latest: tuple[ServiceModel | None, Sequence[ServiceModel]] = (None, ())
"""The model whose posterior was asked for last, and the same under each draw: settings of a sweep share them."""


def of_replication(experiment: Experiment, replication: int) -> Experiment:
    """The experiment as a replication plays it: under one draw of its model's posterior, which they take in turn.

    Raises:
        ExperimentError: A draw names no place of the model, or a value that is refused there.
    """
    global _latest
    model, (known, models) = experiment.model, _latest
    if not model.posterior:
        return experiment
    if known is not model:
        # Without the draws themselves, which would be checked again with each of them.
        bare = experiment.with_settings({"model.posterior": None})
        changes = ({f"model.{place}": value for place, value in one.items()} for one in model.posterior)
        models = [bare.with_settings(one).model for one in changes]
        _latest = model, models
    return experiment.model_copy(update={"model": models[replication % len(model.posterior)]})


def _times(experiment: Experiment) -> Times:
    time, nodes = experiment.model.service_time, experiment.cluster.nodes
    return Times(
        tuple(one.time for one in time.classes) or (time.time,),
        time.first_byte,
        tuple(stage.times for stage in stages(experiment)),
        nodes.provision if nodes else Constant(time_s=0.0),
        time.slowdown,
    )


def _shape(times: Times) -> tuple[int, bool, int]:
    """How many distributions there are of each kind."""
    return len(times.service), times.first_byte is None, len(times.stages)


def _from_trace(experiment: Experiment, workload: Replay) -> tuple[Ints, Ints]:
    """Service times [ns] and classes that a trace brings along, each empty where it does not."""
    from kpasim.workloads.recorded import recording  # with readers of many formats

    recorded = recording(workload)
    known = {one.name: place for place, one in enumerate(experiment.model.service_time.classes)}
    unknown = sorted(set(recorded.classes) - set(known))
    if unknown:
        message = f"names the class {unknown[0]!r}, which is none of the model's ({', '.join(known) or 'it has none'})"
        raise refused(experiment, "workload.class", message)
    classes = np.array([known[name] for name in recorded.classes], dtype=np.int64)
    return np.rint(recorded.service_s * 1e9).astype(np.int64), classes


def _nanoseconds(each: Sequence[Distribution], u: Floats, row: Ints) -> Ints:
    """Times for uniform numbers, see ``ppf_of_each``."""
    return np.rint(np.minimum(ppf_of_each(each, u, row) * 1e9, float(LONGEST_NS))).astype(np.int64)
