"""Errors in the one form that there is, with the request's id.

Ray Serve's proxy gives a request an id (the client's own in `X-Request-ID`, or a new one), which
every answer has in that header, and Ray's logs in every line about it.
"""

import math
import re

from fastapi import Request
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from rayrank.serve.errors import RequestError

ID_HEADER, TIMEOUT_HEADER = "X-Request-ID", "X-Timeout-Ms"


def id_of(request: Request) -> str:
    """As the proxy has it; of what a log should not hold, nothing."""
    sent = request.headers.get(ID_HEADER, "")
    return sent if re.fullmatch(r"[!-~]{1,128}", sent) else ""


def refusal(request: Request, error: RequestError) -> JSONResponse:
    """An error in the one form that there is."""
    body = error.body()
    body["error"]["request_id"] = id_of(request)
    refused = JSONResponse(body, error.status)
    if error.status == 401:
        refused.headers["WWW-Authenticate"] = "Bearer"
    if error.retry_after_s is not None:
        refused.headers["Retry-After"] = str(max(1, math.ceil(error.retry_after_s)))
    return refused


async def refuse(request: Request, error: RequestError) -> JSONResponse:
    """For FastAPI: of a route that was found."""
    return refusal(request, error)


async def refuse_route(request: Request, error: HTTPException) -> JSONResponse:
    """For FastAPI: of a path or method that is none of ours."""
    return refusal(request, RequestError(error.status_code, "(path)", str(error.detail)))


async def refuse_fault(request: Request, error: Exception) -> JSONResponse:
    """For FastAPI: of a fault of ours, which the log tells and the client is not told."""
    told = RequestError(500, "(server)", "a fault of the server; its log has it by this id")
    return refusal(request, told)
