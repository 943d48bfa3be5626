"""Where pods run and what their starts go through, as engines see it: instance types, pools of nodes, stages."""

from typing import NamedTuple

from kpasim.engines import params as of
from kpasim.errors import ExperimentError, Problem
from kpasim.spec.distributions import Constant, Distribution
from kpasim.spec.experiment import Experiment
from kpasim.spec.model import Stage

LONGEST_NS = 1 << 60
"""Longest time that is told from for ever, 36 years."""
ANY_NUMBER = 1 << 30
"""Pods on a node where they hold no GPU."""
# To an engine KServe's storage initializer is a pull: data come before the container starts, and are billed.
_KINDS = {"provision": of.PROVISION, "pull": of.PULL, "storage-initializer": of.PULL, "start": of.START}
_WHENS = {"before-ready": of.BEFORE_READY, "after-ready": of.AFTER_READY, "first-request": of.FIRST_REQUEST}


class Pool(NamedTuple):
    """Nodes of one instance type; see ``Params.pool_type`` and the fields after it."""

    type: int
    slots: int
    ready: int
    max: int
    provisioned: int
    release_ns: int


class LoweredStage(NamedTuple):
    """A stage of a start; see ``Params.stage_kind`` and the fields after it.

    Attributes:
        name: Name in the model.
        kind: Provision, pull or start.
        when: Before or after readiness, or with the first request.
        at_a_time: Pods in it at once, 0 for any number.
        cached: Whether only the first pod of a node goes through it.
        bytes: Data it moves over a shared connection, 0 for one that takes a drawn time.
        bandwidth: Bytes per second of that connection.
        times: Distribution of its time, one for each instance type.
    """

    name: str
    kind: int
    when: int
    at_a_time: int
    cached: int
    bytes: float
    bandwidth: float
    times: tuple[Distribution, ...]


def nanoseconds(time_s: float | None) -> int:
    """A time of an experiment in whole nanoseconds, 0 for none."""
    return 0 if time_s is None else round(min(time_s * 1e9, float(LONGEST_NS)))


def refused(experiment: Experiment, place: str, message: str) -> ExperimentError:
    """The error of an experiment that cannot be played as it is."""
    return ExperimentError(experiment.path or "experiment", [Problem(place, message)])


def instance_type_names(experiment: Experiment) -> tuple[str, ...]:
    """Names of the instance types by the number that engines give them; one empty name where there are none."""
    nodes = experiment.cluster.nodes
    if nodes is not None:
        return (nodes.type,)
    return tuple(one.name for one in experiment.instance_types) or ("",)


def pools(experiment: Experiment) -> tuple[Pool, ...]:
    """Pools in the order in which they are tried: the cluster's nodes, or one of single instances for each type.

    Raises:
        ExperimentError: No pod fits on a node.
    """
    nodes = experiment.cluster.nodes
    if nodes is None:
        stocks = [one.stock for one in experiment.instance_types] or [None]
        return tuple(Pool(place, 1, 0, -1 if stock is None else stock, 0, 0) for place, stock in enumerate(stocks))
    gpus = experiment.cluster.gpus_per_pod
    if gpus is None:
        gpus = experiment.service.gpus or 1
    slots = nodes.gpus_per_node // gpus if gpus else ANY_NUMBER
    if slots == 0:
        raise refused(
            experiment,
            "cluster.nodes.gpus-per-node",
            f"{nodes.gpus_per_node} is too few for a pod, which holds {gpus} (no pod would ever run)",
        )
    most = nodes.count if nodes.max is None else nodes.max
    return (Pool(0, slots, nodes.count, most, 1, nanoseconds(nodes.idle_release_s)),)


def stages(experiment: Experiment) -> tuple[LoweredStage, ...]:
    """The stages of a start in order; one with a time beside its transfer becomes two.

    Raises:
        ExperimentError: A combination that no engine plays.
    """
    types = instance_type_names(experiment)
    lowered: list[LoweredStage] = []
    for place, stage in enumerate(experiment.model.cold_start.stages):
        times = tuple(stage.per_instance_type.get(name, stage.time) for name in types)
        timed = any(not isinstance(time, Constant) or time.time_s > 0.0 for time in times)
        reason = _unplayable(stage, timed)
        if reason:
            raise refused(experiment, f"model.cold-start.stages[{place}]", reason)
        moved = stage.bandwidth
        common = (_KINDS[stage.kind], _WHENS[stage.when], stage.at_a_time, int(stage.cached_per_node))
        if timed or moved is None:
            lowered.append(LoweredStage(stage.name, *common, 0.0, 1.0, times))
        if moved is not None and moved.per_pod:
            alone = (Constant(time_s=moved.size / moved.per_pod),) * len(types)
            lowered.append(LoweredStage(stage.name, *common, 0.0, 1.0, alone))
        elif moved is not None:
            nothing = (Constant(time_s=0.0),) * len(types)
            lowered.append(LoweredStage(stage.name, *common, moved.size, moved.rate, nothing))
    return tuple(lowered)


def _unplayable(stage: Stage, timed: bool) -> str:
    """What no engine plays about a stage, in words; empty for one that can be played."""
    given = {"at-a-time": stage.at_a_time, "cached-per-node": stage.cached_per_node, "bandwidth": stage.bandwidth}
    limited = [key for key, there in given.items() if there]
    if stage.when != "before-ready" and limited:
        return f"has {limited[0]}, which is simulated before readiness only (give the stage's time)"
    if timed and stage.bandwidth and len(limited) > 1:
        return f"has a time, bandwidth and {limited[0]}, of which two are simulated together (split the stage)"
    return ""
