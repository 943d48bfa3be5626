"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

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
