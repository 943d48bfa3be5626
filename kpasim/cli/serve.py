"""`kpasim serve`: the services that kpasim deploys."""

from __future__ import annotations

import click

from kpasim.server.command import command as txt2img


@click.group("serve")
def command() -> None:
    """Run one of the services that kpasim deploys.

    \b
    Example:
      kpasim serve txt2img --random-weights tiny --port 7860
    """  # noqa: D301  # click reads the \b


command.add_command(txt2img)
