"""`kpasim prices`: prices of GPU instances to begin with."""

from dataclasses import asdict

import click

from kpasim.cli import options
from kpasim.cli.output import note, print_json, show_tables


@click.command(epilog="\b\nTry: kpasim prices T4")
@click.argument("word", required=False)
@options.as_json
def command(word: str | None, as_json: bool) -> None:
    """List prices of GPU instances, each with source and date; with WORD those of a GPU, a type or a region.

    An experiment uses them for the instance types that it names, unless it gives a price-per-hour itself.
    """
    from kpasim.errors import RunError
    from kpasim.results.cost import price_list
    from kpasim.results.display import Table, number

    wanted = (word or "").lower()
    found = {
        name: one
        for name, one in price_list().items()
        if wanted in f"{name} {one.gpu} {one.region} {one.currency}".lower()
    }
    if not found:
        raise RunError(f"{word}: no such GPU, instance type or region (kpasim prices lists all)")
    if as_json:
        print_json([{"name": name, "kind": one.kind, **asdict(one)} for name, one in found.items()])
        return
    rows = [
        (name, f"{one.gpus} x {one.gpu}" if one.gpus > 1 else one.gpu, number(one.per_hour), one.currency, one.standing,
         one.date or "no date", one.region, one.source)
        for name, one in found.items()
    ]  # fmt: skip
    columns = ("instance type", "GPUs", "an hour", "", "", "date", "region", "source")
    show_tables(Table("", columns, rows, ["an hour"], ["instance type"]))  # names are typed again, so none is broken
    note("List prices as others quote them; ask your provider for yours and give price-per-hour in the experiment.")
