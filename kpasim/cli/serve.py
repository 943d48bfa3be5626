"""`kpasim serve`: the services that kpasim deploys."""

import click

from kpasim.server.command import command as txt2img


@click.group(epilog="\b\nTry: kpasim serve txt2img --random-weights tiny --port 7860")
def command() -> None:
    """Run one of the services that kpasim deploys."""


command.add_command(txt2img)
