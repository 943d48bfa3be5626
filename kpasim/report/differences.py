"""Figures of two runs beside each other, with the interval of each difference."""

import math
from collections.abc import Iterable, Mapping
from typing import Any

from kpasim.results.display import HOURS, SHARES, Table, figure, number, seconds, signed
from kpasim.results.paired import Difference
from kpasim.studies.against import Against
from kpasim.studies.common import MET_IDLE

_SHORT = {"the same in every replication": "same", "no significant difference": "not significant"}


def compared_as(found: Against) -> str:
    """How two runs were compared, in sentences: what they met, when they end, how they begin."""
    told = [
        "Both met the same requests and random numbers: differences are means over pairs of replications."
        if found.paired
        else "The loads differ: replications are not paired, and the means of independent samples are compared."
    ]
    if found.end_s is not None:
        told.append(f"Both runs end {seconds(found.end_s)} after the load began.")
    elif found.one.experiment.horizon_s != found.other.experiment.horizon_s:
        told.append("Their horizons differ, and so do the times that are billed.")
    else:
        told.append("Each run ends when its pods are gone.")
    return " ".join([*told, MET_IDLE] if found.met_idle else told)


def value_text(name: str, value: float | None) -> str:
    """A mean as it is shown."""
    return figure(name, value) if name in SHARES | HOURS else number(value)


def change_text(name: str, row: Difference) -> str:
    """A difference in words."""
    if row.same:
        return row.verdict
    percent = 100 * row.share
    share = f" ({percent:+,.0f} %)" if abs(percent) >= 10 else f" ({percent:+.2g} %)"
    share = share if math.isfinite(row.share) else ""
    interval = f", {signed(name, row.low)} to {signed(name, row.high)}" if math.isfinite(row.low) else ""
    return f"{signed(name, row.mean)}{share}{interval}, {row.verdict}"


def with_ends(name: str, row: Difference) -> str:
    """A difference with its interval in brackets."""
    known = row.mean and math.isfinite(row.low)
    return signed(name, row.mean) + (f" ({signed(name, row.low)} to {signed(name, row.high)})" if known else "")


def differences_table(title: str, rows: Iterable[Mapping[str, Any]], before: str, after: str, change: str) -> Table:
    """Figures of two settings and their differences.

    Args:
        title: What the table is about.
        rows: `Difference.to_dict` of each figure, with its ``name``, ``title`` and ``unit``.
        before: Key of the first setting's means, and their heading.
        after: The same of the second.
        change: Heading of the difference.
    """
    cells = []
    for row in rows:
        name, mean, ends, verdict = (row[key] for key in ("name", "difference", "interval", "verdict"))
        known = None not in (mean, *ends) and any(ends)
        means = (value_text(name, row[key]) for key in (before, after))
        interval = " to ".join(signed(name, end) for end in ends) if known else ""
        shown = "" if mean is None else signed(name, mean)
        cells.append((row["title"], *means, shown, interval, _SHORT.get(verdict, verdict), row["unit"]))
    headings = [heading.replace("_", " ") for heading in (before, after, change)]
    return Table(title, ["", *headings, "interval", "difference", "unit"], cells, headings)
