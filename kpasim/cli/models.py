"""`kpasim models`: service times to begin with."""

from dataclasses import asdict

import click

from kpasim.cli import options
from kpasim.cli.output import note, print_json, show_tables

NARROW = 72
"""Letters of a source that are shown."""


@click.command(epilog="\b\nTry: kpasim models sdxl")
@click.argument("word", required=False)
@options.as_json
def command(word: str | None, as_json: bool) -> None:
    """List service times of models on GPUs, each with source and date; with WORD those of a model or a GPU.

    Use a name of the list with `kpasim init --model NAME`. The model files that come with kpasim have cold starts, too.
    """
    from kpasim.errors import RunError
    from kpasim.results.display import NOTHING, Table, number
    from kpasim.spec.catalogue import entries
    from kpasim.spec.experiment import read_model, shipped_models

    wanted = (word or "").lower()
    found = [one for one in entries() if wanted in f"{one.name} {one.title}".lower()]
    files = {path.stem: read_model(path)[0] for path in sorted(shipped_models().glob("*.yaml"))}
    files = {name: model for name, model in files.items() if wanted in f"{name} {model.description}".lower()}
    if not found and not files:
        raise RunError(f"{word}: no such model or GPU (kpasim models lists all)")
    if as_json:
        listed = [{"name": name, "description": one.description, "provisional": one.provisional}
                  for name, one in files.items()]  # fmt: skip
        print_json({"service_times": [asdict(one) for one in found], "models": listed})
        return
    rows = []
    for one in found:
        source = one.source if len(one.source) <= NARROW else f"{one.source[: NARROW - 1]}…"
        if one.time_s is None:
            rows.append((one.name, NOTHING, "does not fit", "", f"{one.weights_gb:g} GB of weights"))
        else:
            rows.append((one.name, f"{number(one.time_s)} s", one.kind, one.date or "no date", source))
    title = "Service time of one request that has the GPU to itself"
    times = Table(title, ("name", "time", "", "date", "source"), rows, ["time"], ["name"])
    shipped = [(name, "provisional" if one.provisional else "", one.description) for name, one in files.items()]
    title = "Model files that come with kpasim (model: NAME)"
    models = Table(title, ("name", "", "description"), shipped, whole=["name"])
    show_tables(*(table for table in (times, models) if table.rows))
    for title in dict.fromkeys(f"{one.workload}: {one.title}" for one in found):
        note(title)
    note("How each time follows from its source: kpasim models --json. Measure your own: kpasim calibrate.")
