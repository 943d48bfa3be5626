"""Numbers and whole runs in words, as a person would tell them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from kpasim.results.display import FIGURES, LEAST_RUNS, NOTHING, number, span
from kpasim.results.tables import Tables

if TYPE_CHECKING:
    from kpasim.spec.experiment import Experiment

__all__ = ["FIGURES", "NOTHING", "counted", "held", "number", "seconds", "setting", "span", "story"]


def counted(count: float, one: str, many: str | None = None) -> str:
    """``1 pod``, ``5 pods``."""
    return f"{number(count)} {one if count == 1 else many or one + 's'}"


def held(count: int, of: str = " of runs") -> str:
    """What the interval of so many runs holds, as the heading of a column; few runs have their ends only."""
    return f"90 %{of}" if count >= LEAST_RUNS else "least to greatest"


def seconds(value: float) -> str:
    """A length of time: ``12.3 s``, ``4 min 19 s``, ``2.5 h``, ``3.2 days``."""
    if value < 120:
        return f"{number(value, 3)} s"
    if value < 3600:
        minutes, rest = divmod(round(value), 60)
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    return f"{number(value / 3600, 3)} h" if value < 3 * 86400 else f"{number(value / 86400, 3)} days"


def story(
    medians: Mapping[str, Any],
    intervals: Mapping[str, Any],
    tables: Tables,
    money: Mapping[str, Any] | None,
    replications: int,
) -> list[str]:
    """What happened, in a few sentences.

    Args:
        medians: Figures by dotted name, ``None`` where the run has none.
        intervals: Their 90 % intervals; empty for a single run.
        tables: The run that is shown.
        money: As `kpasim.results.cost.aggregate_bills`, ``None`` without prices.
        replications: How many runs the medians are of.
    """
    sentences = [_waiting(medians, intervals), _scaling(medians, intervals, tables, replications)]
    sentences += [_failing(medians, intervals), _leaving(medians)]
    if money:
        sentences.append(_paying(money))
    return [sentence for sentence in sentences if sentence]


def _said(medians: Mapping[str, Any], intervals: Mapping[str, Any], name: str) -> str:
    """A time with its interval in brackets."""
    interval = intervals.get(name)
    tail = f" ({span(interval)})" if interval and interval[0] is not None and interval[0] != interval[1] else ""
    return f"{number(medians[name])} s{tail}"


def _waiting(medians: Mapping[str, Any], intervals: Mapping[str, Any]) -> str:
    requests = medians.get("requests") or 0
    if not requests:
        return "Nobody sent a request."
    if medians.get("latency_s.p50") is None:
        return f"None of {counted(requests, 'request')} succeeded."
    text = f"Half of {counted(requests, 'request')} were answered within {_said(medians, intervals, 'latency_s.p50')}"
    if requests >= 20:
        text += f", one in twenty took longer than {_said(medians, intervals, 'latency_s.p95')}"
    return f"{text}; the slowest took {_said(medians, intervals, 'latency_s.max')}."


def _scaling(medians: Mapping[str, Any], intervals: Mapping[str, Any], tables: Tables, replications: int) -> str:
    text = f"At most {counted(medians.get('max_pods') or 0, 'pod')} ran or were starting at a time"
    started = medians.get("cold_starts")
    text += f", {counted(started, 'pod')} started under load" if started else ", none was started under load"
    panic = medians.get("panic_entered_s")
    if panic is not None:
        text += f"; Knative panicked {_said(medians, intervals, 'panic_entered_s')} after the load began"
    waits = (tables.pods["ready_s"] - tables.pods["created_s"])[tables.pods["created_s"] >= 0]
    waits = waits[~np.isnan(waits)]
    if len(waits):
        shown = " of the run shown" if replications > 1 else ""
        text += f". A new pod{shown} took {seconds(float(np.median(waits)))} to become ready"
        if len(waits) > 1:
            text += f" (median of {len(waits)}, {seconds(float(waits.min()))} to {seconds(float(waits.max()))})"
    return f"{text}."


def _failing(medians: Mapping[str, Any], intervals: Mapping[str, Any]) -> str:
    errors, requests = medians.get("errors"), medians.get("requests")
    if errors is None or not requests:
        return ""
    if errors == 0:
        most = (intervals.get("errors") or [0, 0])[1]
        return "No request failed." if not most else f"In most runs no request failed (up to {number(most)} did)."
    return f"{counted(errors, 'request')} failed, {100 * errors / requests:.2g} % of all."


def _leaving(medians: Mapping[str, Any]) -> str:
    zero = medians.get("replicas_zero_after_last_s")
    if zero is None:
        return "The service was not scaled to zero before the end."
    return f"{seconds(zero)} after the last answer the service was at zero."


def _paying(money: Mapping[str, Any]) -> str:
    currency = money.get("currency") or ""
    interval = (money.get("intervals") or {}).get("amount")
    tail = f" ({span(interval)})" if interval and interval[0] is not None and interval[0] != interval[1] else ""
    text = f"The run costs {number(money['amount'])} {currency}{tail}"
    if money.get("per_1000") is not None:
        text += f", {number(money['per_1000'])} {currency} per 1,000 answers"
    if money.get("per_month") is not None:
        text += f", {number(money['per_month'])} {currency} a month"
    parts: Sequence[tuple[str, float]] = sorted(money["parts"].items(), key=lambda part: -part[1])
    total = sum(amount for _, amount in parts)
    if total > 0:
        shares = [f"{100 * amount / total:.0f} % {name}" for name, amount in parts if amount > 0]
        text += f"; of the money, {', '.join(shares)}"
    return f"{text}."


def setting(experiment: Experiment) -> str:
    """What was done, in a sentence: the load, the service, and where it began."""
    limit = experiment.service.container_concurrency
    each = f"{counted(limit, 'request')} at a time for each pod" if limit else "any number of requests at a time"
    begun = {"warm": "with a pod ready", "idled": "scaled to zero", "zero": "before its first pod"}
    start = begun[experiment.start.state]
    return f"{_load(experiment.workload)} to a service that takes {each} and was found {start}."


def _load(load: Any) -> str:
    """What the clients did."""
    lasted = f" for {seconds(load.duration_s)}" if getattr(load, "duration_s", None) else ""
    if load.kind == "hey":
        what = "requests" if lasted else f"{load.requests:,} requests"
        return f"{counted(load.concurrency, 'client')} sent {what} in turn{lasted}"
    if load.kind in {"replay", "gentd26"}:
        return f"The requests of {load.file.name} were sent{lasted}"
    return f"Requests of a {load.kind} load were sent{lasted}"
