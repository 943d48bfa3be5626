"""`kpasim observe`: what Prometheus recorded of a Knative service, as a folder."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import click

from kpasim.cli import options
from kpasim.cli.output import note, print_json

if TYPE_CHECKING:
    from kpasim.records.prometheus.observation import Observation

NAMES = {
    "opentelemetry": "of Knative since 1.19",
    "opencensus": "of Knative up to 1.18",
    "both": "of Knative up to 1.18 and since 1.19",
}
"""Generations of names."""
LEAST_UNIX_S = 1e9
"""A smaller number is no time of Prometheus, which is younger [s since 1970]."""
SHOWN = 5
"""Gaps, resets and revisions that are listed one by one."""


@click.command(
    epilog="\b\nTry: kpasim observe --prometheus http://localhost:9090 --namespace default --service hello --since 24h"
)
@click.argument("files", nargs=-1, type=click.Path())
@options.value("--prometheus", "URL", "Base URL of Prometheus, Thanos, Mimir or VictoriaMetrics.")
@options.value("--namespace -n", "NAME", "Namespace of the service.  [default: the only one]")
@options.value("--service", "NAME", "Name of the Knative service.  [default: the only one in FILES]")
@options.value("--since", "TIME", "Length of the window, such as 7d or 90m.  [default: 24h]")
@options.value("--from begin", "DATE", "Begin of the window, such as 2026-11-02T08:00.")
@options.value("--to end", "DATE", "End of the window.  [default: now]")
@options.value("--step", "TIME", "Values at multiples of this step (query_range), instead of the samples themselves.")
@options.many("--label labels", "NAME=VALUE", "Only series with this label, such as cluster=prod; repeatable.")
@options.value("--time-zone", "NAME", "Time zone, such as Europe/Berlin.", default="UTC", show_default=True)
@options.value(
    "--token-file", click.Path(), "File with a bearer token.  [default: the variable KPASIM_PROMETHEUS_TOKEN]"
)
@options.flag("--insecure", "Do not check the server's certificate.")
@options.value("--out", click.Path(), "Folder for the observation.  [default: observations/SERVICE]")
@options.as_json
def command(
    *,
    files: tuple[str, ...],
    prometheus: str | None,
    namespace: str | None,
    service: str | None,
    since: str | None,
    begin: str | None,
    end: str | None,
    step: str | None,
    labels: tuple[str, ...],
    time_zone: str,
    token_file: str | None,
    insecure: bool,
    out: str | None,
    as_json: bool,
) -> None:
    """Read what Prometheus recorded of a Knative service, and leave an observation for kpasim backtest.

    From a server with --prometheus, or from FILES: JSON of /api/v1/query_range or of /api/v1/query with a range
    (METRIC[7d]), output of promtool tsdb dump, OpenMetrics text. Metrics of Knative up to 1.18 (OpenCensus names) and
    since 1.19 (OpenTelemetry names) are both read.
    """
    from kpasim.records.prometheus.client import Client, token_from
    from kpasim.records.prometheus.observe import from_files, from_server

    zone = _zone(time_zone)
    window = _window(since, begin, end, zone)
    if prometheus and files:
        raise click.UsageError("give FILES or --prometheus, not both")
    if prometheus:
        if not (namespace and service):
            raise click.UsageError("--prometheus needs --namespace and --service")
        client = Client(prometheus, token=token_from(token_file), insecure=insecure, note=note)
        observation = from_server(
            client,
            service=service,
            namespace=namespace,
            window_s=window or _window("24h", None, None, zone) or (0.0, 0.0),
            step_s=_duration(step, "--step") if step else 0.0,
            matchers=[_matcher(label) for label in labels],
            time_zone=time_zone,
            note=note,
        )
    elif files:
        for name, value in {"--step": step, "--token-file": token_file, "--label": labels}.items():
            if value:
                raise click.UsageError(f"{name} goes with --prometheus")
        observation = from_files(files, service=service, namespace=namespace, window_s=window, time_zone=time_zone)
    else:
        raise click.UsageError("give --prometheus URL, or FILES")
    folder = Path(out) if out else Path("observations") / observation.service
    observation.write(folder)
    if as_json:
        print_json(observation.metadata() | {"folder": str(folder)})
    else:
        show(observation, zone)
    note(f"Observation: {folder}")


def show(observation: Observation, zone: ZoneInfo) -> None:
    """Print what was found, what it cannot say and what is missing."""
    import numpy as np

    from kpasim.results.display import seconds

    length = seconds(observation.end_s - observation.begin_s)
    window = f"{_date(observation.begin_s, zone)} to {_date(observation.end_s, zone)} ({length})"
    lines = [("Service", f"{observation.namespace}/{observation.service}"), ("Window", window)]
    for role, what in (("queue-proxy", "at the pods"), ("activator", "through the activator")):
        counters = observation.find("http_server_request_duration_seconds_count", role)  # type: ignore[arg-type]
        if counters:
            lines.append(("Requests", f"{sum(s.increments().sum() for s in counters):,.0f} {what} (responses counted)"))
    ready = observation.find("kn_revision_pods_count", "autoscaler")
    if ready:
        lines.append(("Pods", f"peak {max(np.nanmax(s.values, initial=0) for s in ready):.0f} ready in a revision"))
    lives = [f"{r.name} ({_date(r.first_s, zone)} to {_date(r.last_s, zone)})" for r in observation.revisions]
    lines += [("Revision", text) for text in _few(lives)]
    lines.append(("Names", NAMES[observation.generation]))
    intervals = ", ".join(f"{role} {step_s:g} s" for role, step_s in observation.interval_s.items())
    kind = "Step" if observation.step_s else "Interval"
    lines.append((kind, f"{observation.step_s:g} s (query_range)" if observation.step_s else intervals))
    if observation.histogram_step_s != observation.step_s:
        lines.append(("", f"histograms {observation.histogram_step_s:g} s"))
    gaps = [
        f"{_date(g.begin_s, zone)}, {seconds(g.end_s - g.begin_s)}, {g.instance or 'all'}" for g in observation.gaps
    ]
    lines += [("Gap", text) for text in _few(gaps)]
    resets = [f"{_date(r.after_s, zone)}, {r.role} {r.pod or r.instance}" for r in observation.resets]
    lines += [("Reset", text) for text in _few(resets)]
    lines += [("Missing", text) for text in observation.missing]
    lines += [("Note", text) for text in observation.notes]
    lines.append(("Series", f"{len(observation.series):,} with {observation.samples:,} samples"))
    for heading, text in lines:
        click.echo(f"{heading:9} {text}")


def _few(texts: list[str]) -> list[str]:
    return texts if len(texts) <= SHOWN else [*texts[:SHOWN], f"and {len(texts) - SHOWN} more (observation.json)"]


def _date(unix_s: float, zone: ZoneInfo) -> str:
    return f"{datetime.fromtimestamp(unix_s, zone):%Y-%m-%d %H:%M:%S %Z}"


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        message = f"{name!r} is no time zone (such as Europe/Berlin)"
        raise click.BadParameter(message, param_hint="--time-zone") from None


def _duration(text: str, option: str) -> float:
    """A duration of Go's form, days among its units as Prometheus has them [s]."""
    from kpasim.spec.quantities import seconds

    days, _, rest = text.partition("d") if text[:1].isdigit() and "d" in text else ("", "", text)
    try:
        result = (float(days) * 86400 if days else 0.0) + (seconds(rest) if rest else 0.0)
    except ValueError:
        raise click.BadParameter(f"{text!r} is no duration (such as 7d, 24h or 90m)", param_hint=option) from None
    if not result > 0:
        raise click.BadParameter(f"must be above 0 (it is {text})", param_hint=option)
    return result


def _moment(text: str, option: str, zone: ZoneInfo) -> float:
    from kpasim.records.record import iso, unix_s

    try:
        date = datetime.fromisoformat(text)
    except ValueError:
        try:
            number = unix_s(float(text))
        except ValueError:
            number = 0.0
        if number >= LEAST_UNIX_S and iso(number):
            return number
        message = f"{text!r} is no date (such as 2026-11-02 or 2026-11-02T08:00+01:00)"
        raise click.BadParameter(message, param_hint=option) from None
    if date.tzinfo:
        return date.timestamp()
    first, second = (date.replace(tzinfo=zone, fold=fold) for fold in (0, 1))
    if first.utcoffset() != second.utcoffset():
        often = "twice" if first.timestamp() < second.timestamp() else "not at all"
        message = f"{text} is there {often} in {zone.key}: give its offset, such as {first.isoformat()}"
        raise click.BadParameter(message, param_hint=option)
    return first.timestamp()


def _window(since: str | None, begin: str | None, end: str | None, zone: ZoneInfo) -> tuple[float, float] | None:
    if since and begin:
        raise click.UsageError("give --since or --from, not both")
    if not (since or begin or end):
        return None
    to = _moment(end, "--to", zone) if end else datetime.now(zone).timestamp()
    since_s = _duration(since or "24h", "--since")
    start = _moment(begin, "--from", zone) if begin else to - since_s
    if start >= to:
        raise click.UsageError("--from must be before --to")
    return start, to


def _matcher(label: str) -> str:
    import json
    import re

    name, equals, value = label.partition("=")
    if not equals or not re.fullmatch(r"[a-zA-Z_]\w*", name):
        raise click.BadParameter(f"{label!r} must be NAME=VALUE, such as cluster=prod", param_hint="--label")
    return f"{name}={json.dumps(value, ensure_ascii=False)}"
