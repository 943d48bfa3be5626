"""`kpasim check`: what is surprising in manifests and experiments."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import click

from kpasim import __version__
from kpasim.cli import options
from kpasim.cli.output import NOT_MET, WIDTH, note, print_json
from kpasim.errors import printable
from kpasim.results.display import counted

if TYPE_CHECKING:
    from kpasim.studies.check import Finding

FORMATS = ("text", "github", "sarif", "json")
_COLOUR = {"error": "red", "warning": "yellow", "note": "cyan"}
_GITHUB = {"error": "error", "warning": "warning", "note": "notice"}
SARIF_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"


@click.command(epilog="\b\nTry: kpasim check experiments/hey50x5.yaml")
@click.argument("files", nargs=-1, required=True, type=click.Path(), metavar="FILE...")
@options.flag("--strict", "Exit with status 3 on warnings, too.")
@options.flag("--quiet", "Leave out notes, reasons and fixes.")
@options.flag("--skip-others", "Leave out each FILE without a Service or an experiment, as in a folder.")
@options.flag("--no-trials", "Do not simulate the fixes.")
@options.choice("--format form", FORMATS, "github: annotations of a workflow; sarif: a log for code scanners.")
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
        raise click.exceptions.Exit(NOT_MET)


def _print(found: Mapping[str, Sequence[Finding]], counts: Mapping[str, int], form: str, *, quiet: bool) -> None:
    """Print all findings in a format."""
    shown = [(file, one) for file, each in found.items() for one in each if not (quiet and one.level == "note")]
    if form == "json":
        listed = [_json(file, each) for file, each in found.items()]
        print_json(listed[0] if len(listed) == 1 else {"counts": dict(counts), "files": listed})
    elif form == "sarif":
        print_json(sarif(shown))
    elif form == "github":
        for file, one in shown:
            click.echo(github(file, one))
    else:
        for _, one in shown:
            show(one, brief=quiet)
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


def show(finding: Finding, *, brief: bool) -> None:
    """Print a finding."""
    where = f"{finding.path}:{finding.line}: " if finding.line else f"{finding.path}: " if finding.path else ""
    where = printable(f"{where}{finding.place}")
    click.echo(f"{click.style(finding.level, fg=_COLOUR[finding.level], bold=True)}  {where}")
    lines = [finding.what, f"Why: {finding.why}", f"Fix: {finding.fix}"]
    if finding.tried:
        lines.append(f"Tried: {finding.tried}")
    for line in lines[:1] if brief else lines:
        click.echo(textwrap.fill(printable(line), WIDTH, initial_indent="  ", subsequent_indent="       "))


def github(file: str, finding: Finding) -> str:
    """A finding as a workflow command, which GitHub shows beside the line.

    Source:
        GitHub's documentation, "Workflow commands for GitHub Actions"; actions/toolkit, packages/core/src/command.ts
    """
    fields = {"file": finding.path or file, "line": finding.line or 1, "title": f"kpasim {finding.name}"}
    listed = ",".join(f"{key}={_escaped(str(value), ':,')}" for key, value in fields.items())
    message = f"{finding.place}: {finding.what}. {finding.fix}" if finding.place else f"{finding.what}. {finding.fix}"
    return f"::{_GITHUB[finding.level]} {listed}::{_escaped(message, '')}"


def _escaped(text: str, further: str) -> str:
    for character in f"%\r\n{further}":
        text = text.replace(character, f"%{ord(character):02X}")
    return text


def sarif(found: Sequence[tuple[str, Finding]]) -> dict[str, Any]:
    """Findings as a log of SARIF 2.1.0, which code scanners of GitHub, GitLab and others read.

    Source:
        OASIS, Static Analysis Results Interchange Format (SARIF) Version 2.1.0
    """
    names = list(dict.fromkeys(one.name for _, one in found))
    rules = [{"id": name, "shortDescription": {"text": name.replace("-", " ")}} for name in names]
    driver = {"name": "kpasim", "semanticVersion": __version__, "rules": rules}
    results = [
        {
            "ruleId": one.name,
            "ruleIndex": names.index(one.name),
            "level": one.level,
            "message": {"text": f"{one.place}: {one.what}. Why: {one.why} Fix: {one.fix}"},
            "locations": [
                {
                    "physicalLocation": {
                        "artifactLocation": {"uri": quote((one.path or file).replace("\\", "/"))},
                        "region": {"startLine": one.line or 1},
                    }
                }
            ],
        }
        for file, one in found
    ]
    return {"$schema": SARIF_SCHEMA, "version": "2.1.0", "runs": [{"tool": {"driver": driver}, "results": results}]}
