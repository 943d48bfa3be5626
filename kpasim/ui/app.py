"""Routes of the page: the page, its files, and one address for all work."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from importlib import resources

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from kpasim.errors import RunError
from kpasim.ui.door import App, Door
from kpasim.ui.jobs import parse_job
from kpasim.ui.page import page
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
