"""The page as HTML, which its script fills in, and its routes: the page, its files, and one address for all work."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from importlib import resources
from string import Template

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from kpasim import __version__
from kpasim.errors import RunError
from kpasim.report.answer import load_words
from kpasim.report.markup import figure, in_script, text
from kpasim.results.cost import Price, price_list
from kpasim.spec.catalogue import Entry, entries
from kpasim.spec.quick import flow
from kpasim.ui.door import App, Door
from kpasim.ui.jobs import parse_job
from kpasim.ui.knobs import SHAPES
from kpasim.ui.source import Source
from kpasim.ui.state import problems
from kpasim.ui.worker import Worker

TYPES = {"js": "text/javascript", "css": "text/css"}
QUICK = {"run", "hey"}
"""Jobs that a change of a setting waits for."""
FILES = {
    "theme.js": "kpasim.report",
    "draw.js": "kpasim.report",
    "page.css": "kpasim.report",
    "ui.js": "kpasim.ui",
    "ui.css": "kpasim.ui",
}
"""Files of the page, and the packages that hold them; plotly's bundle comes with plotly."""
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


def create_app(source: Source, token: str, host: str, port: int) -> App:
    """The application, on an address and port; every request must carry the token."""
    # What takes long has a process of its own, so that a slider does not wait for it.
    worker, aside = Worker(source), Worker(source)

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        worker.start()
        yield
        worker.stop()
        aside.stop()

    async def front(request: Request) -> Response:
        return HTMLResponse(page(source, token))

    async def asset(request: Request) -> Response:
        name = request.path_params["name"]
        if name not in FILES and name != "plotly.js":
            return Response(status_code=404)
        ending = name.rpartition(".")[2]
        # Plotly's bundle is large and changes with plotly only; ours is asked for each time.
        kept = "private, max-age=86400" if name == "plotly.js" else "no-store"
        return Response(content(name), media_type=TYPES[ending], headers={"Cache-Control": kept})

    async def work(request: Request) -> Response:
        try:
            job = parse_job(await request.body())
        except RunError as error:
            return JSONResponse({"kind": "problems", "problems": problems(error)}, 422)
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        performed = (worker if job.kind in QUICK else aside).perform(job)
        return StreamingResponse(performed, media_type="application/x-ndjson", headers=headers)

    routes = [Route("/", front), Route("/assets/{name}", asset), Route("/work", work, methods=["POST"])]
    return Door(Starlette(routes=routes, lifespan=lifespan), token, host, port)


@cache
def content(name: str) -> bytes:
    """Content of a file of the page."""
    if name == "plotly.js":
        from plotly.offline import get_plotlyjs

        return str(get_plotlyjs()).encode()
    return resources.files(FILES[name]).joinpath("assets", name).read_bytes()


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
