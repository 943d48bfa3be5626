"""The engine beside a loop in C that does the same work and nothing else; `benchmarks/speed.py` measures it.

The loop (`benchmarks/lean.c`, compiled with cc) is given the same send, service and start times, and leaves a table of
requests, of pods and of decisions. It has no delays, so its pods and latencies are near those of kpasim, not equal.
"""

from __future__ import annotations

import ctypes
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks.shapes import SHAPES
from kpasim.engines import compiled, lower, sampling
from kpasim.engines import outcome as of
from kpasim.engines.outcome import REQUEST
from kpasim.engines.params import STAGES

SOURCE = Path(__file__).with_suffix(".c")
NAMES = ("headline", "50 a second", "500 a second")
REPEATS = 5
NEAR = 0.25
"""How far mean latency and number of pods may differ, so that the loop still does the same work."""
POD = np.dtype([(name, np.int64) for name in ("created", "ready", "asked", "gone", "busy")] + [("two", np.int32, 2)])
DECISION = np.dtype([("at", np.int64), ("averages", np.float64, 2), ("pods", np.int32, 2)])


class Row(NamedTuple):
    """One load: CPU time [µs] of a request, mean latency [s] and pods, of the engine and of the loop."""

    name: str
    us: tuple[float, float]
    latency_s: tuple[float, float]
    pods: tuple[int, int]

    @property
    def ratio(self) -> float:
        """How many times as long the engine takes."""
        return self.us[0] / self.us[1]


def built(folder: str) -> Any:
    """The loop, compiled for this processor."""
    library = Path(folder) / "lean.so"
    command = ["cc", "-O3", "-march=native", "-shared", "-fPIC", "-o", str(library), str(SOURCE), "-lm"]
    subprocess.run(command, check=True)
    loop = ctypes.CDLL(str(library)).simulate
    loop.restype = ctypes.c_int64
    return loop


def measured(name: str, loop: Any) -> Row:
    """One load, in the engine and in the loop, turn by turn.

    Raises:
        ValueError: The two do not do the same work.
    """
    shape = SHAPES[name]
    what = shape.experiment()
    params = lower.lower(what)
    [draws] = sampling.Sampler(what, params).draw_many([0], pods=shape.pods)
    sent, service, start = (
        np.ascontiguousarray(each) for each in (draws.sent, draws.service[:, 0], draws.pod[:, STAGES])
    )

    def address(array: Any) -> Any:
        return ctypes.c_void_p(array.ctypes.data)

    def in_c() -> tuple[Any, int]:
        requests, pods = np.empty(len(sent), REQUEST), np.empty(len(start), POD)
        decisions, decided = np.empty(int(sent[-1] // 10**9) + 3600, DECISION), ctypes.c_int64()
        rates = (params.target_value, params.max_scale_up_rate, params.max_scale_down_rate, params.panic_threshold)
        made = loop(
            ctypes.c_int64(len(sent)), address(sent), address(service), address(start), ctypes.c_int64(len(start)),
            *map(ctypes.c_double, rates), address(requests), address(pods), address(decisions), ctypes.byref(decided),
        )  # fmt: skip
        return requests, made

    def in_engine() -> tuple[Any, int]:
        outcome = compiled.run(params, draws)
        return outcome.requests, len(outcome.pods)

    times: list[list[float]] = [[], []]
    found: list[tuple[Any, int]] = []
    for _ in range(REPEATS):
        found = [timed(work, of_work) for work, of_work in zip((in_engine, in_c), times, strict=True)]
    latency_s = [float(np.mean(rows[of.RESPONSE] - rows[of.SENT])) / 1e9 for rows, _ in found]
    pods = [made for _, made in found]
    if any(abs(mine / other - 1) > NEAR for mine, other in (latency_s, pods)):
        raise ValueError(f"{name}: another work: mean latency {latency_s} s, pods {pods}")
    us = [1e6 * statistics.median(each) / len(sent) for each in times]
    return Row(name, (us[0], us[1]), (latency_s[0], latency_s[1]), (pods[0], pods[1]))


def timed(work: Callable[[], Any], times: list[float]) -> Any:
    """Do some work, and add its CPU time [s]."""
    begun = time.process_time()
    done = work()
    times.append(time.process_time() - begun)
    return done


def rows() -> list[tuple[str, ...]]:
    """The table of all loads."""
    with tempfile.TemporaryDirectory() as folder:
        loop = built(folder)
        found = [measured(name, loop) for name in NAMES]
    lines: list[tuple[str, ...]] = [("load", "a request in kpasim", "in the loop", "ratio", "mean latency", "pods")]
    for row in found:
        latency, pods = (
            " and ".join(f"{one:.2f} s" for one in row.latency_s),
            " and ".join(f"{one:,}" for one in row.pods),
        )
        lines.append((row.name, f"{row.us[0]:.2f} µs", f"{row.us[1]:.2f} µs", f"{row.ratio:.1f}", latency, pods))
    return lines
