"""What a run may cost, before it starts and while it goes on."""

from dataclasses import dataclass

from kpasim.cluster.errors import ClusterError
from kpasim.results.cost import Price, prices_for
from kpasim.spec.experiment import Experiment
from kpasim.studies.prices import given_prices


@dataclass(frozen=True)
class Bill:
    """An estimate.

    Attributes:
        per_pod_hour: Price of one pod for one hour, the dearest instance type that it may get.
        expected: Amount for the pod-seconds that the prediction expects (the upper end of its interval) and for the
            start before the load.
        at_most: Amount if ``max-scale`` pods stay until every deadline has passed; None without a ``max-scale``.
    """

    per_pod_hour: float
    currency: str
    expected: float
    at_most: float | None

    def of(self, pod_seconds: float) -> float:
        """Amount for so many pod-seconds."""
        return pod_seconds / 3600.0 * self.per_pod_hour

    def __str__(self) -> str:
        """One line for a user."""
        bound = "" if self.at_most is None else f", at most {self.at_most:.2f}"
        return f"estimated bill: {self.expected:.2f} {self.currency}{bound} ({self.per_pod_hour:.2f} a pod and hour)"


def price_per_pod_hour(experiment: Experiment) -> Price | None:
    """The dearest instance type that a pod may get; None where the experiment names none.

    Raises:
        RunError: An instance type has no price.
    """
    types = experiment.instance_types
    if not types:
        return None
    prices = prices_for([one.name for one in types], given_prices(experiment))
    return max(prices.values(), key=lambda price: price.per_hour)


def estimate(
    experiment: Experiment, price: Price, *, pod_seconds: float, before_s: float, deadline_s: float, single_s: float
) -> Bill:
    """Estimate the bill of one run at the price of a pod and hour.

    ``pod_seconds`` are those of the load and of what follows it, as predicted; the first pods exist ``before_s``
    before. The pods of the load are gone after ``deadline_s``, the one pod of a calibration after ``single_s``, come
    what may.
    """
    revision = experiment.revision
    first = max(revision.initial_scale, revision.min_scale)
    hourly = price.per_hour
    pods = max(revision.max_scale, first)
    most = None if revision.max_scale == 0 else (pods * deadline_s + single_s) / 3600.0 * hourly
    expected = (pod_seconds + first * before_s) / 3600.0 * hourly
    return Bill(hourly, price.currency, expected, most)


def check_limit(bill: Bill | None, max_cost: float | None) -> None:
    """Refuse a run that is expected to cost more than allowed.

    Raises:
        ClusterError: It is, or nothing is known about prices.
    """
    if max_cost is None:
        return
    if bill is None:
        raise ClusterError("--max-cost: no prices are known: name cluster.instance-types in the experiment")
    if bill.expected > max_cost:
        raise ClusterError(
            f"--max-cost: the run is expected to cost {bill.expected:.2f} {bill.currency}, more than {max_cost:.2f}"
        )
