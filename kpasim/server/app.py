"""The HTTP routes: AUTOMATIC1111's interface, probes and metrics."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import time
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from contextlib import asynccontextmanager, suppress
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, PlainTextResponse, Response
from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from kpasim.server import samplers
from kpasim.server.admission import RefusedError
from kpasim.server.schema import TextToImage, TextToImageResponse, problems
from kpasim.server.service import Service, info_text

log = logging.getLogger("kpasim.server")

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

TEXT_TO_IMAGE = "/sdapi/v1/txt2img"
CLIENT_LEFT = 499

POD_NAME = os.environ.get("HOSTNAME") or socket.gethostname()
"""Kubernetes calls the host of a container by its pod's name."""


def create_app(service: Service, *, on_failure: Callable[[], None]) -> FastAPI:
    """The application of one process.

    Args:
        service: The process's state; its model begins to load when the application starts.
        on_failure: Called when the model cannot be loaded.
    """

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        service.start(on_failure)
        yield

    app = FastAPI(title="txt2img", docs_url=None, redoc_url=None, lifespan=lifespan)
    app.add_middleware(Door, service=service)
    _errors(app)
    _probes(app, service)
    _generation(app, service)
    _catalogue(app, service)
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
        began = time.monotonic()
        limits = self._service.settings.limits
        announced = dict(scope["headers"]).get(b"content-length", b"0")
        left = limits.max_body
        complete = False

        async def limited() -> Message:
            nonlocal left, complete
            if complete:
                return await receive()
            if announced.isdigit() and int(announced) > limits.max_body:
                raise HTTPException(413, f"the body may have {limits.max_body} bytes")
            remaining = began + limits.body_timeout_s - time.monotonic()
            try:
                message = await asyncio.wait_for(receive(), max(0.0, remaining))
            except TimeoutError:
                raise HTTPException(408, f"the body must arrive within {limits.body_timeout_s:g} s") from None
            left -= len(message.get("body", b""))
            complete = not message.get("more_body", False)
            if left < 0:
                raise HTTPException(413, f"the body may have {limits.max_body} bytes")
            return message

        async def stamped(message: Message) -> None:
            if message["type"] == "http.response.start":
                status = message["status"]
                if scope["path"] == TEXT_TO_IMAGE:
                    self._service.metrics.responses[status] += 1
                took = f"{time.monotonic() - began:.4f}".encode("ascii")
                message["headers"] = [*message["headers"], (b"x-process-time", took)]
                # A body that was not read to its end would be taken for the next request.
                if self._service.closing or status in {408, 413}:
                    message["headers"].append((b"connection", b"close"))
            await send(message)

        await self._app(scope, limited, stamped)


def _error(status: int, kind: str, detail: Any, errors: str, **headers: str) -> JSONResponse:
    """An error as AUTOMATIC1111 writes it."""
    body = {"error": kind, "detail": detail, "body": "", "errors": errors}
    return JSONResponse(body, status, headers={name.replace("_", "-"): value for name, value in headers.items()})


def _errors(app: FastAPI) -> None:
    @app.exception_handler(HTTPException)
    async def http(_request: Request, err: HTTPException) -> JSONResponse:
        return _error(err.status_code, "HTTPException", err.detail, "", **(err.headers or {}))

    @app.exception_handler(RequestValidationError)
    async def invalid(_request: Request, err: RequestValidationError) -> JSONResponse:
        # No context: it may hold what the client sent, or what JSON cannot.
        detail = [{"loc": list(one["loc"]), "msg": one["msg"], "type": one["type"]} for one in err.errors()]
        return _error(422, "RequestValidationError", detail, "")

    @app.exception_handler(RefusedError)
    async def refused(_request: Request, err: RefusedError) -> JSONResponse:
        return _error(503, "Unavailable", str(err), str(err), Retry_After="1")


def _probes(app: FastAPI, service: Service) -> None:
    @app.get("/internal/ping")
    async def ping() -> dict[str, str]:
        return {}

    @app.get("/healthz")
    async def live() -> JSONResponse:
        return JSONResponse({"alive": service.alive}, 200 if service.alive else 503)

    @app.get("/readyz")
    async def ready() -> JSONResponse:
        state = "shutting down" if service.closing else "ready" if service.ready else "loading"
        return JSONResponse({"state": state}, 200 if state == "ready" else 503)

    @app.get("/metrics")
    async def metrics() -> PlainTextResponse:
        return PlainTextResponse(service.metrics_text(), media_type="text/plain; version=0.0.4")


def _generation(app: FastAPI, service: Service) -> None:
    schema = {"requestBody": {"content": {"application/json": {"schema": TextToImage.model_json_schema()}}}}

    @app.post(TEXT_TO_IMAGE, response_model=TextToImageResponse, openapi_extra=schema)
    async def text_to_image(request: Request) -> Response:
        arrived_unix_s = time.time()
        # Parsed by pydantic and not by FastAPI: Python's json lets through half a surrogate pair, which no tokenizer
        # takes, and a depth that ends in RecursionError; and hey says text/html unless told otherwise.
        try:
            body = TextToImage.model_validate_json(await request.body())
        except ValidationError as err:
            raise RequestValidationError(err.errors(include_url=False, include_input=False)) from None
        except ClientDisconnect:
            return Response(status_code=CLIENT_LEFT)
        wrong = problems(body, service.settings.limits)
        if wrong:
            detail = "; ".join(f"{name}: {what}" for name, what in wrong)
            return _error(422, "HTTPException", detail, "")
        found = service.model_schedule(body)
        if found is None:
            return _error(404, "HTTPException", "Sampler not found", "")
        gone = asyncio.ensure_future(_client_leaves(request))
        try:
            made = await service.make(body, *found, gone)
        except RefusedError:
            raise
        except Exception as err:
            # The frames only: the message might repeat the prompt.
            kind = type(err).__name__
            log.error("txt2img failed: %s\n%s", kind, "".join(traceback.format_tb(err.__traceback__)))
            return _error(500, kind, "generation failed; the server's log says where", "")
        finally:
            gone.cancel()
            with suppress(asyncio.CancelledError):
                await gone
        times = f"queued {made.queue_s:.3f} s, served {made.service_s:.3f} s"
        size = f"{body.images} of {body.width}x{body.height}, {body.steps} steps"
        log.info("txt2img %s: %s%s", size, times, ", client left" if made.left else "")
        if made.left:
            return Response(status_code=CLIENT_LEFT)
        answer = {
            "images": made.base64_images() if body.send_images else [],
            "parameters": body.model_dump(mode="json"),
            "info": info_text(made),
        }
        return JSONResponse(answer, headers=_provenance(arrived_unix_s, made.queue_s, made.service_s))

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


def _catalogue(app: FastAPI, service: Service) -> None:
    """The lists that AUTOMATIC1111's clients ask for before they begin."""
    name = service.settings.model_name

    @app.get("/sdapi/v1/options")
    async def options() -> dict[str, Any]:
        return {
            "sd_model_checkpoint": name,
            "sd_checkpoint_hash": "",
            "sd_vae": "Automatic",
            "CLIP_stop_at_last_layers": 1,
            "samples_save": False,
            "grid_save": False,
            "samples_format": "png",
            "return_grid": False,
            "enable_pnginfo": True,
        }

    @app.get("/sdapi/v1/sd-models")
    async def models() -> list[dict[str, Any]]:
        return [{"title": name, "model_name": name, "hash": None, "sha256": None, "filename": name, "config": None}]

    @app.get("/sdapi/v1/samplers")
    async def list_samplers() -> list[dict[str, Any]]:
        return [
            {"name": one.name, "aliases": [], "options": {"scheduler": one.automatic}}
            for one in samplers.SAMPLERS.values()
        ]

    @app.get("/sdapi/v1/schedulers")
    async def list_schedulers() -> list[dict[str, Any]]:
        return [
            {"name": one.name, "label": one.label, "aliases": None, "default_rho": -1.0, "need_inner_model": False}
            for one in samplers.SCHEDULES
        ]

    @app.get("/sdapi/v1/memory")
    async def memory() -> dict[str, Any]:
        return {"ram": _ram(), "cuda": _cuda() if service.ready else {"error": "unavailable"}}

    for path, empty in (
        ("scripts", {"txt2img": [], "img2img": []}),
        ("embeddings", {"loaded": {}, "skipped": {}}),
        ("cmd-flags", {}),
        ("script-info", []),
        ("sd-vae", []),
        ("upscalers", []),
        ("latent-upscale-modes", []),
        ("loras", []),
        ("hypernetworks", []),
        ("face-restorers", []),
        ("realesrgan-models", []),
        ("prompt-styles", []),
        ("extensions", []),
    ):
        app.add_api_route(f"/sdapi/v1/{path}", _constant(empty), methods=["GET"])


def _constant(value: Any) -> Callable[[], Awaitable[JSONResponse]]:
    async def answer() -> JSONResponse:
        return JSONResponse(value)

    return answer


def _ram() -> dict[str, int]:
    page = os.sysconf("SC_PAGE_SIZE")
    total = os.sysconf("SC_PHYS_PAGES") * page
    free = os.sysconf("SC_AVPHYS_PAGES") * page
    return {"free": free, "used": total - free, "total": total}


def _cuda() -> dict[str, Any]:
    import torch

    if not torch.cuda.is_available():
        return {"error": "unavailable"}
    free, total = torch.cuda.mem_get_info()
    return {"system": {"free": free, "used": total - free, "total": total}}
