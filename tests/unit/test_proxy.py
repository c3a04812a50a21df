"""What stands in front of the gateways."""

import httpx
import pytest
from ray.serve._private.http_util import RequestIdMiddleware
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from rap_serve.api.proxy import Enveloped


async def said(app: ASGIApp) -> httpx.Response:
    """What a client hears of an application."""
    transport = httpx.ASGITransport(Enveloped(app))
    async with httpx.AsyncClient(transport=transport, base_url="http://service") as http:
        return await http.get("/")


async def test_a_gateway_that_dies_is_a_503() -> None:
    """With our envelope, and when to ask again."""

    async def dead(scope: Scope, receive: Receive, send: Send) -> None:
        """Ray's proxy, after its replica's death."""

    answer = await said(dead)
    assert answer.status_code == 503 and answer.json()["error"]["code"] == "unavailable"
    assert answer.headers["retry-after"] == "2"


@pytest.mark.parametrize(("status", "becomes"), [(429, 429), (503, 503), (408, 503)])
async def test_what_the_proxy_refuses_has_our_envelope(status: int, becomes: int) -> None:
    """It answers in plain text."""
    answer = await said(PlainTextResponse("replicas are busy", status))
    assert answer.status_code == becomes
    assert answer.json()["error"]["type"] == ("rate_limit_error" if becomes == 429 else "server_error")


@pytest.mark.parametrize(
    "response",
    [
        JSONResponse({"error": {"code": "overloaded"}}, 429),
        JSONResponse({"status": "ok"}),
        PlainTextResponse("metrics"),
        Response(status_code=204),
    ],
)
async def test_what_gateways_say_is_passed_on(response: Response) -> None:
    """Whatever its status."""
    answer = await said(response)
    assert (answer.status_code, answer.content) == (response.status_code, response.body)


async def test_an_answer_has_one_request_id() -> None:
    """The gateway's, which the log knows; Ray adds one of its own, also to what has none yet."""
    named = PlainTextResponse("ok", headers={"x-request-id": "req_1"})
    assert (await said(RequestIdMiddleware(named))).headers.get_list("x-request-id") == ["req_1"]
    assert len((await said(RequestIdMiddleware(PlainTextResponse("ok")))).headers.get_list("x-request-id")) == 1


async def test_clients_cannot_tell_ray_what_is_not_theirs_to_say() -> None:
    """Such as to go on for somebody who has left; all other headers arrive."""

    async def echo(scope: Scope, receive: Receive, send: Send) -> None:
        """Answers with the names of the headers that it got."""
        names = [name.decode() for name, _ in scope["headers"]]
        await JSONResponse(names)(scope, receive, send)

    async with httpx.AsyncClient(transport=httpx.ASGITransport(Enveloped(echo)), base_url="http://service") as http:
        sent = {"x-request-disconnect-disabled": "?1", "X-Request-Timeout-Seconds": "9", "x-rap-timeout-seconds": "9"}
        arrived = (await http.get("/", headers=sent)).json()
    assert "x-rap-timeout-seconds" in arrived and not {n for n in arrived if n.startswith("x-request-")}
