"""Findings of `kpasim check` as text, as GitHub's annotations, as SARIF, and as JSON."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import click

from kpasim.errors import printable

if TYPE_CHECKING:
    from kpasim.studies.check import Finding

_COLOUR = {"error": "red", "warning": "yellow", "note": "cyan"}
_GITHUB = {"error": "error", "warning": "warning", "note": "notice"}
SARIF_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"


def show(finding: Finding, *, brief: bool) -> None:
    """Print a finding."""
    where = f"{finding.path}:{finding.line}: " if finding.line else f"{finding.path}: " if finding.path else ""
    where = printable(f"{where}{finding.place}")
    click.echo(f"{click.style(finding.level, fg=_COLOUR[finding.level], bold=True)}  {where}")
    lines = [finding.what, f"Why: {finding.why}", f"Fix: {finding.fix}"]
    if finding.tried:
        lines.append(f"Tried: {finding.tried}")
    for line in lines[:1] if brief else lines:
        click.echo(textwrap.fill(printable(line), 110, initial_indent="  ", subsequent_indent="       "))


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


def sarif(found: Sequence[tuple[str, Finding]], version: str) -> dict[str, Any]:
    """Findings as a log of SARIF 2.1.0, which code scanners of GitHub, GitLab and others read.

    Source:
        OASIS, Static Analysis Results Interchange Format (SARIF) Version 2.1.0
    """
    names = list(dict.fromkeys(one.name for _, one in found))
    rules = [{"id": name, "shortDescription": {"text": name.replace("-", " ")}} for name in names]
    driver = {"name": "kpasim", "semanticVersion": version, "rules": rules}
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
