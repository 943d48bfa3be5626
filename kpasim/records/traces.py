"""Published production traces: GenTD26 (Stable Diffusion at Alibaba) and Azure Functions 2019 and 2021."""

import math
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np

from kpasim.records.record import (
    TIMES,
    MalformedError,
    Record,
    by_start,
    collect,
    from_first,
    lists_requests,
    moment,
    number,
    read_requests,
    shown,
)
from kpasim.records.source import named_rows
from kpasim.results.frames import Columns

MINUTES_PER_DAY = 1440

_ENDINGS = {"SUCCEED": 200, "FAILED": 500, "PENDING": 0, "PROCESSING": 0}


_GENTD26 = {"num_inference_steps": "steps", "num_images_per_prompt": "images", "num_lora": "loras",
            "prompt_length": "prompt_length"}  # fmt: skip
"""Numbers of a request, and what their columns are called here."""
GENTD26_COLUMNS = ("gmt_create", "predict_type", "predict_status", "exec_time_seconds", "groupId",
                   "checkpoint_model_version_id", *_GENTD26)  # fmt: skip
"""Columns that are read of GenTD26."""
_AZURE_TIMES = {
    **{"Average": "mean_s", "Minimum": "min_s", "Maximum": "max_s"},
    **{f"percentile_Average_{p}": f"p{p}_s" for p in (0, 1, 25, 50, 75, 99, 100)},
}
AZURE_2019_COLUMNS = ("HashApp", "HashFunction", "Count", *_AZURE_TIMES)
"""Columns that are read of Azure Functions 2019's durations."""


@lists_requests(
    "gentd26",
    named_rows,
    {
        **TIMES,
        "censored": bool,
        **dict.fromkeys(("class", "model", "group"), str),
        **dict.fromkeys(_GENTD26.values(), float),
    },
    clients="",
    note="times are whole seconds: arrivals of one second have no order, durations are rounded",
)
def read_gentd26(cells: dict[str, str]) -> Any:
    """Requests of alibaba/clusterdata, cluster-trace-v2026-GenAI (``lora_request_trace.csv``).

    ``duration_s`` is the time the service worked, in whole seconds; a request that was still running when the trace was
    taken is censored, one still pending has no duration (status 0 both), one that failed has status 500.

    Further columns: ``class`` (TXT_2_IMG, IMG_2_IMG, INPAINTING), ``steps``, ``images``, ``loras``, ``prompt_length``
    (``NaN`` where unknown), ``model`` and ``group``.
    """
    ending = cells["predict_status"]
    if ending not in _ENDINGS:
        raise MalformedError("predict_status", f"must be one of {', '.join(_ENDINGS)} (it is {shown(ending)})")
    worked = number(cells["exec_time_seconds"], "exec_time_seconds", least=0)
    return (
        moment(cells["gmt_create"], "gmt_create"),
        math.nan if ending == "PENDING" else worked,
        _ENDINGS[ending],
        ending == "PROCESSING",
        cells["predict_type"],
        cells["checkpoint_model_version_id"],
        cells["groupId"],
        *(number(cells[name], name, least=0) if cells[name] else math.nan for name in _GENTD26),
    )


@lists_requests("gentd26-latency", named_rows, {**TIMES, "pod": str}, zero="first", clients="")
def read_gentd26_latency(cells: dict[str, str]) -> Any:
    """A companion file of GenTD26: one duration [ms] per row, of loading, switching, running or waiting.

    Further column: ``pod``, the container.
    """
    stamp = number(cells["timestamp_anon"], "timestamp_anon")
    return stamp, number(cells["value"], "value", least=0) / 1000, 200, cells["container_ip"]


def read_gentd26_qps(path: Path, skip_bad: bool = False) -> Record:
    """GenTD26's request rates: `Record.counts` has ``t_s``, ``rate`` [1/s], ``pod`` and ``class``."""

    def values_of(cells: dict[str, str]) -> Any:
        stamp = number(cells["timestamp_anon"], "timestamp_anon")
        return stamp, number(cells["value"], "value", least=0), cells["container_ip"], cells["request_type"]

    kinds = {"start_s": float, "rate": float, "pod": str, "class": str}
    columns, malformed = collect(path, skip_bad, named_rows, kinds, values_of)
    columns = by_start(from_first(columns)[0])
    record = Record("gentd26-qps", str(path), counts={"t_s": columns.pop("start_s"), **columns})
    return malformed.finish(record, len(columns["rate"]))


def read_azure_2019(path: Path, skip_bad: bool = False, select: str | None = None) -> Record:
    """A day of Azure Functions 2019 (``invocations_per_function_md.anon.dNN.csv``): counts per minute.

    `Record.counts` has ``t_s`` (start of each minute) and ``count``, for the ``HashFunction`` or ``HashApp`` selected,
    else for all together. `Record.requests` is empty: spreading counts inside minutes is the workload's choice.
    """
    minutes = [str(minute) for minute in range(1, MINUTES_PER_DAY + 1)]
    total = np.zeros(MINUTES_PER_DAY, dtype=np.int64)
    busiest: dict[str, int] = defaultdict(int)

    def values_of(cells: dict[str, str]) -> Any:
        if select is not None and select not in (cells["HashFunction"], cells["HashApp"]):
            return None
        counts = np.array([number(cells[minute], f"minute {minute}", least=0) for minute in minutes])
        # So few per minute happen that int64 holds any sum of them.
        np.add(total, np.minimum(counts, 1e12).astype(np.int64), out=total)
        busiest[cells["HashFunction"]] += int(min(counts.sum(), 1e15))
        return [True]

    found, malformed = collect(path, skip_bad, named_rows, {"function": bool}, values_of)
    used = len(found["function"])
    counted: Columns = {"t_s": np.arange(MINUTES_PER_DAY) * 60.0, "count": total}
    record = Record("azure-2019", str(path), counts=counted)
    if select is None and busiest:
        name, most = max(busiest.items(), key=lambda item: item[1])
        record.notes.append(f"all {used} functions together; the busiest is {name[:80]} with {most} invocations")
    nothing = "no function in it" if select is None else f"no function or app {select[:80]!r}"
    return malformed.finish(record, used, nothing)


def read_azure_2019_durations(path: Path, skip_bad: bool = False, select: str | None = None) -> Record:
    """Azure Functions 2019, ``function_durations_percentiles``: averages over 30 s, without cold starts.

    `Record.counts` has one row per function: ``function``, ``app``, ``count``, ``mean_s``, ``min_s``, ``max_s`` and
    ``p0_s`` to ``p100_s``.
    """

    def values_of(cells: dict[str, str]) -> Any:
        if select is not None and select not in (cells["HashFunction"], cells["HashApp"]):
            return None
        values = [number(cells[name], name) / 1000 for name in _AZURE_TIMES]
        return cells["HashFunction"], cells["HashApp"], number(cells["Count"], "Count", least=0), *values

    kinds = {"function": str, "app": str, "count": float, **dict.fromkeys(_AZURE_TIMES.values(), float)}
    counts, malformed = collect(path, skip_bad, named_rows, kinds, values_of)
    record = Record("azure-2019-durations", str(path), counts=counts)
    return malformed.finish(record, len(counts["count"]), "no function in it")


def read_azure_2021(path: Path, skip_bad: bool = False, select: str | None = None) -> Record:
    """Azure Functions 2021: every invocation, or those of the ``func`` or ``app`` selected; a start is end - duration.

    Further columns: ``class``, the function.
    """

    def values_of(cells: dict[str, str]) -> Any:
        if select is not None and select not in (cells["func"], cells["app"]):
            return None
        duration = number(cells["duration"], "duration", least=0)
        return number(cells["end_timestamp"], "end_timestamp") - duration, duration, 200, cells["func"]

    columns = {**TIMES, "class": str}
    return read_requests("azure-2021", path, skip_bad, named_rows, columns, values_of, zero="first", clients="")
