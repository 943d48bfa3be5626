"""How a run is billed."""

from typing import Literal

from pydantic import Field

from kpasim.spec.base import Number, Spec
from kpasim.spec.cluster import Currency
from kpasim.spec.quantities import PositiveSeconds, Seconds


class Cost(Spec):
    """Begin, unit and granularity of billing."""

    currency: Currency | None = None
    """Currency of the result; that of the instance types when not given. Prices in another currency are refused, not
    converted."""
    granularity_s: PositiveSeconds = 1.0
    """Every started step of this length is billed, also of pods and nodes that are still there at the end of the
    run."""
    minimum_s: Seconds = 0.0
    """Shortest time billed for one pod or node, counted from the start of the load for those that were there before."""
    per: Literal["pod", "node"] | None = None
    """Whether each pod is billed, as with serverless instances, or the nodes that pods run on; not given: nodes where
    `cluster.nodes` is given, else pods."""
    bills_from: Literal["created", "scheduled", "pull"] = "pull"
    """When billing of a pod begins: at its creation, when it is placed on its machine, or when its machine is
    provisioned, after the last stage of kind `provision`. `pull` is what serverless instances do: they bill the image
    pull and the start, not the wait for a machine."""
    prices: dict[str, Number] = Field(default_factory=dict)
    """Price per hour of an instance type, instead of the price in `cluster.instance-types`."""
