"""Spare pods: the autoscaler's answer plus a fixed number, so that a burst finds pods that are already warm.

No released Knative has it; the rule is that of a proposed annotation (``scale-buffer``). Knative applies bounds when
it reconciles, so max-scale still counts afterwards.

Source:
    knative/serving pull request 15812 (closed, not merged)
"""


def desired(pods: int, spare_pods: int) -> int:
    """The autoscaler's answer and the spare pods, which stay at 0; an answer below 0 is not known yet and stays so."""
    return pods if pods < 0 else pods + spare_pods


def without(ready_pods: int, spare_pods: int) -> int:
    """Ready pods that the autoscaler counts as its own: the spare ones are not there for its rates of change.

    Otherwise its scale-down rate, half of the ready pods, would keep more than the load and the spare pods need.
    """
    return max(0, ready_pods - spare_pods)
