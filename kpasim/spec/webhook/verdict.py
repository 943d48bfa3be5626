"""What a cluster says of an object, and why."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from kpasim.spec.base import Place
from kpasim.spec.webhook.fields import RULES


@dataclass(frozen=True, slots=True)
class Fault:
    """A reason to refuse an object.

    Attributes:
        rule: A key of `RULES`.
        message: What is wrong, and what would be right.
        feature: The key of `config-features` that would allow it, empty where none does.
    """

    rule: str
    place: Place
    message: str
    feature: str = ""

    @property
    def source(self) -> str:
        """The file that decides."""
        return RULES[self.rule]


Faults = Iterator[Fault]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the API server and Knative's webhooks make of a Service.

    Attributes:
        faults: Why it is refused; empty where it is accepted.
        needs: Why a cluster would refuse it whose `config-features` is as shipped, where that of the cluster is not
            known.
        unknown: Fields that the API server drops without refusing the Service.
        defaulted: Spec of the template with Knative's defaults, None where it is refused for more than an image's name.
    """

    faults: tuple[Fault, ...]
    needs: tuple[Fault, ...]
    unknown: tuple[Place, ...]
    defaulted: dict[str, Any] | None


def below(place: Place, faults: Iterable[Fault]) -> Faults:
    """The same faults of an object that stands at a place."""
    for fault in faults:
        yield Fault(fault.rule, (*place, *fault.place), fault.message, fault.feature)
