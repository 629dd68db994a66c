"""The HTTP endpoint: the address, and what it answers from the current view."""

import socket

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Route

from agent.errors import GpufinError
from agent.export.page import MetricsPage
from agent.export.status import render_status
from agent.ports import Clock, ViewProvider


def application(views: ViewProvider, clock: Clock) -> Starlette:
    """The routes; every answer is made from the current view alone."""
    page = MetricsPage()

    async def metrics(request: Request) -> Response:
        view = views.current()
        if view is None:
            return PlainTextResponse("no tick yet\n", status_code=503)
        body, content_type = page.render(view, request.headers.get("accept", ""))
        return Response(body, headers={"content-type": content_type})

    async def status(_: Request) -> Response:
        policy = "default-src 'none'; style-src 'unsafe-inline'"
        return HTMLResponse(
            render_status(views.current()), headers={"content-security-policy": policy}
        )

    async def healthy(_: Request) -> Response:
        return PlainTextResponse("ok\n")

    async def ready(_: Request) -> Response:
        view = views.current()
        if view is None:
            return PlainTextResponse("not ready: no tick yet\n", status_code=503)
        if clock.now().boottime_ns > view.fresh_until_boottime_ns:
            return PlainTextResponse("not ready: the last tick is too old\n", status_code=503)
        return PlainTextResponse("ready\n")

    return Starlette(
        routes=[
            Route("/metrics", metrics),
            Route("/", status),
            Route("/-/healthy", healthy),
            Route("/-/ready", ready),
        ]
    )


def listen(host: str, port: int) -> socket.socket:
    """Bind before anything else runs, so that a port in use is said at once.

    Raises:
        GpufinError: the address cannot be had.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    channel = socket.socket(family, socket.SOCK_STREAM)
    channel.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        channel.bind((host, port))
        channel.listen()  # until then another process may bind the same address
    except OSError as error:
        channel.close()
        raise GpufinError(f"cannot listen on {host}:{port}: {error.strerror}") from error
    return channel
