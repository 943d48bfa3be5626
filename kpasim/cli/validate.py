"""`kpasim validate`: the experiment for real, beside its prediction."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, TypedDict, Unpack

import click

from kpasim.cli import options
from kpasim.cli.output import NOT_MET, UNDECIDED, note, print_json

if TYPE_CHECKING:
    from kpasim.cluster.discover import Gateway


class Given(TypedDict):
    """Options that are fields of `cluster.validate.Settings`."""

    target: str
    kubeconfig: str | None
    namespace: str | None
    image: str | None
    gateway: Gateway
    url: str | None
    host: str | None
    keep: bool
    adopt: bool
    dry_run: bool
    max_cost: float | None


@click.command("validate", epilog="\b\nTry: kpasim validate experiments/validate-local.yaml --target local")
@click.argument("experiment", type=click.Path(dir_okay=False))
@options.value(
    "--target",
    "local|CONTEXT|in-cluster",
    "The fake cluster on this machine, a context of the kubeconfig, or in-cluster in a pod of the cluster.",
    default="local",
    show_default=True,
)
@options.kubeconfig
@options.namespace
@options.value("--image", "IMAGE", "Image instead of the manifest's.")
@options.cluster_config
@options.settings
@options.value("--model", "NAME|FILE", "Predict with this model instead of calibrating.")
@options.value(
    "--calibrate-for",
    options.Amount(min=0, min_open=True),
    "Maximum time for the requests of the calibration; remaining uncertainty widens the intervals.",
    default=120.0,
    show_default=True,
    metavar="SECONDS",
)
@options.choice("--gateway", ["auto", "kourier", "istio", "alb"], "Gateway of the requests.")
@options.value("--url", "URL", "Send requests here instead of to the gateway.")
@options.value("--host", "NAME", "Host header of the requests, instead of the Service's.")
@options.value("--path", "PATH", "Path of each request.  [default: annotation of the Service, or /]")
@options.body(".  [default: annotation of the Service]")
@options.header
@options.flag("--keep", "Do not remove the Service after the run.")
@options.flag("--adopt", "Use an existing Service, and restore it afterwards.")
@options.flag("--dry-run", "Ask whether the cluster accepts the Service, and estimate the bill; send no load.")
@options.value("--max-cost", options.Amount(0), "Maximum cost: refuse or stop a run that exceeds it.", metavar="AMOUNT")
@options.value(
    "--ready-timeout",
    options.Amount(0),
    "Maximum time for the start of pods.",
    default=900.0,
    show_default=True,
    metavar="SECONDS",
)
@options.value("--out", click.Path(file_okay=False, path_type=Path), "Run folder.  [default: runs/NAME-TIME]")
@options.as_json
def command(
    *,
    experiment: str,
    cluster_config: tuple[str, ...],
    settings: tuple[str, ...],
    model: str | None,
    calibrate_for: float,
    path: str | None,
    body: str | None,
    headers: tuple[str, ...],
    ready_timeout: float,
    out: Path | None,
    as_json: bool,
    **given: Unpack[Given],
) -> None:
    """Run EXPERIMENT on a cluster and compare the measurement with the prediction.

    Deploys the experiment's Service or InferenceService, calibrates briefly (one cold start, requests until their mean
    is known to 3 %), freezes the prediction, sends the load, records pods, decisions and requests, compares, and
    removes what it created, also when it fails or is interrupted.

    Exit status 3 when a metric is outside the experiment's tolerances and outside its 90 % interval; 4 when the client
    or this machine was too busy to judge.

    The path and the body of requests come from the annotations kpasim.dev/load-path and kpasim.dev/load-body of the
    Service or InferenceService.
    """
    import datetime
    from dataclasses import replace

    from kpasim.errors import MissingExtraError
    from kpasim.spec.experiment import load
    from kpasim.spec.settings import parse_settings, with_settings

    try:
        from kpasim.cluster.deploy import Waits
        from kpasim.cluster.loadspec import parse_headers, read_bodies
        from kpasim.cluster.validate import Request, Settings, validate
    except ImportError as err:
        raise MissingExtraError("cluster", err) from err

    found = load(experiment, cluster_config=cluster_config)
    if model is not None:
        found = found.with_settings({"model": options.model_named(model)})
    found = with_settings(found, parse_settings(settings))
    request = Request.of(found)
    if path is not None:
        request = replace(request, path=path)
    if body is not None:
        request = replace(request, bodies=read_bodies(body))
    how = Settings(
        **given,
        request=replace(request, headers=parse_headers(headers)),
        calibrate=model is None,
        budget_s=calibrate_for,
        waits=Waits(ready_s=ready_timeout),
    )
    stamp = datetime.datetime.now().strftime("%Y%m%d-%H%M%S")
    report = validate(found, how, out or Path("runs") / f"{found.name}-{stamp}", note=note)
    if as_json:
        print_json(report.to_dict())
    elif report.folder is not None:
        for line in report.lines():
            click.echo(line)
    raise click.exceptions.Exit(UNDECIDED if report.not_judged else 0 if report.within else NOT_MET)
