"""`kpasim backtest`: what Prometheus recorded, predicted, and then under other settings."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kpasim.cli import options
from kpasim.cli.output import NOT_MET, WIDTH, note, print_json, progress, show_tables, write_file

if TYPE_CHECKING:
    from kpasim.studies.backtest.compare import Backtest, Candidate

MOST_ROWS = 30
"""Rows of the table of bins; longer windows are in the folder of --out."""
TOLD = ("latency_s.p95", "latency_s.mean", "errors", "gpu_seconds", "pod_seconds", "max_pods", "cost.amount")
"""Figures of a candidate in the order in which they are told."""


@click.command(
    epilog="\b\nTry: kpasim backtest observed --manifest experiments/manifests/observed.yaml "
    "--candidate experiments/manifests/observed-cheaper.yaml"
)
@click.argument("observation", type=click.Path(file_okay=False))
@options.value("--manifest", "FILE", "The Service's manifest that was in force.", required=True)
@options.many("--candidate others", "FILE", "Another manifest to compare; repeatable.")
@options.cluster_config
@options.value("--model", "NAME|FILE", "Service and cold-start model, instead of the recorded times.")
@options.value("--service-time", "TIME", "Service time, instead of the recorded one.")
@options.value("--cold-start", "TIME", "Cold start, instead of the recorded one.")
@options.choice(
    "--within",
    ["inferred", "uniform", "clustered"],
    "Where within a scrape interval requests are sent: where counts and requests in flight make it likely, at any "
    "time, or all at one time.",
)
@options.replications(default=20, least=2)
@options.seed
@options.settings
@options.value("--out", click.Path(file_okay=False), "Folder for backtest.json and the page.", metavar="DIR")
@options.value("--write-experiment", "FILE", "Write the experiment of the observation, for kpasim run, sweep and tune.")
@options.value("--openmetrics", "FILE", "Write the prediction as series kpasim_* (OpenMetrics).")
@options.as_json
def command(
    *,
    observation: str,
    manifest: str,
    others: tuple[str, ...],
    cluster_config: tuple[str, ...],
    model: str | None,
    service_time: str | None,
    cold_start: str | None,
    within: str,
    replications: int,
    seed: int | None,
    settings: tuple[str, ...],
    out: str | None,
    write_experiment: str | None,
    openmetrics: str | None,
    as_json: bool,
) -> None:
    """Predict what was recorded in OBSERVATION, then what other manifests would have given under the same requests.

    The folder OBSERVATION is what kpasim observe wrote. The settings in force come first: pods, concurrency and latency
    are predicted from the recorded requests and compared with the recorded ones. Exit status 3: the present was not
    predicted well enough to believe the rest.
    """
    from kpasim.records.prometheus.exposition import write_openmetrics
    from kpasim.records.prometheus.observation import Observation
    from kpasim.results.cost import currency_of
    from kpasim.spec.quick import read_value
    from kpasim.spec.settings import parse_settings
    from kpasim.studies.against import differences
    from kpasim.studies.backtest.compare import Candidate, backtest, figures_of, series_of
    from kpasim.studies.backtest.prepare import Given, candidates, experiment_text, prepare, stretches
    from kpasim.studies.backtest.waits import narrowed, trials
    from kpasim.studies.prices import prices_of
    from kpasim.studies.run import after

    if model and (service_time or cold_start):
        raise click.UsageError("give --model, or --service-time and --cold-start")
    given = Given(
        manifest=manifest,
        cluster_config=cluster_config,
        model=model,
        service_time=read_value("--service-time", service_time) if service_time else None,
        cold_start=read_value("--cold-start", cold_start) if cold_start else None,
        settings=parse_settings(settings),
        within=within,
        replications=replications,
        seed=1 if seed is None else seed,
    )
    observed = Observation.read(observation)
    prepared = prepare(observed, observation, given)
    if tried := trials(prepared):
        with progress("trials of cold starts", tried, show=not as_json) as bar:
            prepared = narrowed(prepared, bar)
    compared = candidates(prepared, others)
    runs = len(prepared.parts) + (1 + len(compared) if compared else 0)
    with progress("replications", runs * replications, show=not as_json) as bar:
        found = backtest(prepared, replications, bar)
        placed = _placed_otherwise(found)
        beside_it: list[Candidate] = []
        if compared:
            done = len(prepared.parts) * replications
            in_force = figures_of(stretches(observed, prepared.whole, 0.0), replications, after(bar, done))
            for name, experiment in zip(others, compared, strict=True):
                done += replications
                whole = replace(prepared.whole, experiment=experiment)
                figures = figures_of(stretches(observed, whole, 0.0), replications, after(bar, done))
                currency = currency_of(prices_of(experiment) or {})
                beside_it.append(Candidate(name, differences(in_force, figures, currency)))
    written = found.to_dict() | {
        "observation": observation,
        "manifest": manifest,
        "service": observed.service,
        "namespace": observed.namespace,
        "time_zone": observed.time_zone,
        "within": within,
        "placed_otherwise": placed,
        "reasons": _reasons(found),
        "notes": _assumed(found, placed),
        "candidates": [one.to_dict() for one in beside_it],
    }
    if out:
        _write(Path(out), written)
    if write_experiment:
        text = experiment_text(prepared, write_experiment)
        write_file(write_experiment, text, f". Next: kpasim tune {write_experiment}, or kpasim sweep", folders=True)
    if openmetrics:
        write_openmetrics(openmetrics, series_of(found))
        note(f"Wrote {openmetrics}")
    if as_json:
        print_json(written)
    else:
        _show(found, written)
        for one in beside_it:
            _show_candidate(one, believed=found.good)
    if not found.good:
        raise click.exceptions.Exit(NOT_MET)


def _placed_otherwise(found: Backtest) -> dict[str, float]:
    """What the other way to place requests within their scrape intervals changes, as shares of the figures."""
    from kpasim.studies.backtest.compare import backtest
    from kpasim.studies.backtest.prepare import with_arrivals

    other = "uniform" if found.prepared.given.within == "clustered" else "clustered"
    changed = backtest(with_arrivals(found.prepared, other), max(2, found.replications // 4))
    before = {one.name: one.predicted for one in found.figures}
    return {
        one.name: one.predicted / before[one.name] - 1.0
        for one in changed.figures
        if one.name in ("pod_seconds", "mean_latency_s") and before.get(one.name)
    }


def _write(folder: Path, written: dict[str, Any]) -> None:
    from kpasim.report.backtest_page import backtest_page
    from kpasim.results import folders
    from kpasim.results.files import write_json, write_text

    with folders.writing(folder, "backtest") as place:
        folders.clear(place, "backtest")
        write_text(place / "report.html", backtest_page(written))
        write_json(place / "backtest.json", written)
    note(f"Wrote {folder} (page: {folder / 'report.html'})")


def _say(text: str, colour: str | None = None) -> None:
    click.echo(click.style(textwrap.fill(text, WIDTH), fg=colour))


def _show(found: Backtest, written: Mapping[str, Any]) -> None:
    from kpasim.report.backtest_page import bins_table, figures_table, how_near, moment, verdict, zone_of
    from kpasim.results.display import counted, seconds

    observed, zone = found.prepared.observation, zone_of(written)
    _say(verdict(written), "green" if found.good else "red")
    _say(
        f"{observed.namespace}/{observed.service}, {seconds(observed.end_s - observed.begin_s)} from "
        f"{moment(observed.begin_s, zone)} {zone.key}, one scrape every "
        f"{observed.interval_s.get('autoscaler', math.nan):g} s, {counted(found.replications, 'replication')}, "
        f"{counted(len(found.prepared.parts), 'revision')}."
    )
    show_tables(figures_table(written))
    for text in how_near(written):
        _say(text)
    click.echo()
    show_tables(bins_table(written, MOST_ROWS))
    click.echo()
    for text in written["notes"]:
        _say(text)


def _reasons(found: Backtest) -> str:
    """What is too far from the recorded values; empty where nothing is."""
    far = [f"{one.title} {100 * one.error:+.0f} %" for one in found.figures if one.good is False]
    if not found.covered:
        far.append(f"the 90 % bands hold only {found.coverage:.0%} of what was recorded")
    return ", ".join(far)


def _assumed(found: Backtest, placed: dict[str, float]) -> list[str]:
    """What the prediction rests on, a sentence each."""
    prepared = found.prepared
    service, start, sharing = prepared.times.service, prepared.times.start, prepared.times.sharing
    texts = []
    if service is not None:
        low_s, high_s = service.interval_s
        texts.append(
            f"Service time: mean {service.mean_s:.3g} s ({low_s:.4g} to {high_s:.4g}), coefficient of variation "
            f"{service.cv:.2g}, {service.time['distribution']}, of {service.requests:,} requests."
        )
        texts.append(
            "Durations do not depend on how many requests share a pod: the series show no such contention."
            if sharing is None
            else f"Contention: each further request in a pod makes all take {sharing.slope:.0%} longer than one alone "
            f"({sharing.low:.0%} to {sharing.high:.0%}), whose mean is {sharing.alone_s:.3g} s. Assumed: the same for "
            "any number of requests."
        )
        if prepared.times.concurrency:
            texts.append(
                f"Assumed: a container serves at most {prepared.times.concurrency} at once, the containerConcurrency "
                "in force; under a higher one further requests wait inside it (--model for other containers)."
            )
    if start is not None:
        texts.append(
            f"Cold start: the container takes {start.mean_s:.3g} s ({start.low_s:.3g} to {start.high_s:.3g}), from "
            f"{start.source} ({start.starts} starts)."
        )
    changes = " and ".join(
        f"{'pod-seconds' if name == 'pod_seconds' else 'mean latency'} by {100 * share:+.1f} %"
        for name, share in placed.items()
    )
    here = {
        "inferred": "where the counts around it and the requests in flight make it likely",
        "uniform": "at any time within it",
        "clustered": "all at one time within it",
    }[prepared.given.within]
    there = "at any time" if prepared.given.within == "clustered" else "all at one time"
    texts.append(
        f"Requests of a scrape interval are sent {here}, drawn in each replication; {there} instead would change "
        f"{changes}."
    )
    texts.append(
        "Assumed: clients do not wait for responses (an open loop). Clients that do, like hey's workers, send more "
        "requests where a candidate is faster, and fewer where it is slower."
    )
    return [*texts, *prepared.notes]


def _show_candidate(candidate: Candidate, *, believed: bool) -> None:
    from kpasim.cli.against import say_difference

    click.echo()
    _say(f"{candidate.name}{'' if believed else ' (the present was not predicted well enough)'}:")
    told = {name: (title, unit, row) for title, name, unit, row in candidate.differences}
    for name in TOLD:
        if name in told:
            title, unit, row = told[name]
            say_difference(f"  {title:<14}", name, unit, row)
