"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypedDict

import click

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]

seed: Decorator = click.option("--seed", type=click.IntRange(0), help="Seed of all random numbers.")
settings: Decorator = click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="PATH=VALUE",
    help="Change a setting, such as model.cold-start=30s; repeatable. kpasim explain lists the paths.",
)
as_json: Decorator = click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")

openmetrics: Decorator = click.option(
    "--openmetrics",
    type=click.Path(dir_okay=False),
    metavar="FILE",
    help="Write the prediction as series (kpasim_...) for Prometheus and Grafana.",
)

cluster_config: Decorator = click.option(
    "--cluster-config",
    "cluster_config",
    multiple=True,
    type=click.Path(),
    metavar="FILE",
    help="ConfigMaps of the cluster, a List of them, or a KnativeServing of Knative's operator; repeatable.",
)


class Quick(TypedDict):
    """What `of_manifest` gives a command."""

    hey_flags: str | None
    service_time: str | None
    cold_start: str | None


def of_manifest(function: Callable[..., Any]) -> Callable[..., Any]:
    """Options that make an experiment of a manifest."""
    for option, metavar, text in (
        ("--cold-start", "TIME", "With a manifest: time from pod creation to its first response."),
        ("--service-time", "TIME", "With a manifest: service time of a request, such as 11s."),
    ):
        function = click.option(option, metavar=metavar, help=text)(function)
    hey = click.option(
        "--hey", "hey_flags", metavar="FLAGS", help="With a manifest: hey's flags, such as '-n 50 -c 5 -t 180'."
    )
    return hey(function)


def engine(further: str = "") -> Decorator:
    """The choice of the engine; ``further`` goes on after the words that every command has."""
    return click.option(
        "--engine",
        type=click.Choice(["auto", "compiled", "reference"]),
        default="auto",
        show_default=True,
        help=f"auto: the engine that finishes first{further}.",
    )


def model_named(name: str) -> dict[str, Any]:
    """The model that --model names: a file, or one that comes with kpasim.

    Raises:
        BadParameter: There is none.
    """
    from kpasim.spec.experiment import find_model, read_model

    path = find_model(name)
    if path is None:
        raise click.BadParameter(f"{name!r} is neither a file nor the name of a model", param_hint="--model")
    return dict(read_model(path)[1])
