"""The page as HTML; what is in it is filled in by its script from what the server sends."""

from __future__ import annotations

from kpasim import __version__
from kpasim.report.markup import Content, Html, element, figure, in_script
from kpasim.report.words import load_words
from kpasim.results.cost import Price, price_list
from kpasim.spec.catalogue import Entry, entries
from kpasim.spec.quick import flow
from kpasim.ui.knobs import SHAPES
from kpasim.ui.source import Source

PODS_HEIGHT, LATENCY_HEIGHT, ACROSS_HEIGHT = 400, 330, 400
TRACE = "recorded trace"
"""The shape of a load that comes from a file."""


def page(source: Source, token: str) -> str:
    """The page.

    Args:
        source: What it is about.
        token: What its requests must carry.
    """
    experiment = source.experiment
    config = {
        "name": source.name,
        "shapes": SHAPES,
        "trace": TRACE,
        "models": [_model(one) for one in entries() if one.time_s is not None],
        "prices": [_price(name, one) for name, one in price_list().items()],
    }
    head = [
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("link", rel="icon", href="data:,"),
        element("title", f"{source.name} · kpasim"),
        *(element("link", rel="stylesheet", href=_asset(name, token)) for name in ("page.css", "ui.css")),
        element("script", src=_asset("theme.js", token)),
    ]
    body = [
        element("a", "To the settings", href="#settings", class_="skip"),
        element(
            "header",
            element("p", f"kpasim {__version__}", class_="brand"),
            element("h1", source.name),
            element(
                "p", f"{load_words(experiment.workload)} · {experiment.service.name}", id="subtitle", class_="subtitle"
            ),
            element("button", "Dark", type="button", id="theme", aria_pressed="false", title="Light or dark"),
        ),
        element("noscript", element("p", "This page needs JavaScript.", class_="note")),
        element("main", _figures(), _settings(), _results(), id="content"),
        element("div", id="toast", role="status", aria_live="polite"),
        Html(f'<script type="application/json" id="config">{in_script(config)}</script>'),
        *(element("script", src=_asset(name, token)) for name in ("plotly.js", "draw.js", "ui.js")),
    ]
    return f"<!doctype html>\n{element('html', element('head', head), element('body', body), lang='en')}\n"


def _model(one: Entry) -> dict[str, str]:
    """A row of `kpasim models`, and what it sets."""
    time = f"{one.time_s:g} s" if one.time_s is not None else ""
    about = f"{one.title}, on {one.gpu}: {one.kind}, {one.how} ({one.source}{f', {one.date}' if one.date else ''})"
    return {"label": f"{one.name}: {time}, {one.kind}", "about": about, "value": flow(one.service_time)}


def _price(name: str, one: Price) -> dict[str, str]:
    """A row of `kpasim prices`, and what it sets."""
    doubt = f"{'estimated' if one.estimate else 'published'}{', stale' if one.stale else ''}"
    machine = {"name": name, "price-per-hour": one.per_hour, "currency": one.currency, "gpus": one.gpus}
    return {
        "label": f"{name} ({one.gpus} x {one.gpu}): {one.per_hour:g} {one.currency}, {doubt}",
        "about": f"{one.source} ({', '.join(word for word in (one.region, one.date or 'no date') if word)}).",
        "value": flow([machine]),
    }


def _asset(name: str, token: str) -> str:
    return f"/assets/{name}?token={token}"


def _figures() -> Html:
    """The figures that people ask for first."""
    return element(
        "section",
        element("h2", "Figures", class_="unseen"),
        element("ul", id="tiles", class_="tiles"),
        element(
            "div",
            element("p", "Starting the simulator ...", id="status", role="status"),
            element("progress", id="progress", max="1", value="0", aria_label="Replications finished", hidden=True),
            class_="state",
        ),
        id="figures",
        aria_label="Figures",
    )


def _settings() -> Html:
    """Left: settings, manifest, and what leaves the page."""
    return element(
        "section",
        element("h2", "Settings", class_="unseen"),
        element(
            "div",
            _button("pin", "Pin this variant", "Draw the next variant over this one"),
            _button("unpin", "Remove the pin", hidden=True),
            _button("undo-all", "Undo all", hidden=True),
            class_="tools",
        ),
        element("ul", id="changes", class_="changes", aria_label="Changed settings"),
        element("ul", id="problems", class_="problems", role="alert"),
        element("div", id="knobs"),
        _group(
            "Manifest",
            element("label", "Service or InferenceService, YAML", for_="manifest"),
            element(
                "div",
                element("pre", "1", id="gutter", aria_hidden="true"),
                element("textarea", id="manifest", spellcheck="false", autocomplete="off", autocapitalize="off",
                        rows="22", wrap="off", aria_describedby="lines"),
                class_="editor",
            ),
            element("ul", id="lines", class_="problems", role="status"),
            element("ul", id="findings", class_="findings", aria_label="What kpasim check says"),
            id_="group-manifest",
        ),
        _group(
            "Copy and save",
            element("p", "This command gives the numbers of the page:", class_="soft"),
            element("pre", element("code", id="command"), tabindex="0", aria_label="Command"),
            element("p", "This command compares the pinned variant with this one:", class_="soft compare"),
            element("pre", element("code", id="compare"), tabindex="0", class_="compare",
                    aria_label="Command of the comparison"),
            element(
                "div",
                _button("copy-command", "Copy the command"),
                _button("copy-compare", "Copy the comparison", hidden=True),
                _button("copy-manifest", "Copy the manifest"),
                _button("copy-diff", "Copy its diff"),
                _button("copy-address", "Copy the address"),
                _button("save-experiment", "Save the experiment"),
                _button("save-report", "Save the HTML report"),
                class_="tools",
            ),
            id_="group-out",
        ),
        id="settings",
        aria_label="Settings",
    )  # fmt: skip


def _results() -> Html:
    """Right: what happened."""
    return element(
        "section",
        element("h2", "Results", class_="unseen"),
        element("ul", id="troubles", class_="story", aria_label="What went wrong"),
        figure(
            "pods",
            "Pods over time",
            "Areas: pods of the median run by state, of long runs as means. Dotted: the band that holds the "
            "ready pods of 90 % of runs. Each mark is a decision of the autoscaler; point at it, or press the arrow "
            "keys, for the reason.",
            PODS_HEIGHT,
            keys=True,
        ),
        element(
            "div",
            _panel("In words", element("ul", id="told", class_="story")),
            _panel("Why it scaled", element("ul", id="why", class_="story")),
            class_="grid",
        ),
        element(
            "div",
            figure(
                "latency",
                "Latency",
                "The line is the median run; marks are percentiles of all runs with their intervals.",
                LATENCY_HEIGHT,
            ),
            _panel(
                "All figures",
                element("p", id="compared", class_="soft", hidden=True),
                element(
                    "div",
                    element("table", id="rows"),
                    class_="scroll",
                    tabindex="0",
                    role="region",
                    aria_label="Table of all figures",
                ),
            ),
            class_="grid",
        ),
        element(
            "section",
            element("h3", "Across one setting"),
            element(
                "div",
                element("label", "Setting", for_="across-path"),
                element("select", id="across-path"),
                _button("across-run", "Simulate its range"),
                class_="tools",
            ),
            element("p", id="across-status", class_="soft", role="status"),
            element("div", class_="chart", id="chart-across", style=f"height:{ACROSS_HEIGHT}px", tabindex="0",
                    role="group", aria_label="p95 and cost over the range of a setting", hidden=True),
            element("div", element("table", id="across-rows"), class_="scroll", tabindex="0", role="region",
                    aria_label="p95 and cost over the range", hidden=True, id="across-table"),
            class_="panel",
            aria_label="Across one setting",
        ),
        id="results",
        aria_label="Results",
    )  # fmt: skip


def _panel(title: str, *content: Content) -> Html:
    return element("section", element("h3", title), *content, class_="panel", aria_label=title)


def _group(title: str, *content: Content, id_: str) -> Html:
    return element("details", element("summary", title), *content, open=True, class_="group", id=id_)


def _button(name: str, text: str, title: str | None = None, *, hidden: bool = False) -> Html:
    return element("button", text, type="button", id=name, title=title, hidden=hidden)
