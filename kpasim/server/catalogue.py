"""Lists, options and switches that AUTOMATIC1111's clients ask for before and after they generate."""

import os
from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from pydantic import RootModel
from starlette.exceptions import HTTPException

from kpasim.server import samplers
from kpasim.server.http import error_responses, parsed
from kpasim.server.service import Service


def offer(app: FastAPI, service: Service) -> None:
    """The lists that AUTOMATIC1111's clients ask for before they begin."""
    name = service.settings.model_name

    settings: dict[str, Any] = {"sd_model_checkpoint": name, **samplers.DATA["options"]}

    @app.get("/sdapi/v1/options")
    async def options() -> dict[str, Any]:
        return settings

    schema = {"type": "object", "properties": {key: {"enum": [value]} for key, value in settings.items()}}

    @app.post(
        "/sdapi/v1/options",
        responses=error_responses(408, 413, 422),
        openapi_extra={"requestBody": {"content": {"application/json": {"schema": schema}}}},
    )
    async def set_options(request: Request) -> JSONResponse:
        """Accept options that change nothing; this server has one model and fixed settings."""
        for key, value in (await parsed(Options, request)).root.items():
            if key == "sd_model_checkpoint" and value != name:
                raise HTTPException(422, f"{key}: this server has one model, {name}")
            if key in settings and value != settings[key]:
                raise HTTPException(422, f"{key}: cannot be changed; it is {settings[key]!r}")
        return JSONResponse({})

    @app.post("/sdapi/v1/unload-checkpoint", responses=error_responses(422), status_code=422)
    async def unload() -> None:
        """Refused: the server keeps its one model loaded."""
        raise HTTPException(422, "this server has one model and keeps it loaded")

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

    for method, answers in samplers.DATA["constant"].items():
        for path, value in answers.items():
            app.add_api_route(f"/sdapi/v1/{path}", _constant(value), methods=[method], name=path)


class Options(RootModel[dict[str, Any]]):
    """Settings by name."""


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
