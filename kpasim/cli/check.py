"""`kpasim check`: what is surprising in a manifest or an experiment."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from kpasim.cli import options
from kpasim.cli.output import note, print_json

if TYPE_CHECKING:
    from kpasim.studies.check import Finding

_COLOUR = {"error": "red", "warning": "yellow", "note": "cyan"}


@click.command(epilog="\b\nTry: kpasim check experiments/hey50x5.yaml")
@click.argument("file", type=click.Path())
@click.option("--strict", is_flag=True, help="Exit with status 3 on warnings, too.")
@click.option("--quiet", is_flag=True, help="Leave out notes, reasons and fixes.")
@click.option("--no-trials", is_flag=True, help="Do not simulate the fixes.")
@options.settings
@options.as_json
@click.pass_context
def command(
    ctx: click.Context,
    file: str,
    strict: bool,
    quiet: bool,
    no_trials: bool,
    settings: tuple[str, ...],
    as_json: bool,
) -> None:
    """Say what is surprising or wrong in FILE, a Service manifest or an experiment.

    Nothing is sent to a cluster. Fixes that are settings of an experiment are simulated, and advised only if they help.
    The exit status is 1 where something will not work, 3 with --strict where something will hurt, and 0 otherwise.
    """
    from kpasim.spec.settings import parse_settings
    from kpasim.studies.check import LEVELS, check_file, is_manifest

    found = check_file(file, parse_settings(settings), trials=not (no_trials or quiet))
    counts = {level: sum(one.level == level for one in found) for level in LEVELS}
    if as_json:
        print_json({"file": file, "counts": counts, "findings": [one.to_dict() for one in found]})
    else:
        for one in found:
            if not (quiet and one.level == "note"):
                show(one, brief=quiet)
        listed = ", ".join(f"{count} {level}{'s' if count != 1 else ''}" for level, count in counts.items())
        note(f"{file}: {listed}")
        if not counts["error"]:
            note(f"Next: kpasim {'manifest import' if is_manifest(file) else 'run'} {file}")
    if counts["error"]:
        ctx.exit(1)
    if strict and counts["warning"]:
        ctx.exit(3)


def show(finding: Finding, *, brief: bool) -> None:
    """Print one finding."""
    import textwrap

    where = f"{finding.path}:{finding.line}: " if finding.line else f"{finding.path}: " if finding.path else ""
    click.echo(f"{click.style(finding.level, fg=_COLOUR[finding.level], bold=True)}  {where}{finding.place}")
    lines = [finding.what, f"Why: {finding.why}", f"Fix: {finding.fix}"]
    if finding.tried:
        lines.append(f"Tried: {finding.tried}")
    for line in lines[:1] if brief else lines:
        click.echo(textwrap.fill(line, 110, initial_indent="  ", subsequent_indent="       "))
