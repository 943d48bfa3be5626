"""Whether this machine was too busy with other programs to judge what ran on it."""

import subprocess
import sys
import time

import numpy as np
import pytest

from kpasim.cluster.load import Sent
from kpasim.cluster.quiet import Used, trouble, used


@pytest.mark.parametrize(
    ("busy_s", "ours_s", "told"),
    [
        (19.0, 18.0, ""),  # our own work
        (19.0, 2.0, "other programs used 1.7 of 2 cores"),
        (12.0, 2.0, ""),  # 0.8 cores are idle
    ],
)
def test_other_programs_are_trouble_where_no_core_is_left(busy_s: float, ours_s: float, told: str):
    """More than a quarter of the cores is theirs, and less than a quarter is idle."""
    assert trouble(Used(100.0, 50.0, 7.0, 2), Used(110.0, 50.0 + busy_s, 7.0 + ours_s, 2)) == told


def test_what_is_not_known_is_no_trouble():
    """Systems without /proc tell nothing."""
    assert trouble(None, None) == ""


def test_the_work_of_children_is_ours():
    """A child that has computed for half a second and ended has added as much to ours as to all."""
    begun = used()
    if begun is None:
        pytest.skip("this system has no /proc/stat")
    subprocess.run([sys.executable, "-c", "import time\nwhile time.process_time() < 0.5: pass"], check=True)
    time.sleep(0.05)
    ended = used()

    assert ended is not None
    assert 0.4 < ended.ours_s - begun.ours_s < 2.0
    assert ended.busy_s - begun.busy_s > 0.4


@pytest.mark.parametrize(("late_s", "latency_s", "judged"), [(0.02, 0.1, True), (0.05, 0.1, False), (0.05, 2.0, True)])
def test_a_client_that_was_late_cannot_judge(late_s: float, latency_s: float, judged: bool):
    """More than 30 ms and a tenth of the median latency is late."""
    planned_s = np.arange(50.0)
    requests = {"planned_s": planned_s, "start_s": planned_s + late_s, "latency_s": np.full(50, latency_s)}

    assert (Sent(requests, 0.0, 0, False).trouble() == "") == judged
