"""What `kpasim run A --against B` shows."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from kpasim.cli.output import WIDTH, show_tables, table
from kpasim.results.display import HOURS, SHARES, figure, number, signed

if TYPE_CHECKING:
    from kpasim.results.paired import Difference
    from kpasim.spec.experiment import Experiment
    from kpasim.studies.against import Against

FIRST = ("latency_s.p50", "latency_s.p95", "cost.per_month", "cost.amount", "errors")
"""Figures that are told in sentences before the table."""


def other_experiment(one: Experiment, file: str | None, changes: Sequence[str]) -> tuple[Experiment, str]:
    """What a run is compared with, and its name: another experiment, the same one with changes, or both.

    Raises:
        ExperimentError: The file cannot be used.
        RunError: A change is refused.
    """
    from kpasim.spec.experiment import load
    from kpasim.spec.settings import parse_settings, with_settings

    option = "--against-set"
    other = with_settings(load(file) if file else one, parse_settings(changes, option), option)
    return other, " ".join([*([other.name] if file else []), *changes])


def show_against(found: Against, names: tuple[str, str]) -> None:
    """Print what the other run changes: a few sentences, then each figure with its difference and the verdict."""
    from kpasim.studies.common import MET_IDLE

    one, other = names
    rows = found.differences()
    told = {name: (title, unit, row) for title, name, unit, row in rows}
    confidence = f"{100 * rows[0][3].confidence:.3g} %" if rows else ""
    runs = f"{found.one.replications:,} replications"
    click.echo(f"B ({other}) against A ({one}): means of {runs}, B - A ({confidence} intervals)")
    failures = any(
        told[name][2].before or told[name][2].mean for name in ("errors", "in_flight", "never_sent") if name in told
    )
    width = 18 if failures else 16 if "cost.per_month" in told else 8
    for name in sorted(FIRST, key=lambda one: one != "errors") if failures else FIRST:
        if name in told and not (name == "cost.amount" and "cost.per_month" in told):
            title, unit, row = told[name]
            title = f"{title} of successes" if failures and name.startswith("latency_s.") else title
            before, after = value_text(name, row.before), value_text(name, row.before + row.mean)
            text = f"{title:<{width}}{before} -> {after} {unit}: {change_text(name, row)}"
            click.echo(click.style(text, fg="yellow" if row.significant else None))
    paired = (
        "Both met the same requests and random numbers: differences are between pairs of replications."
        if found.paired
        else "The loads differ: replications are not paired, and the means of independent samples are compared."
    )
    state = f" {MET_IDLE}" if found.met_idle else ""
    click.echo(textwrap.fill(f"{paired} {_end(found)}{state}", WIDTH))
    click.echo()
    show_tables(_table(rows))


def _end(found: Against) -> str:
    from kpasim.report.words import seconds

    if found.end_s is not None:
        return f"Both runs end {seconds(found.end_s)} after the load began."
    if found.one.experiment.horizon_s != found.other.experiment.horizon_s:
        return "Their horizons differ, and so do the times that are billed."
    return "Each run ends when its pods are gone."


def _table(rows: list[tuple[str, str, str, Difference]]) -> Any:
    shown = table(("", "A", "B", "B - A", "interval", "difference", "unit"), ("A", "B", "B - A"))
    for title, name, unit, row in rows:
        before, after = value_text(name, row.before), value_text(name, row.before + row.mean)
        known = math.isfinite(row.low) and not row.same
        interval = f"{signed(name, row.low)} to {signed(name, row.high)}" if known else ""
        verdict = "same" if row.same else "not significant" if row.enough and not row.significant else row.verdict
        shown.add_row(title, before, after, signed(name, row.mean), interval, verdict, unit)
    return shown


def change_text(name: str, row: Difference) -> str:
    """A difference in words."""
    if row.same:
        return row.verdict
    percent = 100 * row.share
    share = f" ({percent:+,.0f} %)" if abs(percent) >= 10 else f" ({percent:+.2g} %)"
    share = share if math.isfinite(row.share) else ""
    interval = f", {signed(name, row.low)} to {signed(name, row.high)}" if math.isfinite(row.low) else ""
    return f"{signed(name, row.mean)}{share}{interval}, {row.verdict}"


def value_text(name: str, value: float) -> str:
    """A mean as it is shown."""
    return figure(name, value) if name in SHARES | HOURS else number(value)
