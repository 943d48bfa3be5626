"""`kpasim explain`: what a key of an experiment means."""

from __future__ import annotations

import textwrap
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from kpasim.cli import options
from kpasim.cli.output import print_json
from kpasim.results.display import counted

if TYPE_CHECKING:
    from kpasim.spec.keys import Key


@click.command(epilog="\b\nTry: kpasim explain target-utilization-percentage")
@click.argument("key", required=False)
@options.as_json
def command(key: str | None, as_json: bool) -> None:
    """Explain KEY: meaning, type, default, and the source file in Knative.

    KEY is a path as --set takes it (model.cold-start.crash), or the end of one (max-scale). Without KEY: the paths of
    all settings.
    """
    from kpasim.errors import RunError
    from kpasim.spec.keys import find, keys, nearest

    if key is None:
        paths = list(dict.fromkeys(one.path for one in keys()))
        if as_json:
            print_json(paths)
        else:
            click.echo("\n".join(paths))
        return
    found = find(key)
    if not found:
        near = nearest(key)
        hint = f"did you mean {' or '.join(near)}?" if near else "kpasim explain lists all"
        raise RunError(f"{key}: no such key ({hint})")
    if as_json:
        print_json([asdict(one) for one in found])
        return
    alike: dict[tuple[str, str, str], list[Key]] = {}
    for one in found:
        alike.setdefault((one.meaning, one.takes, one.default), []).append(one)
    for place, (first, *others) in enumerate(alike.values()):
        if place:
            click.echo()
        show(first, others)


def show(key: Key, alike: list[Key]) -> None:
    """Print what a key means."""
    from kpasim.spec.keys import KNATIVE_SOURCE

    kinds = ", ".join(one.of for one in (key, *alike) if one.of and one.path == key.path)
    click.echo(f"{click.style(key.path, bold=True)}{f' ({kinds})' if kinds else ''}")
    others = list(dict.fromkeys(one.path for one in alike if one.path != key.path))
    more = f" and {counted(len(others) - 1, 'other path')}" if others[1:] else ""
    lines = [
        ("means", key.meaning.replace("`", "")),
        ("takes", key.takes.replace("`", "")),
        ("default", key.default),
        ("decided", f"in {KNATIVE_SOURCE}: {key.decided_in}" if key.decided_in else ""),
        ("also", f"{others[0]}{more}" if others else ""),
    ]
    for title, text in lines:
        if text:
            click.echo(textwrap.fill(text, 110, initial_indent=f"  {title:9}", subsequent_indent=" " * 11))
