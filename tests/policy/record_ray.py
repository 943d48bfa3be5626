"""Records cases of Ray Serve's autoscaling rule by running Ray's own functions under a virtual clock.

    pip install 'ray[serve]'
    python -m tests.policy.record_ray tests/vectors/ray_serve.json.xz

Ray is too large for the test environment, so its decisions are kept as vectors, which every run of the tests
replays; where Ray is installed, ``test_ray_serve.py`` asks it anew.
"""

import json
import lzma
import random
import sys
from pathlib import Path
from typing import Any
from unittest import mock

SEED = 20261129


def draw(rng: random.Random) -> dict[str, Any]:
    """Settings and loops of one deployment."""
    least = rng.choice([0, 0, 1, 1, 2, 5])
    config = {
        "min_replicas": least,
        "max_replicas": least + rng.choice([1, 3, 10, 40]),
        "target_ongoing_requests": rng.choice([0.5, 1, 2, 2.5, 7, 100]),
        "upscale_delay_s": rng.choice([0, 0.1, 0.3, 1, 30]),
        "downscale_delay_s": rng.choice([0, 0.2, 1, 60, 600]),
        "downscale_to_zero_delay_s": rng.choice([None, None, 0, 0.5, 5]),
        "upscaling_factor": rng.choice([None, None, 0.3, 0.5, 1.7, 3]),
        "downscaling_factor": rng.choice([None, None, 0.2, 0.5, 1.5]),
    }
    loops: list[list[Any]] = []
    time_ms, level = 0, 0.0
    for _ in range(rng.choice([20, 60])):
        time_ms += rng.choice([100, 100, 100, 100, 1_000, 20_000, 300_000])
        if rng.random() < 0.35:
            level = rng.choice([0, 0, rng.randint(1, 9), rng.uniform(0, 80), config["target_ongoing_requests"] * 3])
        loops.append([time_ms, rng.choice([0.0, 1.0, 1.0, 1.0, 1.0, 0.5]), level])
    return {"config": config, "initial": rng.randint(least, config["max_replicas"]), "loops": loops}


def answer(case: dict[str, Any]) -> list[list[Any]]:
    """Ray's target after each loop: rows of replicas that run before, and the target after.

    The replicas that run follow the target by the share that a loop gives, so that both differ now and then.
    """
    from ray.serve import autoscaling_policy as ray_policy
    from ray.serve.config import AutoscalingConfig, AutoscalingContext

    config = AutoscalingConfig(**{key: value for key, value in case["config"].items() if value is not None})
    decide = ray_policy._apply_autoscaling_config(ray_policy._core_replica_queue_length_policy)
    state: dict[str, Any] = {}
    target = running = case["initial"]
    rows: list[list[Any]] = []
    for time_ms, share, ongoing in case["loops"]:
        running += round((target - running) * share)
        context = AutoscalingContext(
            deployment_id=None, deployment_name="", app_name=None, current_num_replicas=running,
            target_num_replicas=target, running_replicas=[], total_num_requests=ongoing, total_queued_requests=0,
            aggregated_metrics=None, raw_metrics=None, capacity_adjusted_min_replicas=config.min_replicas,
            capacity_adjusted_max_replicas=config.max_replicas, policy_state=state, last_scale_up_time=None,
            last_scale_down_time=None, current_time=None, config=config,
        )  # fmt: skip
        with mock.patch.object(ray_policy.time, "time", return_value=time_ms / 1000):
            replicas, state = decide(context)
        target = max(config.min_replicas, min(config.max_replicas, replicas))
        rows.append([running, target])
    return rows


def cases(count: int, seed: int | None = SEED) -> list[dict[str, Any]]:
    """Drawn cases with Ray's answers; without a seed they are new each time."""
    rng = random.Random(seed)
    drawn = []
    for number in range(count):
        case = draw(rng)
        name = {"id": f"ray_serve-{number:03}", "kind": "loops", "name": f"random {number}"}
        drawn.append({**name, **case, "expected": answer(case)})
    return drawn


if __name__ == "__main__":
    import ray

    document = {"source": f"ray {ray.__version__}", "family": "ray_serve", "cases": cases(300)}
    text = json.dumps(document, separators=(",", ":")).encode()
    Path(sys.argv[1]).write_bytes(lzma.compress(text, preset=9 | lzma.PRESET_EXTREME))
