"""Published production traces: GenTD26 (Stable Diffusion at Alibaba) and Azure Functions 2019 and 2021."""

from __future__ import annotations

import math
from collections import defaultdict
from pathlib import Path

import numpy as np

from kpasim.errors import Problem
from kpasim.records.record import (
    Malformed,
    MalformedError,
    Record,
    Rows,
    by_start,
    from_first,
    iso,
    moment,
    number,
    requests_of,
    shown,
)
from kpasim.records.source import named_rows
from kpasim.results.frames import Columns

MINUTES_PER_DAY = 1440

_ENDINGS = {"SUCCEED": 200, "FAILED": 500, "PENDING": 0, "PROCESSING": 0}


def read_gentd26(path: Path, skip_bad: bool = False) -> Record:
    """Requests of alibaba/clusterdata, cluster-trace-v2026-GenAI (``lora_request_trace.csv``).

    ``duration_s`` is the time the service worked, in whole seconds; a request that was still running when the trace was
    taken is censored, one still pending has no duration (status 0 both), one that failed has status 500.

    Further columns: ``class`` (TXT_2_IMG, IMG_2_IMG, INPAINTING), ``steps``, ``images``, ``loras``, ``prompt_length``
    (``NaN`` where unknown), ``model`` and ``group``.
    """
    malformed = Malformed(path, skip_bad)
    numbers = {
        "num_inference_steps": "steps",
        "num_images_per_prompt": "images",
        "num_lora": "loras",
        "prompt_length": "prompt_length",
    }
    found = Rows(
        start_s=float,
        duration_s=float,
        status=int,
        censored=bool,
        **{"class": str, "model": str, "group": str},
        **dict.fromkeys(numbers.values(), float),
    )
    for line, cells in named_rows(path, malformed):
        with malformed.at(line):
            ending = cells["predict_status"]
            if ending not in _ENDINGS:
                raise MalformedError("predict_status", f"must be one of {', '.join(_ENDINGS)} (it is {shown(ending)})")
            worked = number(cells["exec_time_seconds"], "exec_time_seconds", least=0)
            found.add(
                moment(cells["gmt_create"], "gmt_create"),
                math.nan if ending == "PENDING" else worked,
                _ENDINGS[ending],
                ending == "PROCESSING",
                cells["predict_type"],
                cells["checkpoint_model_version_id"],
                cells["groupId"],
                *(number(cells[name], name, least=0) if cells[name] else math.nan for name in numbers),
            )
    columns, first = from_first(found.columns())
    record = Record("gentd26", str(path), by_start(columns), origin=iso(first))
    record.notes.append("times are whole seconds: arrivals of one second have no order, durations are rounded")
    return _finished(record, found, malformed)


def read_gentd26_latency(path: Path, skip_bad: bool = False) -> Record:
    """A companion file of GenTD26: one duration [ms] per row, of loading, switching, running or waiting.

    Further column: ``pod``, the container.
    """
    malformed = Malformed(path, skip_bad)
    found = Rows(start_s=float, duration_s=float, status=int, pod=str)
    for line, cells in named_rows(path, malformed):
        with malformed.at(line):
            stamp = number(cells["timestamp_anon"], "timestamp_anon")
            found.add(stamp, number(cells["value"], "value", least=0) / 1000, 200, cells["container_ip"])
    columns, _ = from_first(found.columns())
    return _finished(Record("gentd26-latency", str(path), by_start(requests_of(**columns))), found, malformed)


def read_gentd26_qps(path: Path, skip_bad: bool = False) -> Record:
    """GenTD26's request rates: `Record.counts` has ``t_s``, ``rate`` [1/s], ``pod`` and ``class``."""
    malformed = Malformed(path, skip_bad)
    found = Rows(start_s=float, rate=float, pod=str, **{"class": str})
    for line, cells in named_rows(path, malformed):
        with malformed.at(line):
            stamp = number(cells["timestamp_anon"], "timestamp_anon")
            found.add(stamp, number(cells["value"], "value", least=0), cells["container_ip"], cells["request_type"])
    columns, _ = from_first(found.columns())
    columns = by_start(columns)
    record = Record("gentd26-qps", str(path), counts={"t_s": columns.pop("start_s"), **columns})
    return _finished(record, found, malformed)


def read_azure_2019(path: Path, skip_bad: bool = False, select: str | None = None) -> Record:
    """A day of Azure Functions 2019 (``invocations_per_function_md.anon.dNN.csv``): counts per minute.

    `Record.counts` has ``t_s`` (start of each minute) and ``count``, for the ``HashFunction`` or ``HashApp`` selected,
    else for all together. `Record.requests` is empty: spreading counts inside minutes is the workload's choice.
    """
    malformed = Malformed(path, skip_bad)
    minutes = [str(minute) for minute in range(1, MINUTES_PER_DAY + 1)]
    total = np.zeros(MINUTES_PER_DAY, dtype=np.int64)
    busiest: dict[str, int] = defaultdict(int)
    used = 0
    for line, cells in named_rows(path, malformed):
        if select is not None and select not in (cells["HashFunction"], cells["HashApp"]):
            continue
        try:
            counts = np.array([number(cells[minute], f"minute {minute}", least=0) for minute in minutes])
        except MalformedError as error:
            malformed.add(line, error.problem)
            continue
        # So few per minute happen that int64 holds any sum of them.
        total += np.minimum(counts, 1e12).astype(np.int64)
        busiest[cells["HashFunction"]] += int(min(counts.sum(), 1e15))
        used += 1
    counted: Columns = {"t_s": np.arange(MINUTES_PER_DAY) * 60.0, "count": total}
    record = Record("azure-2019", str(path), counts=counted)
    if used == 0 and malformed.count == 0:
        malformed.add(
            None, Problem("", "no function in it" if select is None else f"no function or app {select[:80]!r}")
        )
    elif select is None and busiest:
        name, most = max(busiest.items(), key=lambda item: item[1])
        record.notes.append(f"all {used} functions together; the busiest is {name[:80]} with {most} invocations")
    return malformed.finish(record, used)


def read_azure_2019_durations(path: Path, skip_bad: bool = False, select: str | None = None) -> Record:
    """Azure Functions 2019, ``function_durations_percentiles``: averages over 30 s, without cold starts.

    `Record.counts` has one row per function: ``function``, ``app``, ``count``, ``mean_s``, ``min_s``, ``max_s`` and
    ``p0_s`` to ``p100_s``.
    """
    malformed = Malformed(path, skip_bad)
    times = {"Average": "mean_s", "Minimum": "min_s", "Maximum": "max_s"}
    times |= {f"percentile_Average_{p}": f"p{p}_s" for p in (0, 1, 25, 50, 75, 99, 100)}
    found = Rows(function=str, app=str, count=float, **dict.fromkeys(times.values(), float))
    for line, cells in named_rows(path, malformed):
        if select is not None and select not in (cells["HashFunction"], cells["HashApp"]):
            continue
        with malformed.at(line):
            values = [number(cells[name], name) / 1000 for name in times]
            found.add(cells["HashFunction"], cells["HashApp"], number(cells["Count"], "Count", least=0), *values)
    record = Record("azure-2019-durations", str(path), counts=found.columns())
    return _finished(record, found, malformed)


def read_azure_2021(path: Path, skip_bad: bool = False, select: str | None = None) -> Record:
    """Azure Functions 2021: every invocation, or those of the ``func`` or ``app`` selected; a start is end - duration.

    Further columns: ``class``, the function.
    """
    malformed = Malformed(path, skip_bad)
    found = Rows(start_s=float, duration_s=float, status=int, **{"class": str})
    for line, cells in named_rows(path, malformed):
        if select is not None and select not in (cells["func"], cells["app"]):
            continue
        with malformed.at(line):
            duration = number(cells["duration"], "duration", least=0)
            found.add(number(cells["end_timestamp"], "end_timestamp") - duration, duration, 200, cells["func"])
    columns, _ = from_first(found.columns())
    return _finished(Record("azure-2021", str(path), by_start(requests_of(**columns))), found, malformed)


def _finished(record: Record, found: Rows, malformed: Malformed) -> Record:
    if len(found) == 0 and malformed.count == 0:
        malformed.add(None, Problem("", "no row that counts below the header"))
    return malformed.finish(record, len(found))
