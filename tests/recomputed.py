"""The bill, GPU-seconds, month and failures of a run, worked out row by row from its raw tables.

Nothing of `kpasim.results` is used, so that the two can be held against each other. Experiments must have constant
stage times: then a cold start is their sum.
"""

import math
from typing import Any, NamedTuple

from kpasim.spec.experiment import Experiment

MONTH_S = 730 * 3600.0


class Recomputed(NamedTuple):
    """What a run comes to; see `recompute`."""

    amount: float
    gpu_seconds: float
    per_month: float | None
    requests: int
    ok: int
    errors: int
    in_flight: int
    stays_per_hour: float


def recompute(tables: Any, experiment: Experiment, end_s: float) -> Recomputed:
    """What a run comes to.

    Args:
        tables: Its tables.
        experiment: What was simulated, with one price for all.
        end_s: End of the run.
    """
    per_node = experiment.cluster.nodes is not None
    if experiment.cost is not None and experiment.cost.per is not None:
        per_node = experiment.cost.per == "node"
    price = experiment.instance_types[0].price_per_hour or 0.0
    granularity = experiment.cost.granularity_s if experiment.cost else 1.0
    minimum = experiment.cost.minimum_s if experiment.cost else 0.0
    bills_from = experiment.cost.bills_from if experiment.cost else "pull"
    begins = {"created": "created_s", "scheduled": "scheduled_s", "pull": "provisioned_s"}[bills_from]
    begins = "created_s" if per_node else begins

    def steps(lived: float) -> float:
        return max(math.ceil(round(lived / granularity, 9)) * granularity, minimum)

    amount = month = stays = 0.0
    stretch = stretch_of(experiment)
    for row in rows(tables.nodes if per_node else tables.pods):
        start, gone = row[begins], row["gone_s"]
        if math.isnan(start) or start > end_s:
            continue
        until = end_s if math.isnan(gone) or gone > end_s else gone
        stays += price if math.isnan(gone) or gone > end_s else 0.0
        if until > 0.0 and start < end_s:
            amount += steps(until - max(start, 0.0)) * price / 3600.0
        if stretch:
            # Who is there after the last response of the load stays, also beyond the end of the run.
            stays_until = max(end_s, stretch[1])
            paid_until = start + steps((stays_until if math.isnan(gone) else min(gone, stays_until)) - start)
            month += max(0.0, min(paid_until, stretch[1]) - max(start, stretch[0])) * price / 3600.0
    gpu_seconds = 0.0
    for row in rows(tables.pods):
        if not math.isnan(row["provisioned_s"]):
            until = end_s if math.isnan(row["gone_s"]) else min(row["gone_s"], end_s)
            gpu_seconds += max(0.0, until - max(row["provisioned_s"], 0.0)) * experiment.gpus_per_pod
    requests = rows(tables.requests)
    ended = [row for row in requests if not math.isnan(row["latency_s"])]
    ok = sum(200 <= row["status"] < 300 for row in ended)
    per_month = month * MONTH_S / (stretch[1] - stretch[0]) if stretch else None
    if experiment.repeat_s:
        per_month = amount * MONTH_S / experiment.repeat_s if abs(end_s - experiment.repeat_s) < 1e-6 else None
    return Recomputed(
        amount, gpu_seconds, per_month, len(requests), ok, len(ended) - ok, len(requests) - len(ended), stays
    )


def rows(table: dict[str, Any]) -> list[dict[str, Any]]:
    """The rows of a table."""
    return [
        dict(zip(table, values, strict=True)) for values in zip(*(table[name].tolist() for name in table), strict=True)
    ]


def stretch_of(experiment: Experiment) -> tuple[float, float] | None:
    """After stable window and two cold starts, of a steady load that is eleven times as long."""
    if experiment.workload.kind not in {"poisson", "constant"} or experiment.repeat_s:
        return None
    cold_start = sum(stage.time.mean_s() for stage in experiment.model.cold_start.stages)
    nodes = experiment.cluster.nodes
    if nodes and (nodes.max or 0) > nodes.count:
        cold_start += nodes.provision.mean_s()
    warm_up = experiment.revision.stable_window_s + 2 * cold_start
    duration = min(experiment.workload.duration_s or 0.0, experiment.horizon_s or math.inf)
    return (warm_up, duration) if duration >= 11 * warm_up else None
