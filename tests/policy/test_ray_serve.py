"""Ray Serve's rule, asked of Ray itself where it is installed."""

import pytest

from tests.policy import record_ray, replay_ray

pytest.importorskip(
    "ray.serve",
    reason="ray[serve] is not installed (it is no test dependency: 80 MB); its recorded decisions are replayed by "
    "test_conformance.py::test_ray_serve",
)


def test_fresh_cases_get_rays_own_answers() -> None:
    """New draws, decided by the installed Ray, are decided alike."""
    for case in record_ray.cases(200, seed=None):
        replay_ray.replay(case)
