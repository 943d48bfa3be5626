"""`python -m kpasim.server`: the txt2img server without the rest of kpasim."""

import sys

import click

from kpasim.errors import KpasimError
from kpasim.server.command import command


def main() -> None:
    """Run the command; errors that a user can mend are shown as a message."""
    try:
        command.main(prog_name="python -m kpasim.server", standalone_mode=True)
    except KpasimError as err:
        click.echo(f"Error: {err}", err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
