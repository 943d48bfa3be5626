"""What the routes share: bodies read with pydantic, and errors as AUTOMATIC1111 writes them."""

from collections.abc import Mapping
from typing import Any, TypeVar

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ValidationError

from kpasim.server.schema import ErrorResponse

Body = TypeVar("Body", bound=BaseModel)

CLIENT_LEFT = 499
"""Status of a request whose client has left, for logs and metrics alone."""

_ABOUT = {
    404: "The sampler, or the picture to begin with, is not known.",
    408: "The body did not arrive in time.",
    413: "The body is too large.",
    422: "The request is refused; ``detail`` says which field and what would be right.",
    500: "The generation failed; the log of the server says where.",
    503: "The model is loading, the queue is full, or the server is leaving.",
}


def error_responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """What OpenAPI says of a route's errors."""
    return {status: {"model": ErrorResponse, "description": _ABOUT[status]} for status in statuses}


def error(
    status: int, kind: str, detail: Any, errors: str = "", headers: Mapping[str, str] | None = None
) -> JSONResponse:
    """An error as AUTOMATIC1111 writes it."""
    return JSONResponse({"error": kind, "detail": detail, "body": "", "errors": errors}, status, headers=headers)


async def parsed(kind: type[Body], request: Request) -> Body:
    """The body of a request.

    It is parsed by pydantic and not by FastAPI: Python's json lets through half a surrogate pair, which no tokenizer
    takes, and a depth that ends in RecursionError; and hey says text/html unless told otherwise.
    """
    try:
        return kind.model_validate_json(await request.body())
    except ValidationError as err:
        raise RequestValidationError(err.errors(include_url=False, include_input=False)) from None
