"""`kpasim check`: what is surprising in manifests and experiments."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from kpasim.cli import options
from kpasim.cli.output import note, print_json
from kpasim.results.display import counted

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from kpasim.studies.check import Finding

FORMATS = ("text", "github", "sarif", "json")


@click.command(epilog="\b\nTry: kpasim check experiments/hey50x5.yaml")
@click.argument("files", nargs=-1, required=True, type=click.Path(), metavar="FILE...")
@click.option("--strict", is_flag=True, help="Exit with status 3 on warnings, too.")
@click.option("--quiet", is_flag=True, help="Leave out notes, reasons and fixes.")
@click.option(
    "--skip-others", is_flag=True, help="Leave out each FILE without a Service or an experiment, as in a folder."
)
@click.option("--no-trials", is_flag=True, help="Do not simulate the fixes.")
@click.option(
    "--format",
    "form",
    type=click.Choice(FORMATS),
    default="text",
    show_default=True,
    help="github: annotations of a workflow; sarif: a log for code scanners.",
)
@options.cluster_config
@options.settings
@options.as_json
def command(
    files: tuple[str, ...],
    strict: bool,
    quiet: bool,
    skip_others: bool,
    no_trials: bool,
    form: str,
    cluster_config: tuple[str, ...],
    settings: tuple[str, ...],
    as_json: bool,
) -> None:
    """Say what is surprising or wrong in each FILE: Services, InferenceServices of KServe, experiments, or a folder.

    All Services of a file are checked, or the one of FILE#NAME. Nothing is sent to a cluster. Fixes that are settings
    of an experiment are simulated, and advised only if they help. Exit status 1: an error, which will not work. Exit
    status 3: with --strict, a warning.
    """
    from kpasim.errors import FileError
    from kpasim.spec.settings import parse_settings
    from kpasim.studies.check import check_file, unreadable
    from kpasim.studies.check.files import files_in

    form = "json" if as_json else form
    chosen = files_in(files, skip_others=skip_others)
    found: dict[str, list[Finding]] = {}
    for file in chosen.files:
        try:
            found[file] = check_file(
                file, parse_settings(settings), trials=not (no_trials or quiet), cluster_config=cluster_config
            )
        except FileError as error:
            if form == "text" and len(chosen.files) == 1:
                raise
            found[file] = unreadable(error)
    counts = _counts([one for each in found.values() for one in each])
    _print(found, counts, form, quiet=quiet)
    if chosen.left_out:
        note(f"{counted(len(chosen.left_out), 'YAML file')} without a Service or an experiment left out")
    if not chosen.files and not skip_others:
        raise click.UsageError(f"no file with a Service or an experiment in {', '.join(files)}")
    if counts["error"]:
        raise click.exceptions.Exit(1)
    if strict and counts["warning"]:
        raise click.exceptions.Exit(3)


def _print(found: Mapping[str, Sequence[Finding]], counts: Mapping[str, int], form: str, *, quiet: bool) -> None:
    """Print all findings in a format."""
    from kpasim.cli import findings

    shown = [(file, one) for file, each in found.items() for one in each if not (quiet and one.level == "note")]
    if form == "json":
        listed = [_json(file, each) for file, each in found.items()]
        print_json(listed[0] if len(listed) == 1 else {"counts": dict(counts), "files": listed})
    elif form == "sarif":
        from kpasim import __version__

        print_json(findings.sarif(shown, __version__))
    elif form == "github":
        for file, one in shown:
            click.echo(findings.github(file, one))
    else:
        for _, one in shown:
            findings.show(one, brief=quiet)
        for file, each in found.items():
            note(f"{file}: {_counted(_counts(each))}")
        if len(found) > 1:
            note(f"{len(found)} files: {_counted(counts)}")
        elif found and not counts["error"]:
            _next_step(next(iter(found)))


def _json(file: str, found: Sequence[Finding]) -> dict[str, object]:
    return {"file": file, "counts": _counts(found), "findings": [asdict(one) for one in found]}


def _counts(found: Sequence[Finding]) -> dict[str, int]:
    from kpasim.studies.check import LEVELS

    return {level: sum(one.level == level for one in found) for level in LEVELS}


def _counted(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {level}{'s' if count != 1 else ''}" for level, count in counts.items())


def _next_step(file: str) -> None:
    """Say what to do with a file that can be used."""
    from kpasim.spec.objects import reference, services_of, split_name
    from kpasim.studies.check import is_manifest

    if not is_manifest(file):
        note(f"Next: kpasim run {file}")
        return
    services = services_of(file)
    named = f"#{reference(services[0])}" if len(services) > 1 else ""
    note(f"Next: kpasim manifest import {split_name(file)[0] if named else file}{named}")
