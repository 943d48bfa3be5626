"""Replays of cases recorded from Ray Serve; only bookkeeping, every decision is the policy's."""

import numpy as np

from kpasim.policy import ray_serve
from tests.policy.replay_hpa import NS_PER_MS, NS_PER_S, Case, same


def settings_of(config: Case) -> ray_serve.Settings:
    """A recorded ``AutoscalingConfig``."""
    to_zero_s = config["downscale_to_zero_delay_s"]
    return ray_serve.Settings(
        config["min_replicas"],
        config["max_replicas"],
        float(config["target_ongoing_requests"]),
        round(config["upscale_delay_s"] * NS_PER_S),
        round(config["downscale_delay_s"] * NS_PER_S),
        round((config["downscale_delay_s"] if to_zero_s is None else to_zero_s) * NS_PER_S),
        float(config["upscaling_factor"] or 1.0),
        float(config["downscaling_factor"] or 1.0),
    )


def replay(case: Case) -> None:
    """Control loops of one deployment."""
    settings, state = settings_of(case["config"]), np.zeros(2, dtype=np.int64)
    target = case["initial"]
    for place, ((time_ms, _, ongoing), (running, expected)) in enumerate(
        zip(case["loops"], case["expected"], strict=True)
    ):
        target = ray_serve.tick(settings, state, time_ms * NS_PER_MS, running, target, float(ongoing))
        same(f"loop {place}: target", expected, target)


REPLAYS = {"ray_serve": replay}
