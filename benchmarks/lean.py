"""The engine beside a loop in C that does the same work and nothing else; `benchmarks/speed.py` times both.

The loop (`benchmarks/lean.c` with `lean_events.h` and `lean_views.h`, compiled with cc) is written by hand for three
loads. It is given the same random numbers and leaves the same tables, bit for bit.
"""

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
from kpasim.engines.outcome import CHANGE, NODE_COLUMNS, POD_COLUMNS, REQUEST, TICK, Outcome
from kpasim.engines.params import Draws, Params

SOURCE = Path(__file__).with_suffix(".c")
NAMES = ("headline", "50 a second", "500 a second")
REPEATS = 9
FAULTS = {-1: "it needs more pods than there are random numbers for", -2: "it meets what the loop does not have"}
"""What the loop returns when it cannot go on."""
SETTINGS = (
    "stable_window_s", "panic_window_s", "target_value", "total_value", "target_burst_capacity", "panic_threshold",
    "max_scale_up_rate", "max_scale_down_rate", "grace_ns", "progress_deadline_ns", "probe_period_ns",
    "probe_timeout_ns", "queue_proxy_poll_ns", "first_stat_ns", "front_to_server_ns", "hand_over_ns",
    "server_to_client_ns", "reconcile_ns", "rollout_ns", "endpoints_to_ingress_ns", "endpoints_to_activator_ns",
    "deletion_ns", "start_for_ns", "timeout_ns", "clock_jitter_ns", "api_jitter_ns", "status_jitter_ns", "wake_ns",
)  # fmt: skip
"""Fields of ``Params`` that the loop is compiled with."""

Play = Callable[[], Outcome]


class Row(NamedTuple):
    """One load.

    Attributes:
        name: Its name.
        us: CPU time of a request [µs], in the engine and in the loop.
        ratio: How many times as long the engine takes: the median of the pairs.
    """

    name: str
    us: tuple[float, float]
    ratio: float


class _Run(ctypes.Structure):
    """The structure ``Run`` of the loop."""

    _fields_ = (
        *((name, ctypes.c_void_p) for name in ("sent", "delay", "service", "drawn", "phases")),
        *((name, ctypes.c_int64) for name in ("load_phase", "key")),
        *((name, ctypes.c_void_p) for name in ("requests", "pods", "nodes", "ticks", "changes")),
        *((name, ctypes.c_int64) for name in ("request_count", "pod_rows", "tick_rows", "change_rows")),
        *((name, ctypes.c_int64) for name in ("load", "end", "pod_count", "tick_count", "change_count", "concurrency")),
    )


def prepared(name: str, times: float = 1.0) -> tuple[Params, Draws]:
    """A load, ``times`` as long, and its random numbers."""
    what = SHAPES[name].experiment(times)
    params = lower.lower(what)
    [draws] = sampling.Sampler(what, params).draw_many([0], pods=SHAPES[name].pods)
    return params, draws


def built(params: Params, folder: str, processor: str = "native") -> Any:
    """The loop, compiled for these settings and a processor, by default the one at hand."""
    library = Path(folder) / "lean.so"
    settings = [f"-D{name.upper()}={getattr(params, name)!r}" for name in SETTINGS]
    # Without contraction: a fused product and sum would be rounded otherwise than in the engine.
    options = ["-O3", f"-march={processor}", "-ffp-contract=off", "-shared", "-fPIC"]
    subprocess.run(["cc", *options, *settings, "-o", str(library), str(SOURCE), "-lm"], check=True)
    loop = ctypes.CDLL(str(library)).simulate
    loop.restype = ctypes.c_int64
    return loop


def in_c(loop: Any, params: Params, draws: Draws) -> Play:
    """What simulates a load once in the loop.

    Raises:
        ValueError: The loop cannot go on.
    """
    capacity = compiled.first_capacity(params, draws)
    names = ("sent", "delay", "service", "phases", "drawn")
    arrays = (draws.sent, draws.delay, draws.service[:, 0], draws.phase, draws.pod)
    given = {name: np.ascontiguousarray(array) for name, array in zip(names, arrays, strict=True)}

    def play() -> Outcome:
        tables: dict[str, Any] = {
            "requests": np.empty(len(draws.sent), REQUEST),
            "pods": np.empty((capacity.pods, POD_COLUMNS), np.int64),
            "nodes": np.empty((capacity.pods, NODE_COLUMNS), np.int64),
            "ticks": np.empty(capacity.ticks, TICK),
            "changes": np.empty(capacity.scalings, CHANGE),
        }
        run = _Run(load_phase=draws.load_phase_ns, key=draws.key, request_count=len(draws.sent))
        run.pod_rows, run.tick_rows, run.change_rows = capacity.pods, capacity.ticks, capacity.scalings
        for name, array in (given | tables).items():
            setattr(run, name, array.ctypes.data)
        fault = loop(ctypes.byref(run))
        if fault:
            raise ValueError(FAULTS[fault])
        pods, nodes = (tables[name][: run.pod_count].copy() for name in ("pods", "nodes"))
        ticks, changes = tables["ticks"][: run.tick_count], tables["changes"][: run.change_count]
        none = np.empty(0, np.int32)
        return Outcome(run.load, run.end, tables["requests"], none, pods, nodes, ticks, changes, run.concurrency)

    return play


def measured(name: str, folder: str) -> Row:
    """One load, in the engine and in the loop, turn by turn.

    Raises:
        ValueError: The two do not leave the same tables.
    """
    params, draws = prepared(name)
    plays: tuple[Play, Play] = (lambda: compiled.run(params, draws), in_c(built(params, folder), params, draws))
    engine, loop = (play() for play in plays)
    tables = zip(Outcome._fields, engine, loop, strict=True)
    different = [table for table, mine, other in tables if np.asarray(mine).tobytes() != np.asarray(other).tobytes()]
    if different:
        raise ValueError(f"{name}: another run: {', '.join(different)} differ")
    pairs = [tuple(cpu_s(play) for play in plays) for _ in range(REPEATS)]
    us = [1e6 * statistics.median(column) / len(draws.sent) for column in zip(*pairs, strict=True)]
    return Row(name, (us[0], us[1]), statistics.median(mine / other for mine, other in pairs))


def cpu_s(play: Play) -> float:
    """CPU time of one run [s]."""
    begun = time.process_time()
    play()
    return time.process_time() - begun


def rows() -> list[tuple[str, ...]]:
    """The table of all loads."""
    lines: list[tuple[str, ...]] = [("load", "a request in kpasim", "in the loop", "ratio")]
    for name in NAMES:
        with tempfile.TemporaryDirectory() as folder:
            row = measured(name, folder)
        lines.append((row.name, f"{row.us[0]:.2f} µs", f"{row.us[1]:.2f} µs", f"{row.ratio:.2f}"))
    return lines
