"""The page as HTML; what is in it is filled in by its script from what the server sends."""

from __future__ import annotations

from importlib import resources
from string import Template

from kpasim import __version__
from kpasim.report.answer import load_words
from kpasim.report.markup import figure, in_script, text
from kpasim.results.cost import Price, price_list
from kpasim.spec.catalogue import Entry, entries
from kpasim.spec.quick import flow
from kpasim.ui.knobs import SHAPES
from kpasim.ui.source import Source

PODS = figure(
    "pods",
    "Pods over time",
    "Areas: pods of the median run by state, of long runs as means. Dotted: the band that holds the ready pods of 90 % "
    "of runs. Each mark is a decision of the autoscaler; point at it, or press the arrow keys, for the reason.",
    400,
    keys=True,
)
LATENCY = figure(
    "latency", "Latency", "The line is the median run; marks are percentiles of all runs with their intervals.", 330
)
TRACE = "recorded trace"
"""The shape of a load that comes from a file."""


def page(source: Source, token: str) -> str:
    """The page, whose requests carry the token."""
    config = {
        "name": source.name,
        "shapes": SHAPES,
        "trace": TRACE,
        "models": [_model(one) for one in entries() if one.time_s is not None],
        "prices": [_price(name, one) for name, one in price_list().items()],
    }
    template = resources.files("kpasim.ui").joinpath("assets", "page.html").read_text(encoding="utf-8")
    return Template(template).substitute(
        name=text(source.name),
        version=__version__,
        load=text(load_words(source.experiment.workload)),
        service=text(source.experiment.service.name),
        token=token,
        pods=PODS,
        latency=LATENCY,
        config=in_script(config),
    )


def _model(one: Entry) -> dict[str, str]:
    """A row of `kpasim models`, and what it sets."""
    time = f"{one.time_s:g} s" if one.time_s is not None else ""
    about = f"{one.title}, on {one.gpu}: {one.kind}, {one.how} ({one.source}{f', {one.date}' if one.date else ''})"
    return {"label": f"{one.name}: {time}, {one.kind}", "about": about, "value": flow(one.service_time)}


def _price(name: str, one: Price) -> dict[str, str]:
    """A row of `kpasim prices`, and what it sets."""
    machine = {"name": name, "price-per-hour": one.per_hour, "currency": one.currency, "gpus": one.gpus}
    return {
        "label": f"{name} ({one.gpus} x {one.gpu}): {one.per_hour:g} {one.currency}, {one.standing}",
        "about": f"{one.source} ({', '.join(word for word in (one.region, one.date or 'no date') if word)}).",
        "value": flow([machine]),
    }
