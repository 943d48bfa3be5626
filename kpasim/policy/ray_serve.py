"""Ray Serve's rule: from the requests of a deployment to its number of replicas.

The controller looks every ``CONTROL_LOOP_NS`` (``tick``). The metric is the number of ongoing requests, waiting in
the handles included, averaged over the look-back period. A change is made once the same direction has been wanted for
the whole delay.

State is one int64 array, zeros at first: the direction and since when it has been wanted.

Source:
    ray 2.60.0, python/ray/serve/autoscaling_policy.py, config.py, _private/autoscaling_state.py (releases before the
    timestamps counted loops instead: the same delay when every loop takes 0.1 s)
"""

import math
from typing import NamedTuple

from kpasim.arrays import Ints

CONTROL_LOOP_NS = 100_000_000
"""``RAY_SERVE_CONTROL_LOOP_INTERVAL_S``."""

DIRECTION, SINCE_NS = 0, 1
"""Places in the state: 1 up, -1 down, 0 neither; and since when."""

_TOLERANCE_NS = 1000


class Settings(NamedTuple):
    """Ray's ``AutoscalingConfig``, complete.

    Attributes:
        target_ongoing_requests: Requests that one replica is to have, running or waiting.
        upscale_delay_ns: How long more replicas must be wanted.
        downscale_delay_ns: How long fewer must be wanted.
        to_zero_delay_ns: How long none must be wanted before the last one goes.
        upscaling_factor: Share of a growth that is made at once.
        downscaling_factor: Share of a reduction that is made at once.
    """

    min_replicas: int = 1
    max_replicas: int = 1
    target_ongoing_requests: float = 2.0
    upscale_delay_ns: int = 30_000_000_000
    downscale_delay_ns: int = 600_000_000_000
    to_zero_delay_ns: int = 600_000_000_000
    upscaling_factor: float = 1.0
    downscaling_factor: float = 1.0


def scaled(settings: Settings, wanted: float, running: int) -> int:
    """Replicas after the factors; a reduction that a factor would stop still removes one.

    Source: autoscaling_policy.py, ``_apply_scaling_factors``.
    """
    if running == 0:
        return math.ceil(wanted)
    change = wanted - running
    factor = settings.upscaling_factor if change > 0.0 else settings.downscaling_factor
    replicas = math.ceil(running + factor * change)
    if math.ceil(wanted) < running and replicas == running:
        replicas -= 1
    return replicas


def delayed(settings: Settings, state: Ints, now_ns: int, wanted: int, target: int) -> int:
    """The target after the delays: the wanted one once its direction has lasted, else the old one.

    Down to zero leads only from one replica, with a delay of its own.

    Source: autoscaling_policy.py, ``_apply_delay_logic``.
    """
    if wanted == target:
        state[DIRECTION] = 0
        return target
    direction = 1 if wanted > target else -1
    delay_ns = settings.upscale_delay_ns
    if direction < 0:
        delay_ns = settings.to_zero_delay_ns if target == 1 else settings.downscale_delay_ns
        if target != 1:
            wanted = max(1, wanted)
    if state[DIRECTION] != direction:
        state[DIRECTION] = direction
        state[SINCE_NS] = now_ns
    if now_ns - state[SINCE_NS] + _TOLERANCE_NS < delay_ns:
        return target
    state[DIRECTION] = 0
    return wanted


def tick(settings: Settings, state: Ints, now_ns: int, running: int, target: int, ongoing: float) -> int:
    """The target number of replicas after one control loop, from the target before it.

    ``ongoing`` are the requests of all replicas and handles, averaged over the look-back; ``running`` replicas run.

    Source: autoscaling_policy.py, ``replica_queue_length_autoscaling_policy``, ``_apply_default_params``;
    autoscaling_state.py, ``apply_bounds``.
    """
    if running == 0 and ongoing > 0.0:
        replicas = max(math.ceil(settings.upscaling_factor), target)
    else:
        wanted = float(target)
        if running > 0:
            wanted = running * (ongoing / (settings.target_ongoing_requests * running))
        replicas = scaled(settings, wanted, running)
        if running > 0 or replicas <= 0:
            replicas = delayed(settings, state, now_ns, max(0, replicas), target)
    return max(settings.min_replicas, min(settings.max_replicas, replicas))
