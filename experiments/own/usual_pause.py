"""An autoscaler of one's own: keep a warm pod for as long as a pause of the load usually lasts.

    kpasim versus experiments/bursty.yaml --with experiments/own/usual_pause.py:decide -n 5

Under load it asks for the pods that the averages need, as Knative's autoscaler does. When the load pauses, it keeps one
pod warm until most pauses that it has seen would be over, as serverless platforms do it for functions (Shahrad et al.,
"Serverless in the Wild", 2020). kpasim calls the function every two seconds.
"""

import math

SHARE = 0.9
"""Share of the pauses that a pod waits for."""
MOST_S = 45 * 60
"""Longest time that a pod waits; also how long while no pause has been seen."""


def decide(seen, memory):
    """Pods that are wanted now.

    Args:
        seen: What is known: time_s, concurrency, burst, target, pods, ready_pods, starting_pods, cold_start_s,
            min_scale, max_scale.
        memory: A dict of this function's own; new in each replication.
    """
    pods = math.ceil(max(seen.concurrency, seen.burst) / seen.target)
    pauses = memory.setdefault("pauses", [])
    if seen.burst > 0:
        if "idle_since" in memory:
            pauses.append(seen.time_s - memory.pop("idle_since"))
        return pods
    if seen.time_s < 0:
        return pods
    idle_s = seen.time_s - memory.setdefault("idle_since", seen.time_s)
    usual_s = sorted(pauses)[int(SHARE * len(pauses))] if pauses else MOST_S
    return max(pods, 1) if idle_s <= min(usual_s, MOST_S) else pods
