"""The HTTP routes: AUTOMATIC1111's interface, probes and metrics."""

import asyncio
import base64
import json
import logging
import os
import socket
import time
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from contextlib import asynccontextmanager, suppress
from typing import Any, NoReturn

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from kpasim.server import catalogue, page, pictures, samplers
from kpasim.server.admission import RefusedError
from kpasim.server.http import CLIENT_LEFT, error, error_responses, parsed
from kpasim.server.schema import (
    ImageToImage,
    PngInfo,
    PngInfoResponse,
    TextToImage,
    TextToImageResponse,
    problems,
    request_schema,
)
from kpasim.server.service import Service

log = logging.getLogger("kpasim.server")

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

TEXT_TO_IMAGE = "/sdapi/v1/txt2img"
IMAGE_TO_IMAGE = "/sdapi/v1/img2img"
PNG_INFO = "/sdapi/v1/png-info"

POD_NAME = os.environ.get("HOSTNAME") or socket.gethostname()
"""Kubernetes calls the host of a container by its pod's name."""


def create_app(service: Service, *, on_failure: Callable[[], None]) -> FastAPI:
    """The application of one process; its model loads when it starts, `on_failure` is called where it cannot."""

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        service.start(on_failure)
        yield

    app = FastAPI(title="txt2img", docs_url=None, redoc_url=None, lifespan=lifespan)
    app.add_middleware(Door, service=service)
    _errors(app)
    _front_page(app, service)
    _probes(app, service)
    _generation(app, service)
    catalogue.offer(app, service)
    return app


class Door:
    """What every request passes: the body's limits on the way in, its time and the farewell on the way out."""

    def __init__(self, app: Callable[[Message, Receive, Send], Awaitable[None]], service: Service) -> None:
        self._app = app
        self._service = service

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if scope["method"] == "HEAD":
            # The same headers as for GET; the protocol leaves the body out.
            scope = {**scope, "method": "GET"}
        began = time.monotonic()
        limits = self._service.settings.limits
        most = limits.max_image_body if scope["path"] in {IMAGE_TO_IMAGE, PNG_INFO} else limits.max_body
        announced = dict(scope["headers"]).get(b"content-length", b"0")
        left = most
        complete = False

        async def in_time() -> Message:
            remaining = began + limits.body_timeout_s - time.monotonic()
            try:
                return await asyncio.wait_for(receive(), max(0.0, remaining))
            except TimeoutError:
                raise HTTPException(408, f"the body must arrive within {limits.body_timeout_s:g} s") from None

        async def too_large(more: bool) -> NoReturn:
            # A client that is still sending would meet a reset instead of the answer, so a little more is read.
            spare = most
            while more and spare > 0:
                message = await in_time()
                spare -= len(message.get("body", b""))
                more = message.get("more_body", False)
            raise HTTPException(413, f"the body may have {most} bytes")

        async def limited() -> Message:
            nonlocal left, complete
            if complete:
                return await receive()
            if announced.isdigit() and int(announced) > most:
                await too_large(True)
            message = await in_time()
            left -= len(message.get("body", b""))
            complete = not message.get("more_body", False)
            if left < 0:
                await too_large(not complete)
            return message

        async def stamped(message: Message) -> None:
            if message["type"] == "http.response.start":
                status = message["status"]
                if scope["path"] in {TEXT_TO_IMAGE, IMAGE_TO_IMAGE}:
                    self._service.metrics.responses[status] += 1
                took = f"{time.monotonic() - began:.4f}".encode("ascii")
                message["headers"] = [*message["headers"], (b"x-process-time", took)]
                # A body that was not read to its end would be taken for the next request.
                if self._service.closing or status in {408, 413}:
                    message["headers"].append((b"connection", b"close"))
            await send(message)

        await self._app(scope, limited, stamped)


def _errors(app: FastAPI) -> None:
    @app.exception_handler(HTTPException)
    async def http(_request: Request, err: HTTPException) -> JSONResponse:
        return error(err.status_code, "HTTPException", err.detail, headers=err.headers)

    @app.exception_handler(RequestValidationError)
    async def invalid(_request: Request, err: RequestValidationError) -> JSONResponse:
        # No context: it may hold what the client sent, or what JSON cannot.
        detail = [{"loc": list(one["loc"]), "msg": one["msg"], "type": one["type"]} for one in err.errors()]
        return error(422, "RequestValidationError", detail)

    @app.exception_handler(RefusedError)
    async def refused(_request: Request, err: RefusedError) -> JSONResponse:
        return error(503, "Unavailable", str(err), str(err), {"Retry-After": "1"})

    @app.exception_handler(pictures.PictureError)
    async def unusable(_request: Request, err: pictures.PictureError) -> JSONResponse:
        return error(422, "HTTPException", str(err))

    @app.exception_handler(ClientDisconnect)
    async def left(_request: Request, _err: ClientDisconnect) -> Response:
        return Response(status_code=CLIENT_LEFT)


def _front_page(app: FastAPI, service: Service) -> None:
    limits = service.settings.limits
    text = page.page(service.settings.model_name, limits.max_side, limits.max_steps)

    @app.get("/", response_class=HTMLResponse)
    async def front_page() -> HTMLResponse:
        return HTMLResponse(text, headers={"Content-Security-Policy": page.POLICY, "Referrer-Policy": "no-referrer"})


def _probes(app: FastAPI, service: Service) -> None:
    @app.get("/internal/ping")
    async def ping() -> dict[str, str]:
        return {}

    @app.get("/healthz", responses={503: {"description": "A restart is called for."}})
    async def live() -> JSONResponse:
        return JSONResponse({"alive": service.alive}, 200 if service.alive else 503)

    @app.get("/readyz", responses={503: {"description": "The model is loading, or the server is leaving."}})
    async def ready() -> JSONResponse:
        state = "shutting down" if service.closing else "ready" if service.ready else "loading"
        return JSONResponse({"state": state}, 200 if state == "ready" else 503)

    @app.get("/metrics", response_class=PlainTextResponse)
    async def metrics() -> PlainTextResponse:
        return PlainTextResponse(service.metrics_text(), media_type="text/plain; version=0.0.4")


def _generation(app: FastAPI, service: Service) -> None:
    limits = service.settings.limits

    def described(kind: type[TextToImage]) -> dict[str, Any]:
        schema = {"schema": request_schema(kind, limits)}
        return {"requestBody": {"required": True, "content": {"application/json": schema}}}

    async def generate(kind: type[TextToImage], request: Request) -> Response:
        arrived_unix_s = time.time()
        body = await parsed(kind, request)
        if wrong := problems(body, limits):
            raise HTTPException(422, "; ".join(f"{name}: {what}" for name, what in wrong))
        found = samplers.find(body.sampler_name or body.sampler_index, body.scheduler)
        if found is None:
            raise HTTPException(404, "Sampler not found")
        picture = None
        if isinstance(body, ImageToImage):
            if not body.init_images:
                raise HTTPException(404, "Init image not found")
            picture = await asyncio.to_thread(pictures.first_picture, body, limits)
        gone = asyncio.ensure_future(_client_leaves(request))
        try:
            made = await service.make(body, *found, gone, picture)
        except RefusedError:
            raise
        except Exception as err:
            # The frames only: the message might repeat the prompt.
            name = type(err).__name__
            log.error("%s failed: %s\n%s", request.url.path, name, "".join(traceback.format_tb(err.__traceback__)))
            return error(500, name, "generation failed; the server's log says where")
        finally:
            gone.cancel()
            with suppress(asyncio.CancelledError):
                await gone
        times = f"queued {made.queue_s:.3f} s, served {made.service_s:.3f} s"
        size = f"{body.images} of {body.width}x{body.height}, {body.steps} steps"
        log.info("%s %s: %s%s", request.url.path[-7:], size, times, ", client left" if made.left else "")
        if made.left:
            raise ClientDisconnect
        # The client has the pictures that it sent.
        left_out = {"init_images", "mask"} if isinstance(body, ImageToImage) else set()
        answer = {
            "images": [base64.b64encode(image).decode("ascii") for image in made.images] if body.send_images else [],
            "parameters": body.model_dump(mode="json", exclude=left_out),
            "info": json.dumps(made.info),
        }
        return JSONResponse(answer, headers=_provenance(arrived_unix_s, made.queue_s, made.service_s))

    def offer(path: str, kind: type[TextToImage], about: str) -> None:
        async def route(request: Request) -> Response:
            return await generate(kind, request)

        app.add_api_route(
            path,
            route,
            methods=["POST"],
            name=path.rpartition("/")[2],
            description=about,
            response_model=TextToImageResponse,
            responses=error_responses(404, 408, 413, 422, 500, 503),
            openapi_extra=described(kind),
        )

    offer(TEXT_TO_IMAGE, TextToImage, "Make images of a prompt.")
    offer(IMAGE_TO_IMAGE, ImageToImage, "Make images of a prompt and a picture.")

    @app.post(
        PNG_INFO,
        response_model=PngInfoResponse,
        responses=error_responses(404, 408, 413, 422),
        openapi_extra={"requestBody": {"content": {"application/json": {"schema": PngInfo.model_json_schema()}}}},
    )
    async def png_info(request: Request) -> JSONResponse:
        """The parameters that a picture of AUTOMATIC1111, or of this server, carries."""
        body = await parsed(PngInfo, request)
        if not body.image.strip():
            raise HTTPException(404, "Image not found")
        text = pictures.parameters_of(await asyncio.to_thread(pictures.decode, body.image, limits))
        items = {"parameters": text} if text else {}
        return JSONResponse({"info": text, "items": items, "parameters": {}})

    @app.post("/sdapi/v1/interrupt")
    async def interrupt() -> dict[str, Any]:
        """End the running generations; their responses hold the images that are finished."""
        service.interrupt()
        return {}

    @app.post("/sdapi/v1/skip")
    async def skip() -> dict[str, Any]:
        """Leave out the batches in work."""
        service.skip()
        return {}

    @app.get("/sdapi/v1/progress")
    async def progress() -> dict[str, Any]:
        return service.progress()


async def _client_leaves(request: Request) -> None:
    """Return when the client has closed its connection; the body must have been read."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _provenance(arrived_unix_s: float, queue_s: float, service_s: float) -> dict[str, str]:
    """Who answered and when: what a load generator needs to tell queueing from service."""
    return {
        "X-Pod-Name": POD_NAME,
        "X-Arrival-Time": f"{arrived_unix_s:.6f}",
        "Server-Timing": f"queue;dur={queue_s * 1e3:.3f}, service;dur={service_s * 1e3:.3f}",
    }
