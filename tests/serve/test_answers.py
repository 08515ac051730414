"""Every error, whatever it is, has one form and the request's id."""

import pytest
from fastapi import FastAPI
from rayrank.serve.answers import refuse, refuse_fault, refuse_route
from rayrank.serve.errors import RequestError
from starlette.exceptions import HTTPException
from starlette.testclient import TestClient

SECRET = "/etc/secret is at fault"


def client() -> TestClient:
    app = FastAPI()
    app.exception_handler(RequestError)(refuse)
    app.exception_handler(HTTPException)(refuse_route)
    app.exception_handler(Exception)(refuse_fault)

    @app.get("/sound")
    async def sound() -> str:
        return "fine"

    @app.get("/refused/{status}/{seconds}")
    async def refused(status: int, seconds: float) -> None:
        raise RequestError(status, "a field", "is wrong", seconds or None)

    @app.get("/broken")
    async def broken() -> None:
        raise KeyError(SECRET)

    return TestClient(app, raise_server_exceptions=False)


@pytest.mark.parametrize("sent", ["7", "a-b_c:d/e=", "x" * 128])
@pytest.mark.parametrize("path", ["/refused/422/0", "/broken", "/nowhere"])
def test_an_error_has_the_requests_id(sent: str, path: str) -> None:
    found = client().get(path, headers={"X-Request-ID": sent})
    assert found.json()["error"]["request_id"] == sent


@pytest.mark.parametrize("sent", ["", "x" * 129, "two words", "caf\u00e9".encode("latin-1")])
def test_one_that_no_log_should_hold_is_left_out(sent: str | bytes) -> None:
    found = client().get("/nowhere", headers={"X-Request-ID": sent})
    assert found.json()["error"]["request_id"] == ""


@pytest.mark.parametrize(
    ("method", "path", "status", "field"),
    [
        ("GET", "/nowhere", 404, "(path)"),
        ("POST", "/sound", 405, "(path)"),
        ("GET", "/broken", 500, "(server)"),
        ("GET", "/refused/401/0", 401, "a field"),
        ("GET", "/refused/503/0", 503, "a field"),
    ],
)
def test_every_error_has_one_form(method: str, path: str, status: int, field: str) -> None:
    found = client().request(method, path)
    assert found.status_code == status
    assert found.headers["Content-Type"] == "application/json"
    (content,) = found.json().values()
    assert content.keys() == {"field", "message", "request_id", "faults", "more"}
    assert content["faults"] == [{"field": content["field"], "message": content["message"]}]
    assert (content["field"], content["more"]) == (field, 0)
    assert SECRET not in found.text
    assert ("WWW-Authenticate" in found.headers) == (status == 401)
    assert "Retry-After" not in found.headers


@pytest.mark.parametrize(("seconds", "told"), [(0.001, "1"), (1.0, "1"), (1.2, "2"), (30.0, "30")])
def test_when_to_come_again_is_told_in_whole_seconds(seconds: float, told: str) -> None:
    assert client().get(f"/refused/503/{seconds}").headers["Retry-After"] == told
