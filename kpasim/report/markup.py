"""HTML that is safe by construction, and the frame of a page that needs nothing but itself.

Whatever is not `Html` is text and becomes text: a run folder may come from anyone, so no string of it can open a tag,
end a script or load anything. A content security policy inside the page says the same to the browser: only the page's
own scripts run, known by their hashes, and nothing is fetched from anywhere.
"""

import base64
import hashlib
import html
import json
from collections.abc import Iterable, Mapping, Sequence
from importlib import resources
from string import Template

from kpasim.report.drawing import Chart
from kpasim.results.display import Table

VOID = {"br", "hr", "input", "col"}


class Html(str):
    """Markup: a string that needs no escaping any more."""

    __slots__ = ()


Content = str | int | float | None | Iterable["Content"]
"""Markup, text, or any number of both."""


def element(tag: str, *content: Content, **attributes: str | bool | None) -> Html:
    """An element with content and attributes.

    Args:
        tag: Its name.
        content: `Html` is taken as it is, everything else as text.
        attributes: ``None`` and ``False`` are left out, ``True`` has no value; a trailing underscore is dropped and
            underscores become hyphens (``class_``, ``aria_label``).
    """
    opening = f"<{tag}"
    for name, value in attributes.items():
        if value is not None and value is not False:
            given = "" if value is True else f'="{html.escape(str(value))}"'
            opening += f" {name.rstrip('_').replace('_', '-')}{given}"
    opening += ">"
    return Html(opening if tag in VOID else f"{opening}{text(*content)}</{tag}>")


def text(*content: Content) -> Html:
    """Content as markup."""
    parts = []
    for one in content:
        if isinstance(one, Html):
            parts.append(str(one))
        elif isinstance(one, str | int | float):
            parts.append(html.escape(_printable(str(one))))
        elif one is not None:
            parts.append(text(*one))
    return Html("".join(parts))


def paragraphs(lines: Iterable[Content]) -> Html:
    """A paragraph for each."""
    return Html("".join(element("p", line) for line in lines))


def table(found: Table) -> Html:
    """A table with its headings; the first cell of each row is its heading."""
    columns, body = found.columns, []
    classes = ["number" if column in found.numbers else None for column in columns]
    head = [element("th", column, scope="col", class_=kind) for column, kind in zip(columns, classes, strict=True)]
    for place, (first, *others) in enumerate(found.rows):
        cells = [element("td", cell, class_=kind) for cell, kind in zip(others, classes[1:], strict=True)]
        body.append(
            element("tr", element("th", first, scope="row", class_=classes[0]), cells, class_=found.looks.get(place))
        )
    inner = [element("caption", found.title), element("thead", element("tr", head)), element("tbody", body)]
    drawn = element("div", element("table", inner), class_="scroll", tabindex="0", role="region",
                    aria_label=found.title)  # fmt: skip
    return Html(drawn + element("p", found.caption)) if found.caption else drawn


def figure(name: str, title: str, caption: Content, height: int, *, keys: bool = False) -> Html:
    """The place of a chart, so many pixels high; with ``keys`` the arrow keys step through its decisions."""
    hint = "; arrow keys step through the decisions" if keys else ""
    chart = element(
        "div",
        class_="chart",
        id=f"chart-{name}",
        style=f"height:{height}px",
        tabindex="0",
        role="group",  # not img: plotly's buttons are inside
        aria_label=f"{title}{hint}",
        data_keys=keys,
    )
    live = element("p", class_="spoken", id=f"spoken-{name}", aria_live="polite") if keys else ""
    return element("figure", element("h3", title), chart, live, element("figcaption", caption))


def details(summary: str, *content: Content) -> Html:
    """Something to be opened."""
    return element("details", element("summary", summary), *content)


def section(name: str, title: str, *content: Content) -> Html:
    """A part of the page with a heading that the contents list names."""
    return element("section", element("h2", title), *content, id=name, aria_label=title)


def download(name: str, content: str, label: str) -> Html:
    """A link that saves a text as a file, without any server."""
    data = base64.b64encode(content.encode()).decode()
    return element("a", label, href=f"data:text/plain;charset=utf-8;base64,{data}", download=name)


def page(title: str, subtitle: Content, sections: Sequence[tuple[str, str, Html]], charts: Mapping[str, Chart]) -> str:
    """A whole page: its parts with name and title, and its charts by the names that `figure` has for them."""
    from plotly.offline import get_plotlyjs

    scripts = {name: _asset(f"{name}.js") for name in ("theme", "draw", "page")} | {"plotly": get_plotlyjs()}
    policy = (
        "default-src 'none'; img-src data: blob:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; "
        f"script-src {' '.join(_hash(script) for script in scripts.values())}"
    )
    return Template(_asset("page.html")).substitute(
        scripts,
        policy=text(policy),
        title=text(title),
        subtitle=text(subtitle),
        style=_asset("page.css"),
        links=text(element("a", name, href=f"#{key}") for key, name, _ in sections),
        sections=text(section(key, name, content) for key, name, content in sections),
        charts=in_script(charts),
    )


def in_script(value: object) -> str:
    """``value`` as JSON that cannot end the script element it stands in."""
    found = json.dumps(value, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        found = found.replace(character, f"\\u{ord(character):04x}")
    return found.encode("utf-8", "replace").decode()


def _printable(words: str) -> str:
    """A text without what no page may hold: lone surrogates and control characters."""
    clean = words.encode("utf-8", "replace").decode()
    return "".join(one if one in "\n\t" or ord(one) >= 32 else "\ufffd" for one in clean)


def _asset(name: str) -> str:
    return resources.files("kpasim.report").joinpath("assets", name).read_text(encoding="utf-8")


def _hash(script: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"
