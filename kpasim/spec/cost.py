"""How a run is billed."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from kpasim.spec.base import Number, Spec
from kpasim.spec.cluster import Currency
from kpasim.spec.quantities import PositiveSeconds, Seconds


class Cost(Spec):
    """From when, for what and in what steps money is spent."""

    currency: Currency | None = None
    """Currency of the result; that of the instance types when not given. Prices in another one are refused, not
    converted."""
    granularity_s: PositiveSeconds = 1.0
    """Every started step of this length is billed."""
    minimum_s: Seconds = 0.0
    """Shortest time billed for one pod or node."""
    per: Literal["pod", "node"] = "pod"
    """Whether each pod is billed, as with serverless instances, or the nodes they run on."""
    bills_from: Literal["created", "scheduled", "pull"] = "pull"
    """When billing of a pod begins: at its creation, when it has its machine, or with its image pull; these are the
    same for a pod that never waits. Serverless instances bill the pull and the start, but not the wait before."""
    prices: dict[str, Number] = Field(default_factory=dict)
    """Price of an hour of an instance type, instead of the one in `cluster.instance-types`."""
